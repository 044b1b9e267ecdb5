"""Reads interaction files: NGCF text (`user item item ...` per line), CSV, TSV, Parquet and RecBole's .inter."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trainers.errors import InputError

log = logging.getLogger(__name__)

MAX_ID = 2**31 - 1
USER_COLUMNS = ("user", "user_id", "userid", "uid", "user_procid")
ITEM_COLUMNS = ("item", "item_id", "itemid", "iid", "item_procid")
SUFFIXES = (".txt", ".csv", ".tsv", ".inter", ".parquet")

RawPairs = tuple[NDArray[Any], NDArray[Any]]


def read_pairs(path: Path) -> RawPairs:
    """Raw (user ids, item ids), one entry per pair as they stand in the file, duplicates included.

    Raises:
        InputError: file, line number and content of a line that breaks the format.
    """
    if path.suffix not in SUFFIXES:
        raise InputError(f"{path}: unknown kind of file {path.suffix!r}; use one of {', '.join(SUFFIXES)}")
    try:
        return _read_ngcf(path) if path.suffix == ".txt" else _read_table(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 text: {error}") from None


def _read_ngcf(path: Path) -> RawPairs:
    users: list[NDArray[np.int64]] = []
    items: list[NDArray[np.int64]] = []
    with path.open(encoding="utf-8-sig") as lines:  # a byte order mark is no part of the first id
        for number, line in enumerate(lines, start=1):
            try:
                if "_" in line:
                    raise ValueError("NumPy, like Python, would read 1_000 as a number")
                ids = np.array(line.split(), dtype=np.int64)
            except (ValueError, OverflowError):
                raise InputError(_line_message(path, number, line, "ids must be whole numbers")) from None
            if len(ids) and not 0 <= ids.min() <= ids.max() <= MAX_ID:
                raise InputError(_line_message(path, number, line, f"ids must lie between 0 and {MAX_ID}"))
            if len(ids) > 1:  # a user without items says nothing
                items.append(ids[1:])
                users.append(np.full(len(ids) - 1, ids[0]))
    if not users:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    return np.concatenate(users), np.concatenate(items)


def _line_message(path: Path, number: int, line: str, rule: str) -> str:
    shown = line.strip()
    return f"{path}, line {number}: {rule}, got {shown[:60]!r}{'...' if len(shown) > 60 else ''}"


def _read_table(path: Path) -> RawPairs:
    try:
        frame = pd.read_parquet(path) if path.suffix == ".parquet" else _read_text_table(path)
    except ImportError:
        raise InputError(f"{path}: reading Parquet needs pyarrow; run `pip install pyarrow`, or save the file as CSV") from None
    except (UnicodeDecodeError, InputError):
        raise
    except ValueError as error:  # pandas' parser errors are ValueErrors
        raise InputError(f"{path}: is not a table with a header line: {str(error).strip()}") from None
    pairs = _column(frame, USER_COLUMNS, path), _column(frame, ITEM_COLUMNS, path)
    ignored = [str(column) for column in frame.columns if str(column).strip().lower() not in USER_COLUMNS + ITEM_COLUMNS]
    if ignored:
        log.warning("%s: every line counts as one interaction; not used: %s", path, ", ".join(ignored))
    return pairs


def _read_text_table(path: Path) -> pd.DataFrame:
    """All columns as text; row r stands in line r + 2 of the file."""
    separator = "," if path.suffix == ".csv" else "\t"
    frame = pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False, skip_blank_lines=False)
    if not isinstance(frame.index, pd.RangeIndex):  # pandas would take the first field for a name of the row
        raise InputError(f"{path}, line 2: has more fields than the header line, {', '.join(map(str, frame.columns))}")
    if path.suffix == ".inter":  # RecBole heads its columns `user_id:token`
        frame.columns = [str(column).split(":")[0] for column in frame.columns]
    blank = (frame.isna() | (frame == "")).all(axis=1)
    return frame[~blank]


def _column(frame: pd.DataFrame, names: tuple[str, ...], path: Path) -> NDArray[Any]:
    found = [column for column in frame.columns if str(column).strip().lower() in names]
    if len(found) != 1:
        columns = ", ".join(map(str, frame.columns))
        raise InputError(f"{path}: needs one column named {' or '.join(names)}, got columns {columns}; rename yours")
    column = frame[found[0]]
    empty = column.isna() | (column.astype(str).str.strip() == "")
    if empty.any():
        place = int(np.argmax(empty.to_numpy()))
        where = f"row {place + 1}" if path.suffix == ".parquet" else f"line {frame.index[place] + 2}"
        raise InputError(f"{path}, {where}: column {found[0]!r} is empty, got {frame.iloc[place].tolist()!r}")
    values = column.astype(str).str.strip().to_numpy(dtype=object).astype(str)
    if all(_is_whole(value) for value in np.unique(values)):  # so that 9 sorts before 10
        return values.astype(np.int64)
    return values


def _is_whole(value: str) -> bool:
    """Whether an id is a number and nothing else: `007` and `7` are two ids."""
    return value.isascii() and value.isdecimal() and len(value) <= 18 and str(int(value)) == value
