"""Watches the workers of a search through its storage."""

from __future__ import annotations

import logging

import optuna
from optuna.trial import FrozenTrial, TrialState

from hpo.search.limits import Failures
from hpo.search.progress import Progress
from hpo.study.attributes import FINISHED, RESUMED_AFTER, RETRY_OF
from hpo.study.plan import SearchPlan
from hpo.study.trials import has_failed

log = logging.getLogger(__name__)


class SearchMonitor:
    """Watches all workers through the storage: reports ended trials, and ends the run if too many fail."""

    def __init__(self, study: optuna.Study, plan: SearchPlan, progress: Progress) -> None:
        self.study = study
        self.progress, self.epochs = progress, plan.epochs
        self.failures = Failures(study.study_name)
        self.resumed: set[int] = set()  # trials whose resumption was logged
        self.ended = {trial.number for trial in self._ended()}
        progress.begin(study, plan.trials)

    def poll(self) -> int:
        """Report the trials that have finished or failed since the last call; returns their number.

        Raises:
            SearchFailed: too many trials failed.
        """
        running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        for trial in running:
            if RESUMED_AFTER in trial.user_attrs and trial.number not in self.resumed:
                self.resumed.add(trial.number)
                before, reached = trial.user_attrs[RETRY_OF], trial.user_attrs[RESUMED_AFTER]
                said = f"trial {trial.number} continues trial {before} after epoch {reached} of {self.epochs}"
                log.info("%s: %s", self.study.study_name, said)
        self.progress.running({trial.number: max(trial.intermediate_values, default=0) for trial in running}, self.study)
        new = [trial for trial in self._ended() if trial.number not in self.ended]
        for trial in sorted(new, key=lambda trial: (str(trial.datetime_complete), trial.number)):
            self.ended.add(trial.number)
            self.progress.finished(trial, self.study)
            self.failures.note(trial)
        return len(new)

    def _ended(self) -> list[FrozenTrial]:
        trials = self.study.get_trials(deepcopy=False)
        return [t for t in trials if t.state in FINISHED or has_failed(t)]
