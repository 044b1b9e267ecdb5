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
approximately normal. The distribution of the users' figures is arbitrary. This module imports nothing of this program. Example:

    a, b = (Measured(name, runs.mean(0), [runs.mean(1)]) for name, runs in (("A", a_by_run), ("B", b_by_run)))  # (3, n_users)
    compare(a, [b])[0].word
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import combinations
from typing import Annotated

import numpy as np
import scipy  # scipy.stats is imported at first use: that takes a second, and a search does not need it
from numpy.typing import NDArray
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as checked_dataclass

CHECKED = ConfigDict(extra="forbid", allow_inf_nan=False)  # stored comparisons are checked when they are read

Floats = NDArray[np.float64]

ALPHA, POWER = 0.05, 0.8
MIN_RUNS, MIN_SEARCHES = 2, 3  # for a verdict: runs of a method with one search; searches of a method with several
RESAMPLES = 4000
BATCH = 200  # resamples held in memory at a time
BOOTSTRAP_SEED = 20240
INF = float("inf")


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


Number = Annotated[float, Field(ge=-1e100, le=1e100)]  # of which sums, ratios and places on an axis can be computed


@checked_dataclass(frozen=True, config=CHECKED)
class Evidence:
    """The 95 % interval, two-sided p and standard error of a mean difference, in the metric's unit."""

    low: Number
    high: Number
    p: Number
    error: Number


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
    judged = sum(ours.can_be_judged and rival.can_be_judged for ours, rival in pairs)
    return holm([_compare_one(ours, rival, resamples, ALPHA / max(1, judged)) for ours, rival in pairs])


def holm(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons with Holm's correction (1979) of p over those that can be judged."""
    corrected, so_far = list(comparisons), 0.0
    judged = [i for i, comparison in enumerate(comparisons) if comparison.runs is not None]
    order = sorted(judged, key=lambda i: comparisons[i].p)
    for rank, i in enumerate(order):
        so_far = max(so_far, min(1.0, (len(order) - rank) * comparisons[i].p))
        corrected[i] = replace(comparisons[i], p=so_far, family=len(order))
    return corrected


def _compare_one(ours: Measured, rival: Measured, resamples: int, strictest: float) -> Comparison:
    if ours.users.shape != rival.users.shape:
        raise ValueError(f"{ours.label} and {rival.label} were measured on {len(ours.users)} and {len(rival.users)} users")
    differences = ours.users - rival.users
    difference = float(differences.mean())
    users, runs, both, detectable = over_users(differences, resamples), None, None, None
    if ours.can_be_judged and rival.can_be_judged:
        runs, degrees = over_runs(ours.repeats, rival.repeats), _degrees(ours.repeats, rival.repeats)
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


def over_users(differences: Floats, resamples: int = RESAMPLES) -> Evidence:
    """Percentile bootstrap of the mean of paired differences (n_users,); users are drawn with replacement.

    The p is twice the share of resamples beyond zero. If there are none, it is at most that of Student's t with the bootstrap's
    standard error, so that Holm's correction for many comparisons can reject.
    """
    if len(differences) < 2 or not differences.any():
        return Evidence(0.0, 0.0, 1.0, 0.0)
    result = scipy.stats.bootstrap(
        (differences,),
        np.mean,
        n_resamples=resamples,
        batch=BATCH,
        confidence_level=1 - ALPHA,
        method="percentile",
        rng=np.random.default_rng(BOOTSTRAP_SEED),
    )
    means = result.bootstrap_distribution
    one_sided = min((means <= 0).sum(), (means >= 0).sum())
    p = min(1.0, 2 * (int(one_sided) + 1) / (resamples + 1))
    error = float(result.standard_error)
    if one_sided == 0 and error > 0.0:
        p = min(p, _two_sided(float(differences.mean()) / error, len(differences) - 1))
    interval = result.confidence_interval
    return Evidence(float(interval.low), float(interval.high), p, error)


def over_runs(ours: Floats, rival: Floats) -> Evidence:
    """Welch's t-test on the means of runs or of searches; a single one is a constant."""
    difference = float(ours.mean() - rival.mean())
    error = float(np.hypot(_mean_error(ours), _mean_error(rival)))
    if error == 0.0:  # nothing varies
        return Evidence(difference, difference, float(difference == 0.0), 0.0)
    # scipy's own test warns of nearly equal runs, which are common with few hits
    return _evidence(difference, error, _degrees(ours, rival))


def _evidence(difference: float, error: float, degrees: float) -> Evidence:
    half = error * _quantile(1 - ALPHA / 2, degrees)
    return Evidence(difference - half, difference + half, _two_sided(difference / error, degrees), error)


def _two_sided(t: float, degrees: float) -> float:
    """The two-sided p of a Student's t; of a standard normal for infinite degrees of freedom."""
    special = scipy.special  # a hundred times as fast as the distributions of scipy.stats
    return float(2 * (special.stdtr(degrees, -abs(t)) if np.isfinite(degrees) else special.ndtr(-abs(t))))


def _quantile(level: float, degrees: float) -> float:
    """The quantile of Student's t; of a standard normal for infinite degrees of freedom."""
    return float(scipy.special.stdtrit(degrees, level) if np.isfinite(degrees) else scipy.special.ndtri(level))


def _mean_error(values: Floats) -> float:
    """The standard error of the mean; 0 for a constant."""
    return float(scipy.stats.sem(values)) if len(values) > 1 else 0.0


def _degrees(ours: Floats, rival: Floats) -> float:
    """Welch's degrees of freedom."""
    return _satterthwaite(*((_mean_error(values), len(values) - 1) for values in (ours, rival)))


def _satterthwaite(*parts: tuple[float, float]) -> float:
    """The degrees of freedom of a sum of squared errors, given errors with theirs; infinite if all errors are 0."""
    largest = max(error for error, _ in parts)
    squares = [((error / largest) ** 2, degrees) for error, degrees in parts if error]  # they neither overflow nor vanish
    shares = sum(square**2 / degrees for square, degrees in squares)
    return float(sum(square for square, _ in squares) ** 2 / shares) if shares else INF


def over_both(difference: float, users_error: float, runs_error: float, of_runs: float, of_users: float = INF) -> Evidence:
    """A t-test with the sum of both squared errors, and Satterthwaite's degrees of freedom."""
    error = float(np.hypot(users_error, runs_error))
    if error == 0.0:
        return Evidence(difference, difference, float(difference == 0.0), 0.0)
    return _evidence(difference, error, _satterthwaite((users_error, of_users), (runs_error, of_runs)))


def detectable_effect(users_error: float, runs_error: float, of_runs: float, level: float, of_users: float = INF) -> float:
    """The minimum detectable effect: all three tests find a true difference of this size with probability POWER. The errors
    have `of_users` and `of_runs` degrees of freedom."""
    error = float(np.hypot(users_error, runs_error))
    if error == 0.0:
        return 0.0
    degrees = _satterthwaite((users_error, of_users), (runs_error, of_runs))
    tests = ((of_users, users_error), (of_runs if runs_error else INF, runs_error), (degrees, error))
    return max(_quantile(1 - level / 2, each) * size for each, size in tests) + _quantile(POWER, degrees) * error


def _wilcoxon(differences: Floats) -> float:
    """Two-sided p of the signed-rank test; 1 if no user differs."""
    return float(scipy.stats.wilcoxon(differences, method="approx").pvalue) if differences.any() else 1.0
