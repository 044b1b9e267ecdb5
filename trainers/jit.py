"""Compiling with numba, kept on disk where that is possible."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from numba import njit
from numba.core import event

from trainers.stopping import ShouldStop, check

log = logging.getLogger(__name__)


def compiled(
    version: int = 0, width: int = 0, takes: Sequence[type] = (), **options: Any
) -> Callable[[Callable[..., Any]], Any]:
    """`numba.njit(cache=True, **options)`, or without the cache where no folder for it can be written.

    Numba looks at the function's own file alone to tell whether what is on disk is still right. With a version other than 0, a
    `numba_engine.fingerprint` that the function's closure holds too, that file does not count: each version and width has files
    of its own on disk, so that what other code has compiled cannot be read, and two processes that compile different widths
    write different files. Should numba no longer look at the stamp that is set here, it looks at the function's file again.

    Args:
        takes: the named tuples among the arguments. Machine code knows their fields by position, so they must be named where
            the fingerprint finds them.

    Without reference counts (`_nrt`): passing an array to a function would add to a number in memory that all threads share.
    So compiled functions allocate nothing; what they need is handed to them.
    """
    options = {"_nrt": False, **options}

    def decorate(function: Callable[..., Any]) -> Any:
        if version:
            function.__qualname__ += f"_{width}_{version:x}"  # numba names the files after it
        try:
            dispatcher = njit(cache=True, **options)(function)
        except RuntimeError:  # numba: no locator available
            return njit(**options)(function)
        if version:
            dispatcher._cache._cache_file._source_stamp = "by fingerprint"
        return dispatcher

    return decorate


class _Announcer(event.Listener):
    """Says so when a function is compiled that takes long, and not when it is read from disk."""

    def __init__(self) -> None:
        self.texts: dict[Any, str] = {}

    def on_start(self, event: Any) -> None:
        text = self.texts.pop(event.data["dispatcher"], None)
        if text:
            log.info(text)

    def on_end(self, event: Any) -> None:
        """Nothing: what comes next tells that it is done."""


_ANNOUNCER = _Announcer()
event.register("numba:compile", _ANNOUNCER)  # type: ignore[no-untyped-call]


def announce(function: Any, text: str) -> None:
    """Log a text when a compiled function has to be compiled, once."""
    _ANNOUNCER.texts[function] = text


class _Asker(event.Listener):
    """Ends a compilation between two of its passes."""

    def __init__(self, should_stop: ShouldStop) -> None:
        self.should_stop = should_stop

    def on_start(self, event: Any) -> None:
        check(self.should_stop)

    def on_end(self, event: Any) -> None:
        """Nothing: the next pass asks."""


@contextmanager
def stoppable_compilation(should_stop: ShouldStop) -> Iterator[None]:
    """Within the block a function that numba has to compile asks between its passes whether to stop, and raises Stopped."""
    with event.install_listener("numba:run_pass", _Asker(should_stop)):
        yield
