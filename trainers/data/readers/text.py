"""Reads files as text: decompressed, decoded, with uniform line ends; refuses binary files."""

from __future__ import annotations

import codecs
import gzip
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from trainers.errors import InputError

GZIP = b"\x1f\x8b"
MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
CONTROL = bytes(set(range(32)) - set(b"\t\n\r")) + b"\x7f"  # bytes that do not occur in text
SAMPLE_BYTES, SAMPLE_LINES = 2**20, 2000


@dataclass(frozen=True, eq=False)
class Text:
    """A file's text.

    Attributes:
        data: the text in UTF-8, with `\\n` as line ends.
        skipped: number of lines of the file before `data`.
        encoding: the original encoding, if it is not UTF-8.
    """

    path: Path
    data: bytes
    encoding: str = ""
    skipped: int = 0

    @cached_property
    def sample(self) -> list[str]:
        """The first lines that are not blank, at most 2,000, without an incomplete last one."""
        block = self.data[:SAMPLE_BYTES]
        lines = block.split(b"\n")
        if len(block) < len(self.data) and len(lines) > 1:
            lines.pop()
        return [line.decode(errors="replace") for line in lines if line.strip()][:SAMPLE_LINES]

    def line_of(self, row: int) -> int:
        """The number, from 1, of the line that is not empty and has `row` such lines before it."""
        ends = self.ends
        filled = np.flatnonzero(np.diff(ends, prepend=-1) > 1)
        return int(filled[row]) + 1 + self.skipped

    def line(self, number: int) -> str:
        """The line with this number, from 1."""
        ends = self.ends
        index = number - 1 - self.skipped
        start = int(ends[index - 1]) + 1 if index else 0
        return self.data[start : int(ends[index])].decode(errors="replace")

    @property
    def ends(self) -> NDArray[np.int64]:
        """The end of each line, (n_lines,). Not cached, since only messages need it."""
        ends = np.flatnonzero(np.frombuffer(self.data, np.uint8) == ord("\n"))
        return ends if self.data.endswith(b"\n") else np.append(ends, len(self.data))


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Within the block, raise errors of opening and decompressing a file as InputError."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(
            f"{path}: must be a whole gzip file, as its name or its first bytes say, got one that is damaged or cut off "
            f"({error}); fetch it again"
        ) from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}; give a file that you may read") from None


def read_text(path: Path, encoding: str | None = None) -> Text:
    """The text of a file, plain or gzip.

    Raises:
        InputError: it cannot be read, is damaged, empty, binary, or in another encoding.
    """
    with explained(path), open_file(path) as file:
        data = file.read()
    data, found = _as_utf8(path, data, encoding)
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if len(data.translate(None, CONTROL)) < len(data):
        _refuse_binary(path, data)
    if not data.strip():
        raise InputError(f"{path}: holds no interactions: the file is empty; expected lines such as `0 5 17`, or a table")
    return Text(path, data, found)


def open_file(path: Path) -> BinaryIO:
    """Open a file, and decompress it during reading if it is gzip.

    Raises:
        OSError: the file cannot be read, or ends in .gz and is no gzip file.
    """
    with path.open("rb") as file:
        packed = file.read(len(GZIP)) == GZIP
    if packed or path.suffix.lower() == ".gz":
        return cast(BinaryIO, gzip.open(path))
    return path.open("rb")


def encoding_of(start: bytes) -> str | None:
    """The encoding of a file's byte order mark; None without one."""
    return next((name for mark, name in MARKS.items() if start.startswith(mark)), None)


def not_encoded(path: Path, line: int, encoding: str, shown: bytes) -> InputError:
    """The error for bytes that are invalid in the encoding."""
    name = encoding.upper().removesuffix("-SIG")
    other = f"{codecs.lookup(encoding).name}-le" if codecs.lookup(encoding).name in ("utf-16", "utf-32") else "cp1252"
    return InputError(
        f"{path}, line {line}: is not {name} text, got {shown!r}; name the encoding, such as data: {{encoding: {other}}}"
    )


def around(error: UnicodeError, start: bytes) -> bytes:
    """The bytes around the invalid ones; the `start` of the file if the error does not know them."""
    if isinstance(error, UnicodeDecodeError):
        return error.object[max(error.start - 10, 0) : error.end + 10]
    return start


def _as_utf8(path: Path, data: bytes, wanted: str | None) -> tuple[bytes, str]:
    """The bytes in UTF-8, and the original encoding if it was another one."""
    found = encoding_of(data)
    encoding = wanted or found or "utf-8"
    if encoding == found == "utf-8-sig":
        data, encoding = data.removeprefix(codecs.BOM_UTF8), "utf-8"
    codec = codecs.lookup(encoding).name
    if codec in ("utf-8", "ascii") and data.isascii():
        return data, ""
    try:
        text = data.decode(encoding)
    except UnicodeError as error:
        line = data[: getattr(error, "start", 0)].count(b"\n") + 1
        raise not_encoded(path, line, encoding, around(error, data[:20])) from None
    if codec in ("utf-8", "utf-8-sig"):
        return data.removeprefix(codecs.BOM_UTF8), ""
    return text.removeprefix("\ufeff").encode(), encoding.upper()


def _refuse_binary(path: Path, data: bytes) -> None:
    found = re.search(b"[" + re.escape(CONTROL) + b"]", data)
    assert found is not None
    position = found.start()
    line = data[:position].count(b"\n") + 1
    shown = data[max(position - 10, 0) : position + 10]
    raise InputError(
        f"{path}, line {line}: must be text, which has no byte {found[0]!r}, got {shown!r}; is it damaged, or in an encoding "
        "to be named, such as data: {encoding: utf-16}?"
    )
