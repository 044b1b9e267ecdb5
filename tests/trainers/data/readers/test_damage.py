"""Damaged files are refused, or read like a plain reader would. There is no traceback, and no row is lost without a message."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainers.data.readers import RawInteractions, read_interactions
from trainers.errors import InputError

CSV = "userId,movieId,rating,timestamp\n" + "".join(f"{u},b{u * 7 % 11},{u % 5}.5,{881250949 + u}\n" for u in range(12))
INTER = "user_id:token\titem_id:token\trating:float\n" + "".join(f"u{u}\t{u * 7 % 11}\t{u % 5}\n" for u in range(12))
FILES = {"a.csv": (CSV.encode(), ","), "a.inter": (INTER.encode(), "\t")}


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    kind = draw(st.sampled_from(["cut", "flip", "swap", "drop", "none"]))
    place = draw(st.integers(0, len(data) - 1))
    if kind == "cut":
        return data[:place]
    if kind == "flip":
        for _ in range(draw(st.integers(1, 3))):
            place = draw(st.integers(0, len(data) - 1))
            data = data[:place] + bytes([data[place] ^ draw(st.integers(1, 255))]) + data[place + 1 :]
        return data
    if kind == "drop":
        return data[:place] + data[place + draw(st.integers(1, 30)) :]
    lines = data.splitlines(keepends=True)
    if kind == "swap":
        one, other = (draw(st.integers(0, len(lines) - 1)) for _ in range(2))
        lines[one], lines[other] = lines[other], lines[one]
    return b"".join(lines)


def plain_reading(data: bytes, separator: str) -> list[list[str]]:
    """The rows of a table with a header, by Python's csv module. Tables with tabs have no quotes."""
    text = re.sub("\r\n|\r", "\n", data.decode("utf-8-sig"))
    quoting = csv.QUOTE_MINIMAL if separator == "," else csv.QUOTE_NONE
    rows = list(csv.reader(io.StringIO(text), delimiter=separator, quoting=quoting))
    return [[field.strip() for field in row] for row in rows if any(field.strip() for field in row)]


@pytest.mark.parametrize("name", FILES)
@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_reads_or_explains(name: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    whole, separator = FILES[name]
    content = data.draw(damaged(whole))
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(content)
    check(path, content, separator)


def read_or_explained(path: Path) -> RawInteractions | str:
    try:
        return read_interactions(path)
    except InputError as error:
        return str(error)


def check(path: Path, content: bytes, separator: str) -> None:
    raw = read_or_explained(path)
    if isinstance(raw, str):
        assert str(path) in raw
        assert "\n" not in raw
        return
    rows = plain_reading(content, separator)
    assert "; header;" in raw.said
    assert [len(row) for row in rows] == [len(rows[0])] * len(rows), "a table with ragged lines must be refused"
    assert len(raw) == len(rows) - 1
    user, item = (rows[0].index(re.search(f"{role}=([^,;]+)", raw.said)[1]) for role in ("user", "item"))  # type: ignore[index]
    assert list(map(str, raw.users.values.tolist())) == [row[user] for row in rows[1:]]
    assert list(map(str, raw.items.values.tolist())) == [row[item] for row in rows[1:]]


def test_the_undamaged_files_are_read(tmp_path: Path) -> None:
    for name, (whole, _) in FILES.items():
        (tmp_path / name).write_bytes(whole)
        assert len(read_interactions(tmp_path / name)) == 12
