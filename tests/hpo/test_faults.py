"""Faults around a search: a full disk, torn lines of killed writers, an open dashboard."""

from __future__ import annotations

import json
import os
import resource
import urllib.request
from pathlib import Path

import optuna
import pytest
from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState

from hpo.storage.journal import WholeLines
from hpo.storage.open import open_storage

from .conftest import Place
from .processes import PATIENCE, check_whole, command, finish, free_port, start, trials_of, wait_until

TORN = b'{"op_code":9,"worker_id":"x","trial_id":1,"user_at'


def test_a_full_disk_ends_in_a_message_and_the_search_continues_later(place: Place, monkeypatch: pytest.MonkeyPatch):
    """A limit on file sizes in the child process replaces the full disk. The kernels are compiled before."""
    monkeypatch.setattr("hpo.search.claims.CLAIM_SECONDS", 1.0)  # the last trial may be unsigned
    assert place.run("--search-only", "--trials", "1") == 0
    journal = place.output / "journal.log"
    limit = journal.stat().st_size + 2500
    before = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))"
    child = start(place, "--trials", "6", before=before)
    _, errors = child.communicate(timeout=PATIENCE)
    assert child.returncode == 1
    assert "journal.log cannot be written: File too large" in errors.replace("\n", " ")
    assert "Traceback" not in errors
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != limit, "only the child is limited"
    for line in journal.read_text().splitlines():
        json.loads(line)
    assert place.run("--search-only", "--trials", "6") == 0
    check_whole(place, 6, 1)


def test_a_failed_write_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "journal.log"
    path.touch()
    backend = WholeLines(path)
    backend.append_logs([{"op_code": 0}])
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageInternalError, match=r"journal.log cannot be written: No space left on device"):
        backend.append_logs([{"op_code": 1}])
    assert path.read_bytes() == before


def test_killed_writers_do_not_disturb_processes_with_the_journal_open(tmp_path: Path):
    path = tmp_path / "journal.log"
    first, second = (open_storage(str(path)) for _ in range(2))
    study = optuna.create_study(study_name="s", storage=first)
    for value in (1.0, 2.0, 3.0):
        with path.open("ab") as journal:
            journal.write(TORN)
        assert len(second.get_all_studies()) == 1, "a reader waits for the end of the line"
        study.tell(study.ask(), value)
        study = optuna.load_study(study_name="s", storage=second)
    assert [trial.value for trial in optuna.load_study(study_name="s", storage=first).trials] == [1.0, 2.0, 3.0]
    assert TORN not in path.read_bytes()


def test_a_search_survives_torn_lines(place: Place):
    place.edit("trials: 4", "trials: 12")
    process = start(place, "--workers", "2")
    for goal in (2, 5, 8):
        wait_until(lambda goal=goal: sum(trial.state.is_finished() for trial in trials_of(place)) >= goal, process)
        with WholeLines(place.output / "journal.log").lock, (place.output / "journal.log").open("ab") as journal:
            journal.write(TORN)
    finish(process)
    check_whole(place, 12, 2)


def test_a_dashboard_may_be_open_during_a_run(place: Place):
    place.edit("trials: 4", "trials: 60")
    place.edit("epochs: 3", "epochs: 100")  # else a fast machine ends the search before the first look
    assert place.run("--search-only", "--trials", "1") == 0
    address = f"http://127.0.0.1:{(port := free_port())}"
    dashboard = command("hpo.dashboard", "--port", str(port), "--output", str(place.output))
    try:
        assert address in dashboard.stdout.readline()
        process, seen = start(place, "--workers", "2"), set()

        def all_seen() -> bool:
            seen.add(trials_shown(address))
            return max(seen) >= 6

        wait_until(all_seen, process)
        finish(process)
    finally:
        dashboard.terminate()
        dashboard.communicate(timeout=PATIENCE)
    assert len(seen) >= 2, "the dashboard reads the study while it grows"
    check_whole(place, 60, 2)
    assert TrialState.RUNNING not in {trial.state for trial in trials_of(place)}


def trials_shown(address: str) -> int:
    try:
        with urllib.request.urlopen(f"{address}/api/studies/0?after=0", timeout=30) as answer:
            return len(json.load(answer)["trials"])
    except ConnectionError:  # the dashboard is starting
        return 0
    except OSError as error:
        if isinstance(getattr(error, "reason", None), ConnectionError):
            return 0
        raise
