"""Interactions from a pandas table in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trainers.data.options import DataOptions
from trainers.data.readers import Columns, Layout, RawInteractions
from trainers.data.readers.binary import table_of
from trainers.data.readers.layout import NO_COLUMN
from trainers.data.readers.raw import IdColumn
from trainers.data.readers.values import interactions
from trainers.errors import InputError
from trainers.validation import checked

OtherColumn = str | Literal[False] | None  # a name; False: none; None: found by its name
WHOLE_FLOATS = 2.0**53  # larger floats do not represent a unique whole number


def options_of_frame(options: dict[str, Any]) -> DataOptions:
    """The options for interactions in a table.

    Raises:
        InputError: an option describes the layout of a file, is unknown or has a bad value.
    """
    if layout := [name for name in options if name in Layout.model_fields]:
        raise InputError(f"a table in memory has no layout of a file, got {', '.join(layout)}; leave it out")
    return checked(DataOptions, options, "data")


def raw_of_frame(frame: pd.DataFrame, user: str, item: str, rating: OtherColumn, time: OtherColumn) -> RawInteractions:
    """The interactions of a table with one row per interaction. Names and cells have the same meaning as in a file.

    Raises:
        InputError: a missing column, a missing id, a rating that is no number, or a time that is no number or date.
    """
    named = {"user": user, "item": item, "rating": rating, "time": time}
    places = {role: _place(frame, role, column) for role, column in named.items() if column is not None and column is not False}
    left_out = {role: NO_COLUMN for role, column in named.items() if column is False}
    columns = Columns.model_validate(places | left_out)
    table = table_of(frame, columns, "the table", "a table in memory", 0)
    numbers = {role: _whole(frame.iloc[:, places[role]]) for role in ("user", "item")}
    whole = {role: IdColumn.of(ids) for role, ids in numbers.items() if ids is not None}
    return interactions(replace(table, cells={**table.cells, **whole}))


def _place(frame: pd.DataFrame, role: str, column: str) -> int:
    """The number of a column, from 0."""
    names = list(frame.columns)
    if column not in names:
        raise InputError(f"the table has no column {column!r} for {role}; give one of {', '.join(map(str, names))}")
    if names.count(column) > 1:
        raise InputError(f"the table has several columns {column!r}, and {role} needs a unique one; rename or drop the others")
    return names.index(column)


def _whole(ids: pd.Series[Any]) -> NDArray[np.int64] | None:
    """Ids that are whole numbers, (n,), even if pandas has converted them to floats; None for others."""
    if ids.isna().any() or not pd.api.types.is_numeric_dtype(ids.dtype) or pd.api.types.is_bool_dtype(ids.dtype):
        return None
    if pd.api.types.is_float_dtype(ids.dtype):
        values = ids.to_numpy(np.float64)
        exact = bool((values == np.floor(values)).all()) and np.abs(values).max(initial=0) < WHOLE_FLOATS
    else:
        exact = pd.api.types.is_integer_dtype(ids.dtype) and not (len(ids) and int(ids.max()) > np.iinfo(np.int64).max)
    return ids.to_numpy(np.int64) if exact else None
