"""Replays recordings to policies, in many orders of the trials, and measures the results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.pruners import MedianPruner, NopPruner, PercentilePruner

from benchmarks.replay.policies import PRUNED, ConstantEpochs, Policy, Pool, Pruning, ShortRuns, Timeline, best_within
from benchmarks.replay.recordings import Recording

ORDERS = 200
SEED = 7
WARM_UPS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)  # of the epochs
INTERVALS = (1, 2, 4, 8)
STARTUPS = (5, 10)
BUDGETS = (0.25, 0.5, 0.75, 1.0)  # of what all configs need without a policy
NONE = "none"


@dataclass(frozen=True)
class Median:
    """A setting of the median pruner.

    n_min_trials is 1. Up to n_startup_trials it has no effect, because a complete trial has a value at every epoch that
    decides.
    """

    warm_up: float
    interval: int
    startup: int

    @property
    def name(self) -> str:
        """The name in the tables."""
        return f"median, from {100 * self.warm_up:.0f} %, every {self.interval}, after {self.startup}"

    def policy(self, epochs: int) -> Pruning:
        """The policy for curves of this many epochs."""
        first = round(self.warm_up * epochs)
        make = partial(MedianPruner, self.startup, first, self.interval)
        return Pruning(self.name, make, tuple(range(first, epochs, self.interval)), self.startup)


MEDIANS = [Median(warm_up, interval, startup) for warm_up in WARM_UPS for interval in INTERVALS for startup in STARTUPS]
SAMPLED = [setting for setting in MEDIANS if (setting.interval, setting.startup) == (2, 10)]


def percentiles(epochs: int) -> list[Pruning]:
    """Percentile pruners, 25 and 75."""
    found = []
    for percentile in (25.0, 75.0):
        for warm_up in WARM_UPS:
            first = round(warm_up * epochs)
            make = partial(PercentilePruner, percentile, 10, first, 2)
            name = f"percentile {percentile:.0f}, from {100 * warm_up:.0f} %, every 2, after 10"
            found.append(Pruning(name, make, tuple(range(first, epochs, 2)), 10))
    return found


def policies(pool: Pool) -> list[Policy]:
    """All compared policies."""
    epochs, lengths = pool.epochs, tuple(sorted(pool.curves[0].short))
    usual = Pruning(
        "median, warm-up 8, evaluated every 2 from 2, after 10",
        partial(MedianPruner, 10, 8, n_min_trials=5),
        tuple(range(2, epochs, 2)),
        10,
    )
    constant = [ConstantEpochs(f"all for {n}, a quarter goes on", n, 0.25) for n in range(1, 6)]
    short = ShortRuns(f"short runs: all for {lengths[0]}, a third for {lengths[1]}, a third of these", lengths, 1 / 3)
    pruners = [Pruning(NONE, NopPruner, ()), usual, *(one.policy(epochs) for one in MEDIANS), *percentiles(epochs)]
    return [*pruners, *constant, short]


@dataclass(frozen=True)
class Outcome:
    """The result of a policy on a recording, by order of the trials.

    Attributes:
        spent: seconds, as a share of the seconds of all configs without a policy.
        after_startup: the same for the trials after the start-up of the pruner; NaN if there are none.
        pruned: the share of configs that were not completed.
        regret: the relative regret of the best completed config at the end.
        regrets: the same within each budget (orders, budgets).
        lost: whether the best config was not completed.
        at_risk: whether the best config came after the start-up of the pruner.
        fates: whether each config was completed (orders, configs).
    """

    spent: NDArray[np.float64]
    after_startup: NDArray[np.float64]
    pruned: NDArray[np.float64]
    regret: NDArray[np.float64]
    regrets: NDArray[np.float64]
    lost: NDArray[np.bool_]
    at_risk: NDArray[np.bool_]
    fates: NDArray[np.bool_]


def orders_of(pool: Pool, count: int, first: int = 0) -> list[list[int]]:
    """Random orders of the configs, the same for every policy. Trials with a number below `first` come before the others."""
    generator = np.random.default_rng([SEED, len(pool)])
    late = np.array([curve.trial >= first for curve in pool.curves])
    orders = [generator.permutation(len(pool)) for _ in range(count)]
    return [order[np.argsort(late[order], kind="stable")].tolist() for order in orders]


def outcome(policy: Policy, pool: Pool, orders: Sequence[Sequence[int]]) -> Outcome:
    """Run a policy on each order."""
    champion, needed = int(pool.final.argmax()), float(pool.full.sum())
    best, startup = float(pool.final[champion]), policy.startup if isinstance(policy, Pruning) else 0
    timelines = [policy.play(pool, order) for order in orders]
    fates = np.zeros((len(orders), len(pool)), np.bool_)
    for row, timeline in zip(fates, timelines, strict=True):
        row[timeline.configs[timeline.values > PRUNED]] = True
    regrets = [
        [_regret(best, best_within(policy, pool, order, whole, share * needed)) for share in BUDGETS]
        for order, whole in zip(orders, timelines, strict=True)
    ]
    return Outcome(
        spent=np.array([timeline.spent for timeline in timelines]) / needed,
        after_startup=np.array([_after_startup(policy, pool, timeline) for timeline in timelines]),
        pruned=1.0 - fates.mean(axis=1),
        regret=np.array([_regret(best, timeline.best()) for timeline in timelines]),
        regrets=np.array(regrets),
        lost=~fates[:, champion],
        at_risk=np.array([list(order).index(champion) >= startup for order in orders]),
        fates=fates,
    )


def _regret(best: float, found: float) -> float:
    """The regret relative to the best config; 1 if no config was completed."""
    return 1.0 if found == PRUNED else (best - found) / best


def _after_startup(policy: Policy, pool: Pool, timeline: Timeline) -> float:
    if not isinstance(policy, Pruning) or policy.startup >= len(timeline.clock):
        return float("nan")
    before = timeline.clock[policy.startup - 1] if policy.startup else 0.0
    needed = pool.full[timeline.configs[policy.startup :]].sum()
    return float((timeline.spent - before) / needed)


@dataclass(frozen=True)
class SampleEffect:
    """The effect of decisions on a sample of users: the differences to the same policy on all users in the same orders.

    Attributes:
        changed: the share of configs that are completed in one case and not in the other.
        spent: the change of the share of seconds.
        regret: the change of the regret at the end, by order.
        regrets: the change of the regret within each budget (orders, budgets).
        lost: the change of the share of orders in which the best config is not completed.
    """

    changed: float
    spent: float
    regret: NDArray[np.float64]
    regrets: NDArray[np.float64]
    lost: float


@dataclass(frozen=True)
class Group:
    """A replayed recording.

    Attributes:
        outcomes: the outcome of each policy, by name.
        samples: the effect of samples on the settings in SAMPLED, by setting and number of users.
    """

    recording: Recording
    pool: Pool
    outcomes: dict[str, Outcome]
    samples: dict[tuple[Median, int], SampleEffect]


def play_all(recording: Recording, orders: int = ORDERS, as_searched: bool = False) -> Group:
    """Run every policy in this many orders.

    Args:
        as_searched: whether the configs of TPE come after the random ones.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # in a process of its own
    pool = Pool(recording.complete, recording.header.users)
    chosen = orders_of(pool, orders, recording.header.startup if as_searched else 0)
    outcomes = {policy.name: outcome(policy, pool, chosen) for policy in policies(pool)}
    samples = {
        (setting, size): _effect(
            outcome(replace(setting.policy(pool.epochs), sample=size), pool, chosen), outcomes[setting.name]
        )
        for setting in SAMPLED
        for size in recording.header.samples
    }
    return Group(recording, pool, outcomes, samples)


def _effect(found: Outcome, usual: Outcome) -> SampleEffect:
    return SampleEffect(
        changed=float((found.fates != usual.fates).mean()),
        spent=float((found.spent - usual.spent).mean()),
        regret=found.regret - usual.regret,
        regrets=found.regrets - usual.regrets,
        lost=float(found.lost.mean() - usual.lost.mean()),
    )
