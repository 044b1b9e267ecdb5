"""Methods from files: metrics by user, or recommendations, which are scored here. Each file, or each seed in one, is a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from itertools import count
from pathlib import Path

import numpy as np
import pandas as pd

from hpo.comparison.columns import Places, canonical, places_of
from hpo.comparison.sides import METRICS, RECOMMENDATIONS, RunFigures, Side, check_seeds, in_order
from hpo.comparison.tables import ENDINGS, Cells, read_cells
from hpo.comparison.truth import Numbers, Served, Truth, scored
from hpo.confirmation.caveats import Caveat, CaveatKind
from hpo.runtime.text import counted
from trainers.data.readers.names import listed
from trainers.errors import InputError
from trainers.metrics.definitions import Metric
from trainers.text import shown

SERVED = {  # caveats by the fields of `Served`
    "unserved": CaveatKind.USERS_UNSERVED,
    "short": CaveatKind.SHORT_LISTS,
    "tied": CaveatKind.TIED_SCORES,
    "unknown": CaveatKind.USERS_UNKNOWN,
}


def files_in(folder: Path) -> list[Path]:
    """The tables in a folder; each is a run.

    Raises:
        InputError: the folder holds no table.
    """
    found = sorted(path for path in folder.iterdir() if path.name.lower().endswith(ENDINGS) and not path.name.startswith("."))
    if not found:
        raise InputError(
            f"{folder}: must be a study's folder with a confirm.yaml, or hold a file for each seed ({', '.join(ENDINGS)}), "
            "got neither; give the files of a method, or confirm the study first (hpo.confirm)"
        )
    return found


def read_side(label: str, paths: Sequence[Path], truth: Truth | None, metrics: tuple[Metric, ...]) -> Side:
    """A method from one or more files.

    Args:
        truth: the held-out items that recommendations are scored against; None if not given.
        metrics: the metrics of recommendations.

    Raises:
        InputError: what `read_cells`, `places_of` and `scored` raise; files of both kinds; a user or a seed that occurs twice.
    """
    tables = [read_cells(path) for path in paths]
    places = [places_of(cells.names, cells.path) for cells in tables]
    kinds = [METRICS if each.item is None else RECOMMENDATIONS for each in places]
    if len(set(kinds)) > 1:
        other = kinds.index(RECOMMENDATIONS if kinds[0] == METRICS else METRICS)
        raise InputError(
            f"{label}: all files of a method must be of one kind, got {kinds[0]} in {paths[0]} and {kinds[other]} in "
            f"{paths[other]}; give them as two methods"
        )
    if kinds[0] == RECOMMENDATIONS and truth is None:
        raise InputError(
            f"{paths[0]}: recommendations (columns {listed(tables[0].names)}) are scored against the held-out items; give the "
            "test file with --truth FILE"
        )
    runs, served = list[RunFigures](), list[Served]()
    for cells, roles in zip(tables, places, strict=True):
        for seed, rows in _by_seed(cells, roles):
            if kinds[0] == METRICS or truth is None:
                users = _figures(cells, roles, rows)
            else:
                users, about = scored(cells, roles, rows, truth, metrics)
                served.append(about)
            runs.append(RunFigures(seed, users, cells.path))
    check_seeds(label, runs := _numbered(runs))
    said = [_said(label, cells, roles) for cells, roles in zip(tables[:1], places, strict=False)]
    caveats = tuple(_about_lists(label, served, len(truth.users))) if truth and served else ()
    return Side(label, kinds[0], [runs], tuple(said), caveats)


def _numbered(runs: Sequence[RunFigures]) -> list[RunFigures]:
    """Runs of files without a column of seeds get the smallest numbers that no other run has."""
    taken = {run.seed for run in runs}
    free = (str(number) for number in count(1) if str(number) not in taken)
    return [run if run.seed else replace(run, seed=next(free)) for run in runs]


def _by_seed(cells: Cells, places: Places) -> Iterator[tuple[str, Numbers]]:
    """The rows of each seed of a file; all rows under an empty seed if it has no such column."""
    if places.method is not None and len(methods := pd.unique(cells.ids(places.method))) > 1:
        raise InputError(
            f"{cells.path}: a file must hold one method, got {len(methods)} in column {shown(cells.names[places.method])}, "
            f"such as {shown(methods[0])} and {shown(methods[1])}; write a file for each"
        )
    if places.seed is None:
        yield "", np.arange(len(cells))
        return
    seeds = cells.ids(places.seed)
    for seed in in_order(pd.Index(pd.unique(seeds))):
        yield str(seed), np.flatnonzero(seeds == seed)


def _figures(cells: Cells, places: Places, rows: Numbers) -> pd.DataFrame:
    """The columns of a file that may be metrics, by their canonical names; NaN for other text."""
    users = pd.Index(cells.ids(places.user)[rows])
    if users.has_duplicates:
        row = int(np.argmax(users.duplicated()))
        raise InputError(
            f"{cells.path}, {cells.row(int(rows[row]))}: a user may occur once, got user {shown(users[row])} again "
            f"({counted(int(users.duplicated().sum()), 'such row')}); put several seeds in a column seed or in a file each, "
            f"several methods in a file each (columns: {listed(cells.names)})"
        )
    twice = next((name for name in cells.names if name and cells.names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"{cells.path}: each column needs its own name, got {shown(twice)} more than once; rename one")
    spelt = [canonical(name) for name in cells.names]
    found = {}
    for place, name in enumerate(cells.names):
        numbers = cells.numbers(place)[rows] if name and place not in places.others else np.full(len(rows), np.nan)
        if not np.isnan(numbers).all():
            found[spelt[place] if spelt.count(spelt[place]) == 1 else name] = numbers
    if not found:
        raise InputError(
            f"{cells.path}: must have a column of numbers besides the users, got columns {listed(cells.names)}; add one such "
            "as ndcg@20"
        )
    return pd.DataFrame(found, index=users)


def _said(label: str, cells: Cells, places: Places) -> str:
    """How the first file of a method was read."""
    name = cells.names[places.user]
    user = f"users from column {name}" if name else "users from the first column, which has no name"
    if places.item is None:
        return f"{label}: metrics by user, {user}"
    order = places.rank if places.rank is not None else places.score
    ordered = "" if order is None else f", lists in the order of column {cells.names[order]}"
    remark = f" ({cells.remark})" if cells.remark else ""
    return f"{label}: recommendations, {user}, items from column {cells.names[places.item]}{ordered}{remark}"


def _about_lists(label: str, served: Sequence[Served], users: int) -> Iterator[Caveat]:
    """Caveats on the recommendation lists of a method's runs."""
    for name, kind in SERVED.items():
        counts = [asdict(about)[name] for about in served]
        if max(counts):
            facts = {"least": min(counts), "most": max(counts), "users": users, "runs": len(counts)}
            yield Caveat(kind=kind, subject=label, facts={**facts})
