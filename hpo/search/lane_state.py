"""The state of a trial that trains in a lane, and the part of it that a checkpoint stores."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field

import optuna
from optuna.exceptions import UpdateFinishedTrialError

from hpo.study.attributes import RESUMED_AFTER, RETRY_OF
from trainers.checkpoints import CheckpointFile, Notes
from trainers.config import TrainConfig
from trainers.lanes import LaneJob

NOTED = ("train_seconds", "evaluate_seconds", "values", "metrics")  # stored in a checkpoint


@dataclass(eq=False)
class LaneState(LaneJob):
    """A trial in a lane.

    Attributes:
        epochs: epochs after which the trial was continued. Checkpoints are written after these only: a trial that resumes from
            one reaches the same end.
        trained: all trained epochs.
        values: the values to report, by epoch; a retry reports the values of the earlier attempt again.
        reported: the last reported epoch.
        judged: the last epoch after which the pruner decided, or had nothing to decide.
        signed: the time.monotonic() at which its signature was renewed.
    """

    trial: optuna.Trial
    config: TrainConfig
    never_pruned: bool
    checkpoint: CheckpointFile | None = None
    train_seconds: float = 0.0
    evaluate_seconds: float = 0.0
    epochs: int = 0
    trained: int = 0
    reported: int = 0
    judged: int = 0
    values: dict[int, float] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    signed: float = field(default_factory=time.monotonic)

    def notes(self) -> Notes:
        """The state after the epochs so far, for a checkpoint."""
        return Notes({name: getattr(self, name) for name in NOTED})

    def begin(self) -> None:
        """Start from the first epoch, perhaps again after the lane was lost. Seconds, reports and decisions are not reset."""
        self.epochs = self.trained = 0
        self.values, self.metrics = {}, {}

    def go_on(self, epochs: int, notes: Notes) -> None:
        """Resume after `epochs` epochs from the notes of a checkpoint."""
        noted = {name: notes.values[name] for name in NOTED}
        noted["values"] = {int(epoch): float(value) for epoch, value in noted["values"].items()}
        vars(self).update(noted)
        self.epochs = self.trained = epochs
        if RETRY_OF in self.trial.user_attrs and not self.reported:
            with suppress(UpdateFinishedTrialError):  # another process ended it; the next report raises the same error
                self.trial.set_user_attr(RESUMED_AFTER, epochs)
