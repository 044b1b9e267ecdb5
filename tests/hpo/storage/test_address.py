"""Valid and invalid values of `--storage`. Passwords are never shown."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from hpo import confirm, dashboard, export, proxy, report, run, studies
from hpo.runs.provenance import provenance
from hpo.storage.address import has_password, is_url, storage_url, without_password
from hpo.storage.open import open_storage
from trainers.errors import InputError

URLS = [
    "postgresql+psycopg://me:hunter2@host/db",
    "postgresql://me@host:5432/db?sslmode=require",
    "mysql+pymysql://me:hunter2@host/db",
    "sqlite:////a folder/x.db",
    "grpc://host:13000",
]
PATHS = [
    "runs/journal.log",
    "/data/me@lab/journal.log",
    "./postgresql",
    "postgresql.log",
    "mysql/journal.log",
    "sqlite.db",
    "a b/journal.log",
    "2026-11-27T10:30/journal.log",
    "C:",
]
MISSPELT = [
    "postgresql+psycopg:/me:hunter2@host/db",
    "postgresql//me:hunter2@host/db",
    "postgresql:me:hunter2@host/db",
    "postgresql+psycopg/me:hunter2@host/db",
    "postgresql:/me@hunter2/db",
    "postgres//hunter2/db",
    "mysql:/me:hunter2@host/db",
    "mariadb:hunter2",
    " postgresql://me:hunter2@host/db",
    "\tpostgresql://me:hunter2@host/db",
    "'postgresql://me:hunter2@host/db'",
    '"postgresql://me:hunter2@host/db"',
    "=postgresql://me:hunter2@host/db",
    "POSTGRESQL://me:hunter2@host/db",
    "PostgreSQL+psycopg://me:hunter2@host/db",
    "postgresql ://me:hunter2@host/db",
    "://me:hunter2@host/db",
    "//me:hunter2@host/db",
    "//hunter2@host/db",
    "me:hunter2@host/db",
    "pg:/hunter2/db",
    "grpc:/hunter2:13000",
    "grpc:hunter2:13000",
    "GRPC://hunter2:13000",
    "hunter2:13000",
    "hunter2:5432/db",
    "sqlite:/hunter2.db",
    "sqlite:hunter2.db",
    "SQLite:///hunter2.db",
]


@pytest.mark.parametrize("url", URLS)
def test_urls(url: str):
    assert is_url(url)
    assert storage_url(url, None) == url


@pytest.mark.parametrize("path", PATHS)
def test_paths(path: str):
    assert not is_url(path)
    assert storage_url(path, None) == without_password(path) == path
    assert not has_password(path)


@pytest.mark.parametrize("by", ["--storage", "$HPO_STORAGE"])
@pytest.mark.parametrize("text", MISSPELT)
def test_misspelt_urls_are_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch, text: str, by: str):
    if by != "--storage":
        monkeypatch.setenv("HPO_STORAGE", text)
    with pytest.raises(InputError) as error:
        storage_url(text if by == "--storage" else None, Path("runs"))
    assert str(error.value).startswith(f"{by} must be a URL or a path, got a malformed URL")
    assert "postgresql+psycopg://USER@HOST/DB" in str(error.value)
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize("url", ["postgres://me:hunter2@host/db", "postgres+psycopg://host/db"])
def test_the_old_name_of_postgresql_is_refused(url: str):
    with pytest.raises(InputError, match=r"got postgres://; write postgresql\+psycopg:// instead") as error:
        storage_url(url, None)
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///", "sqlite+pysqlite://", "sqlite:///:memory:", "sqlite:///file:a?mode=memory&uri=true"]
)
def test_a_sqlite_database_in_memory_is_refused(monkeypatch: pytest.MonkeyPatch, url: str):
    """Its studies would be gone at the end of the command."""
    with pytest.raises(InputError, match=r"^--storage must name a file for SQLite, .*; give sqlite:///FILE$") as error:
        storage_url(url, None)
    assert f"got {url};" in str(error.value)
    monkeypatch.setenv("HPO_STORAGE", url)
    with pytest.raises(InputError, match=r"^\$HPO_STORAGE must name a file for SQLite"):
        storage_url(None, Path("runs"))
    for file in ("sqlite:///memory.db", "sqlite:////tmp/a.db", "sqlite+pysqlite:///a.db?timeout=3"):
        assert storage_url(file, None) == file


def test_an_unused_variable_is_not_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HPO_STORAGE", MISSPELT[0])
    assert storage_url("runs/journal.log", None) == "runs/journal.log"


def test_a_url_as_the_output_folder_is_refused():
    with pytest.raises(InputError, match=r"^--output must be a path, got a malformed URL") as error:
        storage_url(None, Path(URLS[0]))
    assert "hunter2" not in str(error.value)


COMMANDS = {
    "run": lambda *flags: run.main(["--study", "demo_mml", *flags]),
    "confirm": lambda *flags: confirm.main(["--study", "demo_mml", *flags]),
    "export": lambda *flags: export.main(["--study", "demo_mml", *flags]),
    "report": lambda *flags: report.main(["--study", "demo_mml", *flags]),
    "list": lambda *flags: studies.main(["list", *flags]),
    "show": lambda *flags: studies.main(["show", "demo_mml", *flags]),
    "delete": lambda *flags: studies.main(["delete", "demo_mml", "--yes", *flags]),
    "repair": lambda *flags: studies.main(["repair", *flags]),
    "dashboard": lambda *flags: dashboard.main([*flags]),
    "proxy": lambda *flags: proxy.main([*flags]),
}


@pytest.mark.parametrize("by", ["flag", "variable"])
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_refuses_a_misspelt_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str, by: str
):
    monkeypatch.chdir(tmp_path)
    text = "postgresql+psycopg:/me:hunter2@host/db"
    if by == "variable":
        monkeypatch.setenv("HPO_STORAGE", text)
    assert COMMANDS[command](*([f"--storage={text}"] if by == "flag" else [])) == 2
    shown = "".join(capsys.readouterr())
    assert shown.startswith("error: ")
    assert shown.count("\n") == 1
    assert "hunter2" not in shown
    assert not list(tmp_path.iterdir())


def test_passwords_of_urls_are_hidden():
    assert has_password("postgresql://me:secret@host/db")
    assert not has_password("postgresql://me@host/db")
    assert not has_password("runs/journal.log")
    assert without_password("postgresql://me:secret@host/db") == "postgresql://me:***@host/db"
    assert without_password("runs/journal.log") == "runs/journal.log"
    assert "secret" not in without_password("postgresql://me:secret@host:notaport/db")
    assert has_password("postgresql://host/db?user=me&password=hunter2")
    assert has_password("postgresql://me:secret@host:port/db")
    assert has_password("postgresql://host:port/db?password=hunter2")
    assert not has_password("grpc://localhost:abc")
    assert not has_password("postgresql://me@host:port/db")
    assert without_password("postgresql://host/db?user=me&password=hunter2") == "postgresql://host/db?user=me&password=***"
    assert "ter2" not in without_password("postgresql://me:hun@ter2@host/db")
    assert "ter2" not in without_password("postgresql://me:hun%40ter2@host/db")


@pytest.mark.parametrize("text", [*URLS[:1], *(text for text in MISSPELT if "me:hunter2@" in text)])
@pytest.mark.parametrize("flag", ["", "--storage=", "--stor="])
def test_passwords_of_a_command_line_are_not_stored(monkeypatch: pytest.MonkeyPatch, text: str, flag: str):
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "hpo.run", "--output", "a b", f"{flag}{text}"])
    command = provenance().command
    assert command.startswith("python -m hpo.run --output 'a b' ")
    assert "hunter2" not in command
    assert flag in command


def test_the_rest_of_a_command_line_is_stored_unchanged(monkeypatch: pytest.MonkeyPatch):
    command = ["python", "-m", "hpo.run", "--scheduler", "tcp://host:8786", "--storage=sqlite:///x.db", "--rival-seeds=bsl=1"]
    monkeypatch.setattr(sys, "orig_argv", command)
    assert provenance().command == " ".join(command)


def test_a_password_on_the_command_line_gives_a_warning(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    url = "postgresql+psycopg://me:hunter2@127.0.0.1:1/db"
    where = ["--output", str(tmp_path)]
    for flags in (["--storage", url], [f"--storage={url}"]):
        assert studies.main(["list", *where, *flags]) == 2
        shown = capsys.readouterr().err
        assert "warning: other users can see the password in --storage with `ps`" in shown
        assert "hunter2" not in shown


def test_a_password_in_the_address_of_a_proxy_is_refused():
    with pytest.raises(InputError, match="grpc://HOST:PORT") as error:
        open_storage("grpc://me:hunter2@")
    assert "hunter2" not in str(error.value)
