"""A clock that stops while numba compiles, so that the time of an epoch does not include compilation."""

from __future__ import annotations

import time
from functools import cache

from numba.core import event


@cache
def _compiling() -> event.TimingListener:
    """Measures numba's compilation time from the first call on; nested compilations count once."""
    listener = event.TimingListener()  # type: ignore[no-untyped-call]
    event.register("numba:compile", listener)  # type: ignore[no-untyped-call]
    return listener


def seconds_without_compiling() -> float:
    """`time.perf_counter()` minus numba's compilation time; only differences of two calls are meaningful."""
    compiling = _compiling()
    return time.perf_counter() - (float(compiling.duration) if compiling.done else 0.0)
