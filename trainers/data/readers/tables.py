"""Reads text tables: detects the separator, checks the lines, and returns the cells of used columns."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from trainers.data.readers.content import fields_by_column, has_header, roles_by_content
from trainers.data.readers.layout import Layout
from trainers.data.readers.meaning import ENOUGH
from trainers.data.readers.names import given_roles, roles_by_name
from trainers.data.readers.raw import Column, Numbers, Table, joined, quoted, refusal
from trainers.data.readers.text import Text
from trainers.errors import InputError
from trainers.text import shown

UNIT = "\x1f"  # replaces a separator of several characters; it does not occur in text
WORDS = {"\t": "tab", ",": "comma", ";": "semicolon", "|": "bar", " ": "spaces", "::": "`::`"}
QUOTING = (",", ";", "|")  # in tables with tabs, quotes may be plain characters, such as 12" in a name
IN_QUOTES = re.compile(r'"([^"]|"")*"')
EXCEL = re.compile(rb"sep=(.)\n", re.IGNORECASE)
QUOTED = re.compile(r'"[^"]*"')
BLOCK = 2**24  # bytes checked at once
CHUNK = 2**19  # lines parsed at once


@dataclass(frozen=True)
class Form:
    """The layout of a text table: separator, whether fields may be quoted, whether there is a header."""

    separator: str
    quotes: bool
    header: bool

    @property
    def words(self) -> str:
        return f"{'header' if self.header else 'no header'}; {WORDS.get(self.separator, repr(self.separator))}"


def read_table(text: Text, layout: Layout) -> Table:
    """The used columns of a text table, as text or numbers.

    Raises:
        InputError: no separator is found, all lines are blank, a line has another number of fields, fields in quotes have a
            separator of several characters, or the columns are unknown.
    """
    text, separator = _separated(text, layout)
    text = replace(text, data=_without_blank_lines(text.data, separator))
    if not text.sample:
        raise InputError(f"{text.path}: holds no interactions: all lines are blank; expected a table with a line for each")
    quotes = _has_quotes(text, separator)
    rows = _split(text.sample, separator, quotes)
    header = _header(rows, layout, text)
    names = tuple(field.strip() for field in rows[0]) if header else tuple(map(str, range(len(rows[0]))))
    columns = layout.columns
    if header:
        roles = roles_by_name(names, columns, text.path, fields_by_column(rows[1:], len(names)))
    else:
        roles = roles_by_content(rows, columns, text.path)
    form = Form(separator, quotes, header)
    take = _quoted_cells if quotes else _plain_cells
    cells = take(text, form, len(names), roles.used())
    said = form.words + (f"; {text.encoding}" if text.encoding else "")
    return Table(text.path, names, roles, cells, said, partial(_locate, text, form))


def find_separator(sample: list[str], preferred: str = "") -> str | None:
    """The separator that occurs equally often in nearly all lines, or else one that occurs in the first line; None without."""
    lines = [QUOTED.sub("x", line) for line in sample[:100]]
    order = list(dict.fromkeys([*([preferred] if preferred else []), "::", "\t"]))
    present = [sign for sign in (*order, ";", ",", "|") if sign in lines[0]]
    steady = [sign for sign in present if steadiness(lines, sign) >= 0.9]
    strong = [sign for sign in steady if sign in order]
    if strong:
        return strong[0]
    if steady:
        return max(steady, key=lambda sign: lines[0].count(sign))
    if present:
        return present[0]
    return " " if " " in lines[0].strip() else None


def steadiness(lines: list[str], sign: str) -> float:
    """The share of lines that contain a character as often as the first line."""
    return sum(line.count(sign) == lines[0].count(sign) for line in lines) / len(lines)


def preferred_separator(name: str) -> str:
    """The separator that a file's ending implies; may be empty."""
    return "\t" if name.lower().removesuffix(".gz").endswith((".tsv", ".inter")) else ""


def _separated(text: Text, layout: Layout) -> tuple[Text, str]:
    """The text with normalised blanks as separators, and the separator of the file."""
    excel = EXCEL.match(text.data)
    if excel:
        text = replace(text, data=text.data[excel.end() :], skipped=1)
    separator = layout.separator or (excel[1].decode() if excel else None)
    if separator is None and text.sample:
        separator = find_separator(text.sample, preferred_separator(text.path.name))
    if separator is None or not text.sample:
        first = text.sample[0] if text.sample else ""
        raise InputError(
            f"{text.path}: columns must be separated by tabs, commas, semicolons, bars, `::` or spaces, got {quoted(first)}; "
            'name another separator: data: {separator: "/"}'
        )
    if layout.separator and separator not in text.sample[0]:
        found = find_separator(text.sample, preferred_separator(text.path.name))
        raise InputError(
            f"{text.path}: data.separator must separate the columns, and {shown(separator)} is not in the first line, got "
            f"{quoted(text.sample[0])}" + (f"; it seems to be {found!r}" if found else "; leave it out or give another")
        )
    if separator == " ":
        text = replace(text, data=re.sub(rb"(?m)^ +| +$", b"", re.sub(rb" {2,}", b" ", text.data)))
    return text, separator


def _has_quotes(text: Text, separator: str) -> bool:
    if b'"' not in text.data:
        return False
    quotes = separator in QUOTING or _are_quoted([line.split(separator) for line in text.sample])
    if quotes and len(separator) > 1:
        raise InputError(
            f"{text.path}: fields in quotes must be separated by one character, the separator is {shown(separator)}, got "
            f"{quoted(text.sample[0])}; remove the quotes, or use another separator"
        )
    return quotes


def _are_quoted(rows: list[list[str]]) -> bool:
    """Whether quotes enclose fields: all fields of the first row, or nearly all of one column, while none has other quotes."""
    first, below = rows[0], rows[1:] or rows
    if all(map(IN_QUOTES.fullmatch, first)):
        return True
    if any('"' in field and not IN_QUOTES.fullmatch(field) for row in rows for field in row):
        return False
    counts = Counter(index for row in below for index, field in enumerate(row) if field[:1] == '"')
    return max(counts.values(), default=0) >= ENOUGH * len(below)


def _split(lines: list[str], separator: str, quotes: bool) -> list[list[str]]:
    if not quotes:
        return [line.split(separator) for line in lines]
    rows: list[list[str]] = []
    with suppress(csv.Error):  # explained where all lines are read
        for row in csv.reader((line + "\n" for line in lines), delimiter=separator):
            rows += [row] if row else []
    return rows or [lines[0].split(separator)]


def _header(rows: list[list[str]], layout: Layout, text: Text) -> bool:
    if layout.header is not None:
        named = [key for key in (layout.columns.given().values() if layout.columns else ()) if isinstance(key, str)]
        if named and not layout.header:
            raise InputError(
                f"{text.path}: columns without a header must be given by numbers from 0 to {len(rows[0]) - 1}, got the name "
                f"{shown(named[0])}; give a number, or header: true"
            )
        return layout.header
    if layout.columns and any(isinstance(key, str) for key in layout.columns.given().values()):
        given_roles(tuple(rows[0]), layout.columns, text.path)  # raises unless the first line has the names
        return True
    return has_header(rows, text.path)


def _without_blank_lines(data: bytes, separator: str) -> bytes:
    """The text with blank lines made empty, including lines of only separators, which spreadsheets write."""
    blank = b"[ \t" + re.escape(separator.encode()) + b"]+" if len(separator) == 1 else rb"[ \t]+"
    return re.sub(b"(?m)^" + blank + b"$", b"", data)


def _plain_cells(text: Text, form: Form, width: int, used: dict[str, int]) -> dict[str, Column | Numbers]:
    """Parse with pandas, after checking that every line has `width` fields."""
    data, sign = text.data, form.separator
    if b"\n\n" in data or data.startswith(b"\n"):
        data = re.sub(rb"\n{2,}", b"\n", data).lstrip(b"\n")
    if len(sign.encode()) > 1:
        data, sign = data.replace(sign.encode(), UNIT.encode()), UNIT
    _check_widths(text, data, sign, width, form)
    start = data.find(b"\n") + 1 or len(data) if form.header else 0
    roles = {index: role for role, index in used.items()}
    if start >= len(data):
        return {role: Column.of([]) for role in used}
    for numeric in (("rating", "time"), ()):  # second try: if a rating or time is no number, read all as text
        kinds = {index: np.float64 if role in numeric else object for index, role in roles.items()}
        try:
            cells = _parsed(data[start:], sign, width, kinds)
        except ValueError:
            continue
        return {role: cells[index] for index, role in roles.items()}
    raise InputError(
        f"{text.path}: must be a table, got one that cannot be parsed, with the first line {quoted(text.sample[0])}; write it "
        "again"
    )


def _parsed(data: bytes, sign: str, width: int, kinds: Mapping[int, type]) -> dict[int, Column | Numbers]:
    """The columns in `kinds`; those of type object as exact text, since pandas' categories would convert 007 to 7."""
    parts: dict[int, list[Column | Numbers]] = {index: [] for index in kinds}
    chunks = pd.read_csv(
        io.BytesIO(data),
        sep=sign,
        header=None,
        names=list(range(width)),
        usecols=sorted(kinds),
        dtype=kinds,
        quoting=csv.QUOTE_NONE,
        na_filter=False,
        skip_blank_lines=False,
        index_col=False,
        encoding="utf-8",
        engine="c",
        chunksize=CHUNK,
    )
    with chunks:
        for chunk in chunks:
            for index, kind in kinds.items():
                values = chunk[index].to_numpy()
                parts[index].append(Column.of(values) if kind is object else values)
    return {index: joined(columns) for index, columns in parts.items()}


def _check_widths(text: Text, data: bytes, sign: str, width: int, form: Form) -> None:
    """Raise InputError unless each line of `data`, which has no empty lines, has `width` fields."""
    start = row = 0
    while start < len(data):
        end = data.find(b"\n", start + BLOCK) + 1 or len(data)
        signs = np.frombuffer(data, np.uint8, end - start, start)
        ends = np.flatnonzero(signs == ord("\n"))
        if signs[-1] != ord("\n"):
            ends = np.append(ends, len(signs))
        positions = np.flatnonzero(signs == ord(sign))
        counts = np.diff(np.searchsorted(positions, ends), prepend=0) + 1
        wrong = np.flatnonzero(counts != width)
        if len(wrong):
            number = text.line_of(row + int(wrong[0]))
            raise _ragged(text, number, int(counts[wrong[0]]), width, form)
        row, start = row + len(ends), end


def _ragged(text: Text, number: int, found: int, width: int, form: Form) -> InputError:
    rule = (
        f"each line must have the {width} fields of the first one, this one has {found} (separator: "
        f"{form.words.split('; ')[1]})"
    )
    return refusal(text.path, f"line {number}", rule, text.line(number), "correct or delete it; is the file cut off?")


def _quoted_cells(text: Text, form: Form, width: int, used: dict[str, int]) -> dict[str, Column | Numbers]:
    """Parse with Python's csv module, which refuses broken quotes."""
    rows = _reader(text, form)
    cells: dict[str, list[str]] = {role: [] for role in used}
    start = 1
    try:
        for row in rows:
            if row and len(row) != width:
                raise _ragged(text, start + text.skipped, len(row), width, form)
            start = rows.line_num + 1
            for role, index in used.items():
                if row:
                    cells[role].append(row[index])
    except csv.Error as error:
        number = start + text.skipped
        rule = f"quotes must enclose whole fields, and be doubled inside ({error})"
        raise refusal(text.path, f"line {number}", rule, text.line(number), "correct the line") from None
    return {role: Column.of(column[form.header :]) for role, column in cells.items()}


def _reader(text: Text, form: Form) -> Any:
    return csv.reader(io.StringIO(text.data.decode()), delimiter=form.separator, strict=True)


def _locate(text: Text, form: Form, row: int) -> tuple[str, str]:
    """The first line of a row, and its content."""
    number = text.line_of(row + form.header)
    if form.quotes:  # a field may hold line ends
        rows, found, end = _reader(text, form), -1, 0
        while found < row + form.header:
            number = end + 1 + text.skipped
            found += bool(next(rows))
            end = rows.line_num
    return f"line {number}", text.line(number)
