"""`train()`: one config, one engine, an iterable of epochs."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from trainers.checkpoints import CheckpointFile, Notes, refuse_others, training_key
from trainers.config import TrainConfig
from trainers.data import Interactions
from trainers.early_stopping import EarlyStopping, Plateau
from trainers.engines import Engine, EpochResult, choose_engine, make_engine
from trainers.engines.protocol import USUAL_METRICS, Vectors, every
from trainers.engines.registry import AUTO
from trainers.errors import TrainingDiverged
from trainers.lanes import LaneJob, LaneRunner
from trainers.stopping import ShouldStop, never

log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Job(LaneJob):
    config: TrainConfig
    checkpoint: CheckpointFile | None = None
    went_on_after: int = 0

    def go_on(self, epochs: int, notes: Notes) -> None:
        self.epochs = self.went_on_after = epochs


class Run:
    """A training run. Iterate over it for the epochs, then ask for the vectors.

    >>> run = train(config, seen, held_out)
    >>> for epoch in run:
    ...     print(epoch.epoch, epoch.loss, epoch.metrics)
    >>> users, items = run.vectors()
    """

    def __init__(
        self, engine: Engine, config: TrainConfig, plateau: Plateau | None = None, checkpoint: CheckpointFile | None = None
    ) -> None:
        """
        Args:
            plateau: when to stop early, with the best epoch's vectors; the engine then has to evaluate after every epoch.
            checkpoint: where to go on from, and to leave checkpoints until the last epoch has been given and the next one is
                asked for. A plateau's notes are not in them: give one or the other.

        Raises:
            ValueError: a plateau and checkpoints.
        """
        if plateau is not None and checkpoint is not None:
            raise ValueError("a run with a plateau leaves no checkpoints")
        self.config = config
        self._stopping = None if plateau is None else EarlyStopping(plateau, config)
        self._engine = engine
        self._job = _Job(config, checkpoint)
        self._epochs = self._train()
        self._last: EpochResult | None = None

    def __iter__(self) -> Iterator[EpochResult]:
        return self._epochs

    def _train(self) -> Iterator[EpochResult]:
        """The lane is kept after the last epoch, for the vectors."""
        jobs = iter([self._job])
        for ((_, result),) in LaneRunner[_Job](self._engine).rounds(lambda free: islice(jobs, free)):
            self._job.epochs, self._last = result.epoch, result
            try:
                check_finite(result)
            except TrainingDiverged:
                self._delete_checkpoint()
                raise
            ended = self._stopping is not None and self._stopping.ends(self._engine, result)
            yield result
            if ended or result.epoch == self.config.epochs:
                self._delete_checkpoint()
                return

    def _delete_checkpoint(self) -> None:
        if self._job.checkpoint is not None:
            self._job.checkpoint.delete()

    def finish(self) -> EpochResult:
        """Train the epochs that are left; returns the last one."""
        for _ in self._epochs:
            pass
        assert self._last is not None  # a config has at least one epoch
        return self._last

    def vectors(self) -> Vectors:
        """User (n_users, d) and item (n_items, d) vectors, float32, of the epochs trained so far; inner products rank."""
        return self._engine.vectors(0)

    @property
    def went_on_after(self) -> int:
        """Epochs that an earlier, interrupted run had trained; known once the first epoch has been asked for."""
        return self._job.went_on_after


def train(
    config: TrainConfig,
    seen: Interactions,
    held_out: Interactions | None = None,
    engine: str = AUTO,
    device: str = AUTO,
    evaluate_every: int = 1,
    should_stop: ShouldStop = never,
    metrics: Sequence[str] = USUAL_METRICS,
    checkpoint: str | Path | None = None,
) -> Run:
    """Train a config on `seen`, evaluating on `held_out` every `evaluate_every` epochs and after the last.

    `metrics` are names such as `ndcg@20`, see `trainers.metrics.definitions.METRICS`; each evaluated epoch has exactly these.

    Iterating raises TrainingDiverged when the loss is no longer finite, and Stopped soon after `should_stop()` says yes: it is
    asked several times a second, in the middle of an epoch, too.

    Args:
        checkpoint: an .npz file that is written every half minute and when training is stopped. If it is there and of the same
            training, the run goes on from it, to the same numbers as without the interruption; epochs that were trained before
            are not given again. It is deleted when the iteration ends.

    Raises:
        InputError: an engine or device that is unknown, absent or cannot run the config; nothing to train on; evaluate_every
            below 1; a metric that does not exist; a file in the checkpoint's place that is none.
    """
    if checkpoint is not None:
        refuse_others(Path(checkpoint))
    choice = choose_engine(config, engine, device)
    log.info("engine %s on %s: %s", choice.name, choice.device, choice.reason)
    made = make_engine(choice, seen, held_out, every(evaluate_every), should_stop=should_stop, metrics=metrics)
    if checkpoint is None:
        return Run(made, config)
    return Run(made, config, checkpoint=CheckpointFile(Path(checkpoint), training_key(config, seen, held_out, choice)))


def check_finite(result: EpochResult) -> None:
    """Raise TrainingDiverged if the epoch's loss is not finite."""
    if not math.isfinite(result.loss):
        raise TrainingDiverged(result.epoch, f"the training loss became {result.loss}")
