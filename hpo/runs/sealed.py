"""JSON records with arrays in a second file, and a checksum over both."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from hpo.runtime.text import CHANGE_OUTPUT_HINT
from hpo.runtime.typed_files import Stored
from trainers.errors import InputError, first_line
from trainers.files import write_bytes, write_text

CHECKSUM = "sha256"
REMEDY = "delete it to make it again"


def write_sealed(path: Path, content: Stored, table: bytes = b"") -> None:
    """Write a record and its arrays with a checksum over both, so that a damaged figure cannot pass for a measured one.

    Raises:
        InputError: the folder cannot be written.
    """
    record = json.loads(json.dumps(content.to_dict()))  # with the keys that JSON gives when read
    if table:
        write_bytes(path.with_suffix(".npz"), table, CHANGE_OUTPUT_HINT)
    else:  # remove the arrays of an earlier record of this name
        path.with_suffix(".npz").unlink(missing_ok=True)
    write_text(path, json.dumps(record | {CHECKSUM: checksum_of(record, table)}, indent=1) + "\n", CHANGE_OUTPUT_HINT)


def read_sealed(path: Path) -> tuple[dict[str, Any], bytes]:
    """The record and the bytes of the arrays that `write_sealed` wrote.

    Raises:
        InputError: a file is damaged.
    """
    arrays = path.with_suffix(".npz")
    try:
        record = json.loads(path.read_bytes())
        table = arrays.read_bytes() if arrays.exists() else b""
        if record.pop(CHECKSUM, "") != checksum_of(record, table):
            raise ValueError("it does not match its checksum")
        json.dumps(record, ensure_ascii=False).encode()  # refuses lone surrogates, which cannot be printed
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path}: stored run is damaged ({first_line(error)}); {REMEDY}") from None
    return record, table


def checksum_of(record: dict[str, Any], table: bytes) -> str:
    """The checksum over a record and its arrays."""
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode() + table).hexdigest()
