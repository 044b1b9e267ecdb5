"""The metrics of recommendation lists of any program against the held-out items of a test file."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hpo.comparison.columns import Places
from hpo.comparison.sides import Floats, in_order
from hpo.comparison.tables import Cells
from hpo.runtime.text import counted
from trainers.data.readers import SUFFIXES, read_interactions, suffix_of
from trainers.data.readers.layout import Layout
from trainers.data.readers.names import listed
from trainers.data.readers.raw import as_text
from trainers.errors import InputError, first_line
from trainers.files import check_regular
from trainers.metrics.definitions import Found, Metric, largest_cut_off
from trainers.text import shown

Numbers = NDArray[np.int64]
MISS = np.iinfo(np.int64).max  # the rank of an item that was not recommended


@dataclass(frozen=True, eq=False)
class Truth:
    """The held-out items.

    Attributes:
        users: ids of users with at least one held-out item.
        items: ids of all held-out items.
        pairs: each once, as user * number of items + item, ascending; int64 (n_pairs,).
        said: how the file was read.
    """

    path: Path
    users: pd.Index[str]
    items: pd.Index[str]
    pairs: Numbers
    said: str

    @cached_property
    def n_held_out(self) -> Numbers:
        """The number of held-out items of each user (n_users,)."""
        return np.bincount(self.pairs // len(self.items), minlength=len(self.users)).astype(np.int64)


@dataclass(frozen=True)
class Served:
    """Numbers of users whose lists of one run need a caveat.

    Attributes:
        unserved: users with held-out items and without a list; they count 0.
        short: users whose list is shorter than the largest cut-off.
        tied: users with equal scores within the largest cut-off.
        unknown: users with a list and without held-out items.
    """

    unserved: int
    short: int
    tied: int
    unknown: int


def read_truth(path: Path, layout: Layout) -> Truth:
    """The held-out items of a test file, in any layout of a data file.

    Args:
        layout: the parts of the layout that the file itself does not show.

    Raises:
        InputError: the file is missing, empty, or cannot be read.
    """
    try:
        check_regular(path)
    except OSError as error:
        raise InputError(
            f"{path}: --truth cannot be read: {error.strerror or first_line(error)}; give the path of the test file"
        ) from None
    if suffix_of(path) is None:
        raise InputError(f"{path}: unknown kind of file {path.suffix!r} for --truth; use one of {', '.join(SUFFIXES)}")
    try:
        raw = read_interactions(path, layout)
    except InputError as error:
        raise InputError(f"{error} (for --truth such keys are given as --data '{{columns: {{user: 0, item: 1}}}}')") from None
    if not len(raw):
        raise InputError(f"{path}: --truth holds no interactions; give the file with the held-out items")
    users, items = (pd.Index(as_text(column.ids)) for column in (raw.users, raw.items))
    known_users = in_order(users)
    codes = known_users.get_indexer(users).astype(np.int64)[raw.users.codes] * len(items) + raw.items.codes
    pairs = np.unique(codes)
    said = f"{path}: {raw.said}; {len(pairs):,} held-out items of {len(known_users):,} users"
    twice = len(codes) - len(pairs)
    said += f"; {twice:,} repeated pairs count once" if twice else ""
    said += "; a low rating counts like a high one" if raw.ratings is not None else ""
    return Truth(path, known_users, items, pairs, said)


def scored(
    cells: Cells, places: Places, rows: Numbers, truth: Truth, metrics: tuple[Metric, ...]
) -> tuple[pd.DataFrame, Served]:
    """The metrics of the lists in some rows, for each user of the truth (index: id); 0 for a user without a list.

    Raises:
        InputError: neither rank nor score; a rank or score that is no number; an item or a rank that occurs twice in a list; a
            gap in the ranks; no user or no item of the truth.
    """
    assert places.item is not None
    users, items = cells.ids(places.user)[rows], cells.ids(places.item)[rows]
    user = truth.users.get_indexer(pd.Index(users))
    if (user < 0).all():
        raise InputError(
            f"{cells.path}: its users must be users of {truth.path}, and none is: this file has users such as "
            f"{shown(users[0])}, that one such as {shown(truth.users[0])}; write the same ids in both"
        )
    item = truth.items.get_indexer(pd.Index(items))
    if (item < 0).all():
        raise InputError(
            f"{cells.path}: its items must be items of {truth.path}, and none is: this file has items such as "
            f"{shown(items[0])}, that one such as {shown(truth.items[0])}; write the same ids in both"
        )
    _refuse_twice(cells, rows, users, items, "recommended item", "a list may hold an item once")
    keys, is_score = _keys(cells, places, rows)
    order = np.lexsort((np.arange(len(rows)), keys, user))
    order = order[user[order] >= 0]
    user, item, keys = user[order], item[order], keys[order]
    starts = np.searchsorted(user, np.arange(len(truth.users)))
    rank = np.arange(len(user)) - starts[user]
    ranks = _ranks(truth, user, item, rank)
    found = Found(ranks, truth.n_held_out)
    frame = pd.DataFrame({str(metric): metric.by_user(found) for metric in metrics}, index=truth.users)
    longest, lengths = largest_cut_off(metrics), np.bincount(user, minlength=len(truth.users))
    tied = (np.diff(keys) == 0) & (np.diff(user) == 0) & (rank[1:] <= longest) if is_score else np.zeros(0, bool)
    return frame, Served(
        unserved=int((lengths == 0).sum()),
        short=int(((lengths > 0) & (lengths < longest)).sum()),
        tied=len(np.unique(user[1:][tied])) if is_score else 0,
        unknown=len(set(users) - set(truth.users)),
    )


def _ranks(truth: Truth, user: Numbers, item: Numbers, rank: Numbers) -> Numbers:
    """The rank of every held-out item, from 0; MISS if it was not recommended."""
    ranks = np.full(len(truth.pairs), MISS)
    known = item >= 0
    wanted = user[known] * len(truth.items) + item[known]
    place = np.minimum(np.searchsorted(truth.pairs, wanted), len(truth.pairs) - 1)
    hit = truth.pairs[place] == wanted
    ranks[place[hit]] = rank[known][hit]
    return ranks


def _keys(cells: Cells, places: Places, rows: Numbers) -> tuple[Floats, bool]:
    """The sort keys of the lists, ascending, and whether they are scores."""
    place = places.rank if places.rank is not None else places.score
    if place is None:
        raise InputError(
            f"{cells.path}: recommendations need a column rank (1 is the best) or score (higher is better), got "
            f"{listed(cells.names)}; add one, so that the order of each list is known"
        )
    numbers = cells.numbers(place)[rows]
    bad = ~np.isfinite(numbers)
    if bad.any():
        row = int(rows[np.argmax(bad)])
        raise InputError(
            f"{cells.path}, {cells.row(row)}: column {shown(cells.names[place])} must hold numbers, got "
            f"{shown(cells.columns[place].iloc[row])}; correct or delete the line"
        )
    if place != places.rank:
        return -numbers, True
    users = cells.ids(places.user)[rows]
    _refuse_twice(cells, rows, users, numbers, "rank", "a list may have a rank once")
    _refuse_gaps(cells, rows, users, numbers)
    return numbers, False


def _refuse_gaps(cells: Cells, rows: Numbers, users: NDArray[np.object_], ranks: Floats) -> None:
    """Refuse gaps in the ranks of a list, which must start at 0 or at 1 in the whole file.

    Else the items of a list that holds only its hits would count as if they were at the top.
    """
    lists = pd.Series(ranks).groupby(users)
    first = 0.0 if ranks.min() == 0.0 else 1.0
    bad = ((lists.transform("min") != first) | (lists.transform("max") != first + lists.transform("size") - 1)).to_numpy()
    if bad.any():
        row = int(np.argmax(bad))
        found = np.sort(ranks[users == users[row]])
        said = listed(tuple(f"{rank:g}" for rank in found[:5]))
        raise InputError(
            f"{cells.path}, {cells.row(int(rows[row]))}: the ranks of a list must be {first:.0f}, {first + 1:.0f}, ... without "
            f"a gap, got {len(found):,} of user {shown(users[row])} that begin with {said}; write whole lists, or number the "
            "items again if the missing ones were never recommended"
        )


def _said(value: object) -> object:
    """A rank without its decimals."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _refuse_twice(
    cells: Cells, rows: Numbers, users: NDArray[np.object_], values: NDArray[np.generic], what: str, rule: str
) -> None:
    twice = pd.DataFrame({"user": users, "value": values}).duplicated().to_numpy()
    if twice.any():
        row = int(np.argmax(twice))
        raise InputError(
            f"{cells.path}, {cells.row(int(rows[row]))}: {rule}, got {what} {shown(_said(values[row]))} of user "
            f"{shown(users[row])} again ({counted(int(twice.sum()), 'such row')}); put several seeds in a column seed or in a "
            "file each"
        )
