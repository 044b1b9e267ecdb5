"""Splits a damaged journal into pieces: its lines, and the whole records inside broken lines."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from optuna.storages.journal._storage import JournalOperation

from hpo.storage.damage import Replay, shown
from hpo.storage.journal import JOURNAL_START

Record = dict[str, Any]


@dataclass(frozen=True)
class Piece:
    """A line of a journal, or a part of one.

    Attributes:
        number: the number of the line, from 1.
        content: the text, as it is or as it will be written.
        record: the parsed record; None if broken.
        fault: what is wrong with it; a piece with a fault is dropped.
        stands_for: `study_id` or `trial_id` if it replaces a line that created a study or a trial.
    """

    number: int
    content: bytes
    record: Record | None
    fault: str = ""
    stands_for: str = ""

    @classmethod
    def of(cls, record: Record, number: int, stands_for: str = "") -> Piece:
        """The piece of a record."""
        return cls(number, json.dumps(record, separators=(",", ":")).encode() + b"\n", record, stands_for=stands_for)

    def names(self, key: str) -> int | None:
        """The number of the study or trial that it is about; None if there is none."""
        number = (self.record or {}).get(key)
        return number if type(number) is int else None

    def makes(self, key: str) -> bool:
        """Whether it creates a study or a trial."""
        code = JournalOperation.CREATE_STUDY if key == "study_id" else JournalOperation.CREATE_TRIAL
        return bool(self.record and self.record.get("op_code") == code)


def in_pieces(lines: Iterable[bytes]) -> list[Piece]:
    """The pieces of lines. A line that is not JSON gives a broken piece, then its whole records."""
    pieces = []
    for number, line in enumerate(lines, start=1):
        has_end, (rest, records) = line.endswith(b"\n"), (line.strip(), list[Record]())
        try:
            record = json.loads(line) if has_end else None
        except (ValueError, RecursionError):
            record, (rest, records) = None, _without_records(line)
        if isinstance(record, dict):
            pieces.append(Piece(number, line, record))
            continue
        fault = Replay().fault(line) if has_end else f"{shown(line)} has no end"
        pieces += [Piece(number, rest, None, fault), *(Piece.of(each, number) for each in records)]
    return pieces


def _without_records(line: bytes) -> tuple[bytes, list[Record]]:
    """Split a broken line into the rest and the whole records in it, such as a record appended to a torn one."""
    rest, records, position = b"", list[Record](), 0
    while (start := line.find(JOURNAL_START, position)) >= 0:
        text = line[start:].decode(errors="surrogateescape")
        try:
            record, length = json.JSONDecoder().raw_decode(text)
            end = start + len(text[:length].encode())  # fails where it is not UTF-8
            records.append(record)
        except (ValueError, RecursionError):
            start = end = start + len(JOURNAL_START)
        rest += line[position:start]
        position = end
    return (rest + line[position:]).strip(), records
