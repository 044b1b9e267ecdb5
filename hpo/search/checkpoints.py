"""Where the checkpoints of trials are. An interrupted trial is queued again under another number, and goes on from them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from hpo.study.trials import attempts
from trainers.checkpoints import EVERY_SECONDS, CheckpointFile
from trainers.config import TrainConfig

log = logging.getLogger(__name__)

FOLDER = "checkpoints"  # in the study's own
SUFFIX = ".npz"


@dataclass(frozen=True)
class TrialCheckpoints:
    """The checkpoints of a study's trials: a file for each number, which only who trains that number writes.

    Attributes:
        folder: of the files; checkpoints are left only where its parent is there.
        key: all but the config that decides what a trial trains to, as JSON holds it.
        every: seconds between two checkpoints of a trial.
    """

    folder: Path
    key: Mapping[str, Any] = field(default_factory=dict)
    every: float = EVERY_SECONDS

    def of(self, trial: optuna.Trial, config: TrainConfig) -> CheckpointFile | None:
        """The file of a trial that is about to be trained, which knows those of the earlier attempts at it; None where this
        machine does not have the study's folder."""
        if not self.folder.parent.is_dir():
            return None
        before = list(attempts(trial.study.get_trials(deepcopy=False), trial.number))[1:]
        earlier = tuple(map(self._path, before))
        reached = max((epoch for one in before for epoch in one.intermediate_values), default=0)
        if reached and not any(path.exists() for path in earlier):
            log.warning(
                "trial %d begins again after %d epochs: trial %d left no checkpoint in %s",
                trial.number,
                reached,
                before[0].number,
                self.folder,
            )
        key = {**self.key, "config": config.to_dict()}
        return CheckpointFile(self._path(trial), key, f"trial {trial.number}", earlier, self.every, self.folder.parent)

    def sweep(self, study: optuna.Study) -> None:
        """Remove the files that no trial will go on from."""
        trials = study.get_trials(deepcopy=False)
        needed = {path.name for trial in trials if not trial.state.is_finished() for path in self._paths(trials, trial)}
        for trial in trials:
            path = self._path(trial)
            if path.exists() and path.name not in needed:
                CheckpointFile(path, {}).delete()
        with suppress(OSError):  # others may be using it
            self.folder.rmdir()

    def _paths(self, trials: Sequence[FrozenTrial], trial: FrozenTrial) -> Iterator[Path]:
        return map(self._path, attempts(trials, trial.number))

    def _path(self, trial: FrozenTrial | optuna.Trial) -> Path:
        return self.folder / f"trial-{trial.number}{SUFFIX}"
