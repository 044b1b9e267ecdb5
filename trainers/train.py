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
from trainers.metrics.accuracy import check_unseen
from trainers.stopping import ShouldStop, never

log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Job(LaneJob):
    config: TrainConfig
    checkpoint: CheckpointFile | None = None

    def begin(self) -> None:
        self.epochs = 0

    def go_on(self, epochs: int, notes: Notes) -> None:
        self.epochs = epochs


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
            plateau: early stopping with the vectors of the best epoch; the engine must evaluate every `plateau.every` epochs.
            checkpoint: the file to resume from and to write checkpoints to. It is deleted at the end of the iteration. It does
                not hold a plateau's state, so it cannot be used with one.

        Raises:
            ValueError: both a plateau and a checkpoint are given.
        """
        if plateau is not None and checkpoint is not None:
            raise ValueError("a run with a plateau cannot have checkpoints; leave one of them out")
        self.config = config
        self._stopping = None if plateau is None else EarlyStopping(plateau, config)
        self._engine = engine
        self._job = _Job(config, checkpoint)
        self._epochs = self._train()
        self._last: EpochResult | None = None
        self._failure: BaseException | None = None

    def __iter__(self) -> Iterator[EpochResult]:
        return self._epochs

    def _train(self) -> Iterator[EpochResult]:
        """Train and yield epochs; keep the error that ends them."""
        try:
            yield from self._rounds()
        except GeneratorExit:  # the caller has closed the iterator
            raise
        except BaseException as error:
            self._failure = error
            raise

    def _rounds(self) -> Iterator[EpochResult]:
        """Train and yield epochs. The lane is not freed after the last epoch, so that the vectors can be read."""
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
        """Train the remaining epochs; returns the last one. If training has failed, its error is raised again."""
        for _ in self._epochs:
            pass
        if self._failure is not None:
            raise self._failure
        assert self._last is not None  # a config has at least one epoch
        return self._last

    def vectors(self) -> Vectors:
        """User (n_users, d) and item (n_items, d) vectors for ranking by inner products, float32, after the epochs so far."""
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
    checkpoint: str | Path | None = None,
) -> Run:
    """Train a config on `seen`, evaluating on `held_out` every `evaluate_every` epochs and after the last one.

    Iterating over the run raises TrainingDiverged if the loss is not finite, OutOfMemory if a config does not fit into the
    memory, and Stopped soon after `should_stop()` is true.

    Args:
        should_stop: checked several times a second, also within an epoch.
        metrics: names such as `ndcg@20`, see `trainers.metrics.definitions.METRICS`.
        checkpoint: an .npz file that is written every 30 s and when training stops. If it exists and belongs to the same
            training, the run resumes from it, with the same numbers as without the interruption; earlier epochs are not yielded
            again. It is deleted at the end of the iteration.

    Raises:
        InputError: an engine or device that is unknown, absent or cannot run the config; no training pairs, or none that the
            config's negatives can be drawn for; held-out pairs that are seen; evaluate_every below 1; an unknown metric; or
            `checkpoint` is a file that is no checkpoint.
    """
    if checkpoint is not None:
        refuse_others(Path(checkpoint))
    if held_out is not None:
        check_unseen(seen, held_out)
    choice = choose_engine(config, engine, device)
    log.info("engine %s on %s: %s", choice.name, choice.device, choice.reason)
    made = make_engine(choice, seen, held_out, every(evaluate_every), should_stop=should_stop, metrics=metrics)
    config.negatives.check(seen)
    if checkpoint is None:
        return Run(made, config)
    return Run(made, config, checkpoint=CheckpointFile(Path(checkpoint), training_key(config, seen, held_out, choice)))


def check_finite(result: EpochResult) -> None:
    """Raise TrainingDiverged if the epoch's loss is not finite."""
    if not math.isfinite(result.loss):
        raise TrainingDiverged(result.epoch, f"the training loss became {result.loss}")
