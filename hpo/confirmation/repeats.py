"""How many seeds or searches a comparison rests on, and how many would do."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hpo.confirmation.evidence import ALPHA, Floats, detectable_effect
from hpo.confirmation.statistics import MIN_RUNS, Comparison, Word, repeats_of
from hpo.runtime.text import counted
from hpo.study.names import MAX_SEARCHES

Values = Sequence[Sequence[float]]
"""Of a method the objective of each run of each search."""

MOST_REPEATS = {"seed": 50, "search": MAX_SEARCHES}  # that are advised: who needs more has too small a difference
UNITS = {"seed": "seeds", "search": "searches"}


@dataclass(frozen=True)
class Repeats:
    """What was repeated for a comparison.

    Attributes:
        kinds: `search` for a method with several searches, else `seed`; of the first method and of the second one.
        counts: how many there are of each method.
        enough: how many of each would find a difference as large as the measured one. None if the verdict is decided, if the
            number is unknown, and if it is above MOST_REPEATS.
        only: the label of the method that is to be repeated if the other one is deterministic, has no searches to repeat or
            has enough already; empty if both are to be repeated.
        more_users: whether no number of repeats would do, so that only more test users might.
    """

    kinds: tuple[str, str]
    counts: tuple[int, int]
    enough: int | None
    only: str = ""
    more_users: bool = False

    @property
    def unit(self) -> str:
        """What is to be repeated."""
        return "search" if "search" in self.kinds else "seed"

    @property
    def units(self) -> str:
        """The unit in the plural."""
        return UNITS[self.unit]

    @property
    def most(self) -> int:
        """The number that would not settle the difference, if `enough` is None: those at hand, or the most that are advised."""
        return max(*self.counts, MOST_REPEATS[self.unit])

    def said(self) -> str:
        """Such as `3 seeds`; `3 and 2 seeds` or `3 searches and 2 seeds` where the two methods differ."""
        first, second = self.counts
        if len({*self.kinds}) > 1:
            return " and ".join(counted(n, kind, UNITS[kind]) for n, kind in zip(self.counts, self.kinds, strict=True))
        return counted(first, self.unit, self.units) if first == second else f"{first} and {second} {self.units}"


def repeats_by_pair(comparisons: Iterable[Comparison], values: Mapping[str, Values]) -> dict[tuple[str, str], Repeats]:
    """The repeats of each comparison, by the labels of its methods; of those alone whose values are given and that have
    something to repeat."""
    known = (each for each in comparisons if each.ours in values and each.rival in values)
    found = {(each.ours, each.rival): _repeats(each, values[each.ours], values[each.rival]) for each in known}
    return {labels: repeats for labels, repeats in found.items() if repeats is not None}


def _repeats(comparison: Comparison, ours: Values, rival: Values) -> Repeats | None:
    kinds = tuple("search" if len(each) > 1 else "seed" for each in (ours, rival))
    first, second = (len(each) if len(each) > 1 else len(each[0]) for each in (ours, rival))
    only = "" if len({*kinds}) == 1 else comparison.ours if kinds[0] == "search" else comparison.rival
    if comparison.runs is not None and first == second == 1:  # two deterministic methods
        return None
    if comparison.runs is not None and 1 in (first, second):  # one of a deterministic method is enough
        kinds = (kinds[0], kinds[0]) if second == 1 else (kinds[1], kinds[1])
        only = "" if first == second else comparison.ours if second == 1 else comparison.rival
        first = second = max(first, second)
    arrays = [[np.array(runs, dtype=np.float64) for runs in each] for each in (ours, rival)]
    enough = repeats_needed(comparison, *arrays) if comparison.word is Word.UNDECIDED else None
    if not only and enough is not None and enough <= max(first, second):
        only = comparison.ours if first < second else comparison.rival
    level, users = ALPHA / comparison.family, comparison.users.error
    more_users = detectable_effect(users, 0.0, float("inf"), level) > abs(comparison.difference)
    return Repeats((kinds[0], kinds[1]), (first, second), enough, only, more_users)


def repeats_needed(comparison: Comparison, ours: Sequence[Floats], rival: Sequence[Floats]) -> int | None:
    """How many runs of each method, or searches of the methods with several, would find a difference as large as the measured
    one with probability POWER; None without evidence of runs, and where MOST_REPEATS would not do.

    The means of the runs are taken to vary as they did, and users too. A single run is that of a deterministic method, which
    does not vary. A method that has more repeats than the number keeps them.

    Args:
        ours, rival: as `Measured.searches`.
    """
    found = [repeats_of(each) for each in (ours, rival)]
    if comparison.runs is None or max(map(len, found)) < MIN_RUNS:
        return None
    variances = [float(values.var(ddof=1)) if len(values) > 1 else 0.0 for values in found]
    has_searches = [len(each) > 1 for each in (ours, rival)]
    # beside searches, the runs of the other method stay as they are
    grows = has_searches if any(has_searches) else [True, True]
    level = ALPHA / comparison.family

    def would_do(count: int) -> bool:
        numbers = [max(count, len(values)) if more else len(values) for more, values in zip(grows, found, strict=True)]
        squares = [variance / number for variance, number in zip(variances, numbers, strict=True)]
        shares = sum(square**2 / (number - 1) for square, number in zip(squares, numbers, strict=True) if square)
        degrees = sum(squares) ** 2 / shares if shares else float("inf")
        return detectable_effect(comparison.users.error, sum(squares) ** 0.5, degrees, level) <= abs(comparison.difference)

    fewest = min(len(each) for each, more in zip(found, grows, strict=True) if more and len(each) > 1)
    counts = range(fewest + 1, MOST_REPEATS["search" if any(has_searches) else "seed"] + 1)
    first = bisect_left(counts, True, key=would_do)  # more always find more
    return counts[first] if first < len(counts) else None
