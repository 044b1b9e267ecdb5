"""What `--storage` names, a URL or a journal's path; and the passwords in URLs, which are neither printed nor stored."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote, quote_plus

from hpo.storage.journal import JOURNAL
from trainers.environment import variable
from trainers.errors import InputError

STORAGE_VARIABLE = "HPO_STORAGE"
SHORTEST = 6  # letters of a password that is hidden in a text
SECRET_KEY = re.compile("pass|secret|token|key", re.IGNORECASE)
HIDDEN = "***"
URL = re.compile(r"[a-z][a-z0-9_+.-]*://")
DIALECTS = "postgres|postgresql|mysql|mariadb|sqlite|oracle|mssql|cockroachdb|redis|grpc"
# Strange as a path and misspelt as a URL: it may hold a password, and a journal's path is printed and stored.
MEANT_AS_URL = re.compile(
    rf"""
      [\s"']*(?:{DIALECTS})(?:\+\w|:|//)  # a database's name goes on as that of a URL
    | [\s"']*[a-z][\w+.-]+:/              # scheme:/
    | .*://                               # a URL, behind something else
    | .*:.*@                              # user:password@
    | [\s"']*[\w+.-]*//[^/]*@             # //user@
    """,
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
HOST_AND_PORT = re.compile(r"[\w.-]+:\d+(?:/\w*)?")
FLAG = re.compile(r"(--[\w-]+=)(.*)", re.DOTALL)


def is_url(storage: str) -> bool:
    """Whether a storage is given by a URL, not by the path of a journal."""
    return URL.match(storage) is not None


def storage_url(given: str | None, output: Path | None) -> str:
    """The URL or journal path to use: `--storage`, else $HPO_STORAGE, else the journal in the output folder if one is given.

    Raises:
        InputError: it is neither, but a misspelt URL; the message does not show it. Or the variable is blank.
    """
    used = ("--storage", given) if given else (f"${STORAGE_VARIABLE}", variable(STORAGE_VARIABLE) or "")
    for name, text in (used, ("--output", str(output or ""))):
        if not is_url(text) and (MEANT_AS_URL.match(text) or HOST_AND_PORT.fullmatch(text)):
            raise InputError(
                f"{name} looks like a URL and is none (it is not shown, since it may hold a password); a database is given as "
                "postgresql+psycopg://USER@HOST/DB, in lower case and without spaces or quotes around it, SQLite as "
                "sqlite:///FILE, Optuna's proxy as grpc://HOST:PORT, a journal or a folder by a path without ':' and '@'"
            )
    return used[1] or (str(output / JOURNAL) if output else "")


def without_password(text: str) -> str:
    """A URL, or an argument of a command line, as it may be printed and stored."""
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
    """True when a URL carries its password, which `ps` and the shell's history then show."""
    return is_url(url) and _secrets(url) != []


def censored(text: str, url: str) -> str:
    """An error's text without what must not be shown of a URL: drivers repeat it."""
    secrets = _secrets(url) if is_url(url) else []
    if secrets is None:
        return "the URL cannot be parsed"
    # to hide a short one would spoil the text, and show what it was
    return (
        _hidden(text, secrets) if all(len(one) >= SHORTEST for one in secrets) else "the driver's words may hold the password"
    )


def shared_by_processes(url: str) -> bool:
    """Whether several processes may work on one study there: SQLite gives a queued trial to two of them."""
    return not url.startswith(("sqlite:", "sqlite+"))


def _secrets(url: str) -> list[str] | None:
    """Passwords in a URL, as they stand there and decoded; None when it cannot be parsed and may hold any."""
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
        text = text.replace(secret, HIDDEN)
    return text
