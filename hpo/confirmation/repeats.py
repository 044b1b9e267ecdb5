"""How many seeds or searches a comparison rests on, and how many would do."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hpo.confirmation.evidence import ALPHA, Floats, detectable_effect, satterthwaite
from hpo.confirmation.statistics import Comparison, Word, repeats_of
from hpo.runtime.text import counted
from hpo.study.names import MAX_SEARCHES

Values = Sequence[Sequence[float]]
"""Of a method the objective of each run of each search."""

MOST_REPEATS = {"seed": 50, "search": MAX_SEARCHES}  # more are not advised
UNITS = {"seed": "seeds", "search": "searches"}


@dataclass(frozen=True)
class Repeats:
    """What was repeated for a comparison.

    Attributes:
        kinds: `search` for a method with several searches, else `seed`; of the first method and of the second one.
        counts: how many there are of each method.
        enough: how many of each would find a difference as large as the measured one. None if the verdict is decided, if the
            number is unknown, and if it is above `most`.
        only: the label of the method that is to be repeated if the other one is deterministic, has no searches to repeat or
            has enough already; empty if both are to be repeated.
        most: the largest number that was tried for `enough`.
        more_users: whether `most` would do with more test users.
        other: beside searches that do not do, the method without searches: `enough` is then its number of seeds, or if that is
            None, more searches and more of its seeds together might do. Empty otherwise.
    """

    kinds: tuple[str, str]
    counts: tuple[int, int]
    enough: int | None
    only: str = ""
    most: int = 0
    more_users: bool = False
    other: str = ""

    @property
    def unit(self) -> str:
        """What is to be repeated."""
        return "search" if "search" in self.kinds else "seed"

    @property
    def units(self) -> str:
        """The unit in the plural."""
        return UNITS[self.unit]

    @property
    def needed(self) -> str:
        """What `enough` counts: `seed` or `search`."""
        return "seed" if self.other else self.unit

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
    is_undecided = comparison.word is Word.UNDECIDED
    kinds = tuple("search" if len(each) > 1 else "seed" for each in (ours, rival))
    first, second = (len(each) if len(each) > 1 else len(each[0]) for each in (ours, rival))
    only = "" if len({*kinds}) == 1 else comparison.ours if kinds[0] == "search" else comparison.rival
    if is_undecided and (first == second == 1 or comparison.difference == 0):  # two deterministic methods, or equal ones
        return None
    if comparison.runs is not None and 1 in (first, second):  # one of a deterministic method is enough
        kinds = (kinds[0], kinds[0]) if second == 1 else (kinds[1], kinds[1])
        only = comparison.ours if second == 1 else comparison.rival
        first = second = max(first, second)
    repeats = Repeats((kinds[0], kinds[1]), (first, second), None, only)
    if not is_undecided:
        return repeats
    return _with_enough(repeats, comparison, *([np.array(runs) for runs in each] for each in (ours, rival)))


def _with_enough(repeats: Repeats, comparison: Comparison, ours: Sequence[Floats], rival: Sequence[Floats]) -> Repeats:
    """The repeats with the number of runs of each method, or of searches of the methods with several, that would find a
    difference as large as the measured one with probability POWER.

    The means of the runs are taken to vary as they did, and users too. A single run is that of a deterministic method, which
    does not vary. A method that has more repeats than the number keeps them.

    Args:
        ours, rival: as `Measured.searches`.
    """
    found = [repeats_of(each) for each in (ours, rival)]
    errors = [_sd(values) if len(values) > 1 else 0.0 for values in found]
    has_searches = [len(each) > 1 for each in (ours, rival)]
    # beside searches, the runs of the other method stay as they are
    grows = has_searches if any(has_searches) else [True, True]
    level = ALPHA / comparison.family

    def do(numbers: Sequence[int], users_error: float = comparison.users.error) -> bool:
        parts = [(error / number**0.5, number - 1) for error, number in zip(errors, numbers, strict=True)]
        runs_error = float(np.hypot(parts[0][0], parts[1][0]))
        return detectable_effect(users_error, runs_error, satterthwaite(*parts), level) <= abs(comparison.difference)

    def grown(count: int, grows: Sequence[bool] = grows) -> list[int]:
        return [max(count, len(values)) if more else len(values) for more, values in zip(grows, found, strict=True)]

    at_hand = [len(values) for more, values in zip(grows, found, strict=True) if more and len(values) > 1]
    most = max(MOST_REPEATS["search" if any(has_searches) else "seed"], *at_hand)
    counts = range(min(at_hand) + 1, most + 1)
    first = bisect_left(counts, True, key=lambda count: do(grown(count)))  # more always find more
    if first < len(counts):
        fewer = comparison.ours if repeats.counts[0] < repeats.counts[1] else comparison.rival
        only = repeats.only or (fewer if counts[first] <= max(repeats.counts) else "")
        return replace(repeats, enough=counts[first], only=only, most=most)
    repeats = replace(repeats, most=most, more_users=do(grown(most), users_error=0.0))
    others = [not more for more in grows]
    index = others.index(True) if any(others) else None
    if index is None or len(found[index]) == 1:
        return repeats
    other, seeds = (comparison.ours, comparison.rival)[index], range(len(found[index]) + 1, MOST_REPEATS["seed"] + 1)
    first = bisect_left(seeds, True, key=lambda count: do(grown(count, others)))
    if first < len(seeds):
        return replace(repeats, enough=seeds[first], only=other, other=other)
    both = [max(count, MOST_REPEATS["seed"]) if more else count for count, more in zip(grown(most), others, strict=True)]
    return replace(repeats, other=other) if do(both) else repeats


def _sd(values: Floats) -> float:
    """The standard deviation; squares of scaled values do not overflow."""
    largest = float(np.abs(values).max())
    return largest * float((values / largest).std(ddof=1)) if largest else 0.0
