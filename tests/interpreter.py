"""Triton's interpreter, which runs kernels where there is no CUDA device, faster than it is by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

_called: set[Callable[..., Any]] = set()  # device functions


def _call(function: Any, *arguments: Any, **named: Any) -> Any:
    """Call a device function (`InterpretedFunction.__call__`).

    The interpreter replaces the built-in functions of `triton.language` at every such call. Those that kernels use are replaced
    until the kernel ends, and those of Triton's own device functions stay replaced. So the first call of each is enough. The
    others take a third of the time.
    """
    from triton.runtime import interpreter

    if function.fn not in _called:
        interpreter._patch_lang(function.fn)
        _called.add(function.fn)
    return function.rewrite()(*arguments, **named)


@contextmanager
def quick_interpreter() -> Iterator[None]:
    """Kernels have two programs, because the interpreter runs programs one after the other."""
    from triton.runtime.interpreter import InterpretedFunction

    from trainers.engines.triton_engine import step

    with mock.patch.object(step, "PROGRAMS", 2), mock.patch.object(InterpretedFunction, "__call__", _call):
        yield
