"""YAML in and out: YAML 1.2, plain data only, a repeated key is an error, floats that YAML 1.1 readers take for floats."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.representer import SafeRepresenter

from trainers.errors import InputError, first_line
from trainers.files import check_regular

SEAL = "# SHA-256 of the lines above: "


def sealed(text: str) -> str:
    """Text with a last line by which `read_yaml` knows whether it is still what was written."""
    return f"{text}{SEAL}{hashlib.sha256(text.encode()).hexdigest()}\n"


def read_yaml(path: str | Path, is_sealed: bool = False) -> dict[str, Any]:
    """The mapping that a YAML file holds; `is_sealed`: one that was written `sealed`.

    Raises:
        InputError: the file is missing, unreadable, no regular file, not YAML (with its line), repeats a key, holds no mapping,
            or is not what was sealed.
    """
    try:
        check_regular(Path(path))
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 text: {error}") from None
    if is_sealed and sealed(text.rpartition(SEAL)[0]) != text:
        raise InputError(f"{path}: does not match its checksum: it is damaged, was edited, or comes from an earlier version")
    return parse_yaml(text, str(path))


def parse_yaml(text: str, where: str) -> dict[str, Any]:
    """The mapping that a YAML text holds.

    Raises:
        InputError: it is not YAML (with its line), repeats a key, or holds no mapping.
    """
    try:
        content = YAML(typ="safe", pure=True).load(text)
    except MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InputError(f"{where}{line}: {first_line(error, error.problem or error.context)}") from None
    except (YAMLError, ValueError) as error:  # ValueError: ruamel's scalar constructors, e.g. an impossible date
        raise InputError(f"{where}: is not valid YAML: {first_line(error)}") from None
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise InputError(f"{where}: must hold a mapping with text keys, got {type(content).__name__} {str(content)[:60]!r}")
    return content


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
