"""A journal that may only be read: it can be reported on, and whoever would write is told so at once."""

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
    """Permissions do not hold for the superuser, who may become another user for a while."""
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
    """A study that has run, in a folder that everybody may read; its own folder may be written."""
    root = Path(tempfile.mkdtemp(prefix="shared-"))  # that of pytest is for its user alone
    root.chmod(0o755)
    place = make_place(root)
    assert place.run("--search-only", "--trials", "2") == 0
    reading(place)  # imports all that it needs: where Python itself lies may be closed to others
    (place.output / ".journal.log.lock").unlink()
    (place.output / "tiny_mml").chmod(0o777)
    for path in (place.output / "journal.log", place.output):
        path.chmod(path.stat().st_mode & 0o555)
    yield place
    for path in (place.output, place.output / "tiny_mml"):
        path.chmod(0o755)
    shutil.rmtree(root)


def reading(place: Place) -> list[int]:
    """The exit codes of all that only read a journal."""
    where = ["--output", str(place.output)]
    return [
        report.main(["--study", "tiny_mml", *where]),
        export.main(["--study", "tiny_mml", *place.where]),
        studies.main(["list", *where]),
        studies.main(["show", "tiny_mml", *where]),
    ]


def test_it_can_be_read(shared: Place):
    journal, shown = shared.output / "journal.log", shared.output / "tiny_mml" / "report.md"
    before, files = journal.read_bytes(), sorted(shared.output.iterdir())
    shown.unlink()
    with as_nobody():
        assert reading(shared) == [0, 0, 0, 0]
    assert shown.exists()
    assert journal.read_bytes() == before
    assert sorted(shared.output.iterdir()) == files, "not even a lock is left"


def test_where_the_report_cannot_be_written(shared: Place, fails: Callable[[int], str]):
    folder = shared.output / "tiny_mml"
    folder.chmod(0o555)
    for command, flags in ((report, ["--output", str(shared.output)]), (export, shared.where)):
        with as_nobody():
            message = fails(command.main(["--study", "tiny_mml", *flags]))
        assert "cannot be written: Permission denied; give another folder with --output" in message
        assert message.count("error:") == message.count("\n") == 1


@pytest.mark.parametrize("of", ["file", "folder"])
def test_writers_are_told_so_before_they_begin(shared: Place, fails: Callable[[int], str], of: str):
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


def test_what_may_not_even_be_read(shared: Place, fails: Callable[[int], str]):
    (shared.output / "journal.log").chmod(0)
    with as_nobody():
        message = fails(report.main(["--study", "tiny_mml", "--output", str(shared.output)]))
    assert "journal.log cannot be opened: [Errno 13] Permission denied" in message
