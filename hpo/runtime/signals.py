"""SIGINT and SIGTERM: the first sets a flag, which training asks for; the second ends the process as if nobody handled it.

Engines ask several times a second, in the middle of an epoch, too. What is one call of a library ends before the flag is
looked at: an evaluation, a proposal of the sampler, reading a dataset, a pass of a compiler, a step of EASE's inversion. On
one core, with the public datasets, each takes seconds: the longest, of EASE, about fifteen.

How a Ctrl-C travels:

0. While the libraries of a command are loaded, which takes seconds, `hpo` itself says so and exits with 130.
1. The terminal sends SIGINT to the command and to its workers. Workers block it; the command's `Stopper` notes it.
2. `should_stop()` is true from now on. Code that trains or waits raises `Stopped`, engines between two kernel calls or steps.
3. On its way up, a scheduler requeues its trials (`hpo.search.claims`).
4. A command with workers sends them SIGTERM and waits; each requeues its trials in the same way. On Dask it cancels the tasks.
5. `catching` turns `Stopped` into `StoppedBySignal`, which knows the signal.
6. `hpo.cli.entry` says what is kept and exits with 128 + the signal's number.
7. A second Ctrl-C ends the command at once. Its workers notice within seconds that they are deserted, and requeue.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from trainers.stopping import Stopped

SIGNALS = (signal.SIGINT, signal.SIGTERM)
LOOK_EVERY = 0.05  # seconds

_catching: list[Stopper] = []  # those that handle this process's signals now


class StoppedBySignal(Stopped):
    """The user or the system asked the process to end.

    Attributes:
        exit_code: 128 + signal number: 130 for SIGINT, 143 for SIGTERM.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signum).name}")
        self.exit_code = 128 + signum


class Stopper:
    """Knows whether a signal has come. Nothing is raised in a handler, so never in the middle of a write."""

    def __init__(self, deserted: Callable[[], bool] = lambda: False, end_on_second: bool = True) -> None:
        """
        Args:
            deserted: whether the one that this process works for is gone or wants it to end; true counts as SIGTERM.
            end_on_second: whether a second signal ends the process at once; false in workers, which receive both the group's
                and the parent's signal and must still requeue.
        """
        self.received: int | None = None
        self._deserted = deserted
        self._end_on_second = end_on_second

    @contextmanager
    def catching(self, signals: Sequence[signal.Signals] = SIGNALS) -> Iterator[Stopper]:
        """Handle signals within the block; only the main thread may.

        Raises:
            StoppedBySignal: in place of a Stopped that leaves the block.
        """
        handled = {
            number: handler for number in signals if (handler := signal.getsignal(number)) is not None
        }  # None: not Python's
        before = {number: signal.signal(number, self._handle) for number in handled}
        _catching.append(self)
        try:
            yield self
        except Stopped:
            raise StoppedBySignal(self.received or signal.SIGTERM) from None
        finally:
            _catching.remove(self)
            for number, handler in before.items():
                signal.signal(number, handler)

    def should_stop(self) -> bool:
        """Whether it is time to requeue what runs and to end."""
        return self.received is not None or self._deserted()

    def check(self) -> None:
        """Raise Stopped if it is time to stop."""
        if self.should_stop():
            raise StoppedBySignal(self.received or signal.SIGTERM)

    def wait(self, seconds: float) -> None:
        """Sleep, or raise Stopped as soon as it is time to stop."""
        end = time.monotonic() + seconds
        self.check()
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(LOOK_EVERY, left))
            self.check()

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        self.received = self.received or signum
        if self._end_on_second:
            for number in SIGNALS:
                signal.signal(number, signal.SIG_DFL)


@contextmanager
def catching_for_a_program(kept: str) -> Iterator[Stopper]:
    """Handle signals within the block, for a program of the user's or a notebook, whose process goes on afterwards.

    In another thread than the main one Python allows no handlers: there nothing is caught.

    Args:
        kept: what is said when a signal ends it.

    Raises:
        KeyboardInterrupt: SIGINT has come. After SIGTERM the process's own handler is called, and the process ends.
    """
    stopper = Stopper(end_on_second=False)  # a second, impatient one would end a notebook's kernel and all that it holds
    try:
        with stopper.catching(SIGNALS if threading.current_thread() is threading.main_thread() else ()):
            yield stopper
    except StoppedBySignal as stop:
        if stopper.received != signal.SIGINT:
            signal.raise_signal(stopper.received or signal.SIGTERM)
            raise SystemExit(stop.exit_code) from None
        raise KeyboardInterrupt(f"{stop}; {kept}") from None


def hear_ctrl_c() -> None:
    """Python's own handler, in place of the one that `hpo` sets while the libraries of a command are loaded."""
    if getattr(signal.getsignal(signal.SIGINT), "__module__", "") == "hpo":
        signal.signal(signal.SIGINT, signal.default_int_handler)


def asked_to_stop() -> bool:
    """Whether a signal that a Stopper handles has come: nothing shall wait long any more."""
    return any(stopper.received is not None for stopper in _catching)
