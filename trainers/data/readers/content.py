"""Detects from the fields of a table whether it has a header, and the roles of columns without names, if certain."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from trainers.data.readers.layout import Columns
from trainers.data.readers.meaning import ENOUGH, kind_of, meaning_of
from trainers.data.readers.names import KNOWN_IDS, given_roles, plain, remedy, with_warnings, without
from trainers.data.readers.raw import Roles, quoted
from trainers.errors import InputError

Rows = Sequence[Sequence[str]]

ASIN = re.compile(r"[B\d][\dA-Z]{9}")  # ids of Amazon's products
REVIEWER = re.compile(r"A[\dA-Z]{9,20}")  # ids of Amazon's reviewers
SHA1, MBID = re.compile(r"[\da-f]{40}"), re.compile(r"[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}|")


def has_header(rows: Rows, path: Path) -> bool:
    """Whether the first row names the columns.

    Raises:
        InputError: it is ambiguous.
    """
    first, others = rows[0], rows[1:]
    if any(plain(field) in KNOWN_IDS for field in first):
        return True
    kinds = [kind_of([field]) for field in first]
    below = [kind_of([row[index] for row in others if index < len(row)]) for index in range(len(first))]
    if all(kind != "text" for kind in kinds):
        return False
    if others and all(kind == "text" for kind in kinds) and any(kind != "text" for kind in below):
        return True  # such as a,b,c above numbers
    alike = others and all(kind == "text" or kind == other for kind, other in zip(kinds, below, strict=True))
    if alike and any(kind != "text" for kind in kinds):
        return False
    if any(field and field in {row[index] for row in others if index < len(row)} for index, field in enumerate(first)):
        return False  # a text that also occurs below is no column name
    raise InputError(
        f"{path}: whether the first line names the columns must be certain, and is not, got {quoted(', '.join(first))}; "
        "give data: {header: true} or data: {header: false}"
    )


def roles_by_content(rows: Rows, columns: Columns | None, path: Path) -> Roles:
    """The roles of the columns of a table without a header: given, or detected if certain.

    Raises:
        InputError: they are ambiguous, or a given column is a name or does not exist.
    """
    width = len(rows[0])
    names = tuple(map(str, range(width)))
    given = given_roles(names, columns, path)
    sample = fields_by_column(rows, width)
    if "user" in given and "item" in given:
        roles = Roles(given["user"], given["item"], given.get("rating"), given.get("time"))
        return with_warnings(roles, names, columns, path, sample)
    found = None if given else _certain(sample)
    if found is None:
        raise InputError(
            f"{path}: which of {width} columns without names are user and item must be certain, and is not, got "
            f"{quoted(', '.join(rows[0]), 200)}; " + remedy(0, 1)
        )
    return with_warnings(without(found, columns), names, columns, path, sample)


def fields_by_column(rows: Rows, width: int) -> list[list[str]]:
    """The fields of each column; a row may lack the last ones."""
    return [[row[index] for row in rows if index < len(row)] for index in range(width)]


def _certain(columns: list[list[str]]) -> Roles | None:
    kinds = [meaning_of(column) for column in columns]
    if len(columns) == 2 and "date" not in kinds:
        return _in_order(columns, None, None)
    if len(columns) in (3, 4) and not {"date", "moment"} & set(kinds[:2]):
        last = kinds[2:]
        if last in (["rating"], ["moment"], ["date"], ["rating", "moment"], ["rating", "date"]):
            rating = 2 if "rating" in last else None
            return _in_order(columns, rating, len(columns) - 1 if last[-1] != "rating" else None)
    if len(columns) == 4 and all(map(SHA1.fullmatch, columns[0])) and all(map(MBID.fullmatch, columns[1])):
        return Roles(0, 1, remark="; column 3 holds plays: every line counts as one interaction")  # Last.fm 360K
    dates = [index for index, kind in enumerate(kinds) if kind == "date"]
    ids = [index for index, kind in enumerate(kinds) if kind in ("whole", "rating", "text")]
    if len(dates) == 1 and len(ids) == 2 and kinds.count("fraction") == len(columns) - 3:  # SNAP's check-ins
        return Roles(ids[0], ids[1], time=dates[0], remark=_taken(*ids))
    return None


def _in_order(columns: list[list[str]], rating: int | None, time: int | None) -> Roles:
    """The roles with user before item, unless Amazon's ids show the reverse order."""
    if _share(ASIN, columns[0]) >= ENOUGH and _share(REVIEWER, columns[1]) >= ENOUGH > _share(ASIN, columns[1]):
        return Roles(1, 0, rating, time, "; column 1 was read as the user: it holds ids of Amazon's reviewers", True)
    if _share(REVIEWER, columns[0]) >= ENOUGH > _share(ASIN, columns[0]) and _share(ASIN, columns[1]) >= ENOUGH:
        return Roles(0, 1, rating, time, "", True)
    return Roles(0, 1, rating, time, _taken(0, 1), True)


def _taken(user: int, item: int) -> str:
    return f"; column {user} was read as the user and {item} as the item; the file does not name its columns"


def _share(pattern: re.Pattern[str], column: list[str]) -> float:
    return sum(pattern.fullmatch(field.strip()) is not None for field in column) / max(len(column), 1)
