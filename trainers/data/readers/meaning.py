"""The likely meaning of a column by its cells: date, moment, rating, whole number, fraction or text."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?")
WHOLE = re.compile(r"0|[1-9]\d*")
DATE = re.compile(
    r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?)?\s*(Z|UTC|[+-]\d\d:?\d\d)?"
    r"|[A-Z][a-z]{2} [A-Z][a-z]{2} \d\d \d\d:\d\d:\d\d [+-]\d{4} \d{4}|\d\d \d{1,2}, \d{4}"
    r"|\d{1,2}\.\d{1,2}\.\d{4}( \d\d:\d\d(:\d\d)?)?"
)
SLASHES = re.compile(r"\d{1,4}/\d{1,2}/\d{1,4}( .*)?")  # dates that no reader takes, since 03/04/2020 is ambiguous
CLOCK = re.compile(r"\d{1,2}:\d\d(:\d\d(\.\d+)?)?")
EARLIEST = 1e8  # seconds, 1973: smaller numbers are more likely ids or counts
LIKELY = 6e8, 4e9  # seconds, from 1989 to 2096; no ISBN of 13 digits is in these years, not in milliseconds either
UNITS = 1.0, 1e3, 1e6, 1e9  # per second
MIDNIGHT = 240_000  # as HHMMSS; hours, HHMM and seconds of the day are smaller, too
HIGHEST_RATING = 10.0
ENOUGH = 0.95  # share of a column's fields


def kind_of(fields: Sequence[str]) -> str:
    """The kind of a column's fields: number, date or text; text if all are empty."""
    filled = [field.strip() for field in fields if field.strip()]
    return next((kind for kind, pattern in (("number", NUMBER), ("date", DATE)) if _mostly(pattern, filled)), "text")


def meaning_of(column: Sequence[str]) -> str:
    """The likely meaning of a column: date, moment (a Unix time), rating, whole (numbers), fraction or text."""
    kind = kind_of(column)
    if kind != "number":
        return kind
    fields, values = _numbers(column)
    if all(map(WHOLE.fullmatch, fields)) and values.min() >= EARLIEST:
        return "moment"
    if is_rating(values):
        return "rating"
    return "whole" if (values == np.floor(values)).all() else "fraction"


def is_rating(values: NDArray[np.float64]) -> bool:
    """Whether all values are whole or half steps from 0 to 10."""
    return bool(len(values)) and bool((values >= 0).all() and (values <= HIGHEST_RATING).all() and (values * 2 % 1 == 0).all())


def holds_times(column: Sequence[str]) -> bool:
    """Whether a column holds dates, or numbers that are moments of the last decades in a unit from seconds to nanoseconds."""
    kind = kind_of(column)
    if kind != "number":
        return kind == "date" or _mostly(SLASHES, [field.strip() for field in column if field.strip()])
    _, values = _numbers(column)
    return any(are_moments(values, unit).all() for unit in UNITS)


def are_moments(values: NDArray[np.float64], unit: float) -> NDArray[np.bool_]:
    """Whether each value, (n,), is a moment of the last decades in a unit, given per second."""
    return (values >= LIKELY[0] * unit) & (values < LIKELY[1] * unit)


def is_time_of_day(column: Sequence[str]) -> bool:
    """Whether a column may hold times of the day: 18:30, or numbers from 0 to below 240000 (HHMMSS)."""
    if kind_of(column) != "number":
        return _mostly(CLOCK, [field.strip() for field in column if field.strip()])
    _, values = _numbers(column)
    return bool((values >= 0).all() and (values < MIDNIGHT).all())


def _mostly(pattern: re.Pattern[str], filled: Sequence[str]) -> bool:
    return bool(filled) and sum(pattern.fullmatch(field) is not None for field in filled) >= ENOUGH * len(filled)


def _numbers(column: Sequence[str]) -> tuple[list[str], NDArray[np.float64]]:
    """The fields of a column that are numbers, as text and as numbers."""
    fields = [field.strip() for field in column if NUMBER.fullmatch(field.strip())]
    return fields, np.array([float(field.replace(",", ".")) for field in fields])
