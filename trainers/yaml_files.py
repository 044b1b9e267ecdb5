"""YAML in and out: YAML 1.2, plain data only, a repeated key is an error, floats that YAML 1.1 readers take for floats.

Files are foreign: they have a largest size and depth, and neither anchors, by which a few lines stand for gigabytes, nor tags.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
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

LARGEST, LARGEST_SEALED = 1_000_000, 16_000_000  # characters; a million take up to twenty seconds
DEEPEST = 50  # levels of lists and mappings within one another
MOST_DIGITS = 40  # of a whole number

SEAL = "# SHA-256 of the lines above: "


def sealed(text: str) -> str:
    """Text with a last line by which `read_yaml` knows whether it is still what was written."""
    return f"{text}{SEAL}{hashlib.sha256(text.encode()).hexdigest()}\n"


def read_yaml(path: str | Path, is_sealed: bool = False) -> dict[str, Any]:
    """The mapping that a YAML file holds; `is_sealed`: one that was written `sealed`.

    Raises:
        InputError: the file is missing, unreadable, too large, no regular file, not YAML (with its line), repeats a key, holds
            no mapping, or is not what was sealed.
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
    except ValueError as error:  # a path that no file can have
        raise InputError(f"{shown(str(path))}: cannot be read: {error}") from None
    if len(text) > most:
        raise InputError(f"{where}: may have at most {most:,} characters, and has more; is it another file?")
    if is_sealed and sealed(text.rpartition(SEAL)[0]) != text:
        raise InputError(f"{where}: does not match its checksum: it is damaged, was edited, or comes from an earlier version")
    return parse_yaml(text, where)


def parse_yaml(text: str, where: str) -> dict[str, Any]:
    """The mapping that a YAML text holds.

    Raises:
        InputError: it is not YAML (with its line), repeats a key, holds no mapping, or has what plain data have not: an anchor,
            an alias, a tag, too many levels, a number too large.
    """
    try:
        content = _reader().load(text)
    except MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InputError(f"{where}{line}: {first_line(error, error.problem or error.context)}") from None
    except (YAMLError, ValueError, OverflowError) as error:  # of a sign that does not exist, "\UFFFFFFFF"
        raise InputError(f"{where}: is not valid YAML: {first_line(error)}") from None
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise InputError(f"{where}: must hold a mapping with text keys, got {type(content).__name__} {shown(content)}")
    return content


class _PlainComposer(Composer):
    """Refuses what plain data do not need, before anything is made of it."""

    _level = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.parser.peek_event()
        refusal = ""
        if isinstance(event, AliasEvent) or event.anchor is not None:
            refusal = "anchors and aliases are not allowed; write the value out, or quote text that begins with & or *"
        elif event.tag is not None:
            refusal = "tags are not allowed; write the value alone, or quote text that begins with !"
        elif self._level >= DEEPEST:
            refusal = f"lists and mappings may be nested {DEEPEST} deep, these are deeper"
        if refusal:
            raise ComposerError(None, None, refusal, event.start_mark)
        self._level += 1
        node = super().compose_node(parent, index)
        self._level -= 1
        return node


class _PlainConstructor(SafeConstructor):
    """Text, numbers, true, false and null; a date is text, as YAML 1.2 has it."""

    def construct_non_recursive_object(self, node: Any, tag: str | None = None) -> Any:
        try:
            return super().construct_non_recursive_object(node, tag)
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:  # of the constructors of numbers
            raise ConstructorError(None, None, f"cannot be read: {first_line(error)}", node.start_mark) from None

    def check_mapping_key(self, node: Any, key_node: Any, mapping: Any, key: Any, value: Any) -> bool:
        if key in mapping:
            raise ConstructorError(None, None, f"found duplicate key {shown(key)}", key_node.start_mark)
        return True

    def construct_text(self, node: Any) -> str:
        value = str(self.construct_scalar(node))
        value.encode()  # a ValueError: half a sign can be shown and written nowhere
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
    """YAML text; lists and mappings without inner mappings stand on one line."""
    stream = StringIO()
    _writer().dump(dict(mapping), stream)
    return stream.getvalue()


class _Representer(SafeRepresenter):
    def ignore_aliases(self, data: Any) -> bool:
        """Write a value out wherever it stands: anchors make a file hard to edit."""
        return True

    def represent_float(self, data: float) -> ScalarNode:
        """`1e-09` is a string to YAML 1.1, `1.0e-09` a float to all."""
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
