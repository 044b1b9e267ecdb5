"""The metric and the users that methods have in common, and caveats on their figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from pydantic import JsonValue

from hpo.comparison.columns import LOWER_IS_BETTER, canonical, spelt_like
from hpo.comparison.sides import METRICS, Side, in_order
from hpo.confirmation.caveats import Caveat, CaveatKind
from trainers.data.readers.names import listed as named
from trainers.errors import InputError, unknown
from trainers.text import shown

# Share of the users of the smallest run. If fewer are in common, the files have other test splits or other ids.
FEW_IN_COMMON = 0.5


def judged_by(sides: Sequence[Side], asked: str | None) -> tuple[str, list[Side]]:
    """The objective, and the methods with that metric under the same name.

    Args:
        asked: the metric that the user names; None if the methods have exactly one in common.

    Raises:
        InputError: a method lacks the metric, or has several columns with its canonical name; `asked` is None and the methods
            do not have exactly one metric in common; a metric for which lower is better.
    """
    if asked is None:
        common = [name for name in sides[0].metrics if all(name in side.metrics for side in sides)]
        if len(common) != 1:
            have = "; ".join(f"{side.label}: {named(tuple(side.metrics))}" for side in sides)
            found = "several metrics" if common else "no metric"
            raise InputError(
                f"a comparison needs one metric, and the methods have {found} in common ({have}); name the column to judge by "
                "with --objective NAME"
            )
        asked = common[0]
    objective = canonical(asked) if canonical(asked) != asked and "@" in canonical(asked) else asked
    if canonical(asked).partition("@")[0] in LOWER_IS_BETTER:
        raise InputError(
            f"--objective: must be a metric for which higher is better, got {shown(asked)}; write a column with its negative "
            "under another name"
        )
    return objective, [_renamed(side, asked, objective) for side in sides]


def _renamed(side: Side, asked: str, objective: str) -> Side:
    found = spelt_like(asked, side.metrics)
    if not found:
        where, have = f"--objective: {side.label} ({side.runs[0].source})", named(tuple(side.metrics))
        if any(canonical(name).partition("@")[0] == canonical(asked).partition("@")[0] for name in side.metrics):
            raise InputError(f"{where} has no metric {shown(asked)}; it has {have}")  # another cut-off is no misspelling
        raise InputError(f"{where}: {unknown('metric', asked, side.metrics)}")
    if len(found) > 1:
        raise InputError(
            f"--objective {shown(asked)}: must match one column, and {side.label} has {named(tuple(found))}; give the exact "
            "name of one, or delete the others"
        )
    return side.with_metric(found[0], objective)


LARGEST = 1e90  # larger figures overflow in differences and intervals


def check_finite(side: Side, objective: str) -> None:
    """Refuse a figure that is missing, infinite or beyond LARGEST.

    Raises:
        InputError: names the file and the first such user.
    """
    for run in side.runs:
        values = run.users[objective].to_numpy(np.float64)
        bad = ~(np.abs(values) <= LARGEST)
        if bad.any():
            user = run.users.index[int(np.argmax(bad))]
            raise InputError(
                f"{run.source}: {objective} must be a number from {-LARGEST:g} to {LARGEST:g} for each user, and is missing, "
                f"outside or no number for {int(bad.sum()):,} of {len(values):,} users, such as user {shown(user)}; write 0 "
                "for a user without recommendations, or leave the user out of all files"
            )


def users_in_common(sides: Sequence[Side]) -> tuple[pd.Index[str], list[Caveat]]:
    """The users that all methods were measured on, and caveats on the others.

    Raises:
        InputError: too few users are in common, or ids differ by leading zeros.
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
            "split and the same ids for all"
        )
    facts = {"all": len(everybody), "common": len(common)}
    lacking = [
        (side, len(everybody) - len(users)) for side, users in zip(sides, own, strict=True) if len(users) < len(everybody)
    ]
    missing = [Caveat(kind=CaveatKind.USERS_MISSING, subject=side.label, facts={**facts, "missing": n}) for side, n in lacking]
    return in_order(common), missing


def _check_ids(sides: Sequence[Side]) -> None:
    """Refuse ids that differ from the first method's by leading zeros: their users would drop out or match by chance."""
    first = sides[0].users
    for side in sides[1:]:
        mine, theirs = side.users.difference(first), first.difference(side.users)
        bare = {user.lstrip("0"): user for user in theirs}
        same = next((user for user in mine if user.lstrip("0") in bare), None)
        if same is not None:
            raise InputError(
                f"user ids must be the same in all files, and differ by leading zeros: {side.label} has {shown(same)}, "
                f"{sides[0].label} has {shown(bare[same.lstrip('0')])}; read and write ids as text"
            )


def caveats_of(sides: Sequence[Side], objective: str, users: pd.Index[str]) -> Iterator[Caveat]:
    """Caveats on the figures of the methods."""
    counts = {side.label: len(side.runs) for side in sides if not side.is_deterministic}
    if len(set(counts.values())) > 1:
        runs: list[list[JsonValue]] = [[label, count] for label, count in counts.items()]
        yield Caveat(kind=CaveatKind.RUNS_DIFFER, subject=runs[0][0], facts={"runs": [*runs]})
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
    """Refuse methods whose users cannot be matched.

    Raises:
        InputError: runs of several test splits, or runs together with files.
    """
    data = {side.data: side for side in sides}
    if len(data) < 2:
        return
    one, other = [*data.values()][:2]
    if one.data and other.data:
        raise InputError(
            f"runs of this program must have the same test split, and {one.label} and {other.label} have different ones; "
            "compare methods of one dataset with one split"
        )
    runs, files = (one, other) if one.data else (other, one)
    raise InputError(
        f"{runs.label} is a run of this program, which numbers users, so its users cannot be matched with the ids in the files "
        f"of {files.label}; write its lists for each seed (hpo.train CONFIG --with-validation --seed N --save M.npz, then "
        "hpo.recommend M.npz --output L.csv), and give them with the test.csv of hpo.studies split as --truth"
    )
