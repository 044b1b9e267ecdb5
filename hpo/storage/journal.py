"""The journal file: one line per operation of every study, written so that a killed or failing writer harms nobody else."""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock
from optuna.exceptions import StorageInternalError
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from trainers.errors import InputError

JOURNAL = "journal.log"
JOURNAL_START = b'{"op_code":'


class WholeLines(JournalFileBackend):
    """A journal that only ever grows by whole lines.

    Optuna's own glues the next line on to one that was torn by a kill or a full disk, and nobody can read the file after
    that. Its lock is a symbolic link, which a killed writer leaves behind; the operating system frees this one by itself.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self.path = path
        self.lock = FileLock(path.with_name(f".{path.name}.lock"))

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        """Read operations, from a number on.

        Raises:
            StorageInternalError: the file was moved or deleted, or cannot be read.
        """
        try:
            yield from super().read_logs(log_number_from)
        except OSError as error:
            raise StorageInternalError(f"{self.path} cannot be read: {error.strerror or error}") from None

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Write operations, one line each; those of a writer that failed half-way leave no trace.

        Raises:
            StorageInternalError: the disk is full, or the file cannot be written, or was moved or deleted.
        """
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        try:
            self.path.stat()  # the lock would make the folder of a journal anew that was moved or deleted
            with self.lock, self.path.open("r+b", buffering=0) as journal:
                end = _cut_torn_line(journal)
                try:
                    _write_all(journal, lines.encode())
                    os.fsync(journal.fileno())
                except OSError:
                    journal.truncate(end)
                    raise
        except OSError as error:
            raise StorageInternalError(f"{self.path} cannot be written: {error.strerror or error}") from None

    def repair(self) -> None:
        """Cut off a torn last line."""
        with self.lock, self.path.open("r+b", buffering=0) as journal:
            _cut_torn_line(journal)


def open_journal(path: Path, create: bool) -> JournalStorage:
    """The storage in a journal file.

    Raises:
        InputError: there is none and `create` is false, or the file is no journal.
    """
    if not create and not path.exists():
        raise InputError(f"there is no journal {path}; run a study first, or give its folder with --output")
    path.parent.mkdir(parents=True, exist_ok=True)
    _check_journal(path)
    backend = WholeLines(path)
    backend.repair()
    return JournalStorage(backend)


def _check_journal(path: Path) -> None:
    """Only a journal may be repaired: any other file would lose its last line."""
    if not path.exists():
        return
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
