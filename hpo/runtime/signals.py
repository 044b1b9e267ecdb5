"""SIGINT and SIGTERM: the first signal sets a flag that training checks; the second one ends the process at once.

Engines check the flag several times a second, also within an epoch. A single library call ends before the next check: an
evaluation, a proposal of the sampler, reading a dataset, a compiler pass. On one core with the public datasets each takes
seconds.

The steps after a Ctrl-C:

0. While the libraries of a command load, which takes seconds, `hpo` prints a message and exits with code 130.
1. The terminal sends SIGINT to the command and to its workers. Workers block it; the command's `Stopper` sets its flag.
2. `should_stop()` is now true. Training and waiting code raises `Stopped`; engines do so between two kernel calls or steps.
3. The scheduler requeues its trials (`hpo.search.claims`) while the exception passes.
4. A command with workers sends them SIGTERM and waits; each requeues its trials in the same way. On Dask it cancels the tasks.
5. `catching` turns `Stopped` into `StoppedBySignal`, which knows the signal.
6. `hpo.cli.entry` prints what is kept and exits with code 128 + the signal's number.
7. A second Ctrl-C ends the command at once. Its workers notice within seconds that their parent is gone, and requeue.
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

_catching: list[Stopper] = []  # the stoppers that currently handle this process's signals


def signal_name(number: int) -> str:
    """The name of a signal, such as `SIGKILL`. Most real-time signals have no name: `signal 40`."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


class StoppedBySignal(Stopped):
    """The user or the system asked the process to end.

    Attributes:
        exit_code: 128 + signal number: 130 for SIGINT, 143 for SIGTERM.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(f"stopped by {signal_name(signum)}")
        self.exit_code = 128 + signum


class Stopper:
    """Records whether a signal has come. The handler raises nothing, so writes are never interrupted."""

    def __init__(self, deserted: Callable[[], bool] = lambda: False, end_on_second: bool = True) -> None:
        """
        Args:
            deserted: returns whether the parent or client of this process is gone or wants it to end; true counts as SIGTERM.
            end_on_second: whether a second signal ends the process at once. False in workers, which receive both the group's
                and the parent's signal and must still requeue.
        """
        self.received: int | None = None
        self._deserted = deserted
        self._end_on_second = end_on_second

    @contextmanager
    def catching(self, signals: Sequence[signal.Signals] = SIGNALS) -> Iterator[Stopper]:
        """Handle signals within the block. Only the main thread may call this.

        Raises:
            StoppedBySignal: replaces a Stopped that leaves the block.
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
        """Whether a signal has come or the process is deserted."""
        return self.received is not None or self._deserted()

    def check(self) -> None:
        """Raise StoppedBySignal if `should_stop` is true."""
        if self.should_stop():
            raise StoppedBySignal(self.received or signal.SIGTERM)

    def wait(self, seconds: float) -> None:
        """Sleep; raise StoppedBySignal as soon as `should_stop` is true."""
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
    """Handle signals within the block, for a user's program or notebook, which continues afterwards.

    Python allows handlers in the main thread only; in other threads nothing is handled.

    Args:
        kept: the end of the message after a signal.

    Raises:
        KeyboardInterrupt: SIGINT has come. After SIGTERM the process's own handler is called, and the process ends.
    """
    stopper = Stopper(end_on_second=False)  # a second Ctrl-C must not end a notebook's kernel with all its data
    try:
        with stopper.catching(SIGNALS if threading.current_thread() is threading.main_thread() else ()):
            yield stopper
    except StoppedBySignal as stop:
        if stopper.received != signal.SIGINT:
            signal.raise_signal(stopper.received or signal.SIGTERM)
            raise SystemExit(stop.exit_code) from None
        raise KeyboardInterrupt(f"{stop}; {kept}") from None


def hear_ctrl_c() -> None:
    """Restore Python's handler for Ctrl-C in place of the one that `hpo` sets while libraries load."""
    if getattr(signal.getsignal(signal.SIGINT), "__module__", "") == "hpo":
        signal.signal(signal.SIGINT, signal.default_int_handler)


def asked_to_stop() -> bool:
    """Whether any active Stopper has received a signal, so that retries must end."""
    return any(stopper.received is not None for stopper in _catching)
