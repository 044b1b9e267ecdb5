"""docs/studies.md: the keys of a study file, from the classes that check it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from importlib import resources
from typing import Any

from pydantic import TypeAdapter

from docs.generators.study_texts import CONFIG, END, HEAD
from hpo.study.plan import ConfirmPlan, PrunerSpec, SamplerSpec, SearchPlan
from hpo.study.spec import StudySpec
from search_spaces import SPACES
from trainers.config import TrainConfig
from trainers.data.options import DataOptions, TestSplit, ValidationSplit
from trainers.data.readers.layout import Columns
from trainers.encoders import ENCODERS
from trainers.losses import LOSSES
from trainers.negatives import NEGATIVES
from trainers.validation import MOST

# The sections of the page: title, level, the text before the table, the class, and keys that are left out.
SECTIONS: list[tuple[str, type, str, tuple[str, ...]]] = [
    ("## The whole file", StudySpec, "", ("name",)),
    ("## space", SPACES["mml"], "What is searched. [The search](search.md#ranges) has the default ranges.", ()),
    ("## config", TrainConfig, CONFIG, ("loss", "epochs", "seed")),
    ("## data", DataOptions, "How your own data are read, filtered and split. [Your own data](own-data.md) explains it.", ()),
    ("### data.columns", Columns, "Each column by its name in the header, or by its number, from 0.", ()),
    ("### data.test", TestSplit, "How the test split is made from a single file.", ()),
    ("## validation", ValidationSplit, "How validation is held out of the training data.", ()),
    ("## search", SearchPlan, "How long is searched, and how.", ()),
    ("### search.sampler", SamplerSpec, "Which of Optuna's samplers proposes configs.", ()),
    ("### search.pruner", PrunerSpec, "Which of Optuna's pruners stops weak trials.", ()),
    ("## confirm", ConfirmPlan, "How the best configs are retrained and compared. [Protocol](protocol.md) explains it.", ()),
]
LINKS = {
    "encoder": "mapping, see [encoder](#encoder)",
    "negatives": "mapping, see [negatives](#negatives)",
    "space": "mapping, see [space](#space)",
    "config": "mapping, see [config](#config)",
    "data": "mapping, see [data](#data)",
    "validation": "mapping, see [validation](#validation)",
    "search": "mapping, see [search](#search)",
    "confirm": "mapping, see [confirm](#confirm)",
    "columns": "mapping, see [data.columns](#datacolumns)",
    "test": "mapping, see [data.test](#datatest)",
    "sampler": "mapping, see [search.sampler](#searchsampler)",
    "pruner": "mapping, see [search.pruner](#searchpruner)",
}
EXAMPLE = "yelp_mml.yaml"  # as it is shipped, without its comment
HUGE = 1e30  # a bound that only keeps numbers finite
TYPES = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true or false", "null": "nothing"}


def page() -> str:
    """The text of docs/studies.md."""
    example = (resources.files("studies") / EXAMPLE).read_text(encoding="utf-8")
    lines = [HEAD.replace("EXAMPLE", re.sub("#.*\n", "", example))]
    for title, cls, intro, without in SECTIONS:
        lines += [title, "", *([intro, ""] if intro else []), *table(cls, without), ""]
        if title == "## config":
            lines += [*_kinds("encoder", "encoders", ENCODERS), *_kinds("negatives", "negatives", NEGATIVES)]
    lines += [END, *_losses(), ""]
    return "\n".join(lines)


def _kinds(title: str, anchor: str, classes: Mapping[str, type]) -> Iterator[str]:
    """A section for what is one of several classes: `name`, and the keys of each."""
    yield f"### {title}\n"
    yield f"`name` is {_either(classes)}. The other keys depend on it. [Models](models.md#{anchor}) explains them.\n"
    yield "| name | key | type | default | meaning |"
    yield "|---|---|---|---|---|"
    names: dict[str, list[str]] = {}  # of the classes, by a row that they have in common
    for name, cls in classes.items():
        rows = [" | ".join(row) for row in _rows(cls, ("name",))] or [" | | | no further keys"]
        for row in rows:
            names.setdefault(row, []).append(f"`{name}`")
    yield from (f"| {', '.join(having)} | {row} |" for row, having in names.items())
    yield ""


def _losses() -> Iterator[str]:
    yield "| loss | keys besides `name`, with their defaults |"
    yield "|---|---|"
    for name, cls in LOSSES.items():
        schema = TypeAdapter(cls).json_schema()
        keys = [
            f"`{key}`" + (f" ({_value(property_['default'])})" if "default" in property_ else "")
            for key, property_ in schema["properties"].items()
            if key != "name"
        ]
        yield f"| [`{name}`](models.md#{name}) | {', '.join(keys) or 'none'} |"


def table(cls: type, without: tuple[str, ...] = ()) -> list[str]:
    """The keys of a class: type, default, meaning."""
    rows = [f"| {' | '.join(row)} |" for row in _rows(cls, without)]
    return ["| key | type | default | meaning |", "|---|---|---|---|", *rows]


def _rows(cls: type, without: tuple[str, ...]) -> Iterator[list[str]]:
    schema = TypeAdapter(cls).json_schema()
    required, said = schema.get("required", ()), meanings(cls)
    for key, property_ in schema["properties"].items():
        if key in without:
            continue
        if key not in said:
            raise ValueError(f"the docstring of {cls.__name__} has no line for {key} under `Attributes:`")
        default = "required" if key in required else _value(property_.get("default", {}))
        kind = _either(SPACES) if (key, cls) == ("name", SPACES["mml"]) else _type(key, property_)
        yield [f"`{key}`", kind, default, _cell(said[key].removesuffix("."))]


def _type(key: str, schema: Mapping[str, Any]) -> str:
    """A JSON schema in words."""
    refers = "$ref" in schema or "oneOf" in schema or any("$ref" in option for option in schema.get("anyOf", ()))
    if key in LINKS and (refers or schema.get("type") == "object"):
        return LINKS[key]
    if "anyOf" in schema:
        options = [_type(key, option) for option in schema["anyOf"] if option.get("type") != "null"]
        return " or ".join(dict.fromkeys(options))
    if "enum" in schema:
        return _either(map(str, schema["enum"]))
    if "const" in schema:
        return f"`{schema['const']}`"
    if schema.get("type") == "array":
        items = schema.get("items", {})
        return f"list of {_either(items['enum'])}" if "enum" in items else "list"
    if schema.get("type") == "object":
        return "mapping"
    return ", ".join([TYPES[schema["type"]], *_bounds(schema)])


def _bounds(schema: Mapping[str, Any]) -> Iterator[str]:
    words = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    for bound, word in words.items():
        value = schema.get(bound)
        if value is not None and abs(value) < HUGE and not (schema["type"] == "integer" and (value > 10**15 or value == MOST)):
            yield f"{word} {value:,g}" if abs(value) < 10**6 else f"{word} {value:,}"


def _either(names: Any) -> str:
    *first, last = [f"`{name}`" for name in names]
    return f"{', '.join(first)} or {last}" if first else last


def _value(default: Any) -> str:
    if default is None:
        return "-"
    if default in ({}, [], ()):
        return "none"
    if isinstance(default, Mapping):
        return f"`{default['name']}`" if "name" in default else "see there"
    if isinstance(default, list):
        return f"`[{', '.join(map(str, default))}]`"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


def _cell(text: str) -> str:
    return text.replace("|", "&#124;")


def meanings(cls: type) -> dict[str, str]:
    """What the docstrings of a class and of its bases say under `Attributes:`, by name."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        doc = inspect.cleandoc(base.__dict__.get("__doc__") or "")
        _, _, below = doc.partition("Attributes:\n")
        block = re.split(r"\n(?=\S)", below)[0]
        for entry in re.split(r"\n(?=    \S)", f"\n{block}"):
            names, colon, text = re.sub(r"\s+", " ", entry).strip().partition(": ")
            if colon:
                found |= dict.fromkeys(names.split(", "), text)
    return found
