"""Detects whether a .txt file is NGCF text or a table."""

from __future__ import annotations

import numpy as np

from trainers.data.readers.layout import Layout
from trainers.data.readers.lines import read_lines, widths_of
from trainers.data.readers.meaning import WHOLE
from trainers.data.readers.names import KNOWN_IDS, plain
from trainers.data.readers.raw import RawInteractions, quoted
from trainers.data.readers.tables import find_separator, read_table, steadiness
from trainers.data.readers.text import Text
from trainers.data.readers.values import interactions
from trainers.errors import InputError

WIDEST_TABLE = 8  # columns that are all whole numbers
MOSTLY = 0.9  # share of the lines: a table may have damaged lines
AS_TABLE = "if it is a table, give data: {format: table}"


def read_plain(text: Text) -> RawInteractions:
    """Read a .txt file as NGCF text or as a table.

    Raises:
        InputError: it could be both NGCF text and a table of three or more columns; or what the readers raise.
    """
    if not _starts_with_ids(text):
        return interactions(read_table(text, Layout())) if _looks_like_table(text) else read_lines(text, AS_TABLE)
    width, share = _usual_width(text)
    if share < MOSTLY or width < 3:
        return read_lines(text, AS_TABLE if width == 2 else "")
    if not _all_ids(text):
        return interactions(read_table(text, Layout()))
    if width > WIDEST_TABLE or (width > 4 and not _repeats_users(text)):
        return read_lines(text)
    raise InputError(
        f"{text.path}: must be NGCF text, `user item item ...`, or a table, and could be either: {share:.0%} of its lines have "
        f"{width} numbers, got {quoted(text.sample[0])}; for a table give data: {{format: table}}, for NGCF text "
        "data: {format: lines}"
    )


def _starts_with_ids(text: Text) -> bool:
    return all(WHOLE.fullmatch(field.removeprefix("-")) for field in text.sample[0].split())


def _usual_width(text: Text) -> tuple[int, float]:
    """The most common number of fields in a line, and its share of the lines; share 0 for a single line."""
    widths = widths_of(text.data)
    if len(widths) == 1:
        return int(widths[0]), 0.0
    counts = np.bincount(widths)
    return int(counts.argmax()), float(counts.max() / len(widths))


def _repeats_users(text: Text) -> bool:
    """Whether several lines begin with the same id. NGCF text has one line for each user."""
    users = [line.split(None, 1)[0] for line in text.data.splitlines() if line.strip()]
    return len({*users}) < len(users)


def _all_ids(text: Text) -> bool:
    return all(all(map(str.isdecimal, line.split())) for line in text.sample)


def _looks_like_table(text: Text) -> bool:
    """Whether the first line has known names, the separator is no blank, or nearly all lines have equally many fields."""
    separator = find_separator(text.sample)
    if separator is None:
        return False
    if separator not in " \t" or any(plain(name) in KNOWN_IDS for name in text.sample[0].split(separator)):
        return True
    return len(text.sample) > 1 and steadiness(text.sample, separator) >= MOSTLY
