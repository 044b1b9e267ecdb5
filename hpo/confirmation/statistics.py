"""Is one method better than another? Three tests; a verdict is given only if all three agree.

Users: paired differences of the per-user metric, averaged over runs, bootstrapped. Would other users give the same result?
Runs: Welch's t on the means of the runs, or of the searches if a method has several. Would a repetition give the same result?
Both: t with the sum of the two squared errors. Would other users and other runs give the same result?

The estimated quantity is the mean test objective of one search of this budget, including stage 1 of confirm, on these data. A
figure is the sum of this mean, an effect of the search, an effect of the run, and effects of each user. Users are crossed with
searches and runs, since every run is measured on the same users; runs are nested in searches. The variance of the mean of S
searches with n runs each is (variance between searches + variance between runs / n) / S. The variance of the search means
estimates the sum in parentheses directly (nested designs: Searle, Casella and McCulloch, Variance Components, 1992). If
searches have unequal numbers of runs, each search counts once (unweighted means, Yates 1934): the squared error stays unbiased,
and its distribution is only approximately chi-squared. Degrees of freedom are Satterthwaite's (1946), over the two methods and
then with the users' error. Interactions of users with searches or runs are part of both errors, so the sum counts them twice.
That is conservative; the exact variance subtracts them once (Owen, The pigeonhole bootstrap, 2007).

The comparison assumes independent runs. Methods share seeds: if that makes their runs alike, the difference varies less than
assumed, which is conservative, too. A published config has no search, and a single search does not show how much searches vary:
then the runs vary, and the verdict is about the config.

The test over users does not see randomness that all users of a run share. The test over runs treats these users as the whole
population. If the two errors are about equal, even both tests together reject true null hypotheses too often (7.5 %,
benchmarks/RESULTS.md). The p of a verdict is the largest of the three (an intersection-union test, Berger 1982), with Holm's
correction over the rivals that can be judged. A method with one run cannot be judged. A method with two searches cannot either:
one degree of freedom says too little about how much searches vary (see the same file). A deterministic method
(popularity, EASE) gives the same figures in every run: one run is enough, and only the other method's runs vary (a one-sample
t-test). If both are deterministic, only users vary.

Assumptions: users are an independent sample of those that the statement is about; runs are independent and differ in their seed
alone; all methods were measured on the same users in the same way; higher is better; the means of runs, or of searches, are
approximately normal. The distribution of the users' figures is arbitrary. Of this program it imports only
`hpo.confirmation.evidence`. Example:

    a, b = (Measured(name, runs.mean(0), [runs.mean(1)]) for name, runs in (("A", a_by_run), ("B", b_by_run)))  # (3, n_users)
    compare(a, [b])[0].word
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import chain, combinations

import numpy as np
import scipy  # scipy.stats is imported at first use: that takes a second, and a search does not need it
from pydantic.dataclasses import dataclass as checked_dataclass

from hpo.confirmation.evidence import (
    ALPHA,
    CHECKED,
    RESAMPLES,
    Evidence,
    Floats,
    Number,
    detectable_effect,
    over_both,
    over_runs,
    over_users,
    welch_degrees,
)

AT_ONCE = 20_000_000  # differences held in memory: users x pairs
MIN_RUNS, MIN_SEARCHES = 2, 3  # for a verdict: runs of a method with one search; searches of a method with several


class Word(StrEnum):
    """The verdict on ours against a rival; `NO_VERDICT` if a method has too few runs or searches."""

    BETTER = "better"
    WORSE = "worse"
    UNDECIDED = "not distinguishable"
    NO_VERDICT = "no verdict"


@dataclass(frozen=True)
class Measured:
    """A method's objective.

    Attributes:
        users: (n_users,), averaged over the runs of a search, then over searches; the same users for all methods.
        searches: for each search the means of its runs (n_runs,); a published config counts as one search.
        is_deterministic: whether it has no seed, so that every run gives these figures; it has one search of one run.
    """

    label: str
    users: Floats
    searches: Sequence[Floats]
    is_deterministic: bool = False

    @property
    def repeats(self) -> Floats:
        """The means of the searches; for a single search the means of its runs."""
        return repeats_of(self.searches)

    @property
    def can_be_judged(self) -> bool:
        """Whether there are enough runs or searches for a verdict."""
        return self.is_deterministic or len(self.repeats) >= (MIN_RUNS if len(self.searches) == 1 else MIN_SEARCHES)


def repeats_of(searches: Sequence[Floats]) -> Floats:
    """The means of the searches (n_searches,); for a single search the means of its runs (n_runs,)."""
    return searches[0] if len(searches) == 1 else np.array([runs.mean() for runs in searches])


@checked_dataclass(frozen=True, config=CHECKED)
class Comparison:
    """Ours against a rival.

    Attributes:
        difference: ours minus the rival's, in the metric's unit.
        base: the rival's mean, for percentages.
        users, runs, both: the evidence; `runs` and `both` are None if a method has too few runs or searches.
        p: the largest of the three, Holm-corrected; 1 without evidence over runs.
        wilcoxon: p of the signed-rank test over users; for information only.
        detectable: minimum detectable effect: 80 % of such experiments find a difference of this size, with the level divided
            by the number of comparisons, as in Holm's first step; None without evidence over runs. It uses estimated errors, so
            the true power is 53 to 80 % (benchmarks/RESULTS.md).
        family: the number of comparisons that Holm's correction covers.
        searches: the number of searches of ours and of the rival; 1 for a published config.
    """

    ours: str
    rival: str
    difference: Number
    base: Number
    users: Evidence
    p: float
    wilcoxon: float
    runs: Evidence | None = None
    both: Evidence | None = None
    detectable: Number | None = None
    family: int = 1
    searches: tuple[int, int] = (1, 1)

    @property
    def word(self) -> Word:
        """The verdict in a word."""
        if self.runs is None:
            return Word.NO_VERDICT
        if self.p > ALPHA:
            return Word.UNDECIDED
        return Word.BETTER if self.difference > 0 else Word.WORSE

    def percent(self, difference: float) -> float | None:
        """A difference in percent of the absolute value of the rival's mean; None if the mean is 0."""
        return 100 * difference / abs(self.base) if abs(self.base) > 1e-100 else None


def compare(ours: Measured, rivals: Sequence[Measured], resamples: int = RESAMPLES) -> list[Comparison]:
    """Compare ours with each rival; Holm's correction covers the rivals that can be judged.

    Raises:
        ValueError: methods measured on different users.
    """
    return compare_pairs([(ours, rival) for rival in rivals], resamples)


def compare_all(methods: Sequence[Measured], resamples: int = RESAMPLES) -> list[Comparison]:
    """Compare each pair of methods, the one with the higher mean first; equal means keep the given order. Holm's correction
    covers all pairs that can be judged.

    Raises:
        ValueError: methods measured on different users.
    """
    ranked = sorted(methods, key=lambda method: -float(method.users.mean()))
    return compare_pairs(combinations(ranked, 2), resamples)


def compare_pairs(pairs: Iterable[tuple[Measured, Measured]], resamples: int = RESAMPLES) -> list[Comparison]:
    """Compare the first of each pair with the second; Holm's correction covers the pairs that can be judged.

    Raises:
        ValueError: methods measured on different users.
    """
    pairs = [*pairs]
    return holm(uncorrected(pairs, resamples, sum(ours.can_be_judged and rival.can_be_judged for ours, rival in pairs)))


def uncorrected(pairs: Sequence[tuple[Measured, Measured]], resamples: int = RESAMPLES, judged: int = 1) -> list[Comparison]:
    """Compare the first of each pair with the second, as if it was the only pair; `judged` is for the detectable effect.

    Raises:
        ValueError: methods measured on different users.
    """
    if not pairs:
        return []
    first = pairs[0][0]
    for one in chain.from_iterable(pairs):
        if one.users.shape != first.users.shape:
            raise ValueError(f"{first.label} and {one.label} were measured on {len(first.users)} and {len(one.users)} users")
    level, found = ALPHA / max(1, judged), []
    at_once = max(1, AT_ONCE // max(1, len(first.users)))
    for start in range(0, len(pairs), at_once):
        some = pairs[start : start + at_once]
        differences = [ours.users - rival.users for ours, rival in some]
        of_users = over_users(differences, resamples)
        parts = zip(some, differences, of_users, strict=True)
        found += [_compare_one(ours, rival, each, users, level) for (ours, rival), each, users in parts]
    return found


def holm(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons with Holm's correction (1979) of p over those that can be judged."""
    corrected, so_far = list(comparisons), 0.0
    judged = [i for i, comparison in enumerate(comparisons) if comparison.runs is not None]
    order = sorted(judged, key=lambda i: comparisons[i].p)
    for rank, i in enumerate(order):
        so_far = max(so_far, min(1.0, (len(order) - rank) * comparisons[i].p))
        corrected[i] = replace(comparisons[i], p=so_far, family=len(order))
    return corrected


def _compare_one(ours: Measured, rival: Measured, differences: Floats, users: Evidence, strictest: float) -> Comparison:
    difference = float(differences.mean())
    runs, both, detectable = None, None, None
    if ours.can_be_judged and rival.can_be_judged:
        runs, degrees = over_runs(ours.repeats, rival.repeats), welch_degrees(ours.repeats, rival.repeats)
        both = over_both(difference, users.error, runs.error, degrees, max(1, len(differences) - 1))
        detectable = detectable_effect(users.error, runs.error, degrees, strictest, max(1, len(differences) - 1))
    return Comparison(
        ours=ours.label,
        rival=rival.label,
        difference=difference,
        base=float(rival.users.mean()),
        users=users,
        runs=runs,
        both=both,
        p=max(users.p, runs.p, both.p) if runs is not None and both is not None else 1.0,
        wilcoxon=_wilcoxon(differences),
        detectable=detectable,
        searches=(len(ours.searches), len(rival.searches)),
    )


def _wilcoxon(differences: Floats) -> float:
    """Two-sided p of the signed-rank test; 1 if no user differs."""
    return float(scipy.stats.wilcoxon(differences, method="approx").pvalue) if differences.any() else 1.0
