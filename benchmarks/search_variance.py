"""How often is a verdict wrong if the searches of the methods vary? `python -m benchmarks.search_variance`.

The simulated data are those of tests/hpo/confirmation/test_statistics.py: there are 4,000 users, and four in ten have a hit. A
value varies by user and method, by user and run, and by run: all users of a run share its luck. Here a search has such luck and
noise, too, FACTORS times as much. The values of all users are drawn. The normal distribution with the standard error of the
users replaces the bootstrap. The formulas are those of hpo.confirmation.statistics, for many experiments at once. They are
checked against that module before the experiments begin.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
import scipy.stats
from numpy.typing import NDArray
from rich.console import Console

from hpo.cli.console import table
from hpo.cli.flags import positive
from hpo.confirmation.evidence import ALPHA, POWER, over_both, over_runs
from hpo.confirmation.statistics import Measured, compare

Floats = NDArray[np.float64]
N_USERS, HITS = 4000, 0.4
LIKING, LUCK, NOISE = 0.014, 0.00035, 0.015
LIFT = 0.01  # of the mean
SEARCHES, FACTORS = (1, 3, 5), (0.0, 0.5, 1.0, 2.0)
RUNS = 3  # of a search, and of a published config
BATCH = 50  # experiments at a time
DISTRIBUTIONS = ("normal", "skewed")


@dataclass(frozen=True)
class Side:
    """How a method is measured: by `searches` searches of RUNS runs each. Searches vary `factor` times as much as runs."""

    searches: int
    factor: float


@dataclass(frozen=True)
class Found:
    """Measured values of n experiments: differences (n,), standard errors over users (n,), repeats (n, k) of both sides."""

    differences: Floats
    users_error: Floats
    repeats: tuple[Floats, Floats]


@dataclass(frozen=True)
class Judged:
    """Results of the experiments: p of each unit and of both, half the interval of both, and the detectable effect."""

    users: Floats
    runs: Floats
    both: Floats
    half: Floats
    detectable: Floats

    @property
    def verdict(self) -> Floats:
        """The largest p, as in a Comparison with one rival."""
        return np.maximum(np.maximum(self.users, self.runs), self.both)


def main() -> None:
    """Print a row for each number of searches, each variance of searches and each kind of rival."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiments", type=positive, default=10_000, metavar="N", help="%(default)s")
    parser.add_argument("--searches", type=positive, nargs="+", default=SEARCHES, metavar="N", help="1 3 5")
    parser.add_argument("--factors", type=float, nargs="+", default=FACTORS, metavar="X", help="0 0.5 1 2")
    parser.add_argument(
        "--distribution", choices=DISTRIBUTIONS, default=DISTRIBUTIONS[0], help="of the luck of searches (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=5)
    arguments = parser.parse_args()
    check_formulas(np.random.default_rng(arguments.seed))
    rows = []
    for searches in arguments.searches:
        for factor in arguments.factors:
            for name, rival in (("alike", Side(searches, factor)), ("published", Side(1, 0.0))):
                rng = np.random.default_rng([arguments.seed, searches, int(10 * factor), len(name)])
                sides = Side(searches, factor), rival
                rows.append(
                    [str(searches), f"{factor:g}", name, *_row(rng, sides, arguments.experiments, arguments.distribution)]
                )
    units = ["users alone", "runs alone", "both errors added", "verdict"]
    header = ["searches", "search sd / run sd", "rival", *units, "covered", f"found at +{LIFT:.0%}", "found at the MDE"]
    Console(width=150).print(table(f"{arguments.experiments:,} experiments a row", header, rows))


def _row(rng: np.random.Generator, sides: tuple[Side, Side], n: int, distribution: str) -> list[str]:
    """The shares of rejected true null hypotheses, the coverage, and the shares of differences that are found."""
    nothing, lifted = experiments(rng, sides, n, distribution)
    judged, power = judge(nothing), judge(lifted)
    rejected = [(p <= ALPHA).mean() for p in (judged.users, judged.runs, judged.both, judged.verdict)]
    covered = (np.abs(nothing.differences) <= judged.half).mean()
    found = ((power.verdict <= ALPHA) & (lifted.differences > 0)).mean()
    called = np.roll(judged.detectable, 1)  # the detectable effect according to another experiment of the same kind
    again = Found(nothing.differences + called, nothing.users_error, nothing.repeats)
    at_detectable = ((judge(again).verdict <= ALPHA) & (again.differences > 0)).mean()
    return [f"{100 * share:.1f} %" for share in (*rejected, covered, found, at_detectable)]


def experiments(rng: np.random.Generator, sides: tuple[Side, Side], n: int, distribution: str) -> tuple[Found, Found]:
    """The same experiments twice: without a true difference, and with a first side that is better by LIFT."""
    parts = [_batch(rng, sides, min(BATCH, n - start), distribution) for start in range(0, n, BATCH)]
    differences, error, lifted, lifted_error, ours, rival = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Found(differences, error, (ours, rival)), Found(lifted, lifted_error, (ours, rival))


def _batch(rng: np.random.Generator, sides: tuple[Side, Side], n: int, distribution: str) -> tuple[Floats, ...]:
    hit = rng.uniform(size=(n, N_USERS)) < HITS
    level = np.where(hit, rng.beta(2.0, 5.0, (n, N_USERS)), 0.0)
    (ours, repeats), (theirs, rival_repeats) = (_measured(rng, side, hit, distribution) for side in sides)
    differences = ours - theirs
    lifted = differences + LIFT * level
    return (*_mean_and_error(differences), *_mean_and_error(lifted), repeats, rival_repeats)


def _mean_and_error(users: Floats) -> tuple[Floats, Floats]:
    return users.mean(1), users.std(1) / np.sqrt(N_USERS)


def _measured(rng: np.random.Generator, side: Side, hit: NDArray[np.bool_], distribution: str) -> tuple[Floats, Floats]:
    """A method in n experiments: the deviations of the users (n, n_users), and the deviations of the repeats (n, k)."""
    n = len(hit)
    users, repeats = LIKING * rng.standard_normal(hit.shape), []
    common = np.zeros((n, 1))
    if side.searches == 1:  # the runs are the repeats, and share the luck of the search
        count, spread, luck = RUNS, NOISE, LUCK * rng.standard_normal((n, RUNS))
        common = side.factor * LUCK * _luck(rng, (n, 1), distribution)
        users += side.factor * NOISE * rng.standard_normal(hit.shape)
    else:  # a repeat is the mean of RUNS runs of a search
        count, spread = side.searches, NOISE * np.sqrt(side.factor**2 + 1 / RUNS)
        luck = LUCK * rng.standard_normal((n, count)) / np.sqrt(RUNS) + side.factor * LUCK * _luck(
            rng, (n, count), distribution
        )
    for _ in range(count):
        noise = np.where(hit, spread * rng.standard_normal(hit.shape), 0.0)
        users += noise / count
        repeats.append(noise.mean(1))
    return np.where(hit, users, 0.0) + common + luck.mean(1, keepdims=True), np.stack(repeats, 1) + luck


def _luck(rng: np.random.Generator, shape: tuple[int, ...], distribution: str) -> Floats:
    """Mean 0 and variance 1. If skewed: a search is seldom much worse than the mean, and never much better."""
    return rng.standard_normal(shape) if distribution == "normal" else 1.0 - rng.exponential(size=shape)


def judge(found: Found) -> Judged:
    """The tests of hpo.confirmation.statistics, for all experiments at once."""
    size, users_error = np.abs(found.differences), found.users_error
    variances = [repeats.var(1, ddof=1) / repeats.shape[1] for repeats in found.repeats]
    degrees_of = [repeats.shape[1] - 1 for repeats in found.repeats]
    squared = variances[0] + variances[1]
    degrees = squared**2 / (variances[0] ** 2 / degrees_of[0] + variances[1] ** 2 / degrees_of[1])
    runs_error, error = np.sqrt(squared), np.sqrt(squared + users_error**2)
    of_runs, of_both, normal = scipy.stats.t(degrees), scipy.stats.t(degrees * (error / runs_error) ** 4), scipy.stats.norm()
    tests = ((normal, users_error), (of_runs, runs_error), (of_both, error))
    users, runs, both = (2 * test.sf(size / width) for test, width in tests)
    asked = np.max([test.ppf(1 - ALPHA / 2) * width for test, width in tests], axis=0)
    return Judged(users, runs, both, of_both.ppf(1 - ALPHA / 2) * error, asked + of_both.ppf(POWER) * error)


def check_formulas(rng: np.random.Generator) -> None:
    """Check that `judge` gives the numbers of the program's own statistics."""
    found, _ = experiments(rng, (Side(3, 1.0), Side(1, 0.0)), BATCH, "normal")
    judged = judge(found)
    for i, (ours, rival) in enumerate(zip(*found.repeats, strict=True)):
        runs = over_runs(ours, rival)
        degrees = float(scipy.stats.ttest_ind(ours, rival, equal_var=False).df)
        both = over_both(float(found.differences[i]), float(found.users_error[i]), runs.error, degrees)
        np.testing.assert_allclose(both.p, judged.both[i])
        np.testing.assert_allclose((both.high - both.low) / 2, judged.half[i])
    users = rng.uniform(size=N_USERS)
    shifted = users + rng.normal(0.001, 0.02, N_USERS)
    ours, rival = rng.normal(shifted.mean(), LUCK, (3, RUNS)), rng.normal(users.mean(), LUCK, RUNS)
    shifted += ours.mean() - shifted.mean()
    users += rival.mean() - users.mean()
    program = compare(Measured("a", shifted, list(ours)), [Measured("b", users, [rival])])[0]
    difference, error = _mean_and_error((shifted - users)[None])
    here = judge(Found(difference, error, (ours.mean(1)[None], rival[None])))
    assert program.runs is not None
    assert program.both is not None
    assert program.detectable is not None
    np.testing.assert_allclose(program.runs.p, here.runs[0])
    # The tolerance is wide, because the bootstrap error of the users is random.
    np.testing.assert_allclose(
        [program.both.high - program.difference, program.detectable], [here.half[0], here.detectable[0]], 0.05
    )


if __name__ == "__main__":
    main()
