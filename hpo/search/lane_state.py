"""A trial while it trains in a lane, and what a checkpoint keeps of it."""

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

NOTED = ("train_seconds", "evaluate_seconds", "values", "metrics")  # in a checkpoint


@dataclass(eq=False)
class LaneState(LaneJob):
    """A trial in a lane.

    Attributes:
        epochs: after which it was decided to go on. A checkpoint is of these: the epoch in which a trial ends is in none, so
            that whoever goes on from one comes to the same end.
        trained: epochs, whatever has become of the trial.
        values: what is to be reported, by epoch; what an earlier attempt at the trial has reported is reported again.
        reported: the last epoch that is.
        signed: when its signature was renewed, as time.monotonic() tells it.
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
    values: dict[int, float] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    signed: float = field(default_factory=time.monotonic)

    def notes(self) -> Notes:
        """All that is known of the epochs so far."""
        return Notes({name: getattr(self, name) for name in NOTED})

    def begin(self) -> None:
        """From the first epoch, perhaps again, after the lane was lost: seconds add up, and what is reported stays reported."""
        self.epochs = self.trained = 0
        self.values, self.metrics = {}, {}

    def go_on(self, epochs: int, notes: Notes) -> None:
        """What was noted of these epochs, by an earlier attempt at the trial or before the lane was lost."""
        noted = {name: notes.values[name] for name in NOTED}
        noted["values"] = {int(epoch): float(value) for epoch, value in noted["values"].items()}
        vars(self).update(noted)
        self.epochs = self.trained = epochs
        if RETRY_OF in self.trial.user_attrs and not self.reported:
            with suppress(UpdateFinishedTrialError):  # another process has ended it, as its next report will show
                self.trial.set_user_attr(RESUMED_AFTER, epochs)
