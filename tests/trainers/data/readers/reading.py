"""Helpers for small data files: write them, and check how they are read or refused."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from trainers.data.readers import Layout, RawInteractions, read_interactions
from trainers.errors import InputError


def write(folder: Path, name: str, text: str | bytes) -> Path:
    """Write a file with this text. It is packed if its name ends in .gz."""
    path = folder / name
    data = text.encode() if isinstance(text, str) else text
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def layout(**keys: object) -> Layout:
    return Layout.model_validate(keys)


def pairs(raw: RawInteractions) -> list[tuple[object, object]]:
    return list(zip(raw.users.values.tolist(), raw.items.values.tolist(), strict=True))


def numbers(values: object) -> list[float] | None:
    """Ratings or times as a list."""
    return None if values is None else values.tolist()  # type: ignore[attr-defined]


def refused(path: Path, *words: str, **keys: object) -> None:
    """Check that the file is refused. The message has one line, the path and these words."""
    with pytest.raises(InputError) as caught:
        read_interactions(path, layout(**keys))
    message = str(caught.value)
    missing = [word for word in (str(path), *words) if word not in message]
    assert not missing, f"the message lacks {missing}: {message}"
    assert "\n" not in message, message
    assert len(message) < 1000, message
