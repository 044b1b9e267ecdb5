"""Interactions from a pandas table in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from trainers.data.interactions import RawIds
from trainers.data.options import DataOptions
from trainers.data.readers import Layout, RawInteractions
from trainers.data.readers.binary import seconds
from trainers.data.readers.raw import IdColumn, Numbers
from trainers.data.readers.values import times_of
from trainers.errors import InputError
from trainers.text import SHOWN, clipped, shown
from trainers.validation import checked

WHOLE_FLOATS = 2.0**53  # larger floats do not represent a unique whole number


def options_of_frame(options: dict[str, Any]) -> DataOptions:
    """The options for interactions in a table.

    Raises:
        InputError: an option describes the layout of a file, is unknown or has a bad value.
    """
    if layout := [name for name in options if name in Layout.model_fields]:
        raise InputError(f"a table in memory has no layout of a file, got {', '.join(layout)}; leave it out")
    return checked(DataOptions, options, "data")


def raw_of_frame(frame: pd.DataFrame, user: str, item: str, rating: str | None, time: str | None) -> RawInteractions:
    """The interactions of a table with one row per interaction.

    Raises:
        InputError: a missing column, a missing id, a rating that is no number, or a time that is no number or date.
    """
    named = {"user": user, "item": item, "rating": rating, "time": time}
    for role, column in named.items():
        if column is not None and column not in frame.columns:
            shown = ", ".join(map(str, frame.columns))
            raise InputError(f"the table has no column {column!r} for {role}; give one of {shown}")
        if column is not None and list(frame.columns).count(column) > 1:
            raise InputError(
                f"the table has several columns {column!r}, and {role} needs a unique one; rename or drop the others"
            )
    shown = ", ".join(f"{role}={column}" for role, column in named.items() if column is not None)
    return RawInteractions(
        users=IdColumn.of(_ids(frame, user)),
        items=IdColumn.of(_ids(frame, item)),
        ratings=None if rating is None else _numbers(frame, rating),
        times=None if time is None else _times(frame, time),
        in_lines=False,
        said=f"read {len(frame):,} rows of a table: {shown}",
        warnings=(),
    )


def _ids(frame: pd.DataFrame, name: str) -> RawIds:
    """The ids as in a file: whole numbers, even if pandas has converted them to floats, or text without blanks around it."""
    column = frame[name]
    missing = column.isna()
    if missing.any():
        raise InputError(
            f"column {shown(name)}: every row needs an id, row {int(np.argmax(missing.to_numpy()))} has none; drop such rows"
        )
    if column.dtype == object:
        many = [row for row, value in enumerate(column) if isinstance(value, (list, tuple, set, dict, np.ndarray))]
        if many:
            value = clipped(str(column.iloc[many[0]]), SHOWN)
            raise InputError(
                f"column {shown(name)}: every row needs one id, row {many[0]} has {value}; use DataFrame.explode({shown(name)})"
            )
    if pd.api.types.is_float_dtype(column.dtype):
        values = column.to_numpy(np.float64)
        if (values == np.floor(values)).all() and np.abs(values).max(initial=0) < WHOLE_FLOATS:
            return values.astype(np.int64)
    if pd.api.types.is_signed_integer_dtype(column.dtype):
        return column.to_numpy(np.int64)
    if pd.api.types.is_integer_dtype(column.dtype) and int(column.max() if len(column) else 0) <= np.iinfo(np.int64).max:
        return column.to_numpy(np.int64)
    texts = column.astype(str).str.strip()
    blank = (texts == "").to_numpy()
    if blank.any():
        row = int(np.argmax(blank))
        raise InputError(f"column {shown(name)}: every row needs an id, row {row} has {column.iloc[row]!r}; drop such rows")
    return texts.to_numpy(dtype=object)


def _numbers(frame: pd.DataFrame, name: str) -> Numbers:
    found: Numbers = pd.to_numeric(frame[name], errors="coerce").to_numpy(np.float64, na_value=np.nan)
    bad = ~np.isfinite(found)
    if bad.any():
        row = int(np.argmax(bad))
        value = clipped(str(frame[name].iloc[row]), SHOWN)
        raise InputError(f"column {shown(name)}: must hold numbers, got {value} in row {row}; drop or correct such rows")
    return found


def _times(frame: pd.DataFrame, name: str) -> Numbers:
    """Times: numbers unchanged, dates in seconds since 1970, text parsed as in a file."""
    column = frame[name]
    if pd.api.types.is_numeric_dtype(column.dtype):
        return _numbers(frame, name)
    if isinstance(column.dtype, (np.dtype, pd.DatetimeTZDtype)) and column.dtype.kind == "M":
        found = seconds(column)
    else:
        found = times_of([str(cell).strip() for cell in column])
    bad = ~np.isfinite(found)
    if bad.any():
        row = int(np.argmax(bad))
        value = clipped(str(column.iloc[row]), SHOWN)
        raise InputError(
            f"column {shown(name)}: must hold numbers or dates such as 2024-05-31T18:00:00Z, got {value} in row {row}; "
            "drop or correct such rows"
        )
    return found
