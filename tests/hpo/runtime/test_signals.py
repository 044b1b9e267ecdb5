"""Signals become `Stopped`, exactly once, wherever the process is."""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys
import time
from collections.abc import Callable

import pytest

from hpo.runtime.signals import Stopped, Stopper, asked_to_stop

PATIENCE = 10.0  # seconds


def get_signal() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0)  # the handler runs at the latest here


def in_a_callback() -> None:
    ctypes.CFUNCTYPE(None)(get_signal)()


def in_a_finalizer() -> None:
    class Ends:
        def __del__(self) -> None:
            get_signal()

    Ends()


class HalfBuilt:
    """Its finalizer relies on a finished constructor, as those of LLVM's objects do."""

    def __init__(self) -> None:
        get_signal()
        self.name = "built"

    def __del__(self) -> None:
        self.name.upper()


def wait() -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        time.sleep(0.01)


@pytest.mark.parametrize("get", [get_signal, in_a_callback, in_a_finalizer])
def test_a_signal_stops_the_block_that_it_hits(get: Callable[[], None], capfd: pytest.CaptureFixture[str]):
    start = time.monotonic()

    def block() -> None:
        with stopper.interruptible():
            get()
            wait()

    with Stopper().catching() as stopper:
        with pytest.raises(Stopped, match="SIGTERM") as stopped:
            block()
        assert asked_to_stop()
    assert stopped.value.exit_code == 143
    assert time.monotonic() - start < PATIENCE / 2
    assert capfd.readouterr().err == ""


def test_what_is_left_half_built_ends_quietly(monkeypatch: pytest.MonkeyPatch):
    said: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda lost: said.append(lost.exc_type))
    with pytest.raises(Stopped), Stopper().catching() as stopper, stopper.interruptible():
        HalfBuilt()
    gc.collect()
    assert said == []


def test_one_that_a_callback_lost_at_the_end_of_a_block_stops_the_next():
    with Stopper().catching() as stopper:
        with stopper.interruptible():
            in_a_callback()
        time.sleep(0.3)  # sent again between the blocks, where nothing may be interrupted
        with pytest.raises(Stopped), stopper.interruptible():
            pass


def test_nothing_is_sent_again_when_nobody_catches_it():
    with Stopper().catching() as stopper, stopper.interruptible():
        in_a_callback()
    time.sleep(0.3)  # it would end this process
    assert not asked_to_stop()


def test_other_errors_in_callbacks_are_left_to_python(monkeypatch: pytest.MonkeyPatch):
    said: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda lost: said.append(lost.exc_type))
    with Stopper().catching():
        ctypes.CFUNCTYPE(None)(lambda: 1 // 0)()
    assert said == [ZeroDivisionError]
