"""A clock that stands still while numba compiles: what an epoch took must not depend on whether it was the first one."""

from __future__ import annotations

import time
from functools import cache

from numba.core import event


@cache
def _compiling() -> event.TimingListener:
    """Measures how long numba compiles, from the first call on; a function compiled for another one is in that one's time."""
    listener = event.TimingListener()  # type: ignore[no-untyped-call]
    event.register("numba:compile", listener)  # type: ignore[no-untyped-call]
    return listener


def seconds_without_compiling() -> float:
    """As `time.perf_counter`, less what numba has compiled since the first call; differences of two calls mean something."""
    compiling = _compiling()
    return time.perf_counter() - (float(compiling.duration) if compiling.done else 0.0)
