"""Studies on a real PostgreSQL server, and through a real gRPC proxy."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hpo import confirm, export, proxy, report
from hpo.storage.open import open_storage

from ..conftest import Place, Postgres
from ..processes import PATIENCE, check_whole_at, command, finish, free_port, start, trials_at, wait_until

SECRET = "hunter2"


def test_a_study_on_postgresql_works_and_shows_no_password(
    place: Place, postgres: Postgres, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    url = postgres.new_database(SECRET)
    monkeypatch.setenv("HPO_STORAGE", url)
    shown = finish(start(place, "--workers", "2", search_only=False))
    finished = check_whole_at(url, 4, 2)
    assert len(finished) >= 4
    for program, flags in ((export, place.where), (report, ["--output", str(place.output)]), (confirm, place.where)):
        assert program.main(["--study", "tiny_mml", *flags]) == 0
    written = [path.read_bytes() for path in place.output.rglob("*") if path.is_file()]
    assert len(written) > 10
    assert not any(SECRET.encode() in content for content in written)
    assert SECRET not in "".join([*shown, *capsys.readouterr()])
    storage = open_storage(url)
    for study in storage.get_all_studies():
        assert SECRET not in str([study.user_attrs, study.system_attrs, storage.get_all_trials(study._study_id)])


def test_a_search_survives_a_restart_of_postgresql(place: Place, postgres: Postgres):
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


def test_many_processes_may_open_a_new_database_at_once(postgres: Postgres):
    """The tasks of a Slurm array do so, and all of them try to make its tables."""
    for _ in range(2):
        url = postgres.new_database()
        for process in [command("hpo.studies", "list", "--storage", url) for _ in range(4)]:
            finish(process)


def test_a_study_works_through_a_grpc_proxy(place: Place, postgres: Postgres, monkeypatch: pytest.MonkeyPatch):
    port, url = free_port(), postgres.new_database(SECRET)
    with monkeypatch.context() as patch:
        patch.setenv("HPO_STORAGE", url)
        server = command("hpo.proxy", "--port", str(port))
    try:
        greeting = server.stdout.readline()
        assert f"grpc://127.0.0.1:{port}" in greeting
        assert SECRET not in greeting
        place.edit("trials: 4", "trials: 8")
        finish(start(place, "--workers", "2", "--storage", f"grpc://127.0.0.1:{port}"))
        assert len(trials_at(f"grpc://127.0.0.1:{port}")) == len(trials_at(url))
    finally:
        server.terminate()
        server.communicate(timeout=PATIENCE)
    check_whole_at(url, 8, 2)


@pytest.mark.parametrize(("url", "message"), [("", "got none"), ("sqlite:///x", "got sqlite"), ("grpc://h:1", "got grpc")])
def test_the_proxy_refuses_other_storages(fails: Callable[[int], str], monkeypatch: pytest.MonkeyPatch, url: str, message: str):
    monkeypatch.setenv("HPO_STORAGE", url)
    assert message in fails(proxy.main([]))


def test_a_missing_proxy_is_refused(place: Place, fails: Callable[[int], str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("hpo.storage.retrying.CONNECT_SECONDS", 0.5)
    assert "cannot be opened" in fails(place.run("--storage", f"grpc://127.0.0.1:{free_port()}"))
    assert "grpc://HOST:PORT" in fails(place.run("--storage", "grpc://"))
