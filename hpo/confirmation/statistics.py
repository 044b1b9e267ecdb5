"""Is one method better than another? Two units of evidence, and a word only where each of them and both together agree.

Users: the per-user metric averaged over seeds, differences paired by user, bootstrapped: would other users say the same?
Seeds: Welch's t on the means of the seeds: would another training run say the same?
Both: t with the two squared errors added: would other users and another run say the same?

Users alone are blind to the luck that all users of a run share, and seeds alone take these users for all there are; where the
two errors are about equal, even both at once reject true null hypotheses too often (7.5 %, benchmarks/RESULTS.md). The p of a
verdict is the largest of the three (an intersection-union test, Berger 1982), then Holm's correction over the rivals that
can be judged: one seed tells nothing about another run, so where a method has one there is no verdict.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np
import scipy  # its stats are imported where they are first used: that takes a second, and a search needs none
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass as checked_dataclass

from trainers.validation import SETTINGS

Floats = NDArray[np.float64]

ALPHA, POWER = 0.05, 0.8
MIN_TEST_USERS = 30  # for a verdict: the bootstrap of fewer users says too little about others
RESAMPLES = 4000
BATCH = 200  # resamples held in memory at a time
BOOTSTRAP_SEED = 20240


class Word(StrEnum):
    """What can be said of ours against a rival; `NO_VERDICT` where a method has a single seed."""

    BETTER = "better"
    WORSE = "worse"
    UNDECIDED = "not distinguishable"
    NO_VERDICT = "no verdict"


@dataclass(frozen=True)
class Measured:
    """A method's objective: `users` (n_users,) averaged over seeds, the same users for all; `seeds` (n_seeds,), a mean each."""

    label: str
    users: Floats
    seeds: Floats


@checked_dataclass(frozen=True, config=SETTINGS)
class Evidence:
    """A mean difference's 95 % interval, two-sided p and standard error, in the metric's unit."""

    low: float
    high: float
    p: float
    error: float


@checked_dataclass(frozen=True, config=SETTINGS)
class Comparison:
    """Ours against a rival.

    Attributes:
        difference: ours minus the rival's, in the metric's unit; `base` is the rival's mean, for percentages.
        users, seeds, both: the evidence; only that of users where a method has a single seed.
        p: the largest of the three, Holm-corrected; 1 with a single seed, which decides nothing.
        wilcoxon: p of the signed-rank test over users, shown beside, decides nothing.
        detectable: the difference above which 80 % of such experiments should find it, with the level divided by the number
            of rivals, as Holm's first step does; None with a single seed. The errors are estimates: with 2 or 3 seeds it is
            some 55 to 80 %.
        family: the number of comparisons that Holm's correction covers.
    """

    ours: str
    rival: str
    difference: float
    base: float
    users: Evidence
    p: float
    wilcoxon: float
    seeds: Evidence | None = None
    both: Evidence | None = None
    detectable: float | None = None
    family: int = 1

    @property
    def word(self) -> Word:
        """The verdict in a word."""
        if self.seeds is None:
            return Word.NO_VERDICT
        if self.p > ALPHA:
            return Word.UNDECIDED
        return Word.BETTER if self.difference > 0 else Word.WORSE

    def percent(self, difference: float) -> float | None:
        """A difference in percent of the rival's mean; None when that is 0."""
        return 100 * difference / self.base if self.base else None


def compare(ours: Measured, rivals: Sequence[Measured], resamples: int = RESAMPLES) -> list[Comparison]:
    """Ours against each rival.

    Raises:
        ValueError: methods measured on different users.
    """
    judged = sum(min(len(ours.seeds), len(rival.seeds)) > 1 for rival in rivals)
    return holm([_compare_one(ours, rival, resamples, ALPHA / max(1, judged)) for rival in rivals])


def holm(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons, p of those that can be judged corrected for their number (Holm 1979)."""
    corrected, so_far = list(comparisons), 0.0
    judged = [i for i, comparison in enumerate(comparisons) if comparison.seeds is not None]
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
    users, seeds = over_users(differences, resamples), over_seeds(ours.seeds, rival.seeds)
    both, detectable = None, None
    if seeds is not None:
        degrees = _degrees(ours.seeds, rival.seeds)
        both = over_both(difference, users.error, seeds.error, degrees)
        detectable = _detectable(users.error, seeds.error, degrees, strictest)
    return Comparison(
        ours=ours.label,
        rival=rival.label,
        difference=difference,
        base=float(rival.users.mean()),
        users=users,
        seeds=seeds,
        both=both,
        p=max(users.p, seeds.p, both.p) if seeds is not None and both is not None else 1.0,
        wilcoxon=_wilcoxon(differences),
        detectable=detectable,
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


def over_seeds(ours: Floats, rival: Floats) -> Evidence | None:
    """Welch's t-test on the means of the seeds; None with fewer than two seeds on a side."""
    if min(len(ours), len(rival)) < 2:
        return None
    difference = float(ours.mean() - rival.mean())
    error = float(np.hypot(scipy.stats.sem(ours), scipy.stats.sem(rival)))
    if error == 0.0:  # seeds that change nothing
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


def over_both(difference: float, users_error: float, seeds_error: float, seeds_degrees: float) -> Evidence:
    """Both sources of error, squared errors added."""
    error = float(np.hypot(users_error, seeds_error))
    if error == 0.0:
        return Evidence(difference, difference, float(difference == 0.0), 0.0)
    law = _law_of_both(error, seeds_error, seeds_degrees)
    half = error * float(law.ppf(1 - ALPHA / 2))
    return Evidence(difference - half, difference + half, float(2 * law.sf(abs(difference) / error)), error)


def _law_of_both(error: float, seeds_error: float, seeds_degrees: float) -> Any:
    """t with Satterthwaite's degrees of freedom, which for users are as good as infinite."""
    return scipy.stats.t(seeds_degrees * (error / seeds_error) ** 4) if seeds_error else scipy.stats.norm()


def _detectable(users_error: float, seeds_error: float, seeds_degrees: float, level: float) -> float:
    """The true difference whose estimate exceeds what all three tests ask for with probability POWER."""
    error = float(np.hypot(users_error, seeds_error))
    if error == 0.0:
        return 0.0
    law = _law_of_both(error, seeds_error, seeds_degrees)
    seeds_law = scipy.stats.t(seeds_degrees) if seeds_error else scipy.stats.norm()
    asked = ((scipy.stats.norm(), users_error), (seeds_law, seeds_error), (law, error))
    return float(max(test.ppf(1 - level / 2) * size for test, size in asked) + law.ppf(POWER) * error)


def _wilcoxon(differences: Floats) -> float:
    """Two-sided p of the signed-rank test; 1 where no user differs."""
    return float(scipy.stats.wilcoxon(differences, method="approx").pvalue) if differences.any() else 1.0
