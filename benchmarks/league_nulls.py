"""How often a league finds a difference where there is none: the family-wise error with a leader that validation chooses.

All methods have the same mean over all users and all runs. A method's figure on test is the sum of an effect of the drawn
users and an effect of each run. The tests are those of `hpo.confirmation.statistics`, with the users' error known, as it
nearly is with some hundred users. Validation has runs of its own and other held-out items, but the same users: `carry` is the
correlation of the users' effect on validation with that on test. With carry 0 validation is independent of the noise on test.
With carry 1 both have the same users' effect, and the choice of the leader picks it out.

    python -m benchmarks.league_nulls
    python -m benchmarks.league_nulls --runs runs/league_health/runs      # measures carry for the configs of a confirmed study
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.stats
from numpy.typing import NDArray

from hpo.runs.sealed import read_sealed
from hpo.runs.store import RunRecord
from trainers import TrainConfig

Floats = NDArray[np.float64]
ALPHA, SELECT_SEEDS = 0.05, 2
BATCH = 500  # leagues that are simulated together
REPORTED = "family-wise error with Holm over"


def family_wise_errors(
    methods: int, seeds: int, users_error: float, runs_sd: float, carry: float, leagues: int, seed: int = 1
) -> tuple[float, float, float]:
    """The share of leagues in which Holm rejects a pair.

    Args:
        users_error: standard error of a method's mean over users.
        runs_sd: standard deviation of a run.

    Returns:
        For the named pairs; for the named pairs if the leader is the best on test, which is forbidden; and for all pairs.
    """
    rng, found = np.random.default_rng(seed), np.zeros(3)
    for start in range(0, leagues, BATCH):
        count = min(BATCH, leagues - start)
        users = rng.normal(0.0, users_error, (count, methods))
        runs = users[:, :, None] + rng.normal(0.0, runs_sd, (count, methods, seeds))
        other = rng.normal(0.0, users_error, (count, methods))
        select = rng.normal(0.0, runs_sd / np.sqrt(SELECT_SEEDS), (count, methods))
        validation = carry * users + np.sqrt(1 - carry**2) * other + select
        p = p_of_pairs(runs, users_error)
        for place, leader in enumerate((validation.argmax(1), runs.mean(2).argmax(1), None)):
            named = is_named(methods, leader, count)
            found[place] += holm_rejects(np.where(named, p, np.nan)).sum()
    first, second, third = found / leagues
    return float(first), float(second), float(third)


def p_of_pairs(runs: Floats, users_error: float) -> Floats:
    """The largest p of the three tests, for each pair of methods (leagues, pairs); runs: (leagues, methods, seeds)."""
    first, second = np.array([*combinations(range(runs.shape[1]), 2)]).T
    seeds, means, squares = runs.shape[2], runs.mean(2), runs.var(2, ddof=1) / runs.shape[2]
    difference = means[:, first] - means[:, second]
    users, welch = np.sqrt(2) * users_error, np.sqrt(squares[:, first] + squares[:, second])
    degrees = welch**4 * (seeds - 1) / (squares[:, first] ** 2 + squares[:, second] ** 2)
    both = np.hypot(users, welch)
    tests = (
        2 * scipy.stats.norm.sf(np.abs(difference) / users),
        2 * scipy.stats.t.sf(np.abs(difference) / welch, degrees),
        2 * scipy.stats.t.sf(np.abs(difference) / both, degrees * (both / welch) ** 4),
    )
    largest: Floats = np.max(tests, axis=0)
    return largest


def is_named(methods: int, leader: NDArray[np.int64] | None, leagues: int) -> NDArray[np.bool_]:
    """Which pairs are named (leagues, pairs): those of method 0 and of the leader; all without a leader."""
    first, second = np.array([*combinations(range(methods), 2)]).T
    if leader is None:
        return np.ones((leagues, len(first)), dtype=bool)
    named: NDArray[np.bool_] = (first == 0) | (first == leader[:, None]) | (second == leader[:, None])
    return named


def holm_rejects(p: Floats) -> NDArray[np.bool_]:
    """Whether Holm's correction rejects any pair of each league (leagues, pairs); NaN for pairs that are not named.

    Its first step decides: the smallest p is compared with the level divided by the number of pairs.
    """
    rejected: NDArray[np.bool_] = np.nanmin(p, axis=1) <= ALPHA / np.isfinite(p).sum(1)
    return rejected


def carried(folder: Path) -> Iterator[tuple[str, float]]:
    """For each pair of configs with runs on both splits, the correlation over users of their differences on both splits.

    The runs of a config differ in their seed. A config of stage 1 that was not chosen has no run on test and is left out.
    """
    on: dict[str, dict[TrainConfig, list[pd.Series]]] = {}
    for path in sorted(folder.glob("*.json")):
        record, table = read_sealed(path)
        if "config" not in record:
            continue
        found = RunRecord.from_dict(record, str(path), "")
        run = found.run(table)
        if run.per_user is not None:
            by_user = run.per_user[found.measured_in[0]]
            on.setdefault(found.held_out, {}).setdefault(found.config.replace(seed=0), []).append(by_user)
    if len(on) != 2:
        raise SystemExit(f"{folder} must have the runs of a validation and a test split, got {len(on)}")
    one, other = ({config: pd.concat(runs, axis=1).mean(axis=1) for config, runs in split.items()} for split in on.values())
    for first, second in combinations([config for config in one if config in other], 2):
        both = [split[first] - split[second] for split in (one, other)]
        users = both[0].index.intersection(both[1].index)
        yield f"{first.loss} - {second.loss}", float(np.corrcoef(both[0][users], both[1][users])[0, 1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--leagues", type=int, default=20_000)
    parser.add_argument("--runs", type=Path, help="the folder runs of a confirmed study, to measure carry in")
    arguments = parser.parse_args()
    if arguments.runs:
        pairs = sorted(carried(arguments.runs), key=lambda pair: pair[1])
        names, highest = pairs[-1]
        print(f"carry of {len(pairs)} pairs of configs: median {np.median([value for _, value in pairs]):.3f}, ", end="")
        print(f"highest {highest:.3f} ({names})")
        return
    print(f"{arguments.methods} methods, {arguments.seeds} seeds, {arguments.leagues:,} leagues without any difference")
    print(f"users:runs carry   {REPORTED} named pairs, leader on validation | leader on test (forbidden) | all pairs")
    for ratio in (0.3, 1.0, 3.0):
        for carry in (0.0, 0.2, 0.5, 1.0):
            error = ratio / np.sqrt(arguments.seeds)  # of users, in units of the error of the mean of runs of sd 1
            found = family_wise_errors(arguments.methods, arguments.seeds, error, 1.0, carry, arguments.leagues)
            print(f"{ratio:10.1f} {carry:5.1f}   " + "   ".join(f"{100 * value:5.2f} %" for value in found), flush=True)


if __name__ == "__main__":
    main()
