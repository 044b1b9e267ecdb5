"""The results of readers: raw interactions, and tables whose text is still to be converted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trainers.errors import InputError
from trainers.text import shown

Numbers = NDArray[np.float64]
Where = Path | str  # a file, or the name of a table in memory, in messages
SHOWN = 60  # characters of a line in a message


@dataclass(frozen=True, eq=False)
class IdColumn:
    """The raw ids of rows. A text is stored once, however often it occurs.

    Attributes:
        ids: the distinct ids, (k,), ascending; int64 if all are whole numbers, else str as objects.
        codes: for each row the index of its id, (n,).
    """

    ids: NDArray[Any]
    codes: NDArray[np.integer[Any]]

    @classmethod
    def of(cls, values: NDArray[Any]) -> IdColumn:
        """The ids of rows, each given in full, (n,); int64 or str as objects."""
        codes, ids = pd.factorize(values, sort=True)
        return cls(ids, codes)

    @classmethod
    def joined(cls, columns: Sequence[IdColumn]) -> IdColumn:
        """The rows of several files, one file after another. All ids are text if one file has text."""
        parts = [column.ids for column in columns]
        if len({part.dtype for part in parts}) > 1:
            parts = [as_text(part) for part in parts]
        distinct = cls.of(np.concatenate(parts))
        codes = np.split(distinct.codes, np.cumsum([len(part) for part in parts[:-1]]))
        return cls(distinct.ids, np.concatenate([new[column.codes] for new, column in zip(codes, columns, strict=True)]))

    def where(self, chosen: NDArray[np.bool_]) -> IdColumn:
        """The rows for which `chosen` (n,) is true, with only their ids."""
        codes = self.codes[chosen]
        occurs = np.bincount(codes, minlength=len(self.ids)) > 0
        return IdColumn(self.ids[occurs], (np.cumsum(occurs) - 1)[codes])

    @property
    def values(self) -> NDArray[Any]:
        """The id of each row, (n,)."""
        found: NDArray[Any] = self.ids[self.codes]
        return found

    def __len__(self) -> int:
        return len(self.codes)


@dataclass(frozen=True, eq=False)
class RawInteractions:
    """The interactions of a file, one entry per interaction in the order of the file, duplicates included.

    Attributes:
        users, items: raw ids.
        ratings: (n,), or None if the file has none. Counts, such as plays, are no ratings.
        times: (n,), or None; seconds since 1970 for dates, else the file's numbers.
        in_lines: whether each user's items are in one line, whose order may be meaningful.
        said: how the file was read, in one line.
        warnings: warnings for the user, one sentence each.
    """

    users: IdColumn
    items: IdColumn
    ratings: Numbers | None
    times: Numbers | None
    in_lines: bool
    said: str
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.users)


@dataclass(frozen=True)
class Roles:
    """The index of each column with a role, from 0.

    Attributes:
        remark: a remark on the choice; may be empty.
        by_content: whether the rating was detected by its values.
        warnings: warnings for the user, one sentence each.
    """

    user: int
    item: int
    rating: int | None = None
    time: int | None = None
    remark: str = ""
    by_content: bool = False
    warnings: tuple[str, ...] = ()

    def used(self) -> dict[str, int]:
        """The columns by role, without missing ones."""
        indices = {"user": self.user, "item": self.item, "rating": self.rating, "time": self.time}
        return {role: index for role, index in indices.items() if index is not None}


@dataclass(frozen=True, eq=False)
class Column:
    """The cells of a column: distinct texts, (k,), and for each row the index of its text, (n,)."""

    texts: Sequence[str]
    codes: NDArray[np.integer[Any]]

    @classmethod
    def of(cls, cells: Sequence[str] | NDArray[Any]) -> Column:
        values = np.empty(len(cells), dtype=object)
        values[:] = cells
        codes, texts = pd.factorize(values)
        return cls(texts.tolist(), codes)

    def first(self, wanted: NDArray[np.bool_]) -> int:
        """The first row whose text has `wanted` (k,) true."""
        return int(np.argmax(wanted[self.codes]))


@dataclass(frozen=True, eq=False)
class Table:
    """A table with known roles of columns, whose cells are text, or numbers if that is certain.

    Attributes:
        path: the file, or a name of the table.
        names: the names of all columns in the header, or their numbers.
        cells: the cells of used columns, by role.
        form: the layout of the file, in words.
        locate: maps a row to its position, such as `line 7`, and its content.
    """

    path: Where
    names: tuple[str, ...]
    roles: Roles
    cells: Mapping[str, Column | IdColumn | Numbers]
    form: str
    locate: Callable[[int], tuple[str, str]]

    def refuse(self, row: int, rule: str, remedy: str = "") -> NoReturn:
        """Raise an InputError with position and content of a row."""
        position, content = self.locate(row)
        raise refusal(self.path, position, rule, content, remedy)


def joined(parts: Sequence[Column | Numbers]) -> Column | Numbers:
    """The concatenation of columns, which are all numbers or all text."""
    numbers = [part for part in parts if not isinstance(part, Column)]
    if len(numbers) == len(parts):
        return np.concatenate(numbers)
    columns = [part for part in parts if isinstance(part, Column)]
    distinct = Column.of([text for column in columns for text in column.texts])
    ends = np.cumsum([len(column.texts) for column in columns])
    codes = [distinct.codes[end - len(column.texts) : end][column.codes] for end, column in zip(ends, columns, strict=True)]
    return Column(distinct.texts, np.concatenate(codes))


def as_text(ids: NDArray[Any]) -> NDArray[np.object_]:
    """Raw ids (k,) as str objects. A NumPy array of text would give each id the room of the longest."""
    return np.array([str(one) for one in ids.tolist()], dtype=object)


def refusal(path: Where, position: str, rule: str, content: str, remedy: str = "") -> InputError:
    """The error `FILE, line 7: RULE, got 'CONTENT'; REMEDY`, with the content shortened."""
    return InputError(f"{path}, {position}: {rule}, got {quoted(content)}{'; ' if remedy else ''}{remedy}")


def quoted(text: str, length: int = SHOWN) -> str:
    """A text for a message, quoted and shortened."""
    return shown(text.strip(), length)
