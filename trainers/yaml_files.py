"""Reading and writing YAML 1.2 with plain data only. Repeated keys are errors; written floats are floats in YAML 1.1, too.

Files may be hostile: size and depth are limited, and anchors, which can expand to gigabytes, and tags are refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from copy import deepcopy
from functools import lru_cache
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer, ComposerError
from ruamel.yaml.constructor import ConstructorError, SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.representer import SafeRepresenter

from trainers.errors import InputError, first_line
from trainers.files import check_regular
from trainers.text import clipped, shown

LARGEST, LARGEST_SEALED = 1_000_000, 16_000_000  # characters; a million take up to 20 s
DEEPEST = 50  # levels of nested lists and mappings
MOST_DIGITS = 40  # digits of a whole number

SEAL = "# SHA-256 of the lines above: "


def sealed(text: str) -> str:
    """The text with a checksum in a last line, which `read_yaml` verifies."""
    return f"{text}{SEAL}{hashlib.sha256(text.encode()).hexdigest()}\n"


def read_yaml(path: str | Path, is_sealed: bool = False, if_empty: str = "give another file") -> dict[str, Any]:
    """The mapping in a YAML file.

    Args:
        is_sealed: whether the file was written with `sealed`.
        if_empty: the remedy if the file is empty.

    Raises:
        InputError: the file is missing, empty, unreadable, too large, no regular file, not YAML (with its line), repeats a key,
            holds no mapping, or does not match its checksum.
    """
    where, most = clipped(str(path)), LARGEST_SEALED if is_sealed else LARGEST
    try:
        check_regular(Path(path))
        with open(path, encoding="utf-8") as file:
            text = file.read(most + 1)
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{where}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: is not UTF-8 text: {error}") from None
    except ValueError as error:  # an impossible path
        raise InputError(f"{shown(str(path))}: cannot be read: {error}") from None
    if len(text) > most:
        raise InputError(f"{where}: may have at most {most:,} characters, and has more; give another file")
    if is_sealed and sealed(text.rpartition(SEAL)[0]) != text:
        raise InputError(f"{where}: does not match its checksum: it is damaged, was edited, or comes from an earlier version")
    if not text.strip():
        raise InputError(f"{where}: the file is empty; {if_empty}")
    return parse_yaml(text, where)


def parse_yaml(text: str, where: str) -> dict[str, Any]:
    """The mapping in a YAML text.

    Args:
        where: the source, for messages.

    Raises:
        InputError: it is not YAML (with its line), repeats a key, holds no mapping, or has an anchor, an alias, a tag, too many
            levels, or a number that is too large.
    """
    try:
        return deepcopy(_parsed(text))
    except InputError as error:
        raise InputError(f"{where}{error}") from None


@lru_cache(maxsize=128)
def _parsed(text: str) -> dict[str, Any]:
    """`parse_yaml`, which is slow. One command reads a file several times, and a program may list all shipped studies again.

    Raises:
        InputError: the message begins after the source, with the line or a colon.
    """
    try:
        content = _reader().load(text)
    except MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InputError(f"{line}: {first_line(error, error.problem or error.context)}") from None
    except (YAMLError, ValueError, OverflowError) as error:  # e.g. a character that does not exist, "\UFFFFFFFF"
        raise InputError(f": is not valid YAML: {first_line(error)}") from None
    if content is None:
        raise InputError(": must hold a mapping with text keys, and holds none")
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise InputError(f": must hold a mapping with text keys, got {type(content).__name__} {shown(content)}")
    return content


class _PlainComposer(Composer):
    """Refuses anchors, aliases, tags and deep nesting before anything is constructed."""

    _level = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.parser.peek_event()
        refusal = ""
        if isinstance(event, AliasEvent) or event.anchor is not None:
            refusal = "anchors and aliases are not allowed; write the value out, or quote text that begins with & or *"
        elif event.tag is not None:
            refusal = "tags are not allowed; write the value alone, or quote text that begins with !"
        elif self._level >= DEEPEST:
            refusal = f"lists and mappings may be nested {DEEPEST} deep, got deeper ones"
        if refusal:
            raise ComposerError(None, None, refusal, event.start_mark)
        self._level += 1
        node = super().compose_node(parent, index)
        self._level -= 1
        return node


class _PlainConstructor(SafeConstructor):
    """Constructs text, numbers, true, false and null; dates are text, as in YAML 1.2."""

    def construct_non_recursive_object(self, node: Any, tag: str | None = None) -> Any:
        try:
            return super().construct_non_recursive_object(node, tag)
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:  # raised by the constructors of numbers
            raise ConstructorError(None, None, f"cannot be read: {first_line(error)}", node.start_mark) from None

    def check_mapping_key(self, node: Any, key_node: Any, mapping: Any, key: Any, value: Any) -> bool:
        if key in mapping:
            raise ConstructorError(None, None, f"found duplicate key {shown(key)}", key_node.start_mark)
        return True

    def construct_text(self, node: Any) -> str:
        value = str(self.construct_scalar(node))
        value.encode()  # raises ValueError for lone surrogates, which cannot be printed
        return value

    def construct_whole(self, node: Any) -> int:
        value = self.construct_yaml_int(node)
        if abs(value) >= 10**MOST_DIGITS:
            raise ConstructorError(None, None, f"a whole number may have at most {MOST_DIGITS} digits", node.start_mark)
        return value


_PlainConstructor.add_constructor("tag:yaml.org,2002:str", _PlainConstructor.construct_text)
_PlainConstructor.add_constructor("tag:yaml.org,2002:timestamp", _PlainConstructor.construct_text)
_PlainConstructor.add_constructor("tag:yaml.org,2002:int", _PlainConstructor.construct_whole)


def _reader() -> YAML:
    yaml = YAML(typ="safe", pure=True)
    yaml.Composer, yaml.Constructor = _PlainComposer, _PlainConstructor
    return yaml


def to_yaml(mapping: Mapping[str, Any]) -> str:
    """YAML text; lists and mappings without inner mappings are on one line."""
    stream = StringIO()
    _writer().dump(dict(mapping), stream)
    return stream.getvalue()


class _Representer(SafeRepresenter):
    def ignore_aliases(self, data: Any) -> bool:
        """Write repeated values in full: anchors make a file hard to edit."""
        return True

    def represent_float(self, data: float) -> ScalarNode:
        """Write `1.0e-09`, a float in all versions of YAML; YAML 1.1 takes `1e-09` for a string."""
        text = repr(data)
        mantissa, exponent, power = text.partition("e")
        if exponent and "." not in mantissa:
            text = f"{mantissa}.0e{power}"
        special = {"inf": ".inf", "-inf": "-.inf", "nan": ".nan"}
        return self.represent_scalar("tag:yaml.org,2002:float", special.get(text, text))


_Representer.add_representer(float, _Representer.represent_float)


def _writer() -> YAML:
    yaml = YAML(typ="safe", pure=True)
    yaml.Representer = _Representer
    yaml.default_flow_style = None
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # ruamel annotates its default, None
    yaml.width = 4096
    return yaml
