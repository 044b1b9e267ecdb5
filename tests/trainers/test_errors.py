"""Errors as one line of text."""

from __future__ import annotations

import pytest

from trainers.errors import first_line


@pytest.mark.parametrize(
    ("error", "text", "line"),
    [
        (ValueError("one\ntwo"), None, "one"),
        (ValueError("\n  one  \n"), None, "one"),
        (MemoryError(), None, "MemoryError"),
        (ValueError(" \n"), None, "ValueError"),
        (ValueError("long text"), "found a tab\nmore", "found a tab"),
        (ValueError("long text"), "", "ValueError"),
    ],
)
def test_an_error_becomes_one_line(error: Exception, text: str | None, line: str) -> None:
    assert first_line(error, text) == line
