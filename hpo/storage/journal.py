"""The journal file: one line per operation of every study, written so that a killed or failing writer harms nobody else."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock
from optuna.exceptions import DuplicatedStudyError, StorageInternalError, UpdateFinishedTrialError
from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend

from hpo.storage.damage import DamagedJournal, check_numbers, checked, damage
from trainers.errors import InputError
from trainers.files import check_regular

JOURNAL = "journal.log"
JOURNAL_START = b'{"op_code":'


class WholeLines(BaseJournalBackend):
    """A journal that only ever grows by whole lines, behind lines that could be read.

    Optuna's own glues the next line on to one that was torn by a kill or a full disk, passes over a broken last line, and
    nobody can read the file after that. Its lock is a symbolic link, which a killed writer leaves behind; the operating system
    frees this one by itself.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        real = path.resolve()  # a link to a journal is the same journal, and has the same lock
        self.lock = FileLock(real.with_name(f".{real.name}.lock"))
        self._read = (0, 0)  # lines, and their bytes
        self._file: tuple[int, int] | None = None

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """The operations from a line on, counted from 0; a line that is torn or being written is not among them.

        Raises:
            StorageInternalError: the file is gone, cannot be read, or is another one than before.
            ValueError: a line is not JSON.
        """
        try:
            with self.path.open("rb") as journal:
                end = self._size(journal)
                number, position = self._read if self._read[0] == log_number_from else (0, 0)
                journal.seek(position)
                for line in journal:
                    position += len(line)
                    if position > end or not line.endswith(b"\n"):
                        return
                    number += 1
                    if number > log_number_from:
                        record = json.loads(line)
                        self._read = number, position
                        yield record
        except OSError as error:
            raise StorageInternalError(f"{self.path} cannot be read: {error.strerror or error}") from None

    def _size(self, journal: BinaryIO) -> int:
        """Up to where the file may be read: what is written meanwhile may be half there."""
        about = os.fstat(journal.fileno())
        file = about.st_dev, about.st_ino
        if self._file not in (None, file) or about.st_size < self._read[1]:
            raise StorageInternalError(f"{self.path} was replaced or cut while it was open; give the same command again")
        self._file = file
        return about.st_size

    @contextmanager
    def held(self) -> Iterator[BinaryIO]:
        """Within the block no other process writes.

        Raises:
            StorageInternalError: the disk is full, or the file cannot be written, or was moved or deleted.
        """
        try:
            self.path.stat()  # the lock would make the folder of a journal anew that was moved or deleted
            with self.lock, self.path.open("r+b", buffering=0) as journal:
                yield journal
        except OSError as error:
            raise StorageInternalError(f"{self.path} cannot be written: {error.strerror or error}") from None

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Write operations, one line each; those of a writer that failed half-way leave no trace.

        Raises:
            StorageInternalError: see `held`.
        """
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        with self.held() as journal:
            end = _cut_torn_line(journal)
            try:
                _write_all(journal, lines.encode())
                os.fsync(journal.fileno())
            except OSError:
                journal.truncate(end)
                raise


class Journal(JournalStorage):
    """Optuna's storage in a journal, which names the line that it cannot read, and writes behind none that it has not read."""

    def __init__(self, journal: WholeLines) -> None:
        self._journal = journal
        self._damage: DamagedJournal | None = None
        super().__init__(journal)

    def _sync_with_backend(self) -> None:
        if self._damage is not None:  # a line that Optuna has refused it would pass over the next time
            raise self._damage
        try:
            logs = self._journal.read_logs(self._replay_result.log_number_read)
            self._replay_result.apply_logs(checked(logs, self._replay_result))
        except (UpdateFinishedTrialError, DuplicatedStudyError, StorageInternalError):  # answers
            raise
        except Exception:
            self._damage = damage(self._journal.path)
            if self._damage is not None:
                raise self._damage from None
            raise  # an answer, too: what this process has written is about something that another has deleted

    def _write_log(self, op_code: int, extra_fields: dict[str, Any]) -> None:
        with self._journal.held():
            self._sync_with_backend()
            check_numbers(extra_fields, self._replay_result)
            super()._write_log(op_code, extra_fields)


def open_journal(path: Path, create: bool, to_write: bool) -> Journal:
    """The storage in a journal file.

    Args:
        create: make one that does not exist.
        to_write: whether it is an error, now, that the file cannot be written.

    Raises:
        InputError: there is none and `create` is false, it is no regular file, it is no journal, it has a broken line, or it
            cannot be written.
    """
    if create and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    check_journal(path)
    backend = WholeLines(path)
    storage = Journal(backend)
    if to_write:
        check_writable(backend)
    return storage


def check_writable(journal: WholeLines) -> None:
    """Find out before work is done that would be lost.

    Raises:
        InputError: the file, or its folder, cannot be written.
    """
    try:
        with journal.held():
            pass
    except StorageInternalError as error:
        raise InputError(f"{error}; make it and its folder writable, or give another --storage") from None


def check_journal(path: Path) -> None:
    """Look at the start of a file: only a journal may be written, any other file would lose its last line.

    Raises:
        InputError: there is none, it is no regular file, or no journal.
    """
    if not path.exists():
        raise InputError(f"there is no journal {path}; run a study first, or give its folder with --output")
    check_regular(path)
    with path.open("rb") as file:
        start = file.read(len(JOURNAL_START))
    if not JOURNAL_START.startswith(start):
        hint = f"; for SQLite give sqlite:///{path}" if start.startswith(b"SQLite") else ""
        raise InputError(f"{path} is not an Optuna journal, it starts with {start!r}{hint}")


def _cut_torn_line(journal: BinaryIO) -> int:
    """Truncate after the last newline and stand there; returns the file's size."""
    size = journal.seek(0, os.SEEK_END)
    whole = _end_of_last_line(journal, size)
    if whole < size:
        journal.truncate(whole)
    return journal.seek(whole)


def _end_of_last_line(journal: BinaryIO, size: int) -> int:
    """Offset just after the last newline, 0 without one."""
    end, block = size, 1
    while end > 0:
        start = max(0, end - block)
        journal.seek(start)
        newline = journal.read(end - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end, block = start, 1 << 16
    return 0


def _write_all(file: BinaryIO, content: bytes) -> None:
    """An unbuffered write may take a part and report the full disk only at the next call."""
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]
