"""What the code of a class is: a digest that changes when the numbers may, and not when a comment does."""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import inspect
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any
from uuid import uuid4

OURS = ("trainers", "search_spaces", "hpo")  # their changes have versions
LIBRARIES = ("site-packages", "dist-packages")
GENERATED = ("<string>", dataclasses.__file__)  # the files of what a dataclass writes for itself
PLAIN = (bool, int, float, str, bytes, tuple, frozenset, type(None))


def digest_of(cls: type) -> str:
    """A digest of the class's source, of that of its bases, and of the functions and constants of the user's own that they
    use, also those of other modules. Comments, docstrings and layout do not count, nor do libraries.

    Of code that cannot be read, such as what is typed into a plain interpreter, it is one of its own in every process: nobody
    could say whether such code has changed.
    """
    try:
        seen: set[object] = set()
        parts = sorted({part for one in cls.__mro__ if _is_own(one.__module__) for part in _class_parts(one, seen)})
    except (OSError, TypeError, SyntaxError):
        return f"unknown-{uuid4().hex[:16]}"
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:20]


def _class_parts(cls: type, seen: set[object]) -> Iterator[str]:
    """The source of a class, or where that is in no file (a notebook's cell) that of its methods, and its fields; then what its
    methods use.
    """
    members = vars(cls)
    methods = [one for value in members.values() if (one := _function(value)) and one.__code__.co_filename not in GENERATED]
    try:
        yield _plain(inspect.getsource(cls))
    except (OSError, TypeError):
        for method in methods:
            yield _plain(inspect.getsource(method))
        yield f"{cls.__qualname__} {[base.__qualname__ for base in cls.__bases__]} {members.get('__annotations__')!r}"
        yield from (f"{name} = {value!r}" for name, value in members.items() if name[:2] != "__" and isinstance(value, PLAIN))
    for method in methods:
        yield from _used_by(method, seen)


def _used_by(function: FunctionType, seen: set[object]) -> Iterator[str]:
    """What a function uses of the user's own: other functions, classes and constants, and what those use."""
    names = {*_names(function.__code__)}
    for name in sorted(names & function.__globals__.keys()):
        value = function.__globals__[name]
        if isinstance(value, ModuleType) and _is_own(value.__name__):
            for inner in sorted(names & vars(value).keys()):
                yield from _used(f"{name}.{inner}", vars(value)[inner], seen)
        else:
            yield from _used(name, value, seen)


def _used(name: str, value: Any, seen: set[object]) -> Iterator[str]:
    if isinstance(value, PLAIN):
        yield f"{name} = {value!r}"
    elif isinstance(value, FunctionType | type) and _is_own(value.__module__) and value not in seen:
        seen.add(value)
        if isinstance(value, FunctionType):
            yield _plain(inspect.getsource(value))
            yield from _used_by(value, seen)
        else:
            yield from _class_parts(value, seen)


def _names(code: CodeType) -> Iterator[str]:
    """All names in a function, those of the functions in it, too."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _function(value: Any) -> FunctionType | None:
    """The function behind a method, a property, ..."""
    found = getattr(value, "fget", None) or getattr(value, "func", None) or getattr(value, "__func__", None) or value
    return found if isinstance(found, FunctionType) else None


def _is_own(module: str) -> bool:
    """Whether a module is the user's, and none of this program, of a library or of Python."""
    top = module.partition(".")[0]
    if top in OURS or top in sys.stdlib_module_names:
        return top == "__main__"
    file = getattr(sys.modules.get(module), "__file__", None)
    return top == "__main__" or (file is not None and not {*Path(file).parts} & {*LIBRARIES})


class _WithoutDocstrings(ast.NodeTransformer):
    def visit(self, node: ast.AST) -> ast.AST:
        self.generic_visit(node)
        body = getattr(node, "body", None)
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and body and ast.get_docstring(node, clean=False) is not None:
            node.body = body[1:] or [ast.Pass()]
        return node


def _plain(source: str) -> str:
    """Source without comments, docstrings and layout."""
    return ast.unparse(_WithoutDocstrings().visit(ast.parse(textwrap.dedent(source))))
