"""Torn and damaged journals, and files of other programs."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest

from hpo.storage.journal import JOURNAL_START
from hpo.storage.open import open_storage
from hpo.storage.repair import repair
from hpo.study.spec import load_spec
from trainers.errors import InputError
from trainers.yaml_files import read_yaml


def study_on(path: Path) -> optuna.Study:
    return optuna.create_study(study_name="s", storage=open_storage(str(path)), load_if_exists=True)


@pytest.mark.parametrize("torn", [b'{"op_code": 4, "wor', b"x", b'{"a": 1}' * 20_000])
def test_a_torn_last_line_is_cut_off_and_the_study_continues(tmp_path: Path, torn: bytes):
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
    assert study_on(path).study_name == "s"
    assert path.read_bytes().startswith(JOURNAL_START)


@pytest.mark.parametrize("torn", [b"", b'{"op_code": 4, "wor'])
def test_opening_a_journal_does_not_change_it(tmp_path: Path, torn: bytes):
    path = tmp_path / "journal.log"
    study_on(path).ask()
    with path.open("ab") as journal:
        journal.write(torn)
    before = path.read_bytes()
    open_storage(str(path))
    open_storage(str(path), create=False, to_write=False)
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"one line without newline", b"SQLite format 3\x00 and more", b'{"other": 1}\n{"x'])
def test_a_file_that_is_no_journal_is_refused_and_not_changed(tmp_path: Path, content: bytes):
    path = tmp_path / "x.db"
    path.write_bytes(content)
    with pytest.raises(InputError, match="must be an Optuna journal") as error:
        open_storage(str(path), create=False)
    assert path.read_bytes() == content
    assert ("sqlite:///" in str(error.value)) == content.startswith(b"SQLite")


def test_a_reader_does_not_create_a_missing_journal(tmp_path: Path):
    with pytest.raises(InputError, match="there is no journal"):
        open_storage(str(tmp_path / "x" / "journal.log"), create=False)
    assert not (tmp_path / "x").exists()


@pytest.fixture
def in_time() -> Iterator[None]:
    """A test that blocks ends."""

    def ring(*_: object) -> None:
        raise TimeoutError("it blocks")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize(
    ("kind", "called"), [("fifo", "a named pipe"), ("folder", "a folder"), ("socket", "a socket"), ("device", "a device")]
)
def test_only_regular_files_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_time: None, kind: str, called: str):
    """Other files are refused as journals and as study files."""
    monkeypatch.chdir(tmp_path)  # the path of a socket must be short
    path = "/dev/null" if kind == "device" else "x.yaml"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        os.mkdir(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path)
    for to_write in (False, True):
        with pytest.raises(InputError, match=f"{path}: is {called}; give a regular file"):
            open_storage(path, create=to_write, to_write=to_write)
    for read in (read_yaml, load_spec):
        with pytest.raises(InputError, match=f"{path}: is {called}; give a regular file"):
            read(path)
    with pytest.raises(InputError, match=f"{path}: is {called}; give a regular file"):
        repair(Path(path), lambda storage: ())
