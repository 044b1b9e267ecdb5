"""A journal of two studies, and functions that damage its lines."""

from __future__ import annotations

import json
from pathlib import Path

import optuna

from hpo.storage.open import open_storage

Lines = list[bytes]
MAKES_STUDY, MAKES_TRIAL, SETS_PARAM, ENDS_TRIAL = (b'{"op_code":%d,' % code for code in (0, 4, 5, 6))
DELETES_STUDY = 1  # the op_code


def write_journal(path: Path) -> Lines:
    """Write studies a and b with three and two trials, and return the lines. The values are 0 to 4, in the order of their ends.

    Each study has a worker, which writes several records for each trial, as in a search. The last two trials are made one after
    the other, before their other records.
    """
    a, b = (optuna.create_study(study_name=name, storage=open_storage(str(path))) for name in "ab")
    for value, study in enumerate((a, b, a)):
        _finish(study.ask(), value)
    for value, trial in enumerate([a.ask(), b.ask()], start=3):
        _finish(trial, value)
    return path.read_bytes().splitlines(keepends=True)


def _finish(trial: optuna.Trial, value: float) -> None:
    trial.set_user_attr("begun", value)
    trial.suggest_float("x", 0, 9)
    trial.set_user_attr("ended", value)
    trial.study.tell(trial, value)


def values(path: Path) -> dict[str, list[float | None]]:
    """The values of the trials of each study."""
    storage = open_storage(str(path), create=False, to_write=False)
    studies = [optuna.load_study(study_name=name, storage=storage) for name in optuna.get_all_study_names(storage)]
    return {study.study_name: [trial.value for trial in study.trials] for study in studies}


SOUND = {"a": [0.0, 2.0, 3.0], "b": [1.0, 4.0]}


def index_of(lines: Lines, start: bytes, nth: int = 0) -> int:
    """The index of the nth line with this start, from 0."""
    return [n for n, line in enumerate(lines) if line.startswith(start)][nth]


def changed(lines: Lines, at: int, **fields: object) -> Lines:
    """The lines with other values in one record. None removes a key."""
    record = {key: value for key, value in (json.loads(lines[at]) | fields).items() if value is not None}
    return [*lines[:at], json.dumps(record, separators=(",", ":")).encode() + b"\n", *lines[at + 1 :]]


def cut(lines: Lines, at: int, length: int = 40) -> Lines:
    """The lines with one of them cut after `length` bytes."""
    return [*lines[:at], lines[at][:length] + b"\n", *lines[at + 1 :]]


def without(lines: Lines, at: int) -> Lines:
    return [*lines[:at], *lines[at + 1 :]]


# Lines that are no records, with a part of their messages.
NO_RECORDS = {
    "garbage": (b"garbage\n", "'garbage' is not JSON"),
    "binary": (b"\xff\x00\xfe\n", "is not JSON"),
    "empty": (b"\n", "an empty line"),
    "blanks": (b"  \t\n", "an empty line"),
    "deep": (b"[" * 100_000 + b"\n", "is not JSON"),
    "start of a record": (b'{"op_code":4,"worker\n', "is not JSON"),
    "a number": (b"1\n", "'1' is not a record"),
    "null": (b"null\n", "'null' is not a record"),
    "a list": (b'[{"op_code":4}]\n', "is not a record"),
    "no op_code": (b'{"worker_id":"w","study_id":0}\n', "its op_code is None"),
    "unknown op_code": (b'{"op_code":99,"worker_id":"w"}\n', "its op_code is 99"),
    "op_code a text": (b'{"op_code":"4","worker_id":"w","study_id":0}\n', "its op_code is '4'"),
    "no worker": (b'{"op_code":4,"study_id":0,"datetime_start":null}\n', "it lacks 'worker_id'"),
    "no start": (b'{"op_code":4,"worker_id":"w","study_id":0}\n', "it lacks 'datetime_start'"),
    "no such trial": (b'{"op_code":8,"worker_id":"w","trial_id":7,"user_attr":{"a":1}}\n', "makes trial_id 7"),
    "a negative trial": (b'{"op_code":8,"worker_id":"w","trial_id":-1,"user_attr":{"a":1}}\n', "makes trial_id -1"),
    "trial a text": (b'{"op_code":8,"worker_id":"w","trial_id":"0","user_attr":{"a":1}}\n', "makes trial_id '0'"),
    "no such study": (b'{"op_code":2,"worker_id":"w","study_id":2,"user_attr":{"a":1}}\n', "makes study_id 2"),
    "attribute a number": (b'{"op_code":2,"worker_id":"w","study_id":0,"user_attr":7}\n', "user_attr is 7"),
    "two attributes": (b'{"op_code":2,"worker_id":"w","study_id":0,"user_attr":{"a":1,"b":2}}\n', "is not a valid record"),
    "name a number": (b'{"op_code":0,"worker_id":"w","study_name":7,"directions":[2]}\n', "study_name is 7"),
    "no such direction": (b'{"op_code":0,"worker_id":"w","study_name":"c","directions":[9]}\n', "9 is not a valid"),
    "deletes a study and more": (
        b'{"op_code":1,"worker_id":"w","study_id":0,"user_attr":{"a":1}}\n',
        "it deletes a study, but has user_attr",
    ),
    "op_code true": (b'{"op_code":true,"worker_id":"w","study_id":0}\n', "op_code is True"),
    "no time": (b'{"op_code":4,"worker_id":"w","study_id":0,"datetime_start":"now"}\n', "is not a valid record"),
}
