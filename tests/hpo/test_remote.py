"""A real PostgreSQL, a real gRPC proxy and a real Dask cluster."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import optuna
import pytest
import sqlalchemy
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.trial import TrialState

from hpo import confirm, export, proxy, report, run
from hpo.search.claims import put_back
from hpo.search.dask import _places, _reachable
from hpo.search.processes import Job
from hpo.storage.open import open_storage
from hpo.storage.retrying import OPERATIONS, is_outage, patient
from hpo.study.attributes import WORKER
from trainers.errors import InputError

from .conftest import Place, Postgres
from .test_run import REPOSITORY, start
from .test_workers import PATIENCE, check_whole_at, pids_at, trials_at, wait_until

SECRET = "hunter2"


def finish(process: subprocess.Popen[str]) -> tuple[str, str]:
    shown, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, shown + errors
    assert "Traceback" not in errors
    return shown, errors


def test_a_study_on_postgresql_is_like_any_other_and_leaks_no_password(
    place: Place, postgres: Postgres, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    url = postgres.new_database(SECRET)
    monkeypatch.setenv("HPO_STORAGE", url)
    shown = finish(start(place, "--workers", "2", search_only=False))
    finished = check_whole_at(url, 4, 2)
    assert len(finished) >= 4
    for verb, flags in ((export, place.where), (report, ["--output", str(place.output)]), (confirm, place.where)):
        assert verb.main(["--study", "tiny_mml", *flags]) == 0
    written = [path.read_bytes() for path in place.output.rglob("*") if path.is_file()]
    assert len(written) > 10
    assert not any(SECRET.encode() in content for content in written)
    assert SECRET not in "".join([*shown, *capsys.readouterr()])
    storage = open_storage(url)
    for study in storage.get_all_studies():
        assert SECRET not in str([study.user_attrs, study.system_attrs, storage.get_all_trials(study._study_id)])


def test_a_restart_of_postgresql_under_load_is_survived(place: Place, postgres: Postgres):
    place.edit("trials: 4", "trials: 30")
    place.edit("n_startup_trials: 2", "n_startup_trials: 100")
    url = postgres.new_database()
    process = start(place, "--workers", "2", "--storage", url)
    for goal in (3, 12):
        wait_until(lambda goal=goal: sum(t.state.is_finished() for t in trials_at(url)) >= goal, process)
        postgres.restart()
    _, errors = finish(process)
    check_whole_at(url, 30, 2)
    assert "killed" not in errors


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_the_grpc_proxy_in_front_of_postgresql(place: Place, postgres: Postgres):
    port, url = free_port(), postgres.new_database(SECRET)
    command = [sys.executable, "-m", "hpo.proxy", "--port", str(port)]
    environment = {**os.environ, "HPO_STORAGE": url, "PYTHONPATH": "."}
    with subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            greeting = server.stdout.readline()
            assert f"grpc://127.0.0.1:{port}" in greeting
            assert SECRET not in greeting
            place.edit("trials: 4", "trials: 8")
            finish(start(place, "--workers", "2", "--storage", f"grpc://127.0.0.1:{port}"))
            assert len(trials_at(f"grpc://127.0.0.1:{port}")) == len(trials_at(url))
        finally:
            server.terminate()
    check_whole_at(url, 8, 2)


@pytest.mark.parametrize(("url", "message"), [("", "got none"), ("sqlite:///x", "got sqlite"), ("grpc://h:1", "got grpc")])
def test_what_the_proxy_does_not_serve(fails: Callable[[int], str], monkeypatch: pytest.MonkeyPatch, url: str, message: str):
    monkeypatch.setenv("HPO_STORAGE", url)
    assert message in fails(proxy.main([]))


def test_no_proxy_answers(place: Place, fails: Callable[[int], str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("hpo.storage.retrying.CONNECT_SECONDS", 0.5)
    assert "cannot be opened" in fails(place.run("--storage", f"grpc://127.0.0.1:{free_port()}"))
    assert "grpc://HOST:PORT" in fails(place.run("--storage", "grpc://"))


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """A scheduler and two worker processes; gives its address."""
    port = free_port()
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": environment}
    address = f"tcp://127.0.0.1:{port}"
    scheduler = [sys.executable, "-m", "dask", "scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"]
    workers = [sys.executable, "-m", "dask", "worker", address, "--nthreads", "1", "--nworkers", "2", "--no-dashboard"]
    with subprocess.Popen(scheduler, **quiet) as first, subprocess.Popen(workers, **quiet) as second:  # type: ignore[call-overload]
        from distributed import Client

        with Client(address, timeout=60) as client:
            client.wait_for_workers(2, timeout=60)
        yield address
        for process in (second, first):
            process.terminate()
            process.wait()


def test_two_dask_workers_with_postgresql(place: Place, postgres: Postgres, cluster: str):
    place.edit("trials: 4", "trials: 9")
    url = postgres.new_database()
    finish(start(place, "--backend", "dask", "--scheduler", cluster, "--storage", url, search_only=False))
    finished = check_whole_at(url, 9, 2)
    assert len({trial.user_attrs[WORKER]["pid"] for trial in finished}) == 2
    for verb, flags in ((export, place.where), (report, ["--output", str(place.output)]), (confirm, place.where)):
        assert verb.main(["--study", "tiny_mml", *flags, "--storage", url]) == 0
    for name in ("best.yaml", "confirm.yaml", "report.html", "trials.csv"):
        assert (place.output / "tiny_mml" / name).stat().st_size > 0


def test_a_dask_worker_that_dies_is_replaced(place: Place, postgres: Postgres, cluster: str):
    place.edit("epochs: 3", "epochs: 150")
    place.edit("evaluate_every: 2", "evaluate_every: 50")
    place.edit("n_startup_trials: 2", "n_startup_trials: 100")
    place.edit("trials: 4", "trials: 8")
    url = postgres.new_database()
    process = start(place, "--backend", "dask", "--scheduler", cluster, "--storage", url)
    wait_until(lambda: len(pids_at(url)) == 2, process)
    os.kill(min(pids_at(url)), signal.SIGKILL)
    finish(process)
    check_whole_at(url, 8, 2)


def test_a_cluster_that_is_restarted_has_not_finished_the_search(place: Place, postgres: Postgres, cluster: str):
    from distributed import Client

    place.edit("epochs: 3", "epochs: 1000000")
    url = postgres.new_database()
    process = start(place, "--backend", "dask", "--scheduler", cluster, "--storage", url)
    wait_until(lambda: len(pids_at(url)) == 2, process)
    with Client(cluster, timeout=60) as client:
        client.restart(timeout=60)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "has let go of its workers; what is finished is kept" in errors
    assert TrialState.RUNNING not in [trial.state for trial in trials_at(url)]


def test_some_workers_of_a_cluster_are_taken_from_all_machines():
    class Client:
        def scheduler_info(self, n_workers: int) -> dict[str, dict[str, dict[str, object]]]:
            return {"workers": {f"tcp://{host}:{port}": {"nthreads": 1, "host": host} for host in "ab" for port in (1, 2, 3)}}

    assert _places(Client(), 3) == [("tcp://a:1", 0, 2), ("tcp://b:1", 0, 1), ("tcp://a:2", 1, 2)]  # type: ignore[arg-type]
    assert len(_places(Client())) == 6  # type: ignore[arg-type]


def test_the_default_lanes_are_shared_by_all_dask_workers(cluster: str):
    asked = argparse.Namespace(backend="dask", scheduler=cluster, workers=None, lanes=None)
    assert run._worker_count(asked) == 2
    asked.workers = 1
    assert run._worker_count(asked) == 1


def test_one_dask_worker_of_two_and_the_journal(place: Place, cluster: str):
    finish(start(place, "--backend", "dask", "--scheduler", cluster, "--workers", "1"))
    trials = check_whole_at(str(place.output / "journal.log"), 4, 1)
    assert len({trial.user_attrs[WORKER]["pid"] for trial in trials}) == 1


def test_a_journal_is_refused_where_workers_are_on_other_machines():
    class Client:
        def run(self, function: object) -> dict[str, tuple[str, int]]:
            return {"tcp://10.0.0.7:1": ("node7", 1)}

    job = Job(None, "runs/journal.log")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="Dask workers on node7 cannot share the journal"):
        _reachable(job, Client())  # type: ignore[arg-type]
    database = replace(job, storage="postgresql://host/db")
    assert _reachable(database, Client()) is database  # type: ignore[arg-type]


def test_a_signal_stops_the_dask_workers_too(place: Place, postgres: Postgres, cluster: str):
    place.edit("epochs: 3", "epochs: 1000000")
    url = postgres.new_database()
    process = start(place, "--backend", "dask", "--scheduler", cluster, "--storage", url)
    wait_until(lambda: sum(t.state == TrialState.RUNNING and WORKER in t.user_attrs for t in trials_at(url)) == 2, process)
    process.terminate()
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 143
    assert "the same command continues" in errors
    states = [trial.state for trial in trials_at(url)]
    assert TrialState.RUNNING not in states
    assert states.count(TrialState.WAITING) == 2


def test_dask_asked_for_and_absent(place: Place, fails: Callable[[int], str], monkeypatch: pytest.MonkeyPatch):
    assert "go together" in fails(place.run("--backend", "dask"))
    assert "go together" in fails(place.run("--scheduler", "tcp://127.0.0.1:1"))
    monkeypatch.setattr("hpo.search.dask.CONNECT_SECONDS", 1)
    message = fails(place.run("--backend", "dask", "--scheduler", f"tcp://127.0.0.1:{free_port()}"))
    assert "no Dask scheduler answers" in message


class Failing(InMemoryStorage):
    """Its server is away for the first calls of one operation."""

    def __init__(self, times: int, error: Exception) -> None:
        super().__init__()
        self.times, self.error, self.calls = times, error, 0

    def get_all_studies(self) -> list[optuna.study._frozen.FrozenStudy]:
        self.calls += 1
        if self.calls <= self.times:
            raise self.error
        return super().get_all_studies()


AWAY = sqlalchemy.exc.OperationalError("SELECT", None, Exception("server closed the connection"))


def test_patience_ends(monkeypatch: pytest.MonkeyPatch):
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
    assert wrong.calls == 1, "what is no outage is not tried again"


def test_an_outage_is_seen_through_what_it_caused():
    wrapped = optuna.exceptions.StorageInternalError("during the commit")
    wrapped.__cause__ = AWAY
    assert is_outage(wrapped)
    assert not is_outage(optuna.exceptions.StorageInternalError("during the commit"))


class Forgetful(InMemoryStorage):
    """Does what it is asked for, but its first answer to some operations gets lost."""

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


def test_a_state_whose_answer_got_lost_is_set_once():
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
    assert put_back(study, study.trials[lost.number], count=True)
    states = [trial.state for trial in study.trials]
    assert states == [TrialState.FAIL, TrialState.WAITING, TrialState.WAITING]
    twins = study.trials[1:]
    assert twins[0].user_attrs == twins[1].user_attrs, "which is how the scheduler knows them"


def test_patience_covers_every_operation_of_a_storage():
    assert set(OPERATIONS) >= set(BaseStorage.__abstractmethods__)
    storage = patient(InMemoryStorage())
    study = optuna.create_study(storage=storage, direction="maximize")
    study.enqueue_trial({"x": 0.5})
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
    assert study.trials[0].value == 0.5
    assert study.best_value == max(trial.value for trial in study.trials if trial.value is not None)
