"""Compiling with numba, kept on disk where that is possible."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """`numba.njit(cache=True, **options)`, or without the cache where no folder for it can be written.

    Without reference counts (`_nrt`): passing an array to a function would add to a number in memory that all threads share.
    So compiled functions allocate nothing; what they need is handed to them.
    """
    options = {"_nrt": False, **options}

    def decorate(function: Callable[..., Any]) -> Any:
        try:
            return njit(cache=True, **options)(function)
        except RuntimeError:  # numba: no locator available
            return njit(**options)(function)

    return decorate
