"""Converts the cells of a table to ids, ratings and times, and checks them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trainers.data.readers.layout import NO_COLUMN
from trainers.data.readers.meaning import UNITS, are_moments, is_rating
from trainers.data.readers.names import remedy, setting, unused
from trainers.data.readers.raw import Column, IdColumn, Numbers, RawInteractions, Table
from trainers.text import shown

WHOLE = re.compile(r"0|[1-9][0-9]{0,17}")  # without leading zeros: `007` and `7` are different ids
POINT_ZERO = re.compile(r"(0|[1-9][0-9]{0,17})\.0+")
COMMA = re.compile(r"[+-]?\d+,\d+")
THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")
MISSING = {"na", "n/a", "nan", "null", "none"}
LONGEST_ID = 255  # characters
# Unambiguous date formats besides ISO 8601; 03/04/2020 is ambiguous.
DATE_FORMATS = ("%a %b %d %H:%M:%S %z %Y", "%m %d, %Y", "%d.%m.%Y", "%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M:%S")


def interactions(table: Table) -> RawInteractions:
    """The interactions of a table.

    Raises:
        InputError: an id is empty or too long, a rating is no number, or a time is neither number nor date; the message gives
            the line.
    """
    names, roles = table.names, table.roles
    users, user_remarks = _ids(table, "user")
    items, item_remarks = _ids(table, "item")
    ratings = _ratings(table) if roles.rating is not None else None
    times = _times(table) if roles.time is not None else None
    kind = "interactions" if ratings is None else "ratings"
    used = ", ".join(f"{role}={names[index]}" for role, index in roles.used().items())
    said = f"read {len(users):,} {kind}: {used}; {table.form}{roles.remark}{unused(names, roles)}"
    said += "".join(f"; {remark}" for remark in (user_remarks.said, item_remarks.said) if remark)
    units = [] if times is None or roles.time is None else _several_units(times, names[roles.time])
    warnings = (*roles.warnings, *units, *user_remarks.warnings, *item_remarks.warnings)
    return RawInteractions(users, items, ratings, times, False, said, warnings)


class _Remarks:
    """Remarks on a column of ids."""

    def __init__(self) -> None:
        self.said = ""
        self.warnings: list[str] = []


def _ids(table: Table, role: str) -> tuple[IdColumn, _Remarks]:
    column, remarks = table.cells[role], _Remarks()
    if isinstance(column, IdColumn):
        return column, remarks
    assert isinstance(column, Column)
    name = table.names[table.roles.used()[role]]
    texts = [text.strip() for text in column.texts]
    _refuse_bad(table, role, np.array([not text for text in texts], dtype=np.bool_), f"column {shown(name)}")
    too_long = [len(text) > LONGEST_ID for text in texts]
    _refuse_where(table, column, too_long, f"column {shown(name)} must hold ids of at most {LONGEST_ID} characters")
    rows = np.bincount(column.codes, minlength=len(texts)) if len(column.codes) else np.zeros(len(texts), np.int64)
    remarks.warnings += _warnings(texts, rows, role)
    with_zero = [index for index, text in enumerate(texts) if "." in text and POINT_ZERO.fullmatch(text)]
    for index in with_zero:
        texts[index] = texts[index].split(".")[0]
    if with_zero:
        remarks.said = f"{int(rows[with_zero].sum()):,} {role} ids written like 12.0 were read as 12"
    whole = all(map(WHOLE.fullmatch, texts))  # then they are numbers, so that 9 sorts before 10
    found = IdColumn.of(np.array(texts, dtype=np.int64 if whole else object))  # " a" and "a" are one id
    return IdColumn(found.ids, found.codes[column.codes]), remarks


def _warnings(texts: Sequence[str], rows: NDArray[np.int64], role: str) -> list[str]:
    """A sentence for each id that looks like a missing value."""
    found: Counter[str] = Counter()
    for text, count in zip(texts, rows.tolist(), strict=True):
        if len(text) <= 4 and text.lower() in MISSING:
            found[text] += count
    return [
        f"{count:,} {'line has' if count == 1 else 'lines have'} the {role} id {text}, which counts as an id like any other"
        for text, count in found.items()
    ]


def _ratings(table: Table) -> Numbers:
    name = table.names[table.roles.used()["rating"]]
    values = _numbers(table, "rating", f"ratings must be numbers, column {shown(name)}")
    if table.roles.by_content and len(values) and not is_rating(values):
        wrong = np.array([not is_rating(values[[row]]) for row in np.unique(values, return_index=True)[1]])
        row = int(np.unique(values, return_index=True)[1][wrong].min())
        table.refuse(
            row, f"column {name} was read as ratings because of its first values, but this value is no rating", remedy(0, 1)
        )
    return values


def _numbers(table: Table, role: str, rule: str) -> Numbers:
    column = table.cells[role]
    if isinstance(column, Column):
        ambiguous = f"{rule}: its comma may separate thousands or decimals; write 1234 or 1.234"
        _refuse_where(table, column, _ambiguous(column.texts), ambiguous)
        values = _as_numbers(column.texts)
        _refuse_bad(table, role, ~np.isfinite(values), rule)
        return np.take(values, column.codes)
    assert isinstance(column, np.ndarray)
    _refuse_bad(table, role, ~np.isfinite(column), rule)
    return column


def _ambiguous(texts: Sequence[str]) -> list[bool]:
    """For each text whether its comma may separate thousands, as in 1,234, if no other text shows that commas are decimal."""
    with_comma = [text.strip() for text in texts if "," in text]
    if any(COMMA.fullmatch(text) and not THOUSANDS.fullmatch(text) for text in with_comma):
        return [False] * len(texts)
    return [THOUSANDS.fullmatch(text.strip()) is not None for text in texts]


def _as_numbers(texts: Sequence[str]) -> Numbers:
    """Texts as numbers, also with a decimal comma; NaN for other text."""
    plain = [text.replace(",", ".") if "," in text and COMMA.fullmatch(text.strip()) else text for text in texts]
    return np.asarray(pd.to_numeric(pd.Series(plain, dtype=object), errors="coerce"), dtype=np.float64)


def _times(table: Table) -> Numbers:
    """Times that are all numbers or all dates, like the first one."""
    column = table.cells["time"]
    name = table.names[table.roles.used()["time"]]
    rule = f"times must be numbers or dates such as 2024-05-31T18:00:00Z, column {shown(name)}"
    if not isinstance(column, Column) or not np.isnan(_as_numbers(column.texts[:1])).any():
        return _numbers(table, "time", rule)
    values = _as_dates([text.strip() for text in column.texts])
    _refuse_bad(table, "time", ~np.isfinite(values), rule)
    return np.take(values, column.codes)


def _several_units(times: Numbers, name: str) -> list[str]:
    """A sentence if some times are likely seconds and others milliseconds, or other units."""
    examples = [f"{times[likely][0]:.0f}" for unit in UNITS if (likely := are_moments(times, unit)).any()]
    if len(examples) < 2:
        return []
    return [
        f"column {shown(name)} seems to hold times in several units, such as seconds and milliseconds, with {examples[0]} and "
        f"{examples[1]}; write all in one unit"
    ]


def _as_dates(texts: Sequence[str]) -> Numbers:
    """Dates as seconds since 1970, in UTC unless they have an offset; NaN for other text."""
    series = pd.Series(texts, dtype=object)
    for form in ("ISO8601", *DATE_FORMATS):
        dates = pd.to_datetime(series, format=form, errors="coerce", utc=True)
        if dates.notna().any():
            seconds = dates.dt.as_unit("us").astype("int64").to_numpy() / 1e6
            return np.where(dates.isna().to_numpy(), np.nan, seconds)
    return np.full(len(texts), np.nan)


def _refuse_bad(table: Table, role: str, bad: NDArray[np.bool_], rule: str) -> None:
    """Refuse the first value that is no number. If it is missing, say so, and how many others are.

    Args:
        bad: whether each text of a column, or each number, is refused.
    """
    column = table.cells[role]
    assert not isinstance(column, IdColumn)
    if isinstance(column, Column):
        if not bad[column.codes].any():
            return
        row = column.first(bad)
        text = column.texts[column.codes[row]].strip()
        alike = np.array([each.strip() == text for each in column.texts])[column.codes]
    elif bad.any():
        row = int(np.argmax(bad))
        text = "" if np.isnan(column[row]) else str(column[row])
        alike = np.isnan(column)
    else:
        return
    remark = ""
    if role in ("rating", "time"):
        remark = f"if no {role}s are needed, leave the column out: {setting(role, NO_COLUMN, table.path)}"
    if text and text.lower() not in MISSING:
        table.refuse(row, f"{rule} has another value", remark)
    others = int(alike.sum()) - 1
    also = f" here and in {others:,} more {'place' if others == 1 else 'places'}" if others else ""
    article = "an" if role == "item" else "a"
    delete = f"delete {'these lines or give them' if others else 'this line or give it'} {article} {role}"
    table.refuse(row, f"{rule} is {shown(text) if text else 'empty'}{also}", f"{delete}; {remark}".removesuffix("; "))


def _refuse_where(table: Table, column: Column, bad: list[bool], rule: str) -> None:
    wrong = np.array(bad, dtype=np.bool_)
    if wrong.any():
        table.refuse(column.first(wrong), rule)
