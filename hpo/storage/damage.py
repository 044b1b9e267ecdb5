"""Which lines of a journal are broken: those that Optuna, reading from the first line on, refuses or has to pass over."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from optuna.storages.journal._storage import JournalOperation, JournalStorageReplayResult

from trainers.errors import InputError, first_line

SHOWN = 100  # characters of a broken line
NUMBERS = ("study_id", "trial_id")  # given in the order in which studies and trials are made

NUMBER = {int, float}
KINDS: dict[str, set[type]] = {"worker_id": {str}, "study_name": {str}, "param_name": {str}, "param_value_internal": NUMBER}
KINDS |= {key: {dict} for key in ("user_attr", "system_attr", "user_attrs", "system_attrs")}


class NotMade(KeyError):
    """A record is about a study or trial that nothing has made."""


class DamagedJournal(InputError):
    """A journal has a line that cannot be read; the message gives file, line, what stands there, and the remedy."""


def made(replay: JournalStorageReplayResult, key: str) -> int:
    """How many studies or trials the lines so far have made, deleted ones too."""
    return replay._next_study_id if key == "study_id" else len(replay._trials)


def check_numbers(record: Mapping[str, Any], replay: JournalStorageReplayResult) -> None:
    """Optuna passes over what is said of a study or trial that nothing has made. Then a line is lost, and numbers are shifted.

    Raises:
        NotMade: it says something of one.
    """
    for key in NUMBERS:
        number = record.get(key)
        if key in record and not (type(number) is int and 0 <= number < made(replay, key)):
            raise NotMade(f"no line before it makes {key} {number!r}")


def checked(records: Iterable[Any], replay: JournalStorageReplayResult) -> Iterator[Any]:
    """The same records, each looked at when the one before has been applied: at what Optuna does not look at, or too late.

    Raises:
        Exception: see `check_numbers`; a KeyError without worker_id; a TypeError for a value that no writer gives; any on what
            is no mapping.
    """
    for record in records:
        check_numbers(record, replay)
        record["worker_id"]
        odd = [key for key, value in record.items() if key in KINDS and type(value) not in KINDS[key]]
        values = record.get("values")
        if odd or (values is not None and not (values and set(map(type, values)) <= NUMBER)):
            key = (odd or ["values"])[0]
            raise TypeError(f"{key} is {record[key]!r}")
        yield record


class Replay:
    """A reader of its own, which is given a journal line by line."""

    def __init__(self) -> None:
        self.result = JournalStorageReplayResult(uuid4().hex)  # whose worker has written none of the lines

    def made(self, key: str) -> int:
        """See `made`."""
        return made(self.result, key)

    def fault(self, line: bytes) -> str:
        """Apply a line; says what is wrong with one that is refused, which changes nothing, else nothing."""
        if not line.strip():
            return "an empty line"
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            several = isinstance(error, json.JSONDecodeError) and error.msg == "Extra data"
            return f"{shown(line)} is {'more than one record' if several else 'not JSON'}"
        if not isinstance(record, dict):
            return f"{shown(line)} is no record"
        try:
            self.result.apply_logs(checked([record], self.result))
        except Exception as error:  # whatever it is, Optuna would stop here
            return f"{shown(line)} is no record that can be used ({_reason(record, error)})"
        return ""


def damage(path: Path) -> DamagedJournal | None:
    """What to say of a journal that could not be read, None when it has no broken line."""
    replay = Replay()
    with path.open("rb") as journal:
        for number, line in enumerate(journal, start=1):
            if line.endswith(b"\n") and (fault := replay.fault(line)):  # else it is being written, or torn
                return DamagedJournal(
                    f"{path}, line {number}: {fault}; drop what is broken with `python -m hpo.studies repair --storage "
                    f"{shlex.quote(str(path))}`, which keeps a copy, or restore the file"
                )
    return None


def shown(line: bytes) -> str:
    """A line as a message quotes it."""
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
