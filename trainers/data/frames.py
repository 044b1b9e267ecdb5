"""Interactions from a pandas table in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from trainers.data.interactions import RawIds
from trainers.data.readers import RawInteractions
from trainers.errors import InputError


def raw_of_frame(frame: pd.DataFrame, user: str, item: str, rating: str | None, time: str | None) -> RawInteractions:
    """The interactions of a table with one row each.

    Raises:
        InputError: a column that is not there, a missing id, or a rating or time that is no number or date.
    """
    named = {"user": user, "item": item, "rating": rating, "time": time}
    for role, column in named.items():
        if column is not None and column not in frame.columns:
            shown = ", ".join(map(str, frame.columns))
            raise InputError(f"the table has no column {column!r} for {role}; it has {shown}")
    shown = ", ".join(f"{role}={column}" for role, column in named.items() if column is not None)
    return RawInteractions(
        users=_ids(frame, user),
        items=_ids(frame, item),
        ratings=None if rating is None else _numbers(frame, rating),
        times=None if time is None else _times(frame, time),
        in_lines=False,
        said=f"read {len(frame):,} rows of a table: {shown}",
        warnings=(),
    )


def _ids(frame: pd.DataFrame, name: str) -> RawIds:
    column = frame[name]
    missing = column.isna()
    if missing.any():
        raise InputError(
            f"column {name!r}: every row needs an id, row {int(np.argmax(missing.to_numpy()))} has none; drop such rows"
        )
    if pd.api.types.is_integer_dtype(column.dtype):
        return column.to_numpy(np.int64)
    return column.astype(str).to_numpy(dtype=object).astype(str)


def _numbers(frame: pd.DataFrame, name: str) -> Any:
    found = pd.to_numeric(frame[name], errors="coerce").to_numpy(np.float64)
    bad = ~np.isfinite(found)
    if bad.any():
        row = int(np.argmax(bad))
        raise InputError(
            f"column {name!r}: must hold numbers, got {frame[name].iloc[row]!r} in row {row}; drop or mend such rows"
        )
    return found


def _times(frame: pd.DataFrame, name: str) -> Any:
    """Numbers as they are, dates in seconds since 1970."""
    column = frame[name]
    if pd.api.types.is_numeric_dtype(column.dtype):
        return _numbers(frame, name)
    dates = pd.to_datetime(column, errors="coerce", utc=True)
    bad = dates.isna().to_numpy()
    if bad.any():
        row = int(np.argmax(bad))
        raise InputError(
            f"column {name!r}: must hold times or dates, got {column.iloc[row]!r} in row {row}; drop or mend such rows"
        )
    return dates.to_numpy("datetime64[ns]").astype(np.int64) / 1e9
