"""A search with several real worker processes, which get real signals."""

from __future__ import annotations

import logging
import os
import re
import signal
import time
from collections.abc import Callable

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from hpo.runtime.process import SearchFailed
from hpo.runtime.signals import Stopper
from hpo.search.job import SearchJob
from hpo.search.monitor import SearchMonitor
from hpo.search.progress import NoProgress
from hpo.storage.open import open_storage
from hpo.study.attributes import FAILURE, RESUMED_AFTER, RETRIES, RETRY_OF, WORKER
from hpo.study.plan import SearchPlan
from hpo.study.spec import load_spec
from hpo.study.workspace import Workspace

from ..conftest import Place
from ..processes import PATIENCE, alive, check_whole, journal, pids_at_work, start, start_anew, trials_of, wait_until


@pytest.fixture
def busy_place(place: Place) -> Place:
    """A study with trials that last long enough to be killed."""
    place.edit("epochs: 3", "epochs: 400")
    place.edit("interval_steps: 1", "interval_steps: 100")
    place.edit("n_startup_trials: 2", "n_startup_trials: 100")
    return place


def test_workers_share_one_budget_and_one_display(place: Place):
    place.edit("trials: 4", "trials: 9")
    process = start_anew(place, "--workers", "2")
    shown, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    check_whole(place, 9, 2)
    signatures = {trial.user_attrs[WORKER]["pid"] for trial in trials_of(place)}
    assert len(signatures) == 2
    assert process.pid not in signatures
    for trial in trials_of(place):
        assert len(re.findall(rf"^trial {trial.number}[: ]", shown, re.MULTILINE)) == 1
    assert "best trial" in shown
    assert (place.output / "tiny_mml" / "best.yaml").exists()


def test_ended_workers_are_replaced_and_their_trials_run_again(busy_place: Place):
    """Both workers end at once: one by SIGKILL and one by SIGTERM."""
    busy_place.edit("epochs: 400", "epochs: 2000")  # a trial outlasts many looks at the journal
    process = start(busy_place, "--workers", "2")
    wait_until(lambda: len(pids_at_work(busy_place)) == 2, process)
    for pid, number in zip(pids_at_work(busy_place), (signal.SIGKILL, signal.SIGTERM), strict=True):
        os.kill(pid, number)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    assert "was killed (SIGKILL)" in errors
    assert "was killed (SIGTERM)" in errors
    assert "Traceback" not in errors
    check_whole(busy_place, 4, 2)
    lost = [trial for trial in trials_of(busy_place) if trial.state == TrialState.FAIL]
    assert len(lost) == 2
    for trial in lost:
        again = [one for one in trials_of(busy_place) if one.params == trial.params and one.state != TrialState.FAIL]
        assert len(again) == 1


def test_workers_that_never_finish_a_trial_end_the_run(busy_place: Place):
    """The limit is lowered, so that the third death ends the run."""
    busy_place.edit("epochs: 400", "epochs: 1000000")
    process = start(busy_place, "--workers", "2", before="import hpo.search.processes; hpo.search.processes.MAX_DEATHS = 1")
    killed: set[int] = set()
    while process.poll() is None:
        for pid in pids_at_work(busy_place) - killed:
            killed.add(pid)
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.2)
    _, errors = process.communicate()
    assert process.returncode == 1
    assert len(killed) >= 3
    assert "killed again and again (SIGKILL)" in errors
    assert "Traceback" not in errors


def test_workers_whose_parent_is_killed_requeue_their_trials(busy_place: Place):
    busy_place.edit("trials: 4", "trials: 600")
    process = start(busy_place, "--workers", "2")
    wait_until(lambda: len(pids_at_work(busy_place)) == 2, process)
    orphans = pids_at_work(busy_place)
    process.kill()
    process.communicate()
    deadline = time.monotonic() + PATIENCE
    while any(map(alive, orphans)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(alive, orphans))
    states = [trial.state for trial in trials_of(busy_place)]
    assert TrialState.RUNNING not in states
    assert states.count(TrialState.WAITING) == 2


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_reaches_all_workers(busy_place: Place, number: int, code: int):
    busy_place.edit("trials: 4", "trials: 600")
    process = start_anew(busy_place, "--workers", "2", session=True)
    wait_until(lambda: len(pids_at_work(busy_place)) == 2, process)
    workers = pids_at_work(busy_place)
    os.killpg(process.pid, number)  # as a terminal and Slurm do
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == code
    assert errors.count("the same command continues") == 1
    assert "Traceback" not in errors
    assert not any(map(alive, workers))
    states = [trial.state for trial in trials_of(busy_place)]
    assert TrialState.RUNNING not in states
    assert states.count(TrialState.WAITING) == 2
    assert not any(trial.user_attrs.get(RETRIES) for trial in trials_of(busy_place)), "a signal uses up no retry"


def test_a_failing_trial_counts_once_it_has_ended():
    """A worker writes the reason before it ends the trial."""
    study = optuna.create_study()
    monitor = SearchMonitor(study, SearchPlan(), NoProgress())
    for number in range(5):
        trial = study.ask()
        trial.set_user_attr(FAILURE, {"epoch": 1, "reason": "x"})
        assert monitor.poll() == 0
        study.tell(trial, state=TrialState.FAIL)
        if number < 4:
            assert monitor.poll() == 1
    with pytest.raises(SearchFailed, match="trial 4: x"):
        monitor.poll()


def test_the_message_of_a_resumed_trial_has_the_number_of_the_first_attempt(caplog: pytest.LogCaptureFixture):
    study = optuna.create_study()
    monitor = SearchMonitor(study, SearchPlan(epochs=12), NoProgress())
    for _ in range(2):
        trial = study.ask()
    for name, value in ((RETRY_OF, 0), (RESUMED_AFTER, 5)):
        trial.set_user_attr(name, value)
    with caplog.at_level(logging.INFO):
        monitor.poll()
    assert ": trial 1 continues trial 0 after epoch 5 of 12" in caplog.text


def test_two_runs_share_the_search_and_one_of_them_confirms(busy_place: Place):
    """The confirmation is long, so the other run ends during it."""
    busy_place.edit("epochs: 400", "epochs: 150")
    busy_place.edit("{top: 2, select_seeds: 2, seeds: 2, epochs: 4}", "{top: 1, select_seeds: 1, seeds: 1, epochs: 1000}")
    both = [start(busy_place, search_only=False) for _ in range(2)]
    shown = [process.communicate(timeout=2 * PATIENCE) for process in both]
    assert [process.returncode for process in both] == [0, 0], shown
    check_whole(busy_place, 4, 2)
    assert len({trial.user_attrs[WORKER]["pid"] for trial in trials_of(busy_place)}) == 2
    assert sum("another process is confirming" in out for out, _ in shown) == 1
    assert sum("confirming: " in out for out, _ in shown) == 1


def test_diverging_trials_stop_all_workers_and_are_listed_once(place: Place):
    place.edit("learning_rate: 1.0e-2", "learning_rate: 1.0e+38")
    process = start(place, "--workers", "2")
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert errors.count("too many trials failed") == 1
    assert len(re.findall(r"^trial \d+: training diverged in epoch 1", errors, re.MULTILINE)) >= 5, (
        "the message has the reasons"
    )
    assert "Traceback" not in errors
    assert TrialState.RUNNING not in {trial.state for trial in trials_of(place)}


def test_a_worker_continues_if_its_own_trials_fail(place: Place):
    """Six trials fail in a row. Only the parent ends a search, because it sees the trials of all workers."""
    place.edit("learning_rate: 1.0e-2", "learning_rate: 1.0e+38")
    work = Workspace.open(load_spec(str(place.study)), place.output, str(place.root / "data"), "auto", "auto")
    study = work.study(open_storage(journal(place)))

    class UntilSix(NoProgress):
        def finished(self, trial: FrozenTrial, study: optuna.Study) -> None:
            if trial.number == 5:
                raise TimeoutError

    with pytest.raises(TimeoutError):
        SearchJob(work, journal(place)).run(Stopper(), UntilSix())
    assert [trial.state for trial in study.trials] == [TrialState.FAIL] * 6


def test_sqlite_is_refused_for_several_workers(place: Place, fails: Callable[[int], str]):
    message = fails(place.run("--workers", "2", "--storage", f"sqlite:///{place.root}/x.db"))
    assert "several workers cannot share SQLite" in message
    assert not (place.root / "x.db").exists()
