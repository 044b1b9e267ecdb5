"""Is one method better than another? Two units of evidence, and a word only where each of them and both together agree.

Users: the per-user metric averaged over runs, differences paired by user, bootstrapped: would other users say the same?
Runs: Welch's t on the means of the runs, or of the searches where a method has several: would doing it again say the same?
Both: t with the two squared errors added: would other users and other runs say the same?

What is estimated is the mean test objective of one search of this budget, stage 1 of confirm included, on these data. A
figure is the sum of that mean, of what a search adds, of what a run of its winner adds, and of what each user adds to each of
these. Users are crossed with all of it, as every run is measured on the same ones; runs are nested in searches. The mean of S
searches of n runs then varies by 1 / S of (variance between searches + variance between runs / n); the variance of the search
means estimates that sum, so it needs no taking apart (nested designs: Searle, Casella and McCulloch, Variance Components,
1992). Where searches have unequal numbers of runs each search counts once (unweighted means, Yates 1934): the squared error
is estimated without bias all the same, only its law is less exactly chi-squared. Degrees of freedom are Satterthwaite's
(1946), over the two methods and then with the users' error. What a user adds to a search or to a run is in both errors, so
their sum counts it twice and errs on the safe side; the exact variance takes it off once (Owen, The pigeonhole bootstrap,
2007).

Methods are compared as if their runs had nothing in common. They have seeds in common: where that makes them alike, their
difference varies less than is assumed, which is the safe side, too.

A published config has no search. Of one search nobody knows how much searches vary: there the means of its runs are what
varies, and the verdict is about its config.

Users alone are blind to the luck that all users of a run share, and runs alone take these users for all there are; where the
two errors are about equal, even both at once reject true null hypotheses too often (7.5 %, benchmarks/RESULTS.md). The p of a
verdict is the largest of the three (an intersection-union test, Berger 1982), then Holm's correction over the rivals that can
be judged. A method with one run cannot, nor one with two searches, whose one degree of freedom says too little of how much
searches vary (same place).

What is assumed: users are a sample of those whom the statement is about, and do not depend on each other; so are runs, which
differ in their seed alone; all methods were measured on the same users in the same way; higher is better; the means of runs,
or of searches, are about normal. Nothing is assumed of how users' figures are distributed.

This module stands alone: it imports numpy, scipy and pydantic, and nothing of this program. Three runs of two methods:

    from hpo.confirmation.statistics import Measured, compare

    a, b = (Measured(name, runs.mean(0), [runs.mean(1)]) for name, runs in (("A", a_by_run), ("B", b_by_run)))  # (3, n_users)
    compare(a, [b])[0].word
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import combinations
from typing import Any

import numpy as np
import scipy  # its stats are imported where they are first used: that takes a second, and a search needs none
from numpy.typing import NDArray
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass as checked_dataclass

CHECKED = ConfigDict(extra="forbid", allow_inf_nan=False)  # what is stored is read again

Floats = NDArray[np.float64]

ALPHA, POWER = 0.05, 0.8
MIN_RUNS, MIN_SEARCHES = 2, 3  # for a verdict: runs of a method's one search, or searches where it has several
MIN_TEST_USERS = 30  # for a verdict: the bootstrap of fewer users says too little about others
RESAMPLES = 4000
BATCH = 200  # resamples held in memory at a time
BOOTSTRAP_SEED = 20240


class Word(StrEnum):
    """What can be said of ours against a rival; `NO_VERDICT` where a method has too few runs or searches."""

    BETTER = "better"
    WORSE = "worse"
    UNDECIDED = "not distinguishable"
    NO_VERDICT = "no verdict"


@dataclass(frozen=True)
class Measured:
    """A method's objective.

    Attributes:
        users: (n_users,), averaged over the runs of a search, then over searches; the same users for all methods.
        searches: of each search the means of its runs (n_runs,); one search, too, where none was repeated or a paper's config
            was trained.
    """

    label: str
    users: Floats
    searches: Sequence[Floats]

    @property
    def repeats(self) -> Floats:
        """What varies when all is done again: the means of the searches; of a single search those of its runs."""
        return repeats_of(self.searches)

    @property
    def can_be_judged(self) -> bool:
        """Whether there are enough of them for a verdict."""
        return len(self.repeats) >= (MIN_RUNS if len(self.searches) == 1 else MIN_SEARCHES)


def repeats_of(searches: Sequence[Floats]) -> Floats:
    """The means of the searches (n_searches,); of a single search those of its runs (n_runs,)."""
    return searches[0] if len(searches) == 1 else np.array([runs.mean() for runs in searches])


@checked_dataclass(frozen=True, config=CHECKED)
class Evidence:
    """A mean difference's 95 % interval, two-sided p and standard error, in the metric's unit."""

    low: float
    high: float
    p: float
    error: float


@checked_dataclass(frozen=True, config=CHECKED)
class Comparison:
    """Ours against a rival.

    Attributes:
        difference: ours minus the rival's, in the metric's unit; `base` is the rival's mean, for percentages.
        users, runs, both: the evidence; only that of users where a method has too few runs or searches.
        p: the largest of the three, Holm-corrected; 1 without evidence of runs, which decides nothing.
        wilcoxon: p of the signed-rank test over users, shown beside, decides nothing.
        detectable: the difference above which 80 % of such experiments should find it, with the level divided by the number
            of comparisons, as Holm's first step does; None without evidence of runs. The errors are estimates: with 2 or 3 runs
            or searches it is some 55 to 80 %.
        family: the number of comparisons that Holm's correction covers.
        searches: of how many searches each figure is the mean, ours and the rival's; 1 for a paper's config.
    """

    ours: str
    rival: str
    difference: float
    base: float
    users: Evidence
    p: float
    wilcoxon: float
    runs: Evidence | None = None
    both: Evidence | None = None
    detectable: float | None = None
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
        """A difference in percent of the rival's mean, of its size where that is below 0; None when it is 0."""
        return 100 * difference / abs(self.base) if self.base else None


def compare(ours: Measured, rivals: Sequence[Measured], resamples: int = RESAMPLES) -> list[Comparison]:
    """Ours against each rival; Holm's correction is over those rivals that can be judged.

    Raises:
        ValueError: methods measured on different users.
    """
    return compare_pairs([(ours, rival) for rival in rivals], resamples)


def compare_all(methods: Sequence[Measured], resamples: int = RESAMPLES) -> list[Comparison]:
    """Each method against each other one, that of the higher mean first; Holm's correction is over all pairs that can be
    judged. Of equal means the one that is given first stands first.

    Raises:
        ValueError: methods measured on different users.
    """
    ranked = sorted(methods, key=lambda method: -float(method.users.mean()))
    return compare_pairs(combinations(ranked, 2), resamples)


def compare_pairs(pairs: Iterable[tuple[Measured, Measured]], resamples: int = RESAMPLES) -> list[Comparison]:
    """The first of each pair against the second; Holm's correction is over those pairs that can be judged.

    Raises:
        ValueError: methods measured on different users.
    """
    pairs = [*pairs]
    judged = sum(ours.can_be_judged and rival.can_be_judged for ours, rival in pairs)
    return holm([_compare_one(ours, rival, resamples, ALPHA / max(1, judged)) for ours, rival in pairs])


def holm(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons, p of those that can be judged corrected for their number (Holm 1979)."""
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
        both = over_both(difference, users.error, runs.error, degrees)
        detectable = _detectable(users.error, runs.error, degrees, strictest)
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
    """Percentile bootstrap of the mean of paired differences (n_users,), users drawn with replacement."""
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
    interval = result.confidence_interval
    return Evidence(float(interval.low), float(interval.high), p, float(result.standard_error))


def over_runs(ours: Floats, rival: Floats) -> Evidence:
    """Welch's t-test on the means of runs, or of searches; at least two on each side."""
    difference = float(ours.mean() - rival.mean())
    error = float(np.hypot(scipy.stats.sem(ours), scipy.stats.sem(rival)))
    if error == 0.0:  # runs that are all the same
        return Evidence(difference, difference, float(difference == 0.0), 0.0)
    # not scipy's own test: it warns of seeds that are all but equal, as those of few hits are
    law = scipy.stats.t(_degrees(ours, rival))
    half = error * float(law.ppf(1 - ALPHA / 2))
    return Evidence(difference - half, difference + half, float(2 * law.sf(abs(difference) / error)), error)


def _degrees(ours: Floats, rival: Floats) -> float:
    """Welch and Satterthwaite's degrees of freedom."""
    parts = [(float(scipy.stats.sem(values)) ** 2, len(values) - 1) for values in (ours, rival)]
    total = sum(variance for variance, _ in parts)
    return float(total**2 / sum(variance**2 / n for variance, n in parts)) if total else float("inf")


def over_both(difference: float, users_error: float, runs_error: float, runs_degrees: float) -> Evidence:
    """Both sources of error, squared errors added."""
    error = float(np.hypot(users_error, runs_error))
    if error == 0.0:
        return Evidence(difference, difference, float(difference == 0.0), 0.0)
    law = _law_of_both(error, runs_error, runs_degrees)
    half = error * float(law.ppf(1 - ALPHA / 2))
    return Evidence(difference - half, difference + half, float(2 * law.sf(abs(difference) / error)), error)


def _law_of_both(error: float, runs_error: float, runs_degrees: float) -> Any:
    """t with Satterthwaite's degrees of freedom, which for users are as good as infinite."""
    return scipy.stats.t(runs_degrees * (error / runs_error) ** 4) if runs_error else scipy.stats.norm()


def _detectable(users_error: float, runs_error: float, runs_degrees: float, level: float) -> float:
    """The true difference whose estimate exceeds what all three tests ask for with probability POWER."""
    error = float(np.hypot(users_error, runs_error))
    if error == 0.0:
        return 0.0
    law = _law_of_both(error, runs_error, runs_degrees)
    runs_law = scipy.stats.t(runs_degrees) if runs_error else scipy.stats.norm()
    asked = ((scipy.stats.norm(), users_error), (runs_law, runs_error), (law, error))
    return float(max(test.ppf(1 - level / 2) * size for test, size in asked) + law.ppf(POWER) * error)


def _wilcoxon(differences: Floats) -> float:
    """Two-sided p of the signed-rank test; 1 where no user differs."""
    return float(scipy.stats.wilcoxon(differences, method="approx").pvalue) if differences.any() else 1.0
