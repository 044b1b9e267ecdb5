"""What methods can be compared in, and on whom; what the figures of their files give rise to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from hpo.comparison.columns import LOWER_IS_BETTER, canonical, spelt_like
from hpo.comparison.files import METRICS
from hpo.comparison.sides import Side, in_order
from hpo.confirmation.caveats import Caveat, CaveatKind
from trainers.data.readers.names import listed as named
from trainers.errors import InputError
from trainers.text import shown

FEW_IN_COMMON = 0.5  # of the users of the method that has the fewest: below that they are of other splits, or of other ids


def judged_by(sides: Sequence[Side], asked: str | None) -> tuple[str, list[Side]]:
    """The metric that all are judged by, and the methods with that name for it in all their figures.

    Raises:
        InputError: a method lacks what was asked for, or has several columns spelt like it; nothing was asked for and there is
            not exactly one metric in common; a metric of which less is better.
    """
    if asked is None:
        common = [name for name in sides[0].metrics if all(name in side.metrics for side in sides)]
        if len(common) != 1:
            have = "; ".join(f"{side.label}: {named(tuple(side.metrics))}" for side in sides)
            found = "several metrics" if common else "no metric"
            raise InputError(f"the methods have {found} in common; say which column to judge by, --objective NAME ({have})")
        asked = common[0]
    objective = canonical(asked) if canonical(asked) != asked and "@" in canonical(asked) else asked
    if canonical(asked).partition("@")[0] in LOWER_IS_BETTER:
        raise InputError(
            f"--objective: the higher a metric is the better a method counts, got {shown(asked)}; write a column with its "
            "negative, under another name"
        )
    return objective, [_renamed(side, asked, objective) for side in sides]


def _renamed(side: Side, asked: str, objective: str) -> Side:
    found = spelt_like(asked, side.metrics)
    if not found:
        where = f"{side.label} ({side.runs[0].source})"
        raise InputError(f"--objective: {where} has no metric {shown(asked)}; it has {named(tuple(side.metrics))}")
    if len(found) > 1:
        raise InputError(
            f"--objective {shown(asked)}: {side.label} has several columns spelt like it, {named(tuple(found))}; give one as "
            "it stands, or delete the other"
        )
    return side.with_metric(found[0], objective)


def check_finite(side: Side, objective: str) -> None:
    """Refuse a figure that is missing or infinite.

    Raises:
        InputError: with the file and the first user.
    """
    for run in side.runs:
        values = run.users[objective].to_numpy(np.float64)
        bad = ~np.isfinite(values)
        if bad.any():
            user = run.users.index[int(np.argmax(bad))]
            raise InputError(
                f"{run.source}: {objective} must be a number for each user, and is missing, infinite or no number for "
                f"{int(bad.sum()):,} of {len(values):,}, such as user {shown(user)}; give 0 for users whom the method did not "
                "serve, or leave the user out of the files of all methods"
            )


def users_in_common(sides: Sequence[Side]) -> tuple[pd.Index[str], list[Caveat]]:
    """Whom all methods were measured on, and what is to be said of the others.

    Raises:
        InputError: there are too few of them for one set of test users.
    """
    own = [side.users for side in sides]
    common, everybody = own[0], own[0]
    for users in own[1:]:
        common = common if users is common else common.intersection(users)
    of_runs = [run.users.index for side in sides for run in side.runs]  # a user may be in some runs of each method
    for users in of_runs:
        everybody = everybody if users is everybody else everybody.union(users)
    _check_ids(sides)
    if len(common) < FEW_IN_COMMON * min(map(len, of_runs)) or not len(common):
        each = "; ".join(
            f"{side.label} has {len(users):,}" + (f", such as {shown(users[0])}" if len(users) else " in all of its runs")
            for side, users in zip(sides, own, strict=True)
        )
        raise InputError(
            f"the methods must be measured on the same users, and have {len(common):,} users in common ({each}); use one test "
            "split and one kind of ids for all"
        )
    facts = {"all": len(everybody), "common": len(common)}
    lacking = [
        (side, len(everybody) - len(users)) for side, users in zip(sides, own, strict=True) if len(users) < len(everybody)
    ]
    missing = [Caveat(kind=CaveatKind.USERS_MISSING, subject=side.label, facts={**facts, "missing": n}) for side, n in lacking]
    return in_order(common), missing


def _check_ids(sides: Sequence[Side]) -> None:
    """Refuse ids that are those of the first method but for zeros in front: their users would drop out, or match by chance."""
    first = sides[0].users
    for side in sides[1:]:
        mine, theirs = side.users.difference(first), first.difference(side.users)
        bare = {user.lstrip("0"): user for user in theirs}
        same = next((user for user in mine if user.lstrip("0") in bare), None)
        if same is not None:
            raise InputError(
                f"user ids must be written alike in all files: {side.label} has {shown(same)} and {sides[0].label} has "
                f"{shown(bare[same.lstrip('0')])}, which differ by zeros in front alone; read and write ids as text"
            )


def caveats_of(sides: Sequence[Side], objective: str, users: pd.Index[str]) -> Iterator[Caveat]:
    """What the figures of the methods give rise to."""
    counts = {side.label: len(side.runs) for side in sides}
    if len(set(counts.values())) > 1:
        runs = [[label, count] for label, count in counts.items()]
        yield Caveat(kind=CaveatKind.RUNS_DIFFER, subject=sides[0].label, facts={"runs": [*runs]})
    read = [side.label for side in sides if side.kind == METRICS]
    computed = [side.label for side in sides if side.kind != METRICS]
    if read and computed:
        yield Caveat(kind=CaveatKind.MIXED_SOURCES, subject=read[0], facts={"read": [*read], "computed": [*computed]})
    figures = {side.label: np.stack([run.by_user(objective, users) for run in side.runs]) for side in sides}
    for label, values in figures.items():
        low, high = float(values.min()), float(values.max())
        if low < 0.0 or high > 1.0:
            yield Caveat(kind=CaveatKind.OUTSIDE_UNIT, subject=label, facts={"low": low, "high": high})
        if low == high:
            yield Caveat(kind=CaveatKind.CONSTANT, subject=label, facts={"value": low})
        elif len(values) > 1 and (values == values[0]).all():
            yield Caveat(kind=CaveatKind.RUNS_ALIKE, subject=label, facts={"runs": len(values)})
    for one, other in combinations(figures, 2):
        if np.array_equal(figures[one], figures[other]):
            yield Caveat(kind=CaveatKind.SAME_FIGURES, subject=one, facts={"other": other})


def check_sources(sides: Sequence[Side]) -> None:
    """Refuse runs of this program beside others whose users cannot be told to be the same.

    Raises:
        InputError: runs of several test splits, or runs beside files.
    """
    data = {side.data: side for side in sides}
    if len(data) < 2:
        return
    one, other = [*data.values()][:2]
    if one.data and other.data:
        raise InputError(
            f"runs of this program can be compared where their test splits are the same, and those of {one.label} and "
            f"{other.label} are not; compare methods of one dataset, split in one way"
        )
    runs, files = (one, other) if one.data else (other, one)
    raise InputError(
        f"{runs.label} is a run of this program, which keeps users by number and not by your ids, so it cannot be compared "
        f"with the files of {files.label}; write its lists (hpo.train CONFIG --save M.npz, then hpo.recommend M.npz --output "
        "L.csv) for each seed, and give these with --truth"
    )
