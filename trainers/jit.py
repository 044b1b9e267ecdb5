"""Compilation with numba, cached on disk if possible."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from numba import njit
from numba.core import event

from trainers.stopping import ShouldStop, check

log = logging.getLogger(__name__)

SLOW = 'longer on a busy machine; --engine torch (engine="torch" in Python) needs no compilation'


def compiled(
    version: int = 0, width: int = 0, takes: Sequence[type] = (), **options: Any
) -> Callable[[Callable[..., Any]], Any]:
    """`numba.njit(cache=True, **options)`, or without the cache if its folder cannot be written.

    Numba checks only the function's own source file to decide whether the cache is valid. A `version` other than 0, which is a
    `numba_engine.fingerprint` and also in the function's closure, replaces this check: each version and width has its own cache
    files, so that stale code is never loaded, and processes that compile different widths write different files. If a future
    numba ignores the stamp that is set here, it checks the source file again.

    Compiled functions have no reference counts (`_nrt`), because passing an array would update a counter in memory that all
    threads share. So they cannot allocate memory; callers pass all arrays.

    Args:
        version: a fingerprint of the code; 0 for none.
        width: the row width that the function is compiled for.
        takes: the named tuples among the arguments. Machine code accesses their fields by position, so the fingerprint must
            include them.
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
    """Logs when a slow compilation starts; nothing is logged if the function is read from the cache."""

    def __init__(self) -> None:
        self.texts: dict[Any, str] = {}

    def on_start(self, event: Any) -> None:
        text = self.texts.pop(event.data["dispatcher"], None)
        if text:
            log.info("%s; %s", text, SLOW)

    def on_end(self, event: Any) -> None:
        """Log nothing."""


_ANNOUNCER = _Announcer()
event.register("numba:compile", _ANNOUNCER)  # type: ignore[no-untyped-call]


def announce(function: Any, text: str) -> None:
    """Log a text once, when the function is compiled."""
    _ANNOUNCER.texts[function] = text


class _StopChecker(event.Listener):
    """Ends a compilation between two passes if `should_stop` is true."""

    def __init__(self, should_stop: ShouldStop) -> None:
        self.should_stop = should_stop

    def on_start(self, event: Any) -> None:
        check(self.should_stop)

    def on_end(self, event: Any) -> None:
        """Check nothing: the next pass does."""


@contextmanager
def stoppable_compilation(should_stop: ShouldStop) -> Iterator[None]:
    """Within the block, compilations check between their passes whether to stop, and raise Stopped."""
    with event.install_listener("numba:run_pass", _StopChecker(should_stop)):
        yield
