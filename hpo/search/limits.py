"""Limits on failed trials that end a search."""

from __future__ import annotations

from optuna.trial import FrozenTrial

from hpo.runtime.process import TooManyFailedTrials
from hpo.study.attributes import FAILURE, FINISHED
from hpo.study.trials import has_failed

MAX_FAILURES, MAX_FAILURES_IN_A_ROW = 10, 5


class Failures:
    """Counts the trials of a study that failed in this run because of their config. 10, or 5 in a row, end the run if
    `stop_on_failures`.
    """

    def __init__(self, study: str, stop_on_failures: bool = True) -> None:
        self.study, self.stop_on_failures = study, stop_on_failures
        self.reasons: list[str] = []
        self.in_a_row = 0

    def note(self, trial: FrozenTrial) -> None:
        """Count a trial that has ended.

        Raises:
            TooManyFailedTrials: too many trials failed.
        """
        if trial.state in FINISHED:
            self.in_a_row = 0
        if not has_failed(trial):
            return
        self.reasons.append(f"trial {trial.number}: {trial.user_attrs[FAILURE]['reason']}")
        self.in_a_row += 1
        if self.stop_on_failures and (len(self.reasons) >= MAX_FAILURES or self.in_a_row >= MAX_FAILURES_IN_A_ROW):
            raise TooManyFailedTrials(
                f"study {self.study!r}: too many trials failed ({MAX_FAILURES} in all, or {MAX_FAILURES_IN_A_ROW} in a row); "
                "the study is kept; change its search ranges or fixed settings and search again under another name\n"
                + "\n".join(self.reasons)
            )
