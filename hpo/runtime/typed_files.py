"""Base class of the files and attributes that this program writes and reads again, with a format number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, ClassVar, Self

from pydantic import BaseModel

from trainers.errors import InputError
from trainers.text import shown
from trainers.validation import SETTINGS, checked

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
