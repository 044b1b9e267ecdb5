"""Base class of the files and attributes that this program writes and reads again, with a format number."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import BaseModel, model_validator

from hpo.runtime.text import CHANGE_OUTPUT_HINT
from trainers.errors import InputError, first_line
from trainers.files import write_text
from trainers.text import shown
from trainers.validation import SETTINGS, checked
from trainers.yaml_files import read_yaml, sealed, to_yaml

FORMAT_KEY = "format"


class Stored(BaseModel):
    """A record that is written and read by the same class. Unknown keys are errors.

    Attributes:
        FORMAT: the format number of this kind of record. Raise it if older records would be misread; a new field with a default
            does not need that.
    """

    model_config = SETTINGS | {"frozen": True}
    FORMAT: ClassVar[int]

    def to_dict(self) -> dict[str, Any]:
        """Plain data, with the format first. Keys may be numbers; a None that is the default is left out."""
        return {FORMAT_KEY: self.FORMAT, **_plain(self)}

    @classmethod
    def from_dict(cls, content: object, where: str, remedy: str) -> Self:
        """The record in the result of `to_dict`.

        Args:
            where: the source, for messages.
            remedy: the end of messages.

        Raises:
            InputError: another format, or content that breaks a rule.
        """
        found = content.get(FORMAT_KEY) if isinstance(content, Mapping) else None
        if not isinstance(content, Mapping) or type(found) is not int or found != cls.FORMAT:
            has = "none" if found is None else shown(found)
            raise InputError(f"{where}: this version reads format {cls.FORMAT}, got {has}; {remedy}")
        try:
            return checked(cls, {key: value for key, value in content.items() if key != FORMAT_KEY}, where)
        except InputError as error:
            raise InputError(f"{error}; {remedy}") from None


class InWords(BaseModel):
    """The sentences of a result, for people who read its file; the other fields decide them."""

    model_config = SETTINGS | {"frozen": True}
    statements: tuple[str, ...] = ()
    tuning: tuple[str, ...] | None = None
    caveats: tuple[str, ...] = ()


class Result(Stored, ABC):
    """A record in a YAML file of its own, with its sentences and a checksum: an edited figure cannot pass for a measured one.

    Attributes:
        FILE: the name of the file.
        REMEDY: the end of messages about a file that cannot be read.
    """

    FILE: ClassVar[str]
    REMEDY: ClassVar[str]
    in_words: InWords = InWords()

    @abstractmethod
    def words(self) -> InWords:
        """All sentences."""

    @abstractmethod
    def tables(self) -> object:
        """All tables, and all that is derived from the record."""

    @model_validator(mode="after")
    def _can_be_shown(self) -> Self:
        """Check that tables and sentences can be made: the file may have been edited and sealed again."""
        try:
            _ = self.tables(), self.words()
        except (ArithmeticError, AttributeError, LookupError, StopIteration, TypeError, ValueError) as error:
            raise ValueError(f"its parts do not fit together ({type(error).__name__}: {first_line(error)})") from None
        return self

    def write(self, folder: Path, make_folder: bool = False) -> Path:
        """Write the file; returns its path.

        Raises:
            InputError: the folder cannot be written.
        """
        text = to_yaml(self.model_copy(update={"in_words": self.words()}).to_dict())
        write_text(folder / self.FILE, sealed(text), CHANGE_OUTPUT_HINT, make_folder=make_folder)
        return folder / self.FILE

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` wrote.

        Raises:
            InputError: the file is missing, damaged, was edited, or has another format.
        """
        return cls.from_dict(read_yaml(path, is_sealed=True), str(path), cls.REMEDY)


def _plain(value: Any) -> Any:
    """Plain data: mappings for models and dataclasses, lists for tuples, values for enums."""
    if isinstance(value, BaseModel):
        defaults = {name: field.default for name, field in type(value).model_fields.items()}
        return _fields(value, defaults)
    if is_dataclass(value):
        return _fields(value, {field.name: field.default for field in fields(value)})
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value.value if isinstance(value, Enum) else value


def _fields(owner: object, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a model or dataclass, without those that are None by default and hold None."""
    found = {name: getattr(owner, name) for name in defaults}
    return {name: _plain(value) for name, value in found.items() if value is not None or defaults[name] is not None}
