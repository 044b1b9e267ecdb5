"""Finds the broken lines of a journal: those that Optuna refuses or silently skips."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from optuna.storages.journal._storage import JournalOperation, JournalStorageReplayResult

from trainers.errors import InputError, first_line

SHOWN = 100  # characters of a broken line in a message
NUMBERS = ("study_id", "trial_id")  # assigned in the order of creation

NUMBER = {int, float}
DELETION_KEYS = {"op_code", "worker_id", "study_id"}
KINDS: dict[str, set[type]] = {"worker_id": {str}, "study_name": {str}, "param_name": {str}, "param_value_internal": NUMBER}
KINDS["op_code"] = {int}
KINDS |= {key: {dict} for key in ("user_attr", "system_attr", "user_attrs", "system_attrs")}


class NotMade(KeyError):
    """A record is about a study or trial that no earlier record creates."""


class DamagedJournal(InputError):
    """A journal has a line that cannot be read; the message gives file, line number, content and remedy."""


def made(replay: JournalStorageReplayResult, key: str) -> int:
    """The number of studies or trials that the lines so far create, deleted ones included."""
    return replay._next_study_id if key == "study_id" else len(replay._trials)


def check_numbers(record: Mapping[str, Any], replay: JournalStorageReplayResult) -> None:
    """Check that the study and trial of a record exist. Optuna skips such records; they mean that a line is lost and later
    numbers are shifted.

    Raises:
        NotMade: no earlier line creates the study or trial.
    """
    for key in NUMBERS:
        number = record.get(key)
        if key in record and not (type(number) is int and 0 <= number < made(replay, key)):
            raise NotMade(f"no line before it makes {key} {number!r}")


def checked(records: Iterable[Any], replay: JournalStorageReplayResult) -> Iterator[Any]:
    """Check and yield the records, for faults that Optuna does not check or checks too late.

    The caller applies each record before it asks for the next one, which is then checked.

    Raises:
        NotMade: see `check_numbers`.
        KeyError: a record lacks worker_id.
        TypeError: a value has a type that Optuna never writes.
        ValueError: a deletion has a key of another record: its op_code has a broken digit, and Optuna would delete the study.
        Exception: a record is no mapping.
    """
    for record in records:
        check_numbers(record, replay)
        record["worker_id"]
        odd = [key for key, value in record.items() if key in KINDS and type(value) not in KINDS[key]]
        values = record.get("values")
        if odd or (values is not None and not (values and set(map(type, values)) <= NUMBER)):
            key = (odd or ["values"])[0]
            raise TypeError(f"{key} is {record[key]!r}")
        if record.get("op_code") == JournalOperation.DELETE_STUDY and (further := sorted(record.keys() - DELETION_KEYS)):
            raise ValueError(f"it deletes a study, but has {further[0]}")
        yield record


class Replay:
    """Applies a journal line by line."""

    def __init__(self) -> None:
        self.result = JournalStorageReplayResult(uuid4().hex)  # a worker id that wrote none of the lines

    def made(self, key: str) -> int:
        """See the function `made`."""
        return made(self.result, key)

    @property
    def studies(self) -> dict[int, str]:
        """The names of the studies that exist, by their numbers."""
        return {number: study.study_name for number, study in self.result._studies.items()}

    def fault(self, line: bytes) -> str:
        """Apply a line, unless it has a fault. Returns the fault, or an empty text."""
        if not line.strip():
            return "an empty line"
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            several = isinstance(error, json.JSONDecodeError) and error.msg == "Extra data"
            return f"{shown(line)} is {'more than one record' if several else 'not JSON'}"
        if not isinstance(record, dict):
            return f"{shown(line)} is not a record"
        try:
            self.result.apply_logs(checked([record], self.result))
        except Exception as error:  # with any error, Optuna stops here
            return f"{shown(line)} is not a valid record ({_reason(record, error)})"
        return ""


def damage(path: Path) -> DamagedJournal | None:
    """The error for the first broken line of a journal; None if there is none."""
    replay = Replay()
    with path.open("rb") as journal:
        for number, line in enumerate(journal, start=1):
            if line.endswith(b"\n") and (fault := replay.fault(line)):  # else the line is being written, or is torn
                return DamagedJournal(
                    f"{path}, line {number}: {fault}; drop broken lines with `python -m hpo.studies repair --storage "
                    f"{shlex.quote(str(path))}`, which keeps a copy, or restore the file"
                )
    return None


def shown(line: bytes) -> str:
    """A line, shortened and quoted for a message."""
    return repr(_shortened(line.decode(errors="replace").rstrip("\n")))


def _shortened(text: str) -> str:
    return text if len(text) <= SHOWN else text[:SHOWN] + "..."


def _reason(record: Mapping[str, Any], error: Exception) -> str:
    code = record.get("op_code")
    if code not in list(JournalOperation):
        return f"its op_code is {code!r}"
    if isinstance(error, NotMade):
        return str(error.args[0])
    return f"it lacks {error}" if isinstance(error, KeyError) else _shortened(first_line(error))
