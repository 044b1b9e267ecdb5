"""The journal file: one line per operation of any study. A killed or failing writer does not harm other processes."""

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
    """A journal to which only whole lines are appended.

    Optuna's own backend appends to a line that a kill or a full disk tore, which makes the file unreadable, and it skips a
    broken last line. Its lock is a symbolic link that a killed writer leaves behind; the operating system releases this one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        real = path.resolve()  # a link to a journal uses the same lock
        self.lock = FileLock(real.with_name(f".{real.name}.lock"))
        self._read = (0, 0)  # number of lines read, and of their bytes
        self._file: tuple[int, int] | None = None

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """The operations from a line on, counted from 0, without a line that is torn or being written.

        Raises:
            StorageInternalError: the file is gone, cannot be read, or was replaced or cut.
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
        """The size of the file now. Later bytes are not read, since their line may be incomplete."""
        about = os.fstat(journal.fileno())
        file = about.st_dev, about.st_ino
        if self._file not in (None, file) or about.st_size < self._read[1]:
            raise StorageInternalError(
                f"{self.path} was replaced, cut or emptied while it was open; if lines are missing, restore it from a copy; "
                "then run the same command again"
            )
        self._file = file
        return about.st_size

    @contextmanager
    def held(self) -> Iterator[BinaryIO]:
        """Lock the file for writing within the block.

        Raises:
            StorageInternalError: the disk is full, or the file cannot be written, or was moved or deleted.
        """
        try:
            self.path.stat()  # the lock would create the folder of a moved or deleted journal again
            with self.lock, self.path.open("r+b", buffering=0) as journal:
                yield journal
        except OSError as error:
            raise StorageInternalError(f"{self.path} cannot be written: {error.strerror or error}") from None

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append operations, one line each. If a write fails half-way, its lines are removed.

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
    """Optuna's journal storage. It names the line that it cannot read, and does not write after a line that it has not read."""

    def __init__(self, journal: WholeLines) -> None:
        self._journal = journal
        self._damage: DamagedJournal | None = None
        super().__init__(journal)

    def _sync_with_backend(self) -> None:
        if self._damage is not None:  # Optuna skips a line that it has refused before
            raise self._damage
        try:
            logs = self._journal.read_logs(self._replay_result.log_number_read)
            self._replay_result.apply_logs(checked(logs, self._replay_result))
        except (UpdateFinishedTrialError, DuplicatedStudyError, StorageInternalError):  # no damage
            raise
        except Exception:
            self._damage = damage(self._journal.path)
            if self._damage is not None:
                raise self._damage from None
            raise  # no damage either: another process deleted the study or trial that this one wrote about

    def _write_log(self, op_code: int, extra_fields: dict[str, Any]) -> None:
        with self._journal.held():
            self._sync_with_backend()
            check_numbers(extra_fields, self._replay_result)
            super()._write_log(op_code, extra_fields)


def open_journal(path: Path, create: bool, to_write: bool) -> Journal:
    """The storage in a journal file.

    Args:
        create: create the file if it does not exist.
        to_write: check now that the file can be written.

    Raises:
        InputError: the file is missing and `create` is false; it is no regular file, no journal, or has a broken line; it
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
    """Check that the journal can be written, before work is done that would be lost.

    Raises:
        InputError: the file or its folder cannot be written.
    """
    try:
        with journal.held():
            pass
    except StorageInternalError as error:
        raise InputError(f"{error}; make it and its folder writable, or give another --storage") from None


def check_journal(path: Path) -> None:
    """Check that a file is a journal: writing to any other file would cut its last line.

    Raises:
        InputError: the file is missing, no regular file, or no journal.
    """
    if not path.exists():
        raise InputError(f"there is no journal {path}; run a study first, or give its folder with --output")
    check_regular(path)
    with path.open("rb") as file:
        start = file.read(len(JOURNAL_START))
    if not JOURNAL_START.startswith(start):
        hint = f", for SQLite sqlite:///{path}" if start.startswith(b"SQLite") else ""
        raise InputError(
            f"{path} must be an Optuna journal, got a file that starts with {start!r}; give another --storage{hint}"
        )


def _cut_torn_line(journal: BinaryIO) -> int:
    """Truncate the file after its last newline and seek there; returns its size."""
    size = journal.seek(0, os.SEEK_END)
    whole = _end_of_last_line(journal, size)
    if whole < size:
        journal.truncate(whole)
    return journal.seek(whole)


def _end_of_last_line(journal: BinaryIO, size: int) -> int:
    """The offset just after the last newline; 0 if there is none."""
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
    """Write all of `content`. An unbuffered write may write a part, and report a full disk at the next call only."""
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]
