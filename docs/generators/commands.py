"""docs/commands.md: the flags of every command, from its own parser."""

from __future__ import annotations

import argparse
import pkgutil
import re
from collections.abc import Iterator
from importlib import import_module
from typing import NoReturn
from unittest.mock import patch

import hpo

HEAD = """\
<!-- Written by `python -m docs.generators` from the commands' own parsers. Change the help texts in hpo/, not this page. -->
# Commands

Each command is a Python module: `python -m hpo.run --help` prints the same text as this page. Defaults are in brackets. A flag
that you do not give never changes a setting of the study file.

A command ends with exit code 0 when its work is done, 1 when the work failed, 2 when the input is wrong, and 130 or 143 when
Ctrl-C or SIGTERM stopped it.
"""


class _Caught(Exception):
    """Carries the parser of a command out of its `main`."""


def parser_of(module: str) -> argparse.ArgumentParser:
    """The parser that `main` of a module of hpo makes."""

    def catch(parser: argparse.ArgumentParser, *_: object, **__: object) -> NoReturn:
        raise _Caught(parser)

    try:
        with patch.object(argparse.ArgumentParser, "parse_args", catch):
            import_module(f"hpo.{module}").main([])
    except _Caught as caught:
        parser: argparse.ArgumentParser = caught.args[0]
        return parser
    raise ValueError(f"hpo.{module} parses no arguments")


def command_names() -> list[str]:
    """The modules directly in hpo that have a `main`."""
    modules = [found.name for found in pkgutil.iter_modules(hpo.__path__) if not found.ispkg]
    return [name for name in modules if hasattr(import_module(f"hpo.{name}"), "main")]


def page() -> str:
    """The text of docs/commands.md."""
    return "\n".join([HEAD, *(line for name in command_names() for line in _lines(f"hpo.{name}", parser_of(name), "##"))])


def _lines(title: str, parser: argparse.ArgumentParser, level: str) -> Iterator[str]:
    """A section: what the command does, its arguments, and a section for each of its sub-commands."""
    yield f"{level} {title}\n"
    if parser.description:
        yield f"{_sentence(parser.description)}\n"
    actions = [action for action in parser._actions if not isinstance(action, argparse._HelpAction)]
    inner = [action for action in actions if isinstance(action, argparse._SubParsersAction)]
    plain = [action for action in actions if action not in inner]
    formatter = parser._get_formatter()
    yield from (_bullet(action, formatter._expand_help(action) if action.help else "") for action in plain)
    if plain:
        yield ""
    if example := (parser.epilog or "").rpartition("example: ")[2].strip():
        yield f"Example: `{example}`\n"
    for action in inner:
        helps = {choice.dest: choice.help or "" for choice in action._choices_actions}
        for name, sub in action.choices.items():
            sub.description = sub.description or helps.get(name, "")
            yield from _lines(f"{title} {name}", sub, f"{level}#")


def _bullet(action: argparse.Action, text: str) -> str:
    metavar = action.metavar if isinstance(action.metavar, str) else None
    value = metavar or ("{" + ",".join(map(str, action.choices)) + "}" if action.choices else action.dest.upper())
    names = ", ".join(action.option_strings)
    shown = value if not names else names if action.nargs == 0 else f"{names} {value}"
    required = " (required)" if names and action.required else ""
    said = f": {_plain(text)}" if text else ""
    return f"- `{shown}`{required}{said}"


def _sentence(text: str) -> str:
    text = _plain(re.sub(r"\s+", " ", text).strip())
    text = text[0].upper() + text[1:]
    return text if text.endswith(".") else f"{text}."


def _plain(text: str) -> str:
    """Help text as Markdown: what it means literally."""
    return text.replace("<", "&lt;").replace("*", r"\*").replace("_", r"\_")
