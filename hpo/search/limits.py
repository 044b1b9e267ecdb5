"""What ends a search that cannot go on: too many failed trials, or a study that is gone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import optuna
from optuna.trial import FrozenTrial

from hpo.runtime.process import SearchFailed, StudyDeleted
from hpo.study.attributes import FAILURE, FINISHED
from hpo.study.trials import has_failed

MAX_FAILURES, MAX_FAILURES_IN_A_ROW = 10, 5


@contextmanager
def while_it_exists(study: optuna.Study) -> Iterator[None]:
    """Within the block, a study that is deleted ends the search with a message.

    Raises:
        StudyDeleted: it was.
    """
    try:
        yield
    except KeyError:  # of Optuna's storages for what is not there, and of any mistake of ours
        if _exists(study):
            raise
        raise StudyDeleted(
            f"study {study.study_name!r} was deleted while it was searched; run the same command to search it anew"
        ) from None


def _exists(study: optuna.Study) -> bool:
    try:
        return isinstance(study.user_attrs, dict)  # the storage is asked for them
    except KeyError:
        return False


class Failures:
    """Counts the trials of a run that failed through their config: 10, or 5 in a row, end it if `stop_on_failures`."""

    def __init__(self, stop_on_failures: bool = True) -> None:
        self.stop_on_failures = stop_on_failures
        self.reasons: list[str] = []
        self.in_a_row = 0

    def note(self, trial: FrozenTrial) -> None:
        """Count a trial that has ended.

        Raises:
            SearchFailed: one too many.
        """
        if trial.state in FINISHED:
            self.in_a_row = 0
        if not has_failed(trial):
            return
        self.reasons.append(f"trial {trial.number}: {trial.user_attrs[FAILURE]['reason']}")
        self.in_a_row += 1
        if self.stop_on_failures and (len(self.reasons) >= MAX_FAILURES or self.in_a_row >= MAX_FAILURES_IN_A_ROW):
            raise SearchFailed("too many trials failed; the study is kept\n" + "\n".join(self.reasons))
