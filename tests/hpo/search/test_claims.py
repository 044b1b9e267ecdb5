from __future__ import annotations

import subprocess
import sys
import time
from datetime import timedelta
from typing import Any

import optuna
import psutil
import pytest
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState

from hpo.search.claims import (
    CLAIM_SECONDS,
    Reaper,
    ask_signed,
    is_dead,
    reap,
    requeue,
    signature,
    start_time,
    this_worker,
)
from hpo.study.attributes import FAILURE, LOST, MAX_RETRIES, PUBLISHED_MARK, RETRIES, RETRY_OF, SAMPLED, WORKER, WORKER_DIED

BOX = {"x": optuna.distributions.FloatDistribution(0.0, 1.0)}


@pytest.fixture
def study() -> optuna.Study:
    return optuna.create_study()


def running(study: optuna.Study, worker: dict[str, object] | None) -> optuna.trial.FrozenTrial:
    trial = study.ask(fixed_distributions=BOX)
    if worker is not None:
        trial.set_user_attr(WORKER, worker)
        trial.set_user_attr(SAMPLED, True)  # written when all parameters are sampled
    return study.trials[trial.number]


def dead_process() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def later(hours: float) -> float:
    return time.time() + 3600.0 * hours


def test_this_process_is_alive(study: optuna.Study):
    assert not is_dead(running(study, this_worker()), later(1000))


def test_a_process_that_ended_is_dead(study: optuna.Study):
    assert is_dead(running(study, {**this_worker(), "pid": dead_process()}), later(0))


def test_another_process_with_the_same_pid_does_not_count(study: optuna.Study):
    assert is_dead(running(study, {**this_worker(), "started": 1.0}), later(0))


def test_a_zombie_is_dead(study: optuna.Study):
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as child:
        trial = running(study, {**this_worker(), "pid": child.pid, "started": start_time(child.pid)})
        assert not is_dead(trial, later(0))
        child.kill()
        while psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)
        assert is_dead(trial, later(0)), "a zombie does not work"


def test_a_process_of_an_earlier_boot_is_dead(study: optuna.Study):
    assert is_dead(running(study, {**this_worker(), "boot": "another"}), later(0))


def test_a_process_of_another_machine_is_dead_only_when_stale(study: optuna.Study):
    trial = running(study, {**this_worker(), "host": "elsewhere", "pid": 1})
    assert not is_dead(trial, later(1.9), stale_hours=2.0)
    assert is_dead(trial, later(2.1), stale_hours=2.0)
    assert not is_dead(trial, later(-1.9), stale_hours=2.0)
    assert is_dead(trial, later(-2.1), stale_hours=2.0), "the clock of one machine is wrong"


def test_a_clone_of_this_machine_is_another_machine(study: optuna.Study):
    """Its host name is the same. Its machine id and boot differ."""
    trial = running(study, {**this_worker(), "machine": "another", "boot": "another", "pid": dead_process()})
    assert not is_dead(trial, later(1.9), stale_hours=2.0)
    assert is_dead(trial, later(2.1), stale_hours=2.0)


def test_the_age_on_another_machine_does_not_depend_on_its_time_zone(study: optuna.Study):
    """Optuna stores the start of a trial in local time."""
    trial = running(study, {**this_worker(), "host": "elsewhere"})
    trial.datetime_start = trial.datetime_start and trial.datetime_start - timedelta(hours=9)
    assert not is_dead(trial, later(1.9), stale_hours=2.0)
    assert is_dead(trial, later(2.1), stale_hours=2.0)


def test_another_container_of_this_host_is_another_machine(study: optuna.Study):
    trial = running(study, {**this_worker(), "pids": "pid:[1]", "pid": dead_process()})
    assert not is_dead(trial, later(1.9), stale_hours=2.0)
    assert is_dead(trial, later(2.1), stale_hours=2.0)


def test_a_process_with_denied_access_counts_as_alive(study: optuna.Study, monkeypatch: pytest.MonkeyPatch):
    trial = running(study, this_worker())

    def denied(process: psutil.Process) -> str:
        raise psutil.AccessDenied(process.pid)

    monkeypatch.setattr(psutil.Process, "status", denied)
    assert not is_dead(trial, later(0))


@pytest.mark.skipif(not psutil.LINUX, reason="psutil reads the boot time elsewhere")
def test_a_change_of_the_clock_makes_no_process_dead(study: optuna.Study, monkeypatch: pytest.MonkeyPatch):
    """psutil counts from the boot time, which it derives from the clock."""
    trial = running(study, this_worker())
    boot, created = psutil.boot_time(), psutil.Process().create_time()
    monkeypatch.setattr("psutil._pslinux.boot_time", lambda: boot + 3600.0)
    assert psutil.Process().create_time() == created + 3600.0
    assert not is_dead(trial, later(0))


@pytest.mark.parametrize("worker", [None, "damaged", {"host": "here"}, {**this_worker(), "pid": "1"}])
def test_a_trial_that_stays_unsigned_is_dead(study: optuna.Study, monkeypatch: pytest.MonkeyPatch, worker: object):
    trial = study.ask(fixed_distributions=BOX)
    if worker is not None:
        trial.set_user_attr(WORKER, worker)
    now = [1000.0]
    monkeypatch.setattr("hpo.search.claims.time.monotonic", lambda: now[0])
    reaper = Reaper(study)
    assert reaper.reap() == [], "the time counts from the first look"
    now[0] += CLAIM_SECONDS - 1
    assert reaper.reap() == []
    now[0] += 2
    assert reaper.reap() == [0]
    assert reap(study) == [], "the trial is already in the queue"


def test_reaped_trials_are_requeued_up_to_the_maximum_of_retries(study: optuna.Study):
    params = running(study, {**this_worker(), "boot": "another"}).params
    for retries in range(1, MAX_RETRIES + 1):
        assert len(reap(study)) == 1
        waiting = study.get_trials(states=(TrialState.WAITING,))
        assert len(waiting) == 1
        assert waiting[0].user_attrs[RETRIES] == retries
        trial = running(study, {**this_worker(), "boot": "another"})
        assert trial.params == params, "the retry has the same parameters"
    assert reap(study) == []
    assert not study.get_trials(states=(TrialState.WAITING,)), "after the last retry a trial is given up"
    assert {trial.state for trial in study.trials} == {TrialState.FAIL}
    failures = [trial.user_attrs.get(FAILURE) for trial in study.trials]
    reason = "its worker was killed 4 times, each time before another epoch was measured"
    assert failures == [None, None, None, {"epoch": 0, "reason": reason, WORKER_DIED: True}]
    assert reap(study) == [], "a failed trial is not requeued"


def test_a_trial_that_makes_progress_each_time_is_never_given_up(study: optuna.Study):
    """Such a trial takes hours, on a machine that is taken away every half hour."""
    dead = {**this_worker(), "boot": "another"}
    running(study, dead)
    for epoch in range(2 * MAX_RETRIES):
        last = study.trials[-1]
        study._storage.set_trial_intermediate_value(last._trial_id, epoch + 1, 0.5)
        assert reap(study) == [last.number]
        running(study, dead)
        assert study.trials[-1].user_attrs[RETRIES] == 1
    assert len(reap(study)) == 1, "without a further epoch the retry counts"
    assert study.trials[-1].user_attrs[RETRIES] == 2


def test_a_trial_is_requeued_after_its_reaper_was_killed(study: optuna.Study):
    trial = running(study, {**this_worker(), "boot": "another"})
    study._storage.set_trial_user_attr(trial._trial_id, LOST, True)
    study.tell(trial.number, state=TrialState.FAIL)
    ended = running(study, this_worker())
    study.tell(ended.number, state=TrialState.FAIL)  # the user ended it in the dashboard
    failed = running(study, this_worker())
    study._storage.set_trial_user_attr(failed._trial_id, FAILURE, {"epoch": 1, "reason": "diverged"})
    study.tell(failed.number, state=TrialState.FAIL)
    assert reap(study) == [0]
    assert reap(study) == [], "it is requeued once"
    (waiting,) = study.get_trials(states=(TrialState.WAITING,))
    assert (waiting.user_attrs[RETRY_OF], waiting.user_attrs[RETRIES]) == (0, 1)


def test_trials_of_living_workers_are_not_changed(study: optuna.Study):
    running(study, this_worker())
    assert reap(study) == []
    assert study.trials[0].state == TrialState.RUNNING


def test_published_trials_stay_published(study: optuna.Study):
    study.enqueue_trial({"x": 0.5}, user_attrs={PUBLISHED_MARK: "yelp2018"})
    requeue(study, running(study, this_worker()), count=False)
    (waiting,) = study.get_trials(states=(TrialState.WAITING,))
    assert waiting.user_attrs == {PUBLISHED_MARK: "yelp2018", RETRIES: 0, RETRY_OF: 0}


class Killed(Exception):
    """Ends a process in the middle, like a kill."""


class Mortal(InMemoryStorage):
    """A storage that raises Killed before one write, 0 for the next one. Later writes work."""

    dies_at = -1

    def _write(self) -> None:
        self.dies_at -= 1
        if self.dies_at == -1:
            raise Killed

    def set_trial_state_values(self, *arguments: Any, **named: Any) -> bool:
        self._write()
        return super().set_trial_state_values(*arguments, **named)

    def create_new_trial(self, *arguments: Any, **named: Any) -> int:
        self._write()
        return super().create_new_trial(*arguments, **named)

    def set_trial_user_attr(self, *arguments: Any, **named: Any) -> None:
        self._write()
        super().set_trial_user_attr(*arguments, **named)


@pytest.mark.parametrize("write", [0, 1])
def test_a_kill_during_a_requeue_loses_no_trial(write: int):
    storage = Mortal()
    study = optuna.create_study(storage=storage)
    trial = running(study, {**this_worker(), "boot": "another"})
    storage.dies_at = write
    with pytest.raises(Killed):
        requeue(study, trial, count=False)
    assert reap(study) == [0]
    assert [trial.state for trial in study.trials] == [TrialState.FAIL, TrialState.WAITING], "requeued exactly once"
    assert study.ask(fixed_distributions=BOX).params == trial.params


def test_a_trial_that_has_finished_meanwhile_is_not_requeued(study: optuna.Study):
    trial = running(study, this_worker())
    study.tell(trial.number, 1.0)
    assert not requeue(study, trial, count=True)
    assert len(study.trials) == 1


@pytest.mark.parametrize(("queued", "write", "unsigned"), [(False, 0, 0), (True, 0, 0), (True, 1, 1)])
def test_a_trial_is_signed_from_its_start(queued: bool, write: int, unsigned: int):
    """The only exception is a kill between the two writes that take a queued trial and sign it."""
    storage = Mortal()
    study = optuna.create_study(storage=storage)
    if queued:
        study.enqueue_trial({"x": 0.5})
    storage.dies_at = write
    with pytest.raises(Killed):
        ask_signed(study)
    taken = study.get_trials(states=(TrialState.RUNNING,))
    assert len([trial for trial in taken if signature(trial) is None]) == unsigned
    storage.dies_at = -1
    trial = ask_signed(study)
    assert signature(study.trials[trial.number]) is not None


def test_a_search_waits_for_an_unsigned_trial():
    """Another worker signs it soon, or its worker is dead. The next proposal may depend on it."""
    study = optuna.create_study()
    study.ask()
    reaper = Reaper(study)
    assert reaper.reap() == []
    assert reaper.awaits
    study._storage.set_trial_user_attr(0, WORKER, this_worker())
    assert reaper.reap() == []
    assert not reaper.awaits


def test_an_incompletely_sampled_trial_is_sampled_again(study: optuna.Study):
    trial = study.ask(fixed_distributions=BOX)
    trial.set_user_attr(WORKER, {**this_worker(), "boot": "another"})
    assert reap(study) == [0]
    (waiting,) = study.get_trials(states=(TrialState.WAITING,))
    assert waiting.system_attrs["fixed_params"] == {}
