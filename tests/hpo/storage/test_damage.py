"""A journal with a broken line is refused. The message has line, content and remedy, and nothing is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from optuna.exceptions import StorageInternalError

from hpo.storage.damage import DamagedJournal
from hpo.storage.open import open_storage

from .journals import (
    ENDS_TRIAL,
    MAKES_STUDY,
    MAKES_TRIAL,
    NO_RECORDS,
    SETS_PARAM,
    Lines,
    changed,
    cut,
    index_of,
    values,
    without,
)


def refused(path: Path, lines: Lines) -> str:
    """The message about a damaged journal. It is the same for readers and writers, and the file stays unchanged."""
    path.write_bytes(b"".join(lines))
    messages = set()
    for to_write in (False, True):
        with pytest.raises(DamagedJournal) as caught:
            open_storage(str(path), create=False, to_write=to_write)
        messages.add(str(caught.value))
    assert path.read_bytes() == b"".join(lines)
    assert [file.name for file in path.parent.iterdir()] == ["journal.log"]
    (message,) = messages
    assert message.startswith(f"{path}, line ")
    assert f"`python -m hpo.studies repair --storage {path}`" in message
    assert len(message) < 500 + 2 * len(str(path))
    return message


@pytest.mark.parametrize("at", [1, 7, None])
@pytest.mark.parametrize("case", NO_RECORDS)
def test_a_line_that_is_no_record_is_refused(tmp_path: Path, lines: Lines, case: str, at: int | None):
    content, words = NO_RECORDS[case]
    at = len(lines) if at is None else at
    message = refused(tmp_path / "journal.log", [*lines[:at], content, *lines[at:]])
    assert f", line {at + 1}: " in message
    assert words in message


DAMAGE: dict[str, tuple[Callable[[Lines], Lines], str]] = {
    "glued": (lambda lines: [*lines[:-2], lines[-2].rstrip() + lines[-1]], "is more than one record"),
    "torn and glued": (lambda lines: [*lines[:-2], lines[-2][:30] + lines[-1]], "is not JSON"),
    "no state": (lambda lines: changed(lines, index_of(lines, ENDS_TRIAL), state=None), "it lacks 'state'"),
    "no such state": (lambda lines: changed(lines, index_of(lines, ENDS_TRIAL), state=77), "77 is not a valid TrialState"),
    "values a text": (lambda lines: changed(lines, index_of(lines, ENDS_TRIAL), values="9"), "values is '9'"),
    "values of texts": (lambda lines: changed(lines, index_of(lines, ENDS_TRIAL), values=["9"]), "values is ['9']"),
    "param a list": (lambda lines: changed(lines, index_of(lines, SETS_PARAM), param_value_internal=[1]), "internal is [1]"),
    "cut": (lambda lines: cut(lines, index_of(lines, MAKES_TRIAL, 1)), "is not JSON"),
    "a line that made a trial is gone": (lambda lines: without(lines, index_of(lines, MAKES_TRIAL, 4)), "makes trial_id 4"),
    "a line that made a study is gone": (lambda lines: without(lines, index_of(lines, MAKES_STUDY, 1)), "makes study_id 1"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_a_damaged_record_is_refused(tmp_path: Path, lines: Lines, case: str):
    damage, words = DAMAGE[case]
    assert words in refused(tmp_path / "journal.log", damage(lines))


@pytest.mark.parametrize("case", NO_RECORDS)
def test_processes_that_have_a_damaged_journal_open_stop(tmp_path: Path, lines: Lines, case: str):
    """Readers and writers stop. The broken line stays the last one."""
    path = tmp_path / "journal.log"
    path.write_bytes(b"".join(lines))
    reader, writer = (optuna.load_study(study_name="a", storage=open_storage(str(path))) for _ in range(2))
    with path.open("ab") as journal:
        journal.write(NO_RECORDS[case][0])
    before = path.read_bytes()
    for _ in range(2):
        with pytest.raises(DamagedJournal, match=f"line {before.count(10)}: "):
            writer.set_user_attr("a", 1)
        with pytest.raises(DamagedJournal, match="studies repair"):
            reader.get_trials()
    assert path.read_bytes() == before


def test_an_unfinished_last_line_is_no_damage(tmp_path: Path, lines: Lines):
    path = tmp_path / "journal.log"
    path.write_bytes(b"".join(lines)[:-20])
    assert values(path) == {"a": [0.0, 2.0, 3.0], "b": [1.0, None]}


def test_a_record_about_a_missing_trial_or_study_is_not_written(tmp_path: Path, lines: Lines):
    path = tmp_path / "journal.log"
    path.write_bytes(before := b"".join(lines))
    storage = open_storage(str(path))
    for operation in (lambda: storage.set_trial_user_attr(9, "a", 1), lambda: storage.set_study_user_attr(9, "a", 1)):
        with pytest.raises(KeyError):
            operation()
    assert path.read_bytes() == before


@pytest.mark.parametrize("how", ["replaced", "shortened", "removed"])
def test_a_journal_that_is_replaced_while_it_is_open_is_an_error(tmp_path: Path, lines: Lines, how: str):
    """Else a process that has it open would read wrong lines."""
    path = tmp_path / "journal.log"
    path.write_bytes(b"".join(lines))
    study = optuna.load_study(study_name="a", storage=open_storage(str(path)))
    if how == "shortened":
        path.write_bytes(b"".join(lines[:-3]))
    else:
        path.rename(tmp_path / "old.log")
    if how == "replaced":
        path.write_bytes(b"".join([*lines, *lines]))
    with pytest.raises(StorageInternalError, match=r"journal.log (was replaced, cut or emptied while it was open|cannot be )"):
        study.set_user_attr("a", 1)
