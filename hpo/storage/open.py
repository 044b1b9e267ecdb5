"""Opens storages: a journal file by default, or any Optuna URL."""

from __future__ import annotations

from pathlib import Path
from weakref import WeakKeyDictionary

from optuna.storages import BaseStorage

from hpo.storage.address import censored, is_url, without_password
from hpo.storage.journal import open_journal
from hpo.storage.retrying import open_remote
from trainers.errors import InputError, first_line

USUAL_PORTS = {"postgresql": 5432, "mysql": 3306}

_locations: WeakKeyDictionary[BaseStorage, str] = WeakKeyDictionary()  # of open storages


def open_storage(url: str, create: bool = True, to_write: bool = True) -> BaseStorage:
    """Open a storage.

    Args:
        url: an Optuna URL, `grpc://host:port` of Optuna's proxy, or the path of a journal file.
        create: create a journal that does not exist.
        to_write: check now that a journal can be written. If false, a journal is neither locked nor changed.

    Raises:
        InputError: the storage is unreachable or damaged, its driver is not installed, or the journal is missing and `create`
            is false.
    """
    try:
        storage = open_remote(url) if is_url(url) else open_journal(Path(url), create, to_write)
        _locations[storage] = _location(url)
        return storage
    except InputError:
        raise
    except _storage_errors() as error:
        raise InputError(
            f"storage {without_password(url)} cannot be opened: {censored(first_line(error), url)}; check the URL, and that "
            "its server runs and its driver is installed"
        ) from None


def location(storage: BaseStorage) -> str:
    """The location of a storage, independent of the spelling of its URL: the path of its file, or server and database.

    Empty for a storage in memory or behind a proxy.
    """
    return _locations.get(storage, "")


def _location(url: str) -> str:
    if not is_url(url):
        return str(Path(url).resolve())
    if url.startswith("grpc://"):
        return ""
    from sqlalchemy.engine import make_url  # takes half a second, and a journal does not need it

    parsed = make_url(url)
    kind, name = parsed.get_backend_name(), parsed.database or ""
    if kind == "sqlite":
        return str(Path(name).resolve()) if name not in ("", ":memory:") else ""
    host = parsed.host or parsed.query.get("host") or parsed.query.get("unix_socket") or "localhost"
    port = parsed.port or parsed.query.get("port") or USUAL_PORTS.get(kind, "")
    return f"{kind}://{host}:{port}/{name}"


def _storage_errors() -> tuple[type[Exception], ...]:
    """The errors that Optuna's storages raise for files and servers that are absent, damaged or of another version."""
    from sqlalchemy.exc import SQLAlchemyError  # takes half a second, and is needed after an error only

    return SQLAlchemyError, ImportError, OSError, ValueError, KeyError, TypeError, RuntimeError, AssertionError
