"""Runs at full budget: taken from the store, or trained now and stored. An engine with lanes trains several concurrently."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hpo.runs.provenance import Provenance, note_revision, provenance
from hpo.runs.store import UNKNOWN, Beyond, FinishedRun, RunKey, RunStore
from hpo.runtime.signals import Stopper
from trainers import Interactions, TrainConfig, TrainingDiverged, recommend
from trainers.checkpoints import EVERY_SECONDS, CheckpointFile, Notes, rounding
from trainers.early_stopping import EarlyStopping, Plateau
from trainers.engines import Engine, EngineChoice, EpochResult, make_engine
from trainers.engines.protocol import Vectors, every
from trainers.lanes import LaneJob, LaneRunner
from trainers.metrics.accuracy import evaluate_lists
from trainers.metrics.beyond_accuracy import profile_lists, summarise
from trainers.metrics.definitions import Metric, largest_cut_off, metrics_at
from trainers.metrics.gradient_share import gradient_shares
from trainers.train import check_finite

CHECKPOINTS = "checkpoints"  # folder inside the folder of finished runs


class Progress(Protocol):
    """Receives the progress of runs."""

    def run(self, label: str, epochs: int, unit: str = "epoch") -> AbstractContextManager[Callable[[], None]]:
        """Start a run. Yields a function to call after every epoch, or whatever `unit` is."""


@dataclass(frozen=True)
class FullRuns:
    """Trains configs at full budget, or takes finished runs from the store.

    Attributes:
        metrics: the metrics to measure. The first is the objective: curves show it, and measures beyond accuracy use lists of
            its cut-off.
        programs: by the name of each run and baseline returned so far the revision of the program that made it.
    """

    store: RunStore
    progress: Progress
    stopper: Stopper
    metrics: tuple[str, ...]
    checkpoint_every: float = EVERY_SECONDS
    programs: dict[str, str] = field(default_factory=dict)

    def train(
        self,
        configs: Mapping[str, TrainConfig],
        choice: EngineChoice,
        seen: Interactions,
        held_out: Interactions,
        curve_every: int = 0,
        plateau: Plateau | None = None,
        chosen_on: Interactions | None = None,
    ) -> list[FinishedRun]:
        """The runs of configs, given by label, each measured once at its last epoch.

        Args:
            curve_every: epochs between measurements of the objective for a learning curve; 0 for none. Not for the test split.
            plateau: early stopping on `chosen_on`.
            chosen_on: held-out data; None for `held_out`. If that is the test split this leaks; only hpo.replicate does it, and
                labels the rows.

        Raises:
            Stopped: SIGINT or SIGTERM; finished runs and checkpoints are kept, and the same call continues.
            OutOfMemory: a config does not fit on the device even alone.
        """
        note_revision()
        where = seen.checksum, held_out.checksum, choice.name, choice.device
        chosen = "" if chosen_on is None else chosen_on.checksum
        keys = {label: RunKey(one, *where, self.metrics, plateau, chosen) for label, one in configs.items()}
        users = np.flatnonzero(held_out.per_user)
        runs = {label: self.store.load(key, users) for label, key in keys.items()}
        missing = {label: config for label, config in configs.items() if runs[label] is None}
        for label in configs.keys() - missing.keys():  # left by a process that was killed after it stored the run
            self._checkpoint(label, keys[label], {}).delete()
        if missing:
            between = plateau.every if plateau else curve_every
            on_the_way = [self.metrics[0], *([plateau.metric] if plateau else [])]
            measured_on, at = (held_out if chosen_on is None else chosen_on, every(between)) if between else (None, ())
            engine = make_engine(choice, seen, measured_on, at, len(missing), self.stopper.should_stop, on_the_way)

            def keep(record: _Record, vectors: Vectors | None) -> None:
                run = record.finished(provenance(choice.device))
                run = run if vectors is None else self._with_figures(run, vectors, seen, held_out)
                self.store.save(keys[record.label], run)
                checkpoints[record.label].delete()
                runs[record.label] = run

            notes = rounding(choice) | {"curve_every": curve_every}
            checkpoints = {label: self._checkpoint(label, keys[label], notes) for label in missing}
            self._train(engine, missing, checkpoints, plateau, keep)
            with suppress(OSError):  # another process may use the folder
                (self.store.folder / CHECKPOINTS).rmdir()
        self.programs.update({keys[label].digest(): _made_by(run) for label, run in runs.items() if run is not None})
        return [run for run in runs.values() if run is not None]

    def _checkpoint(self, label: str, key: RunKey, more: dict[str, Any]) -> CheckpointFile:
        """The checkpoint file of a run that is not finished."""
        path = self.store.folder / CHECKPOINTS / f"{key.digest()}.npz"
        about = {**key.parts(), **more}
        return CheckpointFile(path, about, label, every=self.checkpoint_every, within=self.store.folder.parent)

    def _train(
        self,
        engine: Engine,
        configs: dict[str, TrainConfig],
        checkpoints: Mapping[str, CheckpointFile],
        plateau: Plateau | None,
        keep: Callable[[_Record, Vectors | None], None],
    ) -> None:
        """Train all configs. `keep` is called with each finished run and its vectors, or None if it diverged."""
        with ExitStack() as bars:
            records = (
                _Record(label, one, self.metrics[0], plateau, self.progress, bars, checkpoints[label])
                for label, one in configs.items()
            )
            lanes = LaneRunner[_Record](engine)
            for results in lanes.rounds(lambda free: islice(records, free)):
                if not results:
                    return
                for record, result in results:
                    ended = lanes.attempt(partial(record.ends, engine, result))
                    if ended is False:
                        continue
                    vectors = lanes.vectors(record) if ended and not record.failure else None
                    if vectors is None and not record.failure:
                        break  # out of memory: all lanes train again
                    lanes.stop(record)
                    keep(record, vectors)

    def _with_figures(self, run: FinishedRun, vectors: Vectors, seen: Interactions, held_out: Interactions) -> FinishedRun:
        """The run with its figures on `held_out`."""
        users = np.flatnonzero(held_out.per_user)
        per_user, beyond = self.measured(recommend(*vectors, seen=seen, users=users, k=self.longest), seen, held_out)
        return replace(
            run,
            metrics=means(per_user),
            per_user=per_user.astype(
                np.float32
            ),  # the stored precision, so that a new run gives the same verdict as a stored one
            beyond=beyond,
            gradient=gradient_shares(run.config, *vectors, seen),
        )

    def measured(self, lists: NDArray[Any], seen: Interactions, held_out: Interactions) -> tuple[pd.DataFrame, Beyond]:
        """Per-user metrics and measures beyond accuracy of lists (n, longest cut-off) for all users with a held-out item."""
        per_user = evaluate_lists(lists, held_out=held_out, metrics=self.metrics)
        k = Metric.parse(self.metrics[0]).k
        return per_user, Beyond(k=k, **summarise(profile_lists(lists[:, :k], held_out=held_out), seen))

    @property
    def longest(self) -> int:
        """The length of the lists: the largest cut-off."""
        return largest_cut_off(metrics_at(self.metrics))


class _Record(LaneJob):
    """A config in a lane and its figures so far. A config that loses its lane is trained again, with the same figures."""

    def __init__(
        self,
        label: str,
        config: TrainConfig,
        objective: str,
        plateau: Plateau | None,
        progress: Progress,
        bars: ExitStack,
        checkpoint: CheckpointFile,
    ) -> None:
        """
        Args:
            bars: closes the progress bar if the training is interrupted.
        """
        self.label, self.config, self.objective, self.plateau = label, config, objective, plateau
        self.checkpoint = checkpoint
        self.seconds, self.failure = 0.0, ""
        self.curve: dict[int, float] = {}
        self.losses: dict[int, float] = {}
        self._stopping: EarlyStopping | None = None
        self._bar = bars.enter_context(ExitStack())
        self._advance = self._bar.enter_context(progress.run(label, config.epochs))
        self._shown = 0  # epochs that the progress bar shows

    def notes(self) -> Notes:
        values: dict[str, Any] = {"seconds": self.seconds, "curve": self.curve, "losses": self.losses}
        if self._stopping is None:
            return Notes(values)
        plateau, best_parameters = self._stopping.notes()
        return Notes(values | {"plateau": plateau}, best_parameters)

    def begin(self) -> None:
        self.epochs, self.curve, self.losses = 0, {}, {}
        self._stopping = None if self.plateau is None else EarlyStopping(self.plateau, self.config)

    def go_on(self, epochs: int, notes: Notes) -> None:
        values = notes.values
        self.epochs, self.seconds, self.failure = epochs, float(values["seconds"]), ""
        self.curve, self.losses = ({int(epoch): value for epoch, value in values[name].items()} for name in ("curve", "losses"))
        if self.plateau is not None:
            self._stopping = EarlyStopping(self.plateau, self.config)
            self._stopping.go_on(values["plateau"], notes.arrays)
        self._show(epochs)

    def _show(self, epochs: int) -> None:
        """Advance the progress bar; epochs that are trained again are not shown twice."""
        for _ in range(self._shown, epochs):
            self._advance()
        self._shown = max(self._shown, epochs)

    def ends(self, engine: Engine, result: EpochResult) -> bool:
        """Record an epoch; returns whether it was the last one."""
        self.seconds += result.train_seconds
        try:
            check_finite(result)
        except TrainingDiverged as error:
            self.failure = str(error)
            return True
        self._show(result.epoch)
        self.losses[result.epoch] = result.loss
        if result.metrics is not None:
            self.curve[result.epoch] = result.metrics[self.objective]
        stopped = self._stopping is not None and self._stopping.ends(engine, result)
        if stopped or result.epoch == self.config.epochs:
            return True
        self.epochs = result.epoch
        return False

    def finished(self, by: Provenance) -> FinishedRun:
        """The outcome, without figures on the held-out data."""
        self._bar.close()
        return FinishedRun(
            self.config, {}, None, round(self.seconds, 3), self.failure, curve=self.curve, losses=self.losses, trained_by=by
        )


def means(per_user: pd.DataFrame) -> dict[str, float]:
    """The mean of each metric over the users."""
    return {str(name): float(per_user[name].mean()) for name in per_user}


def mean_of(parts: Sequence[Any]) -> Any:
    """The mean of numbers; for mappings or lists of the same shape, the mean at each position."""
    first = parts[0]
    if isinstance(first, dict):
        return {key: mean_of([part[key] for part in parts]) for key in first}
    if isinstance(first, list):
        return [mean_of(list(column)) for column in zip(*parts, strict=True)]
    return statistics.fmean(parts)


def _made_by(run: FinishedRun) -> str:
    """The revision of the program that made a run."""
    return run.trained_by.program if run.trained_by else UNKNOWN
