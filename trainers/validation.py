"""Checks mappings from YAML or Python against pydantic types, with clear messages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, TypeVar

import numpy as np
from pydantic import AfterValidator, ConfigDict, Field, GetCoreSchemaHandler, Strict, TypeAdapter, ValidationError
from pydantic_core import InitErrorDetails, core_schema

from trainers.errors import InputError, unknown
from trainers.text import SHOWN, clipped, has_controls, shown

Checked = TypeVar("Checked")

SETTINGS = ConfigDict(extra="forbid", allow_inf_nan=False)  # for every model and dataclass of settings

LONGEST_PATH = 4096  # characters
MOST_ERRORS = 10  # errors of a mapping in a message

LARGEST = 3e38  # engines compute in float32
MOST = 2**31 - 1  # numbers of things fit into int32

# YAML has number types: a string or a boolean instead of a number is a mistake.
Real = Annotated[float, Strict()]
Whole = Annotated[int, Strict()]
NonNegative = Annotated[Real, Field(ge=0.0, le=LARGEST)]
Positive = Annotated[Real, Field(gt=0.0, le=LARGEST)]
Figure = Annotated[float, Field(ge=-LARGEST, le=LARGEST)]  # small enough to compute means
Count = Annotated[Whole, Field(ge=1, le=MOST)]
Switch = Annotated[bool, Strict()]


def _place(text: str) -> str:
    if has_controls(text) or len(text) > LONGEST_PATH:
        raise ValueError(
            f"must be a name or path of at most {LONGEST_PATH:,} characters, without control characters and line ends, got "
            f"{shown(text)}"
        )
    return text


Place = Annotated[str, AfterValidator(_place)]
"""A name, or the path of a file or folder."""


@dataclass(frozen=True, eq=False)
class Choice:
    """The annotation of a field whose value is an instance of one of a table's classes, chosen by `name`. The table is read at
    each validation, so it may grow.

    Attributes:
        kind: what is chosen, in a word.
        otherwise: how a name comes into the table, for the message about an unknown one; empty if there is no way.
    """

    kind: str
    table: Mapping[str, type]
    otherwise: str = ""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        as_it_is = core_schema.plain_serializer_function_ser_schema(lambda value: value)  # the value's class serialises it
        return core_schema.no_info_plain_validator_function(self._picked, serialization=as_it_is)

    def __get_pydantic_json_schema__(self, schema: object, handler: object) -> dict[str, Any]:
        """A schema with the name only, since other keys depend on the chosen class."""
        return {"type": "object", "properties": {"name": {"enum": [*self.table]}}, "required": ["name"]}

    def _picked(self, value: object) -> object:
        if isinstance(value, tuple(self.table.values())):
            return value
        if not isinstance(value, Mapping) or "name" not in value:
            raise ValueError(f"must be a mapping with a name, one of {', '.join(sorted(self.table))}, got {shown(value)}")
        name = value["name"]
        if not isinstance(name, str) or name not in self.table:
            raise ValueError("; ".join(filter(None, [unknown(self.kind, name, self.table), self.otherwise])))
        try:
            return _adapter(self.table[name]).validate_python(dict(value))
        except ValidationError as error:
            raise _inside(name, error) from None


@cache
def _adapter(cls: type) -> TypeAdapter[Any]:
    return TypeAdapter(cls)


def _inside(name: str, error: ValidationError) -> ValidationError:
    """The errors of a chosen class, with its name as the start of their locations."""
    details = [
        InitErrorDetails(type=one["type"], loc=(name, *one["loc"]), input=one["input"], ctx=one.get("ctx", {}))
        for one in error.errors(include_url=False)
    ]
    return ValidationError.from_exception_data(error.title, details)


def choice(kind: str, table: Mapping[str, type], otherwise: str = "") -> Any:
    """The annotation of a field whose value is an instance of one of a table's classes, chosen by `name`."""
    return Annotated[Any, Choice(kind, table, otherwise)]


INTEGERS = (int, np.integer)


def whole(what: str, value: Any, least: int = 1) -> int:
    """`value` as an int, NumPy's included, between `least` and the largest number of 63 bits.

    Raises:
        InputError: it is no whole number, or outside of these limits; `what` names it.
    """
    if not isinstance(value, INTEGERS):
        raise InputError(f"{what} must be a whole number, got {shown(value)}; give one of at least {least}")
    if value < least or value >= 2**63:
        limit = f"at least {least}" if value < least else f"below {2**63}"
        raise InputError(f"{what} must be {limit}, got {value}; give another")
    return int(value)


def checked(cls: type[Checked], mapping: object, where: str) -> Checked:
    """Validate a mapping as `cls`.

    Raises:
        InputError: one line per violation: location, rule, offending value.
    """
    try:
        return TypeAdapter(cls).validate_python(mapping)
    except ValidationError as error:
        lines = [_explain(dict(detail), where, cls, mapping) for detail in error.errors()[:MOST_ERRORS]]
        more = error.error_count() - len(lines)
        raise InputError("\n".join([*lines, *([f"{where}: {more:,} more errors"] if more else [])])) from None


IN_WORDS = {  # texts for kinds of pydantic errors that mention Python classes
    "dict_type": "must be a mapping, {name: value}",
    "tuple_type": "must be a list, [value, value]",
    "list_type": "must be a list, [value, value]",
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "invalid_key": "keys must be text",
}


def _explain(detail: dict[str, Any], where: str, cls: object, mapping: object) -> str:
    path = _path_in_file(detail["loc"], mapping)
    field = f"{where}: {'.'.join(path)}" if path else where
    kind, value = detail["type"], detail["input"]
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        inside = f"{where}: {'.'.join(path[:-1])}" if path[:-1] else where
        return f"{inside}: {unknown('key', path[-1], _allowed_keys(cls, detail['loc'][:-1]))}"
    if kind in ("missing", "missing_keyword_only_argument"):
        return f"{field} is required and was not given"
    if kind in ("model_type", "dataclass_type"):  # pydantic's message mentions Python classes
        keys = ", ".join(_allowed_keys(cls, detail["loc"]))
        return f"{field}: must be a mapping with keys of {keys}, got {shown(value)}"
    if kind == "too_short":
        least = detail["ctx"]["min_length"]
        return f"{field}: must have at least {least} element{'' if least == 1 else 's'}, got {shown(value)}"
    message = IN_WORDS.get(kind) or str(detail["msg"]).removeprefix("Value error, ").replace("Input should be", "must be")
    return f"{field}: {message}" if kind == "value_error" else f"{field}: {message}, got {shown(value)}"


def _path_in_file(location: tuple[Any, ...], mapping: object) -> list[str]:
    """The location in the file: pydantic adds the name of the chosen class, which is no key of the file."""
    path: list[str] = []
    for part in location:
        if isinstance(mapping, Mapping) and mapping.get("name") == part and part not in mapping:
            continue
        path.append(clipped(str(part), SHOWN))
        if isinstance(mapping, Mapping):
            mapping = mapping.get(part)
        elif isinstance(mapping, (list, tuple)) and isinstance(part, int) and part < len(mapping):
            mapping = mapping[part]
    return path


def _allowed_keys(cls: object, location: tuple[Any, ...]) -> list[str]:
    """The keys that are allowed at a location: follow the fields and the chosen classes."""
    options: list[Any] = [cls]
    for part in location:
        inner = [fields[part] for fields in map(_fields, options) if part in fields]
        picked = [option.table[part] for option in options if isinstance(option, Choice) and part in option.table]
        if inner or picked:
            options = picked or [option for field in inner for option in _members(field)]
    classes = [one for option in options for one in (option.table.values() if isinstance(option, Choice) else [option])]
    return sorted({key for option in classes for key in _fields(option)})


def _fields(cls: object) -> dict[str, Any]:
    found = getattr(cls, "model_fields", None) or getattr(cls, "__pydantic_fields__", None)
    return dict(found or getattr(cls, "__dataclass_fields__", None) or {})


def _members(field: Any) -> list[Any]:
    """The possible types of a field: the choice that it is annotated with, or the types in its annotation."""
    choices = [one for one in getattr(field, "metadata", ()) if isinstance(one, Choice)]
    annotation = getattr(field, "annotation", None)
    return choices or list(getattr(annotation, "__args__", ())) or [annotation]
