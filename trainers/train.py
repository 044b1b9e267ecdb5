"""`train()`: one config, one engine, an iterable of epochs."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from trainers.config import TrainConfig
from trainers.data import Interactions
from trainers.early_stopping import EarlyStopping, Plateau
from trainers.engines import Engine, EpochResult, choose_engine, make_engine
from trainers.engines.protocol import USUAL_METRICS, Vectors
from trainers.engines.registry import AUTO
from trainers.errors import TrainingDiverged
from trainers.lanes import LaneRunner
from trainers.stopping import ShouldStop, never

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Job:
    config: TrainConfig


class Run:
    """A training run. Iterate over it for the epochs, then ask for the vectors.

    >>> run = train(config, seen, held_out)
    >>> for epoch in run:
    ...     print(epoch.epoch, epoch.loss, epoch.metrics)
    >>> users, items = run.vectors()
    """

    def __init__(self, engine: Engine, config: TrainConfig, plateau: Plateau | None = None) -> None:
        """
        Args:
            plateau: when to stop early, with the best epoch's vectors; the engine then has to evaluate after every epoch.
        """
        self.config = config
        self._stopping = None if plateau is None else EarlyStopping(plateau, config)
        self._engine = engine
        self._epochs = self._train()
        self._last: EpochResult | None = None

    def __iter__(self) -> Iterator[EpochResult]:
        return self._epochs

    def _train(self) -> Iterator[EpochResult]:
        """The lane is kept after the last epoch, for the vectors."""
        jobs = iter([_Job(self.config)])
        for ((_, result),) in LaneRunner[_Job](self._engine).rounds(lambda free: islice(jobs, free)):
            self._last = result
            check_finite(result)
            ended = self._stopping is not None and self._stopping.ends(self._engine, result)
            yield result
            if ended or result.epoch == self.config.epochs:
                return

    def finish(self) -> EpochResult:
        """Train the epochs that are left; returns the last one."""
        for _ in self._epochs:
            pass
        assert self._last is not None  # a config has at least one epoch
        return self._last

    def vectors(self) -> Vectors:
        """User (n_users, d) and item (n_items, d) vectors, float32, of the epochs trained so far; inner products rank."""
        return self._engine.vectors(0)


def train(
    config: TrainConfig,
    seen: Interactions,
    held_out: Interactions | None = None,
    engine: str = AUTO,
    device: str = AUTO,
    evaluate_every: int = 1,
    should_stop: ShouldStop = never,
    metrics: Sequence[str] = USUAL_METRICS,
) -> Run:
    """Train a config on `seen`, evaluating on `held_out` every `evaluate_every` epochs and after the last.

    `metrics` are names such as `ndcg@20`, see `trainers.metrics.definitions.METRICS`; each evaluated epoch has exactly these.

    Iterating raises TrainingDiverged when the loss is no longer finite, and Stopped soon after `should_stop()` says yes: it is
    asked several times a second, in the middle of an epoch, too.

    Raises:
        InputError: an engine or device that is unknown, absent or cannot run the config; nothing to train on; a metric that
            does not exist.
    """
    choice = choose_engine(config, engine, device)
    log.info("engine %s on %s: %s", choice.name, choice.device, choice.reason)
    return Run(make_engine(choice, seen, held_out, evaluate_every, should_stop=should_stop, metrics=metrics), config)


def check_finite(result: EpochResult) -> None:
    """Raise TrainingDiverged if the epoch's loss is not finite."""
    if not math.isfinite(result.loss):
        raise TrainingDiverged(result.epoch, f"the training loss became {result.loss}")
