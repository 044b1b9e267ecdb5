"""A read-only journal: commands that read it work, and commands that write end at once with a message."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hpo import confirm, dashboard, export, report, studies

from .conftest import Place, make_place
from .processes import free_port

NOBODY = 65534


@contextmanager
def as_nobody() -> Iterator[None]:
    """Run a test as another user, because permissions do not hold for the superuser."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


@pytest.fixture
def shared(compiled_kernels: None) -> Iterator[Place]:
    """A finished study in a folder that all users may read. The folder of the study may be written."""
    root = Path(tempfile.mkdtemp(prefix="shared-"))  # only the user of pytest may read its folders
    root.chmod(0o755)
    place = make_place(root)
    assert place.run("--search-only", "--trials", "2") == 0
    reading(place)  # loads all modules now, because another user may not be allowed to read Python's folders
    (place.output / ".journal.log.lock").unlink()
    (place.output / "tiny_mml").chmod(0o777)
    for path in (place.output / "journal.log", place.output):
        path.chmod(path.stat().st_mode & 0o555)
    yield place
    for path in (place.output, place.output / "tiny_mml"):
        path.chmod(0o755)
    shutil.rmtree(root)


def reading(place: Place) -> list[int]:
    """The exit codes of the commands that only read a journal."""
    where = ["--output", str(place.output)]
    return [
        report.main(["--study", "tiny_mml", *where]),
        export.main(["--study", "tiny_mml", *place.where]),
        studies.main(["list", *where]),
        studies.main(["show", "tiny_mml", *where]),
    ]


def test_commands_can_read_a_read_only_journal(shared: Place):
    journal, shown = shared.output / "journal.log", shared.output / "tiny_mml" / "report.md"
    before, files = journal.read_bytes(), sorted(shared.output.iterdir())
    shown.unlink()
    with as_nobody():
        assert reading(shared) == [0, 0, 0, 0]
    assert shown.exists()
    assert journal.read_bytes() == before
    assert sorted(shared.output.iterdir()) == files, "there is no lock file"


def test_a_report_that_cannot_be_written_is_an_error(shared: Place, fails: Callable[[int], str]):
    folder = shared.output / "tiny_mml"
    folder.chmod(0o555)
    for command, flags in ((report, ["--output", str(shared.output)]), (export, shared.where)):
        with as_nobody():
            message = fails(command.main(["--study", "tiny_mml", *flags]))
        assert "cannot be written: Permission denied; give another folder with --output" in message
        assert message.count("error:") == message.count("\n") == 1


@pytest.mark.parametrize("of", ["file", "folder"])
def test_commands_that_write_are_refused_before_they_begin(shared: Place, fails: Callable[[int], str], of: str):
    where, journal = ["--output", str(shared.output)], shared.output / "journal.log"
    journal.chmod(0o444 if of == "file" else 0o666)
    shared.output.chmod(0o777 if of == "file" else 0o555)
    commands = [
        lambda: shared.run("--search-only", "--trials", "3"),
        lambda: confirm.main(["--study", "tiny_mml", *shared.where]),
        lambda: studies.main(["delete", "tiny_mml", "--yes", *where]),
        lambda: studies.main(["repair", *where]),
        lambda: dashboard.main([*where, "--port", str(free_port())]),
    ]
    before = journal.read_bytes()
    for command in commands:
        with as_nobody():
            message = fails(command())
        assert f"error: {journal} cannot be written: Permission denied; make it and its folder writable" in message
        assert message.count("error:") == 1
    assert journal.read_bytes() == before
    assert (shared.output / "tiny_mml" / "best.yaml").exists()


def test_a_journal_without_read_access_is_refused(shared: Place, fails: Callable[[int], str]):
    (shared.output / "journal.log").chmod(0)
    with as_nobody():
        message = fails(report.main(["--study", "tiny_mml", "--output", str(shared.output)]))
    assert "journal.log cannot be opened: [Errno 13] Permission denied" in message
