"""A signal sets a flag, and is raised only by a check. A second signal ends the process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

from hpo.runtime.signals import StoppedBySignal, Stopper, asked_to_stop, catching_for_a_program, signal_name
from trainers.stopping import Stopped

from ..processes import REPOSITORY

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def get(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(0)  # the handler has run after this line


@pytest.mark.parametrize(("number", "name"), [(9, "SIGKILL"), (15, "SIGTERM"), (40, "signal 40")])
def test_a_signal_without_a_name_is_named_by_its_number(number: int, name: str):
    """A worker that signal 40, a real-time signal, has ended is replaced like others: its message needs a name."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        child.send_signal(number)
        assert signal_name(-child.wait()) == name


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_is_raised_at_the_next_check(number: signal.Signals, code: int):
    done = []

    def block() -> None:
        with Stopper().catching() as stopper:
            assert not stopper.should_stop()
            get(number)
            done.append("the work that had begun")
            assert stopper.should_stop()
            assert asked_to_stop()
            stopper.check()

    with pytest.raises(StoppedBySignal, match=number.name) as stopped:
        block()
    assert done == ["the work that had begun"]
    assert stopped.value.exit_code == code
    assert not asked_to_stop(), "the flag is reset"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stop_of_an_engine_becomes_the_error_of_the_signal(number: signal.Signals, code: int):
    def block() -> None:
        with Stopper().catching():
            get(number)
            raise Stopped

    with pytest.raises(StoppedBySignal, match=number.name) as stopped:
        block()
    assert stopped.value.exit_code == code
    assert stopped.value.__suppress_context__


def test_a_wait_ends_when_a_signal_comes():
    started = time.monotonic()
    with Stopper().catching() as stopper:
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM)).start()
        with pytest.raises(StoppedBySignal):
            stopper.wait(60.0)
    assert time.monotonic() - started < 5.0


@pytest.mark.parametrize("seconds", [0.0, 0.01, 60.3])
def test_a_wait_without_a_signal_lasts_its_full_time(monkeypatch: pytest.MonkeyPatch, seconds: float):
    """Only the clock of the test runs on."""
    now = [1000.0]

    def sleep(length: float) -> None:
        now[0] += length

    with monkeypatch.context() as patch:
        patch.setattr(time, "monotonic", lambda: now[0])
        patch.setattr(time, "sleep", sleep)
        Stopper().wait(seconds)
    assert now[0] - 1000.0 == pytest.approx(seconds)


def test_the_previous_handlers_are_restored():
    before = [signal.getsignal(number) for number in SIGNALS]
    with Stopper().catching():
        get(signal.SIGTERM)
    assert [signal.getsignal(number) for number in SIGNALS] == before


@pytest.mark.parametrize("check", [lambda stopper: stopper.check(), lambda stopper: stopper.wait(60.0)])
def test_a_worker_without_a_parent_stops_as_after_sigterm(check: Callable[[Stopper], None]):
    stopper = Stopper(deserted=lambda: True)
    assert stopper.should_stop()
    with pytest.raises(StoppedBySignal) as stopped:
        check(stopper)
    assert stopped.value.exit_code == 143


CHILD = """
import os, signal, sys, time
from hpo.runtime.signals import Stopper
for end_on_second, *numbers in {}:
    pid = os.fork()
    if pid == 0:
        with Stopper(end_on_second=end_on_second).catching():
            for number in numbers:
                os.kill(os.getpid(), number)
                time.sleep(0.1)
            print("still there", flush=True)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


def test_a_second_signal_ends_a_process_by_its_default_action_unless_it_is_a_worker():
    """Each case is a fork of a process that has loaded all modules."""
    cases = [(True, int(first), int(second)) for first in SIGNALS for second in SIGNALS]
    worker = (False, *[int(signal.SIGTERM)] * 3)
    command = [sys.executable, "-c", CHILD.format([*cases, worker])]
    ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=60)
    assert ended.stdout.splitlines() == [*(str(-second) for _, _, second in cases), "still there", "0"]
    assert ended.stderr == ""


def stopped_by(number: int) -> None:
    with catching_for_a_program("all is kept") as stopper:
        get(number)
        get(number)  # a second signal does not end the kernel of a notebook
        stopper.check()


def test_a_program_gets_its_own_handlers_back_and_the_usual_errors():
    heard: list[int] = []
    before = [signal.signal(number, lambda number, frame: heard.append(number)) for number in SIGNALS]
    try:
        for number, raised in ((signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)):
            with pytest.raises(raised):
                stopped_by(number)
        assert heard == [signal.SIGTERM], "SIGTERM also reaches the program's own handler"
    finally:
        for number, handler in zip(SIGNALS, before, strict=True):
            signal.signal(number, handler)
