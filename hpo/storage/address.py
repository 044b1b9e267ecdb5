"""The value of `--storage`, a URL or the path of a journal. Passwords in URLs are neither printed nor stored."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote, quote_plus

from hpo.storage.journal import JOURNAL
from trainers.environment import variable
from trainers.errors import InputError

STORAGE_VARIABLE = "HPO_STORAGE"
SHORTEST = 6  # characters; shorter passwords are not searched for in a text
SECRET_KEY = re.compile("pass|secret|token|key", re.IGNORECASE)
HIDDEN = "***"
URL = re.compile(r"[a-z][a-z0-9_+.-]*://")
POSTGRES = re.compile(r"postgres(\+\w+)?://")  # an old alias that SQLAlchemy does not accept
DIALECTS = "postgres|postgresql|mysql|mariadb|sqlite|oracle|mssql|cockroachdb|redis|grpc"
# A misspelt URL that could pass for a path. It may hold a password, and the path of a journal is printed and stored.
MEANT_AS_URL = re.compile(
    rf"""
      [\s"']*(?:{DIALECTS})(?:\+\w|:|//)  # the name of a database, continued like a URL
    | [\s"']*[a-z][\w+.-]+:/              # scheme:/
    | .*://                               # a URL after other text
    | .*:.*@                              # user:password@
    | [\s"']*[\w+.-]*//[^/]*@             # //user@
    """,
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
IN_MEMORY = re.compile(r"sqlite(\+\w+)?://(/?(\?.*)?|.*(:memory:|mode=memory).*)", re.DOTALL | re.IGNORECASE)
HOST_AND_PORT = re.compile(r"[\w.-]+:\d+(?:/\w*)?")
FLAG = re.compile(r"(--[\w-]+=)(.*)", re.DOTALL)


def is_url(storage: str) -> bool:
    """Whether a storage is a URL, not the path of a journal."""
    return URL.match(storage) is not None


def storage_url(given: str | None, output: Path | None) -> str:
    """The URL or journal path to use: `--storage`, or $HPO_STORAGE, or the journal in the output folder.

    Raises:
        InputError: it is a misspelt URL, which the message does not show, starts with postgres://, or names no file for SQLite;
            or the variable is blank.
    """
    used = ("--storage", given) if given else (f"${STORAGE_VARIABLE}", variable(STORAGE_VARIABLE) or "")
    for name, text in (used, ("--output", str(output or ""))):
        if not is_url(text) and (MEANT_AS_URL.match(text) or HOST_AND_PORT.fullmatch(text)):
            raise InputError(
                f"{name} must be {'a path' if name == '--output' else 'a URL or a path'}, got a malformed URL (not shown, "
                "since it may hold a password); give a database as postgresql+psycopg://USER@HOST/DB, in lower case and "
                "without spaces or quotes around it, SQLite as sqlite:///FILE, Optuna's proxy as grpc://HOST:PORT, a journal "
                "or a folder as a path without ':' and '@'"
            )
    if POSTGRES.match(used[1]):
        raise InputError(
            f"{used[0]} must name the database as SQLAlchemy does, got postgres://; write postgresql+psycopg:// instead"
        )
    if IN_MEMORY.fullmatch(used[1]):
        raise InputError(
            f"{used[0]} must name a file for SQLite, since studies in memory are lost when the command ends, got "
            f"{without_password(used[1])}; give sqlite:///FILE"
        )
    return used[1] or (str(output / JOURNAL) if output else "")


def without_password(text: str) -> str:
    """A URL or an argument of a command line, with passwords hidden."""
    flag = FLAG.fullmatch(text)
    if flag:
        return flag[1] + without_password(flag[2])
    if not is_url(text):
        return HIDDEN if MEANT_AS_URL.match(text) else text
    secrets = _secrets(text)
    if secrets is None:
        return f"{text.partition('://')[0]}://{HIDDEN}"
    return _hidden(text, secrets)


def has_password(url: str) -> bool:
    """Whether a URL holds a password, which `ps` and the shell's history show."""
    if not is_url(url):
        return False
    secrets = _secrets(url)
    if secrets is None:
        rest = url.partition("://")[2]
        return ":" in rest.rpartition("@")[0] or SECRET_KEY.search(rest) is not None
    return secrets != []


def censored(text: str, url: str) -> str:
    """The text of an error with the passwords of a URL hidden, since drivers repeat them."""
    secrets = _secrets(url) if is_url(url) else []
    if secrets is None:
        return "the URL cannot be parsed"
    # hiding a short password would garble the text and reveal the password
    return (
        _hidden(text, secrets)
        if all(len(one) >= SHORTEST for one in secrets)
        else "the driver's message is not shown, since it may hold the password"
    )


def shared_by_processes(url: str) -> bool:
    """Whether several processes may search one study there. SQLite may give one queued trial to two of them."""
    return not url.startswith(("sqlite:", "sqlite+"))


def _secrets(url: str) -> list[str] | None:
    """The passwords in a URL, as written and decoded; None if the URL cannot be parsed."""
    from sqlalchemy.engine import make_url  # takes half a second, and a journal does not need it
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
    if ":" in before_host:  # the password as written; an unescaped @ or : may belong to it
        found.append(before_host.partition(":")[2])
    return sorted({*found, *map(quote, found), *map(quote_plus, found)} - {""}, key=len, reverse=True)


def _hidden(text: str, secrets: list[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    return text
