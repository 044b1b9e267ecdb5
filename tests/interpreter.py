"""Triton's interpreter, which runs kernels where there is no CUDA device, faster than it is by itself.

At every call of a device function it goes through all names of `triton.language`, to replace the built-in ones. They have been
replaced when the kernel was called. To look for them again takes a third of the time.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any
from unittest import mock


@cache
def _builtin_names(module: Any) -> list[str]:
    """The names of the built-in functions of a module or class, before any is replaced."""
    from triton.language.core import is_builtin

    return [name for name, member in inspect.getmembers(module) if is_builtin(member)]


def _replace_builtins(module: Any, *arguments: Any) -> None:
    """As `triton.runtime.interpreter._patch_builtin`. Either none or all are replaced."""
    from triton.language.core import is_builtin
    from triton.runtime import interpreter

    names = _builtin_names(module)
    if names and is_builtin(getattr(module, names[0])):
        for name in names:
            interpreter._patch_attr(module, name, getattr(module, name), *arguments)


@contextmanager
def quick_interpreter() -> Iterator[None]:
    """Kernels have two programs, because the interpreter runs programs one after the other."""
    from triton.runtime import interpreter

    from trainers.engines.triton_engine import step

    with mock.patch.object(step, "PROGRAMS", 2), mock.patch.object(interpreter, "_patch_builtin", _replace_builtins):
        yield
