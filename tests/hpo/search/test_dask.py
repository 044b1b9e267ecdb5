"""Searches on a real Dask cluster."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from hpo import calls, confirm, export, report
from hpo.calls import Search
from hpo.search.dask import _chosen_workers, _reachable
from hpo.study.attributes import WORKER
from hpo.study.spec import StudySpec
from trainers.errors import InputError

from ..conftest import Place, Postgres
from ..processes import PATIENCE, check_whole_at, command, finish, free_port, pids_at, start, trials_at, wait_until

# The workers are forks of a process with loaded libraries, because the tests restart them. Nobody reads what dask prints.
BEFORE = """
import dask, os
dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"})
for number in (1, 2):
    os.dup2(os.open(os.devnull, os.O_WRONLY), number)
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a scheduler with two worker processes."""
    port = free_port()
    address = f"tcp://127.0.0.1:{port}"
    local = ["--host", "127.0.0.1", "--port", str(port), "--no-dashboard"]
    workers = ["--nthreads", "1", "--nworkers", "2", "--no-dashboard"]
    both = [command("dask", *flags, before=BEFORE) for flags in (["worker", address, *workers], ["scheduler", *local])]
    from distributed import Client

    with Client(address, timeout=60) as client:
        client.wait_for_workers(2, timeout=60)
    yield address
    for process in both:
        process.terminate()
        process.communicate(timeout=PATIENCE)


def test_two_dask_workers_with_postgresql(place: Place, postgres: Postgres, cluster: str):
    place.edit("trials: 4", "trials: 9")
    url = postgres.new_database()
    finish(start(place, "--backend", "dask", "--scheduler", cluster, "--storage", url, search_only=False))
    finished = check_whole_at(url, 9, 2)
    assert len({trial.user_attrs[WORKER]["pid"] for trial in finished}) == 2
    for program, flags in ((export, place.where), (report, ["--output", str(place.output)]), (confirm, place.where)):
        assert program.main(["--study", "tiny_mml", *flags, "--storage", url]) == 0
    for name in ("best.yaml", "confirm.yaml", "report.html", "trials.csv"):
        assert (place.output / "tiny_mml" / name).stat().st_size > 0


def test_a_dask_worker_that_dies_is_replaced(place: Place, postgres: Postgres, cluster: str):
    place.edit("epochs: 3", "epochs: 4000")  # a trial outlasts many looks at the database
    place.edit("interval_steps: 1", "interval_steps: 500")
    place.edit("n_startup_trials: 2", "n_startup_trials: 100")
    url = postgres.new_database()
    process = start(place, "--backend", "dask", "--scheduler", cluster, "--storage", url)
    wait_until(lambda: len(pids_at(url)) == 2, process)
    os.kill(min(pids_at(url)), signal.SIGKILL)
    finish(process)
    check_whole_at(url, 4, 2)


def test_a_restart_of_the_cluster_ends_the_run_with_a_message(place: Place, postgres: Postgres, cluster: str):
    from distributed import Client

    place.edit("epochs: 3", "epochs: 1000000")
    url = postgres.new_database()
    process = start(place, "--backend", "dask", "--scheduler", cluster, "--storage", url)
    wait_until(lambda: len(pids_at(url)) == 2, process)
    with Client(cluster, timeout=60) as client:
        client.restart(timeout=60)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "the Dask cluster lost its workers; finished trials are kept" in errors
    assert TrialState.RUNNING not in [trial.state for trial in trials_at(url)]


def test_some_workers_of_a_cluster_are_taken_from_all_machines():
    class Client:
        def scheduler_info(self, n_workers: int) -> dict[str, dict[str, dict[str, object]]]:
            return {"workers": {f"tcp://{host}:{port}": {"nthreads": 1, "host": host} for host in "ab" for port in (1, 2, 3)}}

    assert _chosen_workers(Client(), 3) == [("tcp://a:1", 0, 2), ("tcp://b:1", 0, 1), ("tcp://a:2", 1, 2)]  # type: ignore[arg-type]
    assert len(_chosen_workers(Client())) == 6  # type: ignore[arg-type]


def test_the_default_lanes_are_shared_by_all_dask_workers(cluster: str):
    spec = StudySpec.model_validate({"name": "s", "dataset": "demo", "space": {"name": "ccl"}})
    asked = Search(spec, (), Path("runs"), "runs/journal.log", scheduler=cluster)
    assert [replace(asked, workers=workers)._worker_count() for workers in (None, 1)] == [2, 1]


def test_one_dask_worker_of_two_and_the_journal(place: Place, cluster: str):
    finish(start(place, "--backend", "dask", "--scheduler", cluster, "--workers", "1"))
    trials = check_whole_at(str(place.output / "journal.log"), 4, 1)
    assert len({trial.user_attrs[WORKER]["pid"] for trial in trials}) == 1
    finish(start(place, "--backend", "dask", "--scheduler", cluster, "--trials", "100000", "--timeout", "3"))
    trials = trials_at(str(place.output / "journal.log"))
    assert 4 < len(trials) < 100_000
    assert not any(trial.state == TrialState.RUNNING for trial in trials), (
        "the time limit of this process ends the search of the others"
    )


def test_a_journal_is_refused_if_workers_are_on_other_machines():
    class Client:
        def run(self, function: object) -> dict[str, tuple[str, int]]:
            return {"tcp://10.0.0.7:1": ("node7", 1)}

    with pytest.raises(InputError, match="Dask workers on node7 cannot share the journal"):
        _reachable("runs/journal.log", Client())  # type: ignore[arg-type]
    assert _reachable("postgresql://host/db", Client()) == "postgresql://host/db"  # type: ignore[arg-type]


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


class Cluster:
    """A replacement for the client of a cluster."""

    def __init__(self, n_workers: int, threads: int, host: str, failure: str) -> None:
        self.n_workers, self.threads, self.host, self.failure = n_workers, threads, host, failure

    def scheduler_info(self, n_workers: int) -> dict[str, Any]:
        return {
            "workers": {f"tcp://{self.host}:{n}": {"nthreads": self.threads, "host": self.host} for n in range(self.n_workers)}
        }

    def run(self, function: object) -> dict[str, tuple[str, int]]:
        if self.failure:
            raise Exception(self.failure)
        return {f"tcp://{self.host}:{n}": (self.host, n) for n in range(self.n_workers)}


@pytest.mark.parametrize("flags", [[], ["--workers", "1"], ["--lanes", "1"]])
@pytest.mark.parametrize(
    ("cluster", "message"),
    [
        (Cluster(0, 1, "node7", ""), "the Dask cluster has no worker"),
        (Cluster(1, 2, "node7", ""), "tcp://node7:0 has 2; start workers with --nthreads 1"),
        (Cluster(1, 1, "node7", ""), "Dask workers on node7 cannot share the journal"),
        (Cluster(1, 1, "node7", "No module named 'hpo'"), "a Dask worker cannot run this program: No module named 'hpo'"),
    ],
)
def test_a_cluster_that_cannot_search_leaves_no_study(
    place: Place, fails: Callable[[int], str], monkeypatch: pytest.MonkeyPatch, cluster: Cluster, message: str, flags: list[str]
):
    monkeypatch.setattr("hpo.search.dask._client", lambda _: nullcontext(cluster))
    assert message in fails(place.run("--backend", "dask", "--scheduler", "tcp://node7:1", *flags))
    assert not place.output.exists()


def test_a_cluster_that_ends_before_a_rival_is_searched_leaves_no_study_of_it(
    place: Place, fails: Callable[[int], str], monkeypatch: pytest.MonkeyPatch
):
    clusters = [Cluster(1, 1, socket.gethostname(), ""), Cluster(0, 1, "node7", "")]
    monkeypatch.setattr("hpo.search.dask._client", lambda _: nullcontext(clusters.pop(0)))
    monkeypatch.setattr(calls, "search_study", lambda *_: None)
    monkeypatch.setattr(calls, "export_study", lambda *_, **__: None)
    assert "has no worker" in fails(place.run("--backend", "dask", "--scheduler", "tcp://node7:1", "--tune-rivals"))
    assert [path.name for path in place.output.iterdir() if path.is_dir() and path.name.startswith("tiny")] == ["tiny_mml"]


def test_a_missing_dask_scheduler_is_refused(place: Place, fails: Callable[[int], str], monkeypatch: pytest.MonkeyPatch):
    assert "need each other" in fails(place.run("--backend", "dask"))
    assert "need each other" in fails(place.run("--scheduler", "tcp://127.0.0.1:1"))
    monkeypatch.setattr("hpo.search.dask.CONNECT_SECONDS", 0.3)
    for flags in ([], ["--workers", "1"]):
        message = fails(place.run("--backend", "dask", "--scheduler", f"tcp://127.0.0.1:{free_port()}", *flags))
        assert "no Dask scheduler answers" in message
        assert not place.output.exists()


@pytest.mark.parametrize(
    "address", ["myhost", "x", "tcp://[::1", "myhost:", ":8786", "tcp://host:0", "tcp://host:65536", "host:a", "http://host:1"]
)
def test_an_address_without_scheme_host_or_port_is_refused_before_a_client_is_made(
    place: Place, fails: Callable[[int], str], monkeypatch: pytest.MonkeyPatch, address: str
):
    """A client that fails to connect keeps the process for 30 s, then prints a traceback."""
    monkeypatch.setattr("distributed.Client", lambda *_, **__: pytest.fail("a client was made"))
    message = fails(place.run("--backend", "dask", "--scheduler", address))
    rule = "--scheduler must be the address of a Dask scheduler with its port, such as tcp://host:8786, got "
    assert f"{rule}'{address}'; give the address that `dask scheduler` prints" in message
    assert not place.output.exists()


@pytest.mark.parametrize("scheme", ["tcp", "tls"])
def test_no_client_is_made_where_another_program_listens(
    place: Place, fails: Callable[[int], str], monkeypatch: pytest.MonkeyPatch, scheme: str
):
    """It accepts the connection and never answers. For tls, this machine has no certificate."""
    monkeypatch.setattr("hpo.search.dask.CONNECT_SECONDS", 0.3)
    monkeypatch.setattr("distributed.Client", lambda *_, **__: pytest.fail("a client was made"))
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"{scheme}://127.0.0.1:{server.getsockname()[1]}"
        assert f"no Dask scheduler answers at {address}" in fails(place.run("--backend", "dask", "--scheduler", address))
