"""Where studies live: a journal file by default, or any Optuna URL; opened so that a killed writer does no harm."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote, quote_plus

from optuna.storages import BaseStorage

from hpo.storage.journal import JOURNAL, open_journal
from hpo.storage.retrying import open_remote
from trainers.environment import variable
from trainers.errors import InputError, first_line

STORAGE_VARIABLE = "HPO_STORAGE"
SECRET_KEY = re.compile("pass|secret|token|key", re.IGNORECASE)


def storage_url(given: str | None, output: Path | None) -> str:
    """The URL or journal path to use: `--storage`, else $HPO_STORAGE, else the journal in the output folder if one is given.

    Raises:
        InputError: the variable is blank.
    """
    return given or variable(STORAGE_VARIABLE) or (str(output / JOURNAL) if output else "")


def without_password(url: str) -> str:
    """The URL as it may be printed and stored."""
    secrets = _secrets(url)
    if secrets is None:
        return url.partition("://")[0] + "://***"
    return _hidden(url, secrets)


def shared_by_processes(url: str) -> bool:
    """Whether several processes may work on one study there: SQLite gives a queued trial to two of them."""
    return not url.startswith(("sqlite:", "sqlite+"))


def has_password(url: str) -> bool:
    """True when a URL carries its password, which `ps` and the shell's history then show."""
    return _secrets(url) != []


def _secrets(url: str) -> list[str] | None:
    """Passwords in a URL, as they stand there and decoded; None when it cannot be parsed and may hold any."""
    if "://" not in url:
        return []
    from sqlalchemy.engine import make_url  # takes half a second, and a journal needs none of it
    from sqlalchemy.exc import ArgumentError

    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # ValueError: a port that is no number
        return None
    found = [str(parsed.password)] if parsed.password is not None else []
    for key, value in parsed.query.items():
        if SECRET_KEY.search(key):
            found += [value] if isinstance(value, str) else list(value)
    before_host = url.partition("://")[2].rpartition("@")[0]
    if ":" in before_host:  # the user's own spelling; an unescaped @ or : may belong to the password
        found.append(before_host.partition(":")[2])
    return sorted({*found, *map(quote, found), *map(quote_plus, found)} - {""}, key=len, reverse=True)


def _hidden(text: str, secrets: list[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, "***")
    return text


def open_storage(url: str, create: bool = True) -> BaseStorage:
    """Open a storage; a torn last journal line, left by a killed writer, is cut off first.

    Args:
        url: an Optuna URL, `grpc://host:port` of Optuna's proxy, or the path of a journal file.
        create: make a journal that does not exist.

    Raises:
        InputError: unreachable, damaged, a driver that is not installed, or no journal there and `create` is false.
    """
    try:
        return open_remote(url) if "://" in url else open_journal(Path(url), create)
    except InputError:
        raise
    except _storage_errors() as error:
        raise InputError(f"storage {without_password(url)} cannot be opened: {_censored(first_line(error), url)}") from None


def _storage_errors() -> tuple[type[Exception], ...]:
    """What Optuna's storages raise on files and servers that are absent, damaged or of another version."""
    from sqlalchemy.exc import SQLAlchemyError  # takes half a second, and is asked for after an error only

    return SQLAlchemyError, ImportError, OSError, ValueError, KeyError, TypeError, RuntimeError, AssertionError


def _censored(text: str, url: str) -> str:
    """Error texts of drivers may repeat the URL."""
    secrets = _secrets(url)
    return "the URL cannot be parsed" if secrets is None else _hidden(text, secrets)
