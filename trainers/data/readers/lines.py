"""Reads NGCF text: `user item item ...` in each line, with whole numbers as ids."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainers.data.readers.raw import IdColumn, RawInteractions, refusal
from trainers.data.readers.text import Text

MAX_ID = 2**31 - 1
PLAIN = b"0123456789 \t\n"


@dataclass(frozen=True, eq=False)
class _Lines:
    """All ids in order, (n_ids,), and the number of ids in each line that is not blank, (n_lines,)."""

    ids: NDArray[np.int64]
    widths: NDArray[np.int64]


def read_lines(text: Text, remedy: str = "") -> RawInteractions:
    """The pairs of NGCF text. Users without items are dropped.

    Args:
        remedy: the end of the message about ids that are no whole numbers.

    Raises:
        InputError: an id that is no whole number from 0 to 2^31 - 1, with line number and content.
    """
    found = _read_at_once(text.data) or _read_by_line(text, remedy)
    first = np.cumsum(found.widths) - found.widths
    is_user = np.zeros(len(found.ids), np.bool_)
    is_user[first] = True
    users, items = np.repeat(found.ids[first], found.widths - 1), found.ids[~is_user]
    said = f"read {len(users):,} interactions: NGCF text, `user item item ...` in each of {len(found.widths):,} lines"
    one_each = len(users) > 0 and bool((found.widths == 2).all())
    if one_each:
        said += "; two numbers in every line, the same pairs as a table of user and item"
    if text.encoding:
        said += f"; {text.encoding}"
    several_lines = one_each and len(np.unique(found.ids[first])) < len(first)
    return RawInteractions(IdColumn.of(users), IdColumn.of(items), None, None, not several_lines, said)


def widths_of(data: bytes) -> NDArray[np.int64]:
    """The number of fields in each line that is not blank, (n_lines,)."""
    signs = np.frombuffer(data if data.endswith(b"\n") else data + b"\n", np.uint8)
    inside = signs > ord(" ")
    starts = inside.copy()
    starts[1:] &= ~inside[:-1]
    ends = np.flatnonzero(signs == ord("\n"))
    widths = np.bincount(np.searchsorted(ends, np.flatnonzero(starts)), minlength=len(ends))
    return widths[widths > 0].astype(np.int64)


def _read_at_once(data: bytes) -> _Lines | None:
    """Parse all lines at once; None if there is an error, which `_read_by_line` then reports."""
    if data.translate(None, PLAIN):
        return None
    ids, widths = np.fromstring(data, np.int64, sep=" "), widths_of(data)
    if len(ids) != widths.sum() or (len(ids) and ids.max() > MAX_ID):
        return None
    return _Lines(ids, widths)


def _read_by_line(text: Text, remedy: str) -> _Lines:
    rows: list[NDArray[np.int64]] = []
    for number, line in enumerate(text.data.decode().split("\n"), start=1):
        try:
            if "_" in line:
                raise ValueError("NumPy, like Python, would read 1_000 as a number")
            ids = np.array(line.split(), dtype=np.int64)
        except (ValueError, OverflowError):
            raise refusal(text.path, f"line {number}", "ids must be whole numbers", line, remedy) from None
        if len(ids) and not 0 <= ids.min() <= ids.max() <= MAX_ID:
            raise refusal(text.path, f"line {number}", f"ids must lie between 0 and {MAX_ID}", line)
        if len(ids):
            rows.append(ids)
    widths = np.array([len(ids) for ids in rows], np.int64)
    return _Lines(np.concatenate([np.empty(0, np.int64), *rows]), widths)
