"""SIGINT and SIGTERM: caught between storage writes, delivered inside training; the second one ends the process at once."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

AGAIN_AFTER = 0.1  # seconds

_asked = threading.Event()


def asked_to_stop() -> bool:
    """Whether a signal that a Stopper handles has come: nothing shall wait long any more."""
    return _asked.is_set()


class Stopped(Exception):
    """The user or the system asked the process to end.

    Attributes:
        exit_code: 128 + signal number: 130 for SIGINT, 143 for SIGTERM.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signum).name}")
        self.exit_code = 128 + signum


def _let_go(error: BaseException) -> None:
    """End what the error's frames hold now, and not after the hook for failing finalizers has gone."""
    chain: BaseException | None = error
    while chain is not None:
        traceback.clear_frames(chain.__traceback__)
        chain = chain.__context__
    gc.collect()


class Stopper:
    """Turns signals into `Stopped`, raised only inside `interruptible()` blocks: never in the middle of a write."""

    def __init__(self, deserted: Callable[[], bool] = lambda: False, exit_on_second: bool = True) -> None:
        """
        Args:
            deserted: asked at the start of each `interruptible()` block whether the one that this process works for is
                gone or wants it to end; true counts as SIGTERM.
            exit_on_second: whether a second signal ends the process at once; false in workers, which receive both the group's
                and the parent's signal and must still requeue.
        """
        self._deserted = deserted
        self._exit_on_second = exit_on_second
        self._pending: int | None = None
        self._armed = False
        self._again: threading.Timer | None = None
        self._sent_again = False

    @contextmanager
    def catching(self, signals: Sequence[signal.Signals] = (signal.SIGINT, signal.SIGTERM)) -> Iterator[Stopper]:
        """Handle signals within the block; only the main thread may."""
        before = {number: signal.signal(number, self._handle) for number in signals}
        others = sys.unraisablehook

        def unraisable(lost: sys.UnraisableHookArgs) -> None:
            if isinstance(lost.exc_value, Stopped):
                self._raise_again()
            elif self._pending is None:  # else it may be the finalizer of what was interrupted half-built
                others(lost)

        sys.unraisablehook = unraisable
        try:
            yield self
        except Stopped as stop:
            _let_go(stop)
            raise
        finally:
            sys.unraisablehook = others
            if self._again is not None:
                self._again.cancel()
                self._again.join()  # once it is past its wait it sends, and these handlers must be there for that
            for number, handler in before.items():
                signal.signal(number, handler)
            _asked.clear()

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Within the block a signal raises Stopped, one that came earlier at once."""
        self._armed = True
        try:
            if self._pending is None and self._deserted():
                self._pending = int(signal.SIGTERM)
            if self._pending is not None:
                raise Stopped(self._pending)
            yield
        finally:
            self._armed = False

    def _raise_again(self) -> None:
        """Python drops what is raised in a finalizer or in a callback from C, as numba's compiler makes: raise it later."""
        if self._pending is not None:
            self._armed = True
            self._again = threading.Timer(AGAIN_AFTER, self._send_again, (self._pending,))
            self._again.start()

    def _send_again(self, signum: int) -> None:
        self._sent_again = True
        signal.pthread_kill(threading.main_thread().ident or 0, signum)

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if self._sent_again:
            self._sent_again = False
        elif self._pending is not None:
            if self._exit_on_second:
                os._exit(128 + signum)
            return
        self._pending = signum
        _asked.set()
        if self._armed:
            self._armed = False
            raise Stopped(signum)
