"""Commands on a damaged journal, before, during and after its repair."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from hpo import confirm, dashboard, export, report, studies
from hpo.cli.console import SearchProgress
from hpo.search.claims import this_worker
from hpo.storage.journal import WholeLines

from .conftest import Place
from .processes import PATIENCE, check_whole, free_port, start, trials_of, wait_until

GARBAGE = b"garbage\n"


def files(place: Place) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(place.root.rglob("*")) if path.is_file()}


def mend(place: Place) -> None:
    assert studies.main(["repair", "--output", str(place.output)]) == 0


def commands(place: Place) -> dict[str, Callable[[], int]]:
    """The commands that read or write a journal."""
    where, study = ["--output", str(place.output)], ["--study", "tiny_mml"]
    return {
        "run": lambda: place.run("--trials", "3", "--search-only"),
        "confirm": lambda: confirm.main([*study, *place.where]),
        "export": lambda: export.main([*study, *place.where]),
        "report": lambda: report.main([*study, *where]),
        "list": lambda: studies.main(["list", *where]),
        "show": lambda: studies.main(["show", "tiny_mml", *where]),
        "delete": lambda: studies.main(["delete", "tiny_mml", "--yes", *where]),
        "dashboard": lambda: dashboard.main([*where, "--port", str(free_port())]),
    }


@pytest.mark.parametrize("at_end", [True, False])
def test_every_command_refuses_a_broken_line_and_repair_removes_it(place: Place, fails: Callable[[int], str], at_end: bool):
    assert place.run("--search-only", "--trials", "2") == 0
    journal = place.output / "journal.log"
    sound = journal.read_bytes()
    lines = sound.splitlines(keepends=True)
    at = len(lines) if at_end else 9
    journal.write_bytes(b"".join([*lines[:at], GARBAGE, *lines[at:]]))
    before = files(place)
    for name, command in commands(place).items():
        message = fails(command())
        assert f"error: {journal}, line {at + 1}: 'garbage' is not JSON; " in message, name
        assert f"`python -m hpo.studies repair --storage {journal}`" in message
        assert message.count("error:") == 1
        assert files(place) == before, name
    mend(place)
    assert journal.read_bytes() == sound
    for name in ("list", "show", "report", "export", "run"):
        assert commands(place)[name]() == 0
    check_whole(place, 3, 1)


@pytest.mark.parametrize("words", [b'"op_code":4,', b'"op_code":5,', b'"op_code":6,', b'"epochs_trained"', b'"sampled"'])
def test_a_trial_with_a_lost_line_is_searched_again(place: Place, capsys: pytest.CaptureFixture[str], words: bytes):
    """The line belongs to the first trial. All other trials are unchanged."""
    assert place.run("--search-only", "--trials", "2") == 0
    journal, before = place.output / "journal.log", trials_of(place)
    gone = journal.read_bytes().replace(this_worker()["boot"].encode(), b"another")  # this process is alive
    lines = gone.splitlines(keepends=True)
    at = next(n for n, line in enumerate(lines) if words in line)
    lines[at] = lines[at].replace(words, b"\xff")
    journal.write_bytes(b"".join(lines))
    mend(place)
    assert f"line {at + 1}: " in capsys.readouterr().out
    assert place.run("--search-only", "--trials", "2") == 0
    first, *others = trials_of(place)
    again = TrialState.COMPLETE if words == b'"op_code":6,' else TrialState.FAIL  # it was queued, and waits again
    assert (first.number, first.state) == (0, again)
    assert [trial.params for trial in others[: len(before) - 1]] == [trial.params for trial in before[1:]]
    check_whole(place, 2, 1)


def test_repair_needs_a_damaged_journal_file(place: Place, fails: Callable[[int], str], capsys: pytest.CaptureFixture[str]):
    where = ["--output", str(place.output)]
    assert f"there is no journal {place.output / 'journal.log'}" in fails(studies.main(["repair", *where]))
    message = fails(studies.main(["repair", *where, "--storage", "postgresql://me:hunter2@host/db"]))
    assert "only a journal file can be repaired, got postgresql://me:***@host/db" in message
    assert place.run("--search-only", "--trials", "1") == 0
    capsys.readouterr()
    before = files(place)
    assert studies.main(["repair", *where]) == 0
    assert capsys.readouterr().out == f"{place.output / 'journal.log'}: no line is broken, nothing was changed\n"
    assert files(place) == before


def test_repair_reports_a_study_that_is_lost(place: Place, capsys: pytest.CaptureFixture[str]):
    assert place.run("--search-only", "--trials", "1") == 0
    journal = place.output / "journal.log"
    journal.write_bytes(journal.read_bytes().replace(b'"user_attr":{"definition":', b'"user_attr":{definition:'))
    mend(place)
    shown = capsys.readouterr()
    assert "the line is dropped, about study tiny_mml" in shown.out
    assert "study 'tiny_mml' is damaged: it has no definition" in shown.err


def test_a_search_ends_at_a_broken_line(place: Place, fails: Callable[[int], str], monkeypatch: pytest.MonkeyPatch):
    finished, journal = SearchProgress.finished, place.output / "journal.log"

    def damaging(self: SearchProgress, *arguments: Any) -> None:
        finished(self, *arguments)
        with WholeLines(journal).held(), journal.open("ab") as file:
            file.write(GARBAGE)

    with monkeypatch.context() as patch:
        patch.setattr(SearchProgress, "finished", damaging)
        message = fails(place.run("--search-only"))
    assert message.count("'garbage' is not JSON") == message.count("error:") == 1
    assert journal.read_bytes().endswith(b"\n" + GARBAGE)
    mend(place)
    assert place.run("--search-only") == 0
    check_whole(place, 4, 1)


def test_all_workers_end_at_a_broken_line(place: Place):
    """There is one message."""
    place.edit("trials: 4", "trials: 400")
    process, journal = start(place, "--workers", "2"), place.output / "journal.log"
    wait_until(lambda: sum(trial.state.is_finished() for trial in trials_of(place)) >= 2, process)
    with WholeLines(journal).held(), journal.open("ab") as file:
        file.write(GARBAGE)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 2, errors
    assert errors.count("'garbage' is not JSON") == errors.count("error:") == 1
    assert "Traceback" not in errors
    assert journal.read_bytes().endswith(b"\n" + GARBAGE)
    mend(place)
    assert all(trial.params for trial in trials_of(place) if trial.state.is_finished())
