"""The journal file: torn, damaged, and of other programs."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest

from hpo.storage.journal import WholeLines
from hpo.storage.open import open_storage
from trainers.errors import InputError


def study_on(path: Path) -> optuna.Study:
    return optuna.create_study(study_name="s", storage=open_storage(str(path)), load_if_exists=True)


@pytest.mark.parametrize("torn", [b'{"op_code": 4, "wor', b"x", b'{"a": 1}' * 20_000])
def test_a_torn_last_line_is_cut_off_and_the_study_goes_on(tmp_path: Path, torn: bytes):
    path = tmp_path / "journal.log"
    study_on(path).tell(study_on(path).ask().number, 1.0)
    whole = path.read_bytes()
    with path.open("ab") as journal:
        journal.write(torn)
    study = study_on(path)
    assert path.read_bytes().startswith(whole + b"{")
    study.tell(study.ask().number, 2.0)
    assert [trial.value for trial in study_on(path).trials] == [1.0, 2.0]


def test_a_journal_of_a_single_torn_line_becomes_empty(tmp_path: Path):
    path = tmp_path / "journal.log"
    path.write_bytes(b'{"op')
    WholeLines(path).repair()
    assert path.read_bytes() == b""


def test_a_whole_journal_is_left_alone(tmp_path: Path):
    path = tmp_path / "journal.log"
    study_on(path).ask()
    before = path.read_bytes()
    WholeLines(path).repair()
    assert path.read_bytes() == before


def test_a_damaged_journal_is_explained(tmp_path: Path):
    path = tmp_path / "journal.log"
    path.write_text('{"op_code": 0, "study_name": \n{}\n')
    with pytest.raises(InputError, match=r"journal.log cannot be opened"):
        open_storage(str(path))


@pytest.mark.parametrize("content", [b"one line without newline", b"SQLite format 3\x00 and more", b'{"other": 1}\n{"x'])
def test_a_file_that_is_no_journal_is_refused_and_left_alone(tmp_path: Path, content: bytes):
    path = tmp_path / "x.db"
    path.write_bytes(content)
    with pytest.raises(InputError, match="is not an Optuna journal") as error:
        open_storage(str(path), create=False)
    assert path.read_bytes() == content
    assert ("sqlite:///" in str(error.value)) == content.startswith(b"SQLite")


@pytest.mark.parametrize("line", ["1", "null", '{"op_code": 99, "worker_id": "x"}'])
def test_a_journal_with_foreign_lines_is_explained(tmp_path: Path, line: str):
    path = tmp_path / "journal.log"
    study_on(path)
    with path.open("a") as journal:
        journal.write(line + "\n")
    with pytest.raises(InputError, match="cannot be opened"):
        study_on(path)


def test_a_missing_journal_is_not_made_by_a_reader(tmp_path: Path):
    with pytest.raises(InputError, match="there is no journal"):
        open_storage(str(tmp_path / "x" / "journal.log"), create=False)
    assert not (tmp_path / "x").exists()
