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

from hpo.study.attributes import RETRY_OF
from hpo.study.trials import attempts, is_lost
from trainers.checkpoints import EVERY_SECONDS, CheckpointFile, checkpoint_name
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
        if not _is_there(self.folder.parent):
            return None
        before = list(attempts(trial.study.get_trials(deepcopy=False), trial.number))[1:]
        earlier = tuple(map(self._path, before))
        reached = max((epoch for one in before for epoch in one.intermediate_values), default=0)
        if reached and not any(map(_is_there, earlier)):
            log.warning(
                "trial %d begins at its first epoch, though %d epochs were trained: there is no checkpoint of trial %d in %s",
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
        again = {trial.user_attrs.get(RETRY_OF) for trial in trials}
        needed = [trial for trial in trials if not trial.state.is_finished() or (is_lost(trial) and trial.number not in again)]
        names = {path.name for trial in needed for path in self._paths(trials, trial)}
        with suppress(OSError):  # there may be none, or others may be using it
            for path in [*self.folder.iterdir()]:
                if checkpoint_name(path) not in names:
                    path.unlink(missing_ok=True)
            self.folder.rmdir()

    def _paths(self, trials: Sequence[FrozenTrial], trial: FrozenTrial) -> Iterator[Path]:
        return map(self._path, attempts(trials, trial.number))

    def _path(self, trial: FrozenTrial | optuna.Trial) -> Path:
        return self.folder / f"trial-{trial.number}{SUFFIX}"


def _is_there(path: Path) -> bool:
    """Whether a file or folder is there; one that cannot be looked at is not."""
    try:
        return path.exists()
    except OSError:
        return False
