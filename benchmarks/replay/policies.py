"""Pruning policies on recorded curves: the configs that each of them completes, and when."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Protocol

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial, TrialState, create_trial

from benchmarks.replay.recordings import EVERYBODY, Curve

PRUNED = -math.inf
Figures = NDArray[np.float64]


@dataclass(frozen=True)
class Timeline:
    """What a policy did with the configs.

    Attributes:
        configs: the ended configs in the order in which they ended, with the pruned ones.
        clock: the seconds after which each of them ended.
        values: the final value of each of them; PRUNED if it was not completed.
        spent: the total of the seconds.
    """

    configs: NDArray[np.int64]
    clock: Figures
    values: Figures
    spent: float

    def best(self, budget: float = math.inf) -> float:
        """The best value that is completed within these seconds; PRUNED if there is none."""
        return float(self.values[self.clock <= budget].max(initial=PRUNED))


class Pool:
    """The configs of a recording that can be played.

    Args:
        users: the number of validation users with a held-out item.

    Attributes:
        final: the value of each config (configs,).
        train, fetch, rank: seconds of each epoch and of its evaluation (configs, epochs).
        trained: seconds of training up to each epoch (configs, epochs).
        full: seconds of each config without a policy: all epochs and one evaluation (configs,).
    """

    def __init__(self, curves: Sequence[Curve], users: int) -> None:
        self.curves, self.users = list(curves), users
        self.epochs = len(self.curves[0].train_seconds)
        self.final: Figures = np.array([curve.final for curve in self.curves])
        self.train: Figures = np.array([curve.train_seconds for curve in self.curves])
        self.fetch: Figures = np.array([curve.fetch_seconds for curve in self.curves])
        self.rank: Figures = np.array([curve.rank_seconds for curve in self.curves])
        self.trained: Figures = np.cumsum(self.train, axis=1)
        self.full: Figures = self.trained[:, -1] + self.fetch[:, -1] + self.rank[:, -1]

    def __len__(self) -> int:
        return len(self.curves)

    def evaluating(self, config: int, epochs: Sequence[int], sample: int) -> float:
        """Seconds of the evaluations of a config after these epochs, on `sample` users."""
        share = 1.0 if sample == EVERYBODY else sample / self.users
        at = np.asarray(epochs, np.int64) - 1
        return float((self.fetch[config, at] + share * self.rank[config, at]).sum())


class Policy(Protocol):
    """Decides which configs are trained to the end.

    A policy that plans looks at all configs before it completes the first. So its budget decides how many it starts with.
    """

    @property
    def name(self) -> str:
        """The name in the tables."""

    @property
    def plans(self) -> bool:
        """Whether the policy plans."""

    def play(self, pool: Pool, order: Sequence[int]) -> Timeline:
        """The timeline of the policy on these configs, in this order."""


@dataclass(frozen=True)
class Pruning:
    """Trains one trial after the other. One of Optuna's pruners judges it after each evaluation.

    Attributes:
        decisions: the epochs after which a trial is evaluated, reported and judged. It is always evaluated after its last
            epoch.
        sample: the number of users in the evaluations before the last epoch.
    """

    name: str
    make: Callable[[], BasePruner]
    decisions: tuple[int, ...]
    startup: int = 0
    sample: int = EVERYBODY
    plans: ClassVar[bool] = False

    def play(self, pool: Pool, order: Sequence[int]) -> Timeline:
        """As in the search: report, ask, tell."""
        study = optuna.create_study(direction="maximize", pruner=self.make())
        lasted = [self._epochs(study, pool, config) for config in order]
        seconds = []
        for config, epochs in zip(order, lasted, strict=True):
            before = [epoch for epoch in self.decisions if epoch <= epochs and epoch < pool.epochs]
            end = [pool.epochs] if epochs == pool.epochs else []
            evaluated = pool.evaluating(config, before, self.sample) + pool.evaluating(config, end, EVERYBODY)
            seconds.append(float(pool.trained[config, epochs - 1]) + evaluated)
        clock = np.cumsum(seconds)
        done = np.array(lasted) == pool.epochs
        return Timeline(np.array(order), clock, np.where(done, pool.final[list(order)], PRUNED), float(clock[-1]))

    def _epochs(self, study: optuna.Study, pool: Pool, config: int) -> int:
        """The number of epochs that a config gets. Pruners use complete trials alone, so pruned ones are not kept."""
        values = pool.curves[config].values[self.sample]
        running = _running(len(study.get_trials(deepcopy=False)))
        for epoch in self.decisions:
            if epoch == pool.epochs:
                break
            running.intermediate_values[epoch] = values[epoch - 1]
            if study.pruner.prune(study, running):
                return epoch
        reports = {**running.intermediate_values, pool.epochs: float(pool.final[config])}
        study.add_trial(create_trial(value=float(pool.final[config]), intermediate_values=reports))
        return pool.epochs


def _running(number: int) -> FrozenTrial:
    """A running trial. A trial from `study.ask` would cost ten times as much. `test_replay` compares the two."""
    trial = create_trial(state=TrialState.RUNNING)
    trial.number, trial.datetime_start = number, datetime.now()
    return trial


@dataclass(frozen=True)
class ConstantEpochs:
    """Trains all configs for some epochs, and the best share of them to the end.

    It is the control of Egele et al., arXiv 2404.04111.
    """

    name: str
    epochs: int
    share: float
    plans: ClassVar[bool] = True

    def play(self, pool: Pool, order: Sequence[int]) -> Timeline:
        """The best configs continue from their last epoch, the best first."""
        values = [pool.curves[config].values[EVERYBODY][self.epochs - 1] for config in order]
        seconds = sum(
            float(pool.trained[config, self.epochs - 1]) + pool.evaluating(config, [self.epochs], EVERYBODY) for config in order
        )
        kept = _best(order, values, self.share)
        further = [
            float(pool.trained[config, -1] - pool.trained[config, self.epochs - 1])
            + pool.evaluating(config, [pool.epochs], EVERYBODY)
            for config in kept
        ]
        return _completed(pool, kept, seconds, further)


@dataclass(frozen=True)
class ShortRuns:
    """Trains all configs for few epochs to a rate of 0, the best share for more, and the best share of these to the end."""

    name: str
    lengths: tuple[int, ...]
    share: float
    plans: ClassVar[bool] = True

    def play(self, pool: Pool, order: Sequence[int]) -> Timeline:
        """Each longer run starts from the first epoch."""
        kept, seconds = list(order), 0.0
        for length in self.lengths:
            runs = [pool.curves[config].short[length] for config in kept]
            seconds += sum(run.train_seconds + run.rank_seconds for run in runs)
            kept = _best(kept, [run.value for run in runs], self.share)
        return _completed(pool, kept, seconds, [float(pool.full[config]) for config in kept])


def _best(configs: Sequence[int], values: Sequence[float], share: float) -> list[int]:
    """The best share of the configs, at least one, the best first. Of equal ones the earlier comes first."""
    ranked = sorted(range(len(configs)), key=lambda position: (-values[position], position))
    return [configs[position] for position in ranked[: max(1, round(share * len(configs)))]]


def _completed(pool: Pool, configs: Sequence[int], before: float, seconds: Sequence[float]) -> Timeline:
    clock = before + np.cumsum(seconds)
    return Timeline(np.array(configs), clock, pool.final[list(configs)], float(clock[-1]))


def best_within(policy: Policy, pool: Pool, order: Sequence[int], whole: Timeline, budget: float) -> float:
    """The best value that a policy completes within a budget of seconds; PRUNED if there is none.

    A policy that plans starts with as many of the first configs as it can complete, at most all.
    """
    if not policy.plans or whole.spent <= budget:
        return whole.best(budget)
    fewest, most = 0, len(order)  # a number that fits, and one that does not
    while most - fewest > 1:
        middle = (fewest + most) // 2
        if policy.play(pool, order[:middle]).spent <= budget:
            fewest = middle
        else:
            most = middle
    return policy.play(pool, order[:fewest]).best(budget) if fewest else PRUNED
