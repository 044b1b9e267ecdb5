"""Where studies live: a journal file by default, or any Optuna URL; opened so that a killed writer does no harm."""

from __future__ import annotations

from pathlib import Path

from optuna.storages import BaseStorage

from hpo.storage.address import censored, is_url, without_password
from hpo.storage.journal import open_journal
from hpo.storage.retrying import open_remote
from trainers.errors import InputError, first_line


def open_storage(url: str, create: bool = True, to_write: bool = True) -> BaseStorage:
    """Open a storage.

    Args:
        url: an Optuna URL, `grpc://host:port` of Optuna's proxy, or the path of a journal file.
        create: make a journal that does not exist.
        to_write: a journal that cannot be written is refused now; without it a journal is neither locked nor changed.

    Raises:
        InputError: unreachable, damaged, a driver that is not installed, or no journal there and `create` is false.
    """
    try:
        return open_remote(url) if is_url(url) else open_journal(Path(url), create, to_write)
    except InputError:
        raise
    except _storage_errors() as error:
        raise InputError(f"storage {without_password(url)} cannot be opened: {censored(first_line(error), url)}") from None


def _storage_errors() -> tuple[type[Exception], ...]:
    """What Optuna's storages raise on files and servers that are absent, damaged or of another version."""
    from sqlalchemy.exc import SQLAlchemyError  # takes half a second, and is asked for after an error only

    return SQLAlchemyError, ImportError, OSError, ValueError, KeyError, TypeError, RuntimeError, AssertionError
