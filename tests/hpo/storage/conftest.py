"""A sound journal for tests of damaged ones."""

from __future__ import annotations

import pytest

from .journals import Lines, write_journal


@pytest.fixture(scope="session")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Lines:
    """The lines of a sound journal, see `write_journal`."""
    return write_journal(tmp_path_factory.mktemp("sound") / "journal.log")
