"""`train()`: one config, one engine, an iterable of epochs."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator

from trainers.config import TrainConfig
from trainers.data import Interactions
from trainers.engines import Engine, EpochResult, choose_engine, make_engine
from trainers.engines.protocol import Vectors
from trainers.engines.registry import AUTO
from trainers.errors import TrainingDiverged

log = logging.getLogger(__name__)


class Run:
    """A training run. Iterate over it for the epochs, then ask for the vectors.

    >>> run = train(config, seen, held_out)
    >>> for epoch in run:
    ...     print(epoch.epoch, epoch.loss, epoch.metrics)
    >>> users, items = run.vectors()
    """

    def __init__(self, engine: Engine, config: TrainConfig) -> None:
        self.config = config
        self._engine = engine
        self._epochs = self._train()
        self._last: EpochResult | None = None

    def __iter__(self) -> Iterator[EpochResult]:
        return self._epochs

    def _train(self) -> Iterator[EpochResult]:
        self._engine.start(0, self.config)
        for _ in range(self.config.epochs):
            (result,) = self._engine.epoch()
            self._last = result
            check_finite(result)
            yield result

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
) -> Run:
    """Train a config on `seen`, evaluating on `held_out` every `evaluate_every` epochs and after the last.

    Iterating raises TrainingDiverged when the loss is no longer finite.

    Raises:
        InputError: an engine or device that is unknown, absent or cannot run the config; nothing to train on.
    """
    choice = choose_engine(config, engine, device)
    log.info("engine %s on %s: %s", choice.name, choice.device, choice.reason)
    return Run(make_engine(choice, seen, held_out, evaluate_every), config)


def check_finite(result: EpochResult) -> None:
    """Raise TrainingDiverged if the epoch's loss is not finite."""
    if not math.isfinite(result.loss):
        raise TrainingDiverged(result.epoch, f"the training loss became {result.loss}")
