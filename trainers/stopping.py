"""How whoever trains is asked to end: a function that engines ask between calls of kernels and libraries."""

from __future__ import annotations

from collections.abc import Callable

ShouldStop = Callable[[], bool]


class Stopped(Exception):
    """`should_stop` said yes. The running epoch is abandoned, and the lanes that it was training are free."""


def never() -> bool:
    """The default `should_stop`."""
    return False


def check(should_stop: ShouldStop) -> None:
    """Raise Stopped if it is time to stop."""
    if should_stop():
        raise Stopped("asked to stop")
