"""The layout of a file of interactions, as far as the file itself does not show it: keys of `data` in a study file."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, Strict, field_validator, model_validator

from trainers.text import shown
from trainers.validation import SETTINGS, Switch

Name = Annotated[str, Strict(), Field(min_length=1)]
Number = Annotated[int, Strict(), Field(ge=0)]
ColumnKey = Name | Number
NO_COLUMN = "none"
ROLES = ("user", "item", "rating", "time")


class Columns(BaseModel):
    """The columns of a table, each by its name in the header or by its number, from 0; those that are None are detected.

    Without a header either all are detected or none: if `user` and `item` are given, so must `rating` and `time` be.

    Attributes:
        user: the column of users.
        item: the column of items.
        rating: the column of ratings, see `min_rating`; `none` if there is none.
        time: the column of times; `none` if there is none.
    """

    model_config = ConfigDict(**SETTINGS, frozen=True)

    user: ColumnKey | None = None
    item: ColumnKey | None = None
    rating: ColumnKey | None = None
    time: ColumnKey | None = None

    def given(self) -> dict[str, str | int]:
        """The given columns by role: user, item, rating, time."""
        return {role: key for role in ROLES if (key := getattr(self, role)) not in (None, NO_COLUMN)}

    def has_no(self, role: str) -> bool:
        """Whether the user says that there is no such column."""
        return bool(getattr(self, role) == NO_COLUMN)


class Layout(BaseModel):
    """The layout of a file; fields that are None are detected.

    Attributes:
        columns: the roles of columns.
        separator: the separator of fields, one character or more.
        header: whether the first line names the columns.
        encoding: the text encoding, by its name in Python; by default UTF-8, or that of the byte order mark.
        format: `lines` for NGCF text, `user item item ...` in each line; `table` for a line per interaction.
    """

    model_config = ConfigDict(**SETTINGS, frozen=True)

    columns: Columns | None = None
    separator: Name | None = None
    header: Switch | None = None
    encoding: Name | None = None
    format: Literal["lines", "table"] | None = None

    @field_validator("separator")
    @classmethod
    def _is_no_line_end(cls, separator: str | None) -> str | None:
        if separator is not None and any(sign in separator for sign in '\r\n"'):
            raise ValueError(f"must hold neither line ends nor quotes, got {shown(separator)}")
        return separator

    @field_validator("encoding")
    @classmethod
    def _is_known(cls, encoding: str | None) -> str | None:
        try:
            b" ".decode(encoding or "utf-8")
        except UnicodeError:
            pass  # the encoding is known: a single byte is incomplete in UTF-16
        except LookupError:
            raise ValueError(f"must be an encoding of text such as utf-8, cp1252 or utf-16, got {shown(encoding)}") from None
        return encoding

    @model_validator(mode="after")
    def _lines_have_no_columns(self) -> Layout:
        said = [key for key in ("columns", "separator", "header") if getattr(self, key) is not None]
        if self.format == "lines" and said:
            raise ValueError(f"format lines, `user item item ...`, has no {' and no '.join(said)}; leave out one or the other")
        return self

    @property
    def says_table(self) -> bool:
        """Whether the layout can only be that of a table."""
        return self.format == "table" or not (self.columns is None and self.separator is None and self.header is None)
