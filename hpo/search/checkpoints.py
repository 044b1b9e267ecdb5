"""Checkpoints of trials. An interrupted trial is requeued under another number and resumes from its checkpoint."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from hpo.study.attributes import RETRY_OF
from hpo.study.trials import attempts, is_lost
from trainers.checkpoints import EVERY_SECONDS, CheckpointFile, checkpoint_name
from trainers.config import TrainConfig

log = logging.getLogger(__name__)

FOLDER = "checkpoints"  # in the study's folder
SUFFIX = ".npz"


@dataclass(frozen=True)
class TrialCheckpoints:
    """The checkpoints of a study's trials, one file per trial number. Only the worker of a trial writes its file.

    Attributes:
        folder: the folder of the files. No checkpoint is written if its parent does not exist.
        key: everything except the config that decides the numbers of a trial, as JSON data.
        every: seconds between two checkpoints of a trial.
    """

    folder: Path
    key: Mapping[str, Any] = field(default_factory=dict)
    every: float = EVERY_SECONDS

    def of(self, trial: optuna.Trial, config: TrainConfig) -> CheckpointFile | None:
        """The checkpoint file of a new trial, linked to the files of earlier attempts at it. None if this machine does not
        have the study's folder."""
        if not _is_there(self.folder.parent):
            return None
        before = list(attempts(trial.study.get_trials(deepcopy=False), trial.number))[1:]
        earlier = tuple(map(self._path, before))
        reached = max((epoch for one in before for epoch in one.intermediate_values), default=0)
        if reached and not any(map(_is_there, earlier)):
            log.warning(
                "trial %d starts from its first epoch although %d epochs were trained: %s has no checkpoint of trial %d",
                trial.number,
                reached,
                self.folder,
                before[0].number,
            )
        key = {**self.key, "config": config.to_dict()}
        label, continues = f"trial {trial.number}", f"trial {before[0].number}" if before else ""
        return CheckpointFile(self._path(trial), key, label, earlier, self.every, self.folder.parent, continues)

    def sweep(self, study: optuna.Study) -> None:
        """Remove the files that no trial will resume from."""
        trials = study.get_trials(deepcopy=False)
        again = {trial.user_attrs.get(RETRY_OF) for trial in trials}
        needed = [trial for trial in trials if not trial.state.is_finished() or (is_lost(trial) and trial.number not in again)]
        names = {path.name for trial in needed for path in self._paths(trials, trial)}
        with suppress(OSError):  # the folder may not exist, or another process may use it
            for path in [*self.folder.iterdir()]:
                if checkpoint_name(path) not in names:
                    path.unlink(missing_ok=True)
            self.folder.rmdir()

    def _paths(self, trials: Sequence[FrozenTrial], trial: FrozenTrial) -> Iterator[Path]:
        return map(self._path, attempts(trials, trial.number))

    def _path(self, trial: FrozenTrial | optuna.Trial) -> Path:
        return self.folder / f"trial-{trial.number}{SUFFIX}"


def _is_there(path: Path) -> bool:
    """Whether a file or folder exists; False if it cannot be accessed."""
    try:
        return path.exists()
    except OSError:
        return False
