"""The tests of a mean difference: over users, over runs, and over both.

`hpo.confirmation.statistics` says what they assume. This module imports nothing of this program.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
import scipy  # scipy.stats is imported at first use: that takes a second, and a search does not need it
from numpy.typing import NDArray
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

CHECKED = ConfigDict(extra="forbid", allow_inf_nan=False)  # stored comparisons are checked when they are read

Floats = NDArray[np.float64]

ALPHA, POWER = 0.05, 0.8
RESAMPLES = 4000
DRAWN_AT_ONCE = 200_000  # users drawn at once: their counts fit into a processor's cache
BOOTSTRAP_SEED = 20240
INF = float("inf")

Number = Annotated[float, Field(ge=-1e100, le=1e100)]  # larger figures overflow in sums, ratios and pictures


@dataclass(frozen=True, config=CHECKED)
class Evidence:
    """The 95 % interval, two-sided p and standard error of a mean difference, in the metric's unit."""

    low: Number
    high: Number
    p: Number
    error: Number


NO_EVIDENCE = Evidence(0.0, 0.0, 1.0, 0.0)


def over_users(pairs: Sequence[Floats], resamples: int = RESAMPLES) -> list[Evidence]:
    """Percentile bootstrap of the mean of paired differences (n_users,), of each pair; users are drawn with replacement, the
    same ones for all pairs.

    Args:
        pairs: of the same users.

    The p is twice the share of resamples beyond zero. If there are none, it is at most that of Student's t with the bootstrap's
    standard error, so that Holm's correction for many comparisons can reject.
    """
    if not pairs or len(pairs[0]) < 2:
        return [NO_EVIDENCE for _ in pairs]
    return [_from_means(each, means) for each, means in zip(pairs, _resampled_means(pairs, resamples), strict=True)]


def _resampled_means(pairs: Sequence[Floats], resamples: int) -> Floats:
    """For each pair the means (n_pairs, resamples) of its differences (n_users,), with users drawn with replacement.

    The draws are those of `scipy.stats.bootstrap` with this seed. They are the same for all pairs and made once, since a draw
    takes longer than the mean of a pair. The means of a pair do not depend on the other pairs.
    """
    n_users, rng = len(pairs[0]), np.random.default_rng(BOOTSTRAP_SEED)
    means = np.empty((len(pairs), resamples))
    at_once = max(1, DRAWN_AT_ONCE // n_users)
    for start in range(0, resamples, at_once):
        size = min(at_once, resamples - start)
        drawn = rng.integers(n_users, size=(size, n_users)) + n_users * np.arange(size)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=size * n_users).reshape(size, n_users).astype(np.float64)
        for differences, of_pair in zip(pairs, means, strict=True):
            # not a matrix product: its last digits depend on the number of threads and pairs
            np.einsum("ru,u->r", counts, differences, out=of_pair[start : start + size])
    return means / n_users


def _from_means(differences: Floats, means: Floats) -> Evidence:
    if not differences.any():
        return NO_EVIDENCE
    one_sided = int(min((means <= 0).sum(), (means >= 0).sum()))
    p = min(1.0, 2 * (one_sided + 1) / (len(means) + 1))
    error = float(means.std(ddof=1)) if np.ptp(differences) else 0.0
    if one_sided == 0 and error > 0.0:
        p = min(p, _two_sided(float(differences.mean()) / error, len(differences) - 1))
    low, high = np.percentile(means, [50 * ALPHA, 100 - 50 * ALPHA])
    return Evidence(float(low), float(high), p, error)


def over_runs(ours: Floats, rival: Floats) -> Evidence:
    """Welch's t-test on the means of runs or of searches; a single one is a constant."""
    difference = float(ours.mean() - rival.mean())
    error = float(np.hypot(_mean_error(ours), _mean_error(rival)))
    if error == 0.0:  # nothing varies
        return Evidence(difference, difference, float(difference == 0.0), 0.0)
    # scipy's own test warns of nearly equal runs, which are common with few hits
    return _evidence(difference, error, welch_degrees(ours, rival))


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


def welch_degrees(ours: Floats, rival: Floats) -> float:
    """Welch's degrees of freedom."""
    return satterthwaite(*((_mean_error(values), len(values) - 1) for values in (ours, rival)))


def satterthwaite(*parts: tuple[float, float]) -> float:
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
    return _evidence(difference, error, satterthwaite((users_error, of_users), (runs_error, of_runs)))


def detectable_effect(users_error: float, runs_error: float, of_runs: float, level: float, of_users: float = INF) -> float:
    """The minimum detectable effect: all three tests find a true difference of this size with probability POWER. The errors
    have `of_users` and `of_runs` degrees of freedom."""
    error = float(np.hypot(users_error, runs_error))
    if error == 0.0:
        return 0.0
    degrees = satterthwaite((users_error, of_users), (runs_error, of_runs))
    tests = ((of_users, users_error), (of_runs if runs_error else INF, runs_error), (degrees, error))
    return max(_quantile(1 - level / 2, each) * size for each, size in tests) + _quantile(POWER, degrees) * error
