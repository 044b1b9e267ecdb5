"""Stopping a training: a function that engines check between calls of kernels and libraries."""

from __future__ import annotations

from collections.abc import Callable

ShouldStop = Callable[[], bool]


class Stopped(Exception):
    """`should_stop` returned true. The running epoch is abandoned, and its lanes are free."""


def never() -> bool:
    """The default `should_stop`."""
    return False


def check(should_stop: ShouldStop) -> None:
    """Raise Stopped if `should_stop()` is true."""
    if should_stop():
        raise Stopped("asked to stop")
