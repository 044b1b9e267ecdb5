"""Checks mappings (from YAML, or from Python) against pydantic types, and says what is wrong so that a person can act on it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from operator import or_
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, Strict, TypeAdapter, ValidationError

from trainers.errors import InputError, unknown
from trainers.text import SHOWN, clipped, has_controls, shown

Checked = TypeVar("Checked")

SETTINGS = ConfigDict(extra="forbid", allow_inf_nan=False)  # of every model and dataclass of settings

LONGEST_PATH = 4096  # characters
MOST_ERRORS = 10  # of a mapping that are said

LARGEST = 3e38  # engines compute in float32

# YAML gives numbers as numbers: a string or a boolean in their place is a mistake, not a number.
Real = Annotated[float, Strict()]
Whole = Annotated[int, Strict()]
NonNegative = Annotated[Real, Field(ge=0.0, le=LARGEST)]
Positive = Annotated[Real, Field(gt=0.0, le=LARGEST)]
Figure = Annotated[float, Field(ge=-LARGEST, le=LARGEST)]  # of which a mean can be taken
Count = Annotated[Whole, Field(ge=1)]
Switch = Annotated[bool, Strict()]


def _place(text: str) -> str:
    if has_controls(text) or len(text) > LONGEST_PATH:
        raise ValueError(
            f"must be a name or a path of at most {LONGEST_PATH:,} characters, without control characters and line ends, got "
            f"{shown(text)}"
        )
    return text


Place = Annotated[str, AfterValidator(_place)]
"""A name, or the path of a file or folder."""


def choice(kind: str, table: Mapping[str, type]) -> Any:
    """The annotation of a field whose value is one of a table's classes, picked by `name`."""

    def has_known_name(value: object) -> object:
        if isinstance(value, tuple(table.values())):
            return value
        if not isinstance(value, Mapping) or "name" not in value:
            raise ValueError(f"must be a mapping with a name, one of {', '.join(sorted(table))}, got {shown(value)}")
        if not isinstance(value["name"], str) or value["name"] not in table:
            raise ValueError(unknown(kind, value["name"], table))
        return dict(value)

    classes = tuple(table.values())
    picked: Any = Annotated[reduce(or_, classes), Field(discriminator="name")] if len(classes) > 1 else classes[0]
    return Annotated[picked, BeforeValidator(has_known_name)]


def checked(cls: type[Checked], mapping: object, where: str) -> Checked:
    """Validate a mapping as `cls`.

    Raises:
        InputError: one line per violation: where, rule, offending value.
    """
    try:
        return TypeAdapter(cls).validate_python(mapping)
    except ValidationError as error:
        lines = [_explain(dict(detail), where, cls, mapping) for detail in error.errors()[:MOST_ERRORS]]
        more = error.error_count() - len(lines)
        raise InputError("\n".join([*lines, *([f"{where}: {more:,} more errors"] if more else [])])) from None


IN_WORDS = {  # kinds of pydantic's errors that speak of Python's classes
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
    if kind in ("model_type", "dataclass_type"):  # pydantic speaks of Python's classes
        keys = ", ".join(_allowed_keys(cls, detail["loc"]))
        return f"{field}: must be a mapping with keys of {keys}, got {shown(value)}"
    message = IN_WORDS.get(kind) or str(detail["msg"]).removeprefix("Value error, ").replace("Input should be", "must be")
    return f"{field}: {message}" if kind == "value_error" else f"{field}: {message}, got {shown(value)}"


def _path_in_file(location: tuple[Any, ...], mapping: object) -> list[str]:
    """The location as the file spells it: pydantic adds the picked class' name, which is no key of the file."""
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
    """The keys that exist at a location: walk down the fields and the picked classes."""
    options: list[Any] = [cls]
    for part in location:
        inner = [fields[part].annotation for fields in map(_fields, options) if part in fields]
        if inner:
            options = [option for annotation in inner for option in _members(annotation)]
        else:
            options = [option for option in options if _is_picked_by(option, part)] or options
    return sorted({key for option in options for key in _fields(option)})


def _is_picked_by(option: object, name: object) -> bool:
    """Whether a class is the one, of a table's, that a mapping picks with this `name`."""
    field = _fields(option).get("name")
    return field is not None and name in getattr(field.annotation, "__args__", ())


def _fields(cls: object) -> dict[str, Any]:
    return dict(getattr(cls, "model_fields", None) or getattr(cls, "__pydantic_fields__", None) or {})


def _members(annotation: Any) -> list[Any]:
    return list(getattr(annotation, "__args__", ())) or [annotation]
