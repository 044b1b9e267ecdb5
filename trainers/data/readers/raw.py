"""What every reader gives, and what readers of tables hand to the step that turns text into ids, ratings and times."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trainers.errors import InputError
from trainers.text import shown

Numbers = NDArray[np.float64]
SHOWN = 60  # characters of a line in a message


@dataclass(frozen=True, eq=False)
class RawInteractions:
    """The interactions of a file, one entry per interaction in the order of the file, duplicates included.

    Attributes:
        users, items: raw ids, (n,); int64 where all are whole numbers, else str.
        ratings: (n,), or None where the file has none. Counts, such as plays, are no ratings.
        times: (n,), or None; seconds since 1970 where the file has dates, else the file's numbers.
        in_lines: whether a user's items stand in one line, in an order that may mean something.
        said: how the file was read, in one line.
        warnings: what a person should look at, a sentence each.
    """

    users: NDArray[Any]
    items: NDArray[Any]
    ratings: Numbers | None
    times: Numbers | None
    in_lines: bool
    said: str
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.users)


@dataclass(frozen=True)
class Roles:
    """Which column, from 0, is what.

    Attributes:
        remark: what a person should know about the choice, or nothing.
        by_content: whether the rating was recognised by its values alone.
    """

    user: int
    item: int
    rating: int | None = None
    time: int | None = None
    remark: str = ""
    by_content: bool = False

    def used(self) -> dict[str, int]:
        """The columns by role, without those that the file lacks."""
        places = {"user": self.user, "item": self.item, "rating": self.rating, "time": self.time}
        return {role: place for role, place in places.items() if place is not None}


@dataclass(frozen=True, eq=False)
class Column:
    """The cells of a column: distinct texts, (k,), and which of them stands in each row, (n,)."""

    texts: Sequence[str]
    codes: NDArray[np.integer[Any]]

    @classmethod
    def of(cls, cells: Sequence[str] | NDArray[Any]) -> Column:
        values = np.empty(len(cells), dtype=object)
        values[:] = cells
        codes, texts = pd.factorize(values)
        return cls(texts.tolist(), codes)

    def first(self, wanted: NDArray[np.bool_]) -> int:
        """The first row whose text is one of the wanted (k,)."""
        return int(np.argmax(wanted[self.codes]))


@dataclass(frozen=True, eq=False)
class Table:
    """A table whose columns are known and whose cells are still text, or numbers where that was certain.

    Attributes:
        names: of all columns: the header's, or their numbers.
        cells: of the columns that are used, by role.
        form: how the file is laid out, in words.
        place: row -> where it stands, such as `line 7`, and what stands there.
    """

    path: Path
    names: tuple[str, ...]
    roles: Roles
    cells: dict[str, Column | Numbers]
    form: str
    place: Callable[[int], tuple[str, str]]

    def refuse(self, row: int, rule: str, remedy: str = "") -> NoReturn:
        """Raise an InputError with place and content of a row."""
        place, content = self.place(row)
        raise refusal(self.path, place, rule, content, remedy)


def joined(parts: Sequence[Column | Numbers]) -> Column | Numbers:
    """Columns one below the other: all numbers, or all text."""
    numbers = [part for part in parts if not isinstance(part, Column)]
    if len(numbers) == len(parts):
        return np.concatenate(numbers)
    columns = [part for part in parts if isinstance(part, Column)]
    distinct = Column.of([text for column in columns for text in column.texts])
    ends = np.cumsum([len(column.texts) for column in columns])
    codes = [distinct.codes[end - len(column.texts) : end][column.codes] for end, column in zip(ends, columns, strict=True)]
    return Column(distinct.texts, np.concatenate(codes))


def refusal(path: Path, place: str, rule: str, content: str, remedy: str = "") -> InputError:
    """`FILE, line 7: RULE, got 'CONTENT'; REMEDY`, the content cut to what fits into a line."""
    return InputError(f"{path}, {place}: {rule}, got {quoted(content)}{'; ' if remedy else ''}{remedy}")


def quoted(text: str, length: int = SHOWN) -> str:
    """A text in a message: `'abc'`, and no more of it than fits into a line."""
    return shown(text.strip(), length)
