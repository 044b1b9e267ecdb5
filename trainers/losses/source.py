"""A digest of the code of a class, which changes if the code does, but not with comments, docstrings or layout."""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import inspect
import sys
import sysconfig
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from operator import attrgetter, itemgetter, methodcaller
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, MethodDescriptorType, ModuleType
from typing import Any
from uuid import uuid4
from weakref import WeakKeyDictionary

import numpy as np

OURS = ("trainers", "search_spaces", "hpo")  # packages whose changes have versions
LIBRARIES = ("site-packages", "dist-packages")
PYTHON = sysconfig.get_path("stdlib")
GENERATED = ("<string>", dataclasses.__file__)  # files of methods that dataclasses generate
PLAIN = (bool, int, float, complex, str, bytes, type(None), Enum)
SETS = (set, frozenset)
CONTAINERS = (list, tuple, dict, *SETS)
COMPILED = (BuiltinFunctionType, MethodDescriptorType, np.ufunc, type(np.where))  # functions of libraries, not in Python
GETTERS = (itemgetter, attrgetter, methodcaller)
# Where a wrapper keeps what it wraps: a property, a cached property, a method, numba, functools, torch.jit.
INSIDE = ("fget", "func", "__func__", "py_func", "__wrapped__", "_torchdynamo_inline")
DEEPEST = 8  # dots in a name, since modules may contain each other; or wrappers around a function
# The source of each class and function at its first use: later edits of a file do not change imported code.
READ: WeakKeyDictionary[Any, str] = WeakKeyDictionary()


@dataclass(frozen=True)
class _Walk:
    """A walk over a user's code.

    Attributes:
        package: the top-level package or module of the class. It is the user's, also if it is installed.
        seen: what was visited.
    """

    package: str
    seen: set[object] = field(default_factory=set)

    def is_own(self, module: str) -> bool:
        """Whether a module is the user's, not part of this program, of a library or of Python."""
        top = module.partition(".")[0]
        if top in OURS or top == "builtins":
            return False
        if top in ("__main__", self.package):
            return True
        found = sys.modules.get(module)
        file = getattr(found, "__file__", None) or next(iter(getattr(found, "__path__", [])), None)  # a folder may be a package
        return file is not None and not {*Path(file).parts} & {*LIBRARIES} and not Path(file).is_relative_to(PYTHON)


def digest_of(cls: type) -> str:
    """A digest of the source of a class and its bases, and of all functions and constants of the user that they use, also in
    other modules. Comments, docstrings, layout and libraries are not part of it.

    If code cannot be read, such as input of a plain interpreter, the digest is random: there is no way to know whether such
    code has changed.
    """
    try:
        walk = _Walk(cls.__module__.partition(".")[0])
        parts = sorted({part for one in cls.__mro__ if walk.is_own(one.__module__) for part in _class_parts(one, walk)})
    except (OSError, TypeError, SyntaxError):
        return f"unknown-{uuid4().hex[:16]}"
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:20]


def _class_parts(cls: type, walk: _Walk) -> Iterator[str]:
    """The source of a class; if it is in no file (a notebook's cell), the source of its methods and its fields. Then the code
    that its body and its methods use.
    """
    members = vars(cls)
    methods = [one for value in members.values() if (one := _function(value)) and one.__code__.co_filename not in GENERATED]
    try:
        tree = _tree(cls)
        yield ast.unparse(tree)
        known = vars(sys.modules[cls.__module__]) if cls.__module__ in sys.modules else {}
        yield from _known({*_written(tree)}, known, walk)  # defaults, decorators and bases are outside of methods
    except (OSError, TypeError):
        for method in methods:
            yield ast.unparse(_tree(method))
        yield f"{cls.__qualname__} {[base.__qualname__ for base in cls.__bases__]} {members.get('__annotations__')!r}"
        for name, value in members.items():
            if name[:2] != "__" and isinstance(value, (*PLAIN, *CONTAINERS)):
                yield from _used(name, value, walk)
    for method in methods:
        yield from _used_by(method, walk)


def _used_by(function: FunctionType, walk: _Walk) -> Iterator[str]:
    """The user's functions, classes and constants that a function uses, directly or indirectly, also from functions around
    it."""
    inner = inspect.unwrap(function)
    for one in (function, inner) if inner is not function else (function,):
        yield from _known({*_names(one.__code__)}, one.__globals__, walk)
        for name, cell in zip(one.__code__.co_freevars, one.__closure__ or (), strict=True):
            with suppress(ValueError):  # an empty cell
                yield from _used(name, cell.cell_contents, walk)


def _known(names: set[str], known: Mapping[str, Any], walk: _Walk, prefix: str = "") -> Iterator[str]:
    """The objects with some names in a module, and in the user's modules that it imports."""
    for name in sorted(names & known.keys()):
        value = known[name]
        if not isinstance(value, ModuleType):
            yield from _used(f"{prefix}{name}", value, walk)
        elif walk.is_own(value.__name__) and f"{prefix}{name}.".count(".") <= DEEPEST:
            yield from _known(names, vars(value), walk, f"{prefix}{name}.")


def _used(name: str, value: Any, walk: _Walk) -> Iterator[str]:
    if isinstance(value, PLAIN):
        yield f"{name} = {value!r}"
    elif isinstance(value, CONTAINERS):
        yield from _contained(name, value, walk)
    elif hasattr(value, "dtype") and hasattr(value, "tolist"):  # an array, a tensor
        yield f"{name} = {value.dtype} {value.tolist()!r}"
    elif isinstance(value, FunctionType | type):
        if walk.is_own(value.__module__) and value not in walk.seen:
            walk.seen.add(value)
            yield from _class_parts(value, walk) if isinstance(value, type) else _function_parts(value, walk)
    elif isinstance(value, partial):
        yield from _contained(name, [value.func, value.args, value.keywords], walk)
    elif walk.is_own(type(value).__module__):  # an object of a user's class
        yield from _contained(name, [type(value), getattr(value, "__dict__", {})], walk)
    elif callable(value) and type(value).__module__ not in ("typing", "types"):  # types such as dict[str, int] can be called
        yield from _called(name, value, walk)


def _called(name: str, value: Any, walk: _Walk) -> Iterator[str]:
    """The user's code in a callable that is neither a function nor of a user's class, such as a cached function.

    Raises:
        TypeError: its code may be the user's, and cannot be read.
    """
    if isinstance(value, GETTERS):
        yield f"{name} = {value!r}"
    elif (inner := _unwrapped(value)) is not value:
        yield from _contained(name, [inner, getattr(value, "__self__", None)], walk)
    elif isinstance(inspect.getattr_static(type(value), "__call__"), FunctionType):  # written in Python, such as a torch module
        yield from _contained(name, vars(value), walk)
    elif not isinstance(value, COMPILED) or walk.is_own(getattr(value, "__module__", None) or "") or _takes_objects(value):
        raise TypeError(f"the code of {name} must be readable, and {type(value).__name__} hides it; use a plain function")


def _takes_objects(value: Any) -> bool:
    """Whether it is a function of arrays that numpy made of a Python function."""
    return isinstance(value, np.ufunc) and {*"".join(value.types)} <= {*"O->"}


def _contained(name: str, value: Any, walk: _Walk) -> Iterator[str]:
    """The elements of a container. Sets are sorted, since their order differs between processes."""
    if id(value) in walk.seen:
        return
    walk.seen.add(id(value))
    elements = [*value.items()] if isinstance(value, dict) else sorted(value, key=repr) if isinstance(value, SETS) else value
    yield f"{name}: {type(value).__name__} of {len(elements)}"
    for index, one in enumerate(elements):
        yield from _used(f"{name}[{index}]", one, walk)


def _function_parts(function: FunctionType, walk: _Walk) -> Iterator[str]:
    if function.__name__ == "<lambda>":  # its lines may be part of a statement
        yield _source(function).strip()
    else:
        tree = _tree(function)
        yield ast.unparse(tree)
        yield from _known({*_written(tree)}, function.__globals__, walk)  # its defaults and decorators
    yield from _used_by(function, walk)


def _names(code: CodeType) -> Iterator[str]:
    """All names in a function and in its inner functions."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _function(value: Any) -> FunctionType | None:
    """The function behind a method, a property, ..."""
    found = _unwrapped(value)
    return found if isinstance(found, FunctionType) else None


def _unwrapped(value: Any) -> Any:
    """The function or class inside of wrappers that are no functions; the value itself without one."""
    found = value
    for _ in range(DEEPEST):
        if isinstance(found, FunctionType | type):
            return found
        found = next((one for name in INSIDE if (one := getattr(found, name, None)) is not None), None)
    return value


class _WithoutDocstrings(ast.NodeTransformer):
    def visit(self, node: ast.AST) -> ast.AST:
        self.generic_visit(node)
        body = getattr(node, "body", None)
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and body and ast.get_docstring(node, clean=False) is not None:
            node.body = body[1:] or [ast.Pass()]
        return node


def _source(one: Any) -> str:
    if one not in READ:
        READ[one] = inspect.getsource(one)
    return READ[one]


def _tree(one: Any) -> ast.AST:
    """The source of a class or function without comments, docstrings and layout."""
    return _WithoutDocstrings().visit(ast.parse(textwrap.dedent(_source(one))))


def _written(tree: ast.AST) -> Iterator[str]:
    """All names in a source."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
