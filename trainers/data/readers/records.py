"""Reads JSON, one object per line or one list of objects, such as the reviews of Yelp and Amazon."""

from __future__ import annotations

import itertools
import json
from collections.abc import Generator, Iterator
from contextlib import closing
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from trainers.data.readers.layout import Layout
from trainers.data.readers.names import listed, roles_by_name
from trainers.data.readers.raw import Column, Table, refusal
from trainers.data.readers.text import SAMPLE_LINES, around, encoding_of, explained, not_encoded, open_file
from trainers.errors import InputError
from trainers.text import shown

Record = tuple[int, dict[str, Any]]  # the number of the line, or of the entry in the list, and the object


def read_records(path: Path, layout: Layout) -> Table:
    """The used fields of JSON objects, as text.

    Raises:
        InputError: a line is no JSON object or lacks a field (the message gives its number), or the fields are unknown.
    """
    if layout.separator is not None or layout.header is not None:
        raise InputError(f"{path}: JSON has no {'separator' if layout.separator else 'header'}; leave it out of `data`")
    with explained(path), closing(_lines(path, layout.encoding)) as lines:
        unit, records = _records(path, lines)
        first = list(itertools.islice(records, SAMPLE_LINES))
        if not first:
            raise InputError(f"{path}: holds no interactions: the file is empty; expected an object in each line")
        names = tuple(dict.fromkeys(key for _, record in first for key in record))
        sample = [[str(record[key]) for _, record in first if record.get(key) is not None] for key in names]
        roles = roles_by_name(names, layout.columns, path, sample)
        keys = {role: names[index] for role, index in roles.used().items()}
        cells: dict[str, list[str]] = {role: [] for role in keys}
        numbers: list[int] = []
        for number, record in itertools.chain(first, records):
            numbers.append(number)
            for role, key in keys.items():
                cells[role].append(_cell(path, f"{unit} {number}", record, key))

    def locate(row: int) -> tuple[str, str]:
        return f"{unit} {numbers[row]}", ", ".join(f"{key}: {cells[role][row]}" for role, key in keys.items())

    return Table(path, names, roles, {role: Column.of(column) for role, column in cells.items()}, "JSON", locate)


def _lines(path: Path, encoding: str | None) -> Generator[str, None, None]:
    with open_file(path) as file:
        start = file.read(4)
    wanted = encoding_of(start) or "utf-8" if encoding in (None, "utf-8") else encoding
    with TextIOWrapper(open_file(path), encoding=wanted) as lines:
        number = 0
        try:
            for number, line in enumerate(lines, start=1):  # noqa: B007
                yield line
        except UnicodeError as error:
            raise not_encoded(path, number + 1, wanted, around(error, start)) from None


def _records(path: Path, lines: Iterator[str]) -> tuple[str, Iterator[Record]]:
    """The unit of a record's number (line or entry), and the records."""
    numbered = enumerate(lines, start=1)
    filled = ((number, line) for number, line in numbered if line.strip())
    number, line = next(filled, (0, ""))
    if line.lstrip().startswith("["):
        return "entry", _listed(path, line + "".join(lines))
    every = itertools.chain([(number, line)] if line else [], filled)
    return "line", ((number, _object(path, f"line {number}", line)) for number, line in every)


def _listed(path: Path, text: str) -> Iterator[Record]:
    try:
        records = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: must be a JSON list of objects, or one object in each line, got {error}") from None
    for number, record in enumerate(records, start=1):
        if not isinstance(record, dict):
            raise refusal(path, f"entry {number}", "must be a JSON object", str(record))
        yield number, record


def _object(path: Path, position: str, line: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict):
        raise refusal(path, position, "must be a JSON object", line, "write an object in each line; is the file cut off?")
    return record


def _cell(path: Path, position: str, record: dict[str, Any], key: str) -> str:
    """A field as text; empty for null and NaN."""
    if key not in record:
        raise refusal(path, position, f"must have the field {shown(key)}", listed(tuple(record)))
    value = record[key]
    if value is None or value != value:
        return ""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise refusal(path, position, f"the field {shown(key)} must be text or a number", str(value))
    text = str(value)
    if not text.isascii() and not text.isprintable() and any("\ud800" <= sign <= "\udfff" for sign in text):
        raise refusal(path, position, f"the field {shown(key)} must hold complete characters", ascii(text))
    return text
