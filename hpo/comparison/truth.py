"""Recommended lists against the items that a user has in a test file: the product's own metrics, for lists of any program."""

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
from trainers.errors import InputError, first_line
from trainers.files import check_regular
from trainers.metrics.definitions import Found, Metric, largest_cut_off
from trainers.text import shown

Numbers = NDArray[np.int64]
MISS = np.iinfo(np.int64).max  # the rank of an item that was not recommended


@dataclass(frozen=True, eq=False)
class Truth:
    """What was held out.

    Attributes:
        users: ids of those with at least one item.
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
        """Of each user."""
        return np.bincount(self.pairs // len(self.items), minlength=len(self.users)).astype(np.int64)


@dataclass(frozen=True)
class Served:
    """What is to be said of the lists of one run.

    Attributes:
        unserved: users of the truth without a list, which count 0.
        short: users whose list is shorter than the metrics look at.
        tied: users for whom equal scores are among what the metrics look at.
        unknown: users with a list whom the truth does not have.
    """

    unserved: int
    short: int
    tied: int
    unknown: int


def read_truth(path: Path, layout: Layout) -> Truth:
    """The held-out items of a test file in any layout that a data file may have.

    Args:
        layout: what the file does not say itself.

    Raises:
        InputError: it is missing, or cannot be read.
    """
    try:
        check_regular(path)
    except OSError as error:
        raise InputError(f"{path}: --truth cannot be read: {error.strerror or first_line(error)}") from None
    if suffix_of(path) is None:
        raise InputError(f"{path}: unknown kind of file {path.suffix!r} for --truth; use one of {', '.join(SUFFIXES)}")
    raw = read_interactions(path, layout)
    if not len(raw):
        raise InputError(f"{path}: --truth holds no interactions")
    users, items = (pd.Index(ids.astype(str).astype(object)) for ids in (raw.users, raw.items))
    known_users, known_items = in_order(users.unique()), items.unique()
    codes = known_users.get_indexer(users).astype(np.int64) * len(known_items) + known_items.get_indexer(items)
    pairs = np.unique(codes)
    said = f"{path}: {raw.said}; {len(pairs):,} held-out items of {len(known_users):,} users"
    twice = len(codes) - len(pairs)
    said += f"; {twice:,} repeated pairs count once" if twice else ""
    said += "; a low rating counts like a high one" if raw.ratings is not None else ""
    return Truth(path, known_users, known_items, pairs, said)


def scored(
    cells: Cells, places: Places, rows: Numbers, truth: Truth, metrics: tuple[Metric, ...]
) -> tuple[pd.DataFrame, Served]:
    """The metrics of each user of the truth (index: id) in the lists of some rows; 0 for who has none.

    Raises:
        InputError: neither rank nor score; a rank or score that is no number; an item or a rank twice in a list; no user or no
            item of the truth.
    """
    assert places.item is not None
    users, items = cells.ids(places.user)[rows], cells.ids(places.item)[rows]
    user = truth.users.get_indexer(pd.Index(users))
    if (user < 0).all():
        raise InputError(
            f"{cells.path}: none of its users are in {truth.path}, which has users such as {shown(truth.users[0])}, this "
            f"file such as {shown(users[0])}; both need the same ids"
        )
    item = truth.items.get_indexer(pd.Index(items))
    if (item < 0).all():
        raise InputError(
            f"{cells.path}: none of its items are in {truth.path}, which has items such as {shown(truth.items[0])}, this "
            f"file such as {shown(items[0])}; both need the same ids"
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
    """Of every held-out item, from 0."""
    ranks = np.full(len(truth.pairs), MISS)
    known = item >= 0
    wanted = user[known] * len(truth.items) + item[known]
    place = np.minimum(np.searchsorted(truth.pairs, wanted), len(truth.pairs) - 1)
    hit = truth.pairs[place] == wanted
    ranks[place[hit]] = rank[known][hit]
    return ranks


def _keys(cells: Cells, places: Places, rows: Numbers) -> tuple[Floats, bool]:
    """What lists are ordered by, ascending, and whether that is the score."""
    place = places.rank if places.rank is not None else places.score
    if place is None:
        raise InputError(
            f"{cells.path}: recommendations need a column rank (1 is the best) or score (higher is better), which say the "
            "order of each list; add one"
        )
    numbers = cells.numbers(place)[rows]
    bad = ~np.isfinite(numbers)
    if bad.any():
        row = int(rows[np.argmax(bad)])
        raise InputError(
            f"{cells.path}, {cells.row(row)}: column {shown(cells.names[place])} must hold numbers, got "
            f"{shown(cells.columns[place].iloc[row])}; mend or delete the line"
        )
    if place != places.rank:
        return -numbers, True
    users = cells.ids(places.user)[rows]
    _refuse_twice(cells, rows, users, numbers, "rank", "a list may have a rank once")
    _refuse_gaps(cells, rows, users, numbers)
    return numbers, False


def _refuse_gaps(cells: Cells, rows: Numbers, users: NDArray[np.object_], ranks: Floats) -> None:
    """Ranks of a list follow each other from 0, or from 1 in the whole file: one that holds its hits alone would count as if
    they were at its top."""
    lists = pd.Series(ranks).groupby(users)
    first = 0.0 if ranks.min() == 0.0 else 1.0
    bad = ((lists.transform("min") != first) | (lists.transform("max") != first + lists.transform("size") - 1)).to_numpy()
    if bad.any():
        row = int(np.argmax(bad))
        found = np.sort(ranks[users == users[row]])
        said = listed(tuple(f"{rank:g}" for rank in found[:5]))
        raise InputError(
            f"{cells.path}, {cells.row(int(rows[row]))}: the ranks of a list must be {first:.0f}, {first + 1:.0f}, ... without "
            f"a gap, and the {len(found):,} of user {shown(users[row])} begin with {said}; write whole lists, or number what "
            "is left of them anew if the others were never recommended"
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
            f"{cells.path}, {cells.row(int(rows[row]))}: {what} {shown(_said(values[row]))} of user {shown(users[row])} is "
            f"there before, and so in {counted(int(twice.sum()), 'row')}; {rule}: several seeds need a column seed, or a file "
            "each"
        )
