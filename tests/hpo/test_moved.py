"""The output folder is moved or deleted during a command. A message says so, and the folder is not made again."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from hpo import confirm, export, pipeline
from hpo.runs.train import _Record
from hpo.search.scheduler import Scheduler

from .conftest import Place
from .outcomes import confirmed, stored_runs
from .processes import PATIENCE, pids_at_work, start, trials_of, wait_until

Later = Callable[[Any, str, int, Callable[[], Any]], None]


@pytest.fixture
def at_call(monkeypatch: pytest.MonkeyPatch) -> Later:
    """Call `do` at the nth call of a method or function."""

    def arrange(owner: Any, name: str, number: int, do: Callable[[], Any]) -> None:
        calls, real = [], getattr(owner, name)

        def called(*arguments: Any, **named: Any) -> Any:
            calls.append(name)
            if len(calls) == number:
                do()
            return real(*arguments, **named)

        monkeypatch.setattr(owner, name, called)

    return arrange


def gone(folder: Path, doing: str) -> str:
    return (
        f"error: {folder} was moved or deleted while study 'tiny_mml' was {doing}; if it was moved, finished work is in its "
        "new place: move it back, or give the new place with --output, and the same command continues\n"
    )


def moved_to(place: Place) -> list[str]:
    return ["--study", "tiny_mml", "--output", str(place.root / "moved"), "--data-dir", str(place.root / "data")]


def test_a_move_during_a_search_ends_it_with_a_message(place: Place, at_call: Later, capsys: pytest.CaptureFixture[str]):
    at_call(Scheduler, "_record", 5, lambda: place.output.rename(place.root / "moved"))
    assert place.run("--search-only") == 1
    assert capsys.readouterr().err.endswith(gone(place.output / "tiny_mml", "searched"))
    assert not place.output.exists()
    assert export.main(moved_to(place)) == 0
    (place.root / "moved").rename(place.output)
    assert [trial.state for trial in trials_of(place)] == [TrialState.COMPLETE, TrialState.RUNNING], "as after a kill"


def test_a_move_during_a_search_of_two_workers_ends_it_with_a_message(place: Place):
    place.edit("epochs: 3", "epochs: 1000000")
    place.edit("interval_steps: 1", "interval_steps: 10")
    process = start(place, "--workers", "2")
    wait_until(lambda: len(pids_at_work(place)) == 2, process)
    place.output.rename(place.root / "moved")
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert errors == gone(place.output / "tiny_mml", "searched")
    assert not place.output.exists()


@pytest.mark.parametrize("how", ["move", "delete"])
def test_a_move_before_the_export_of_a_search_in_a_database_ends_it_with_a_message(
    place: Place, at_call: Later, capsys: pytest.CaptureFixture[str], how: str
):
    """The search itself needs no folder."""
    storage = ["--storage", f"sqlite:///{place.root}/x.db"]
    moves = {"move": lambda: place.output.rename(place.root / "moved"), "delete": lambda: shutil.rmtree(place.output)}
    at_call(Scheduler, "_record", 5, moves[how])
    assert place.run("--search-only", *storage) == 1
    assert capsys.readouterr().err.endswith(gone(place.output / "tiny_mml", "exported"))
    assert not place.output.exists()
    assert export.main([*(moved_to(place) if how == "move" else ["--study", "tiny_mml", *place.where]), *storage]) == 0


def test_a_move_between_two_files_of_an_export_ends_it_with_a_message(
    place: Place, at_call: Later, capsys: pytest.CaptureFixture[str]
):
    place.run("--search-only", "--trials", "1")
    capsys.readouterr()
    at_call(export, "export_trials", 1, lambda: place.output.rename(place.root / "moved"))
    assert export.main(["--study", "tiny_mml", *place.where]) == 1
    assert capsys.readouterr().err == gone(place.output / "tiny_mml", "exported")
    assert not place.output.exists()


def test_a_move_during_a_confirmation_ends_it_with_a_message(place: Place, at_call: Later, capsys: pytest.CaptureFixture[str]):
    place.run("--search-only", "--trials", "1")
    capsys.readouterr()
    at_call(_Record, "ends", 6, lambda: place.output.rename(place.root / "moved"))
    assert confirm.main(["--study", "tiny_mml", *place.where]) == 1
    assert capsys.readouterr().err == gone(place.output / "tiny_mml", "confirmed")
    assert not place.output.exists()
    kept = sorted((place.root / "moved" / "tiny_mml" / "runs").glob("*.json"))
    assert kept
    assert confirm.main(moved_to(place)) == 0
    (place.root / "moved").rename(place.output)
    assert {path.name for path in kept} < {path.name for path in stored_runs(place)}


def test_a_deletion_before_the_verdict_is_written_ends_confirm_with_a_message(
    place: Place, at_call: Later, capsys: pytest.CaptureFixture[str]
):
    place.run("--search-only", "--trials", "1")
    capsys.readouterr()
    at_call(pipeline, "export_confirmed", 1, lambda: shutil.rmtree(place.output / "tiny_mml"))
    assert confirm.main(["--study", "tiny_mml", *place.where, "--top", "1"]) == 1
    assert capsys.readouterr().err == gone(place.output / "tiny_mml", "confirmed")
    assert not (place.output / "tiny_mml").exists()
    assert confirm.main(["--study", "tiny_mml", *place.where, "--top", "1"]) == 0
    assert confirmed(place).methods
