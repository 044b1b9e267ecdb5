"""Operations are retried while a server cannot be reached."""

from __future__ import annotations

import time
from typing import Any

import optuna
import pytest
import sqlalchemy
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.trial import TrialState

from hpo.search.claims import requeue
from hpo.storage.retrying import OPERATIONS, is_outage, patient


class Failing(InMemoryStorage):
    """A storage that fails for the first calls of one operation."""

    def __init__(self, times: int, error: Exception) -> None:
        super().__init__()
        self.times, self.error, self.calls = times, error, 0

    def get_all_studies(self) -> list[optuna.study._frozen.FrozenStudy]:
        self.calls += 1
        if self.calls <= self.times:
            raise self.error
        return super().get_all_studies()


AWAY = sqlalchemy.exc.OperationalError("SELECT", None, Exception("server closed the connection"))


def test_an_operation_is_retried_for_a_limited_time(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("hpo.storage.retrying.PAUSES", (0.01,))
    inner = Failing(3, AWAY)
    assert patient(inner, seconds=60).get_all_studies() == []
    assert inner.calls == 4
    started = time.monotonic()
    with pytest.raises(optuna.exceptions.StorageInternalError):
        patient(Failing(10**9, AWAY), seconds=0.2).get_all_studies()
    assert time.monotonic() - started < 10
    wrong = Failing(1, ValueError("a bug"))
    with pytest.raises(ValueError, match="a bug"):
        patient(wrong).get_all_studies()
    assert wrong.calls == 1, "other errors are not retried"


def test_an_error_that_an_outage_caused_counts_as_an_outage():
    wrapped = optuna.exceptions.StorageInternalError("during the commit")
    wrapped.__cause__ = AWAY
    assert is_outage(wrapped)
    assert not is_outage(optuna.exceptions.StorageInternalError("during the commit"))


class Forgetful(InMemoryStorage):
    """A storage that works, but loses its first answer to some operations."""

    def __init__(self, *operations: str) -> None:
        super().__init__()
        self.lost = set(operations)

    def _answer(self, operation: str, result: object) -> object:
        if operation in self.lost:
            self.lost.remove(operation)
            raise AWAY
        return result

    def create_new_trial(self, *arguments: Any, **named: Any) -> Any:
        return self._answer("create_new_trial", super().create_new_trial(*arguments, **named))

    def set_trial_state_values(self, *arguments: Any, **named: Any) -> Any:
        return self._answer("set_trial_state_values", super().set_trial_state_values(*arguments, **named))


def test_a_state_is_set_once_if_the_answer_is_lost():
    storage = Forgetful()
    study = optuna.create_study(storage=patient(storage), direction="maximize")
    trial = study.ask({"x": optuna.distributions.FloatDistribution(0, 1)})
    storage.lost = {"set_trial_state_values"}
    study.tell(trial, 1.0)
    assert study.best_value == 1.0
    study.tell(study.ask(), 2.0)
    with pytest.raises(ValueError, match="COMPLETE"):
        study.tell(0, 3.0)


def test_a_trial_that_was_queued_twice_runs_once():
    storage = Forgetful()
    study = optuna.create_study(storage=patient(storage), direction="maximize")
    lost = study.ask({"margin": optuna.distributions.FloatDistribution(0.3, 0.98)})
    storage.lost = {"create_new_trial", "set_trial_state_values"}
    assert requeue(study, study.trials[lost.number], count=True)
    states = [trial.state for trial in study.trials]
    assert states == [TrialState.FAIL, TrialState.WAITING, TrialState.WAITING]
    duplicates = study.trials[1:]
    assert duplicates[0].user_attrs == duplicates[1].user_attrs, "the scheduler finds duplicates by these"


def test_every_operation_of_a_storage_is_retried():
    assert set(OPERATIONS) >= set(BaseStorage.__abstractmethods__)
    storage = patient(InMemoryStorage())
    study = optuna.create_study(storage=storage, direction="maximize")
    study.enqueue_trial({"x": 0.5})
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
    assert study.trials[0].value == 0.5
    assert study.best_value == max(trial.value for trial in study.trials if trial.value is not None)
