"""An engine stops soon after the request, in the middle of an epoch, and can be used again."""

from __future__ import annotations

import threading
import time
from typing import Any

import numba
import numpy as np
import pytest

from trainers import train
from trainers.engines import EngineChoice, make_engine
from trainers.jit import stoppable_compilation
from trainers.stopping import Stopped, never

from .cases import BSL, config, data

SOON = 3.0  # seconds on an idle machine; a call of a kernel takes a fifth of one
SEEN = data(60, 50, 700)
SETTINGS = config(BSL, dim=8)


def engine_of(name: str, **arguments: Any) -> Any:
    return make_engine(EngineChoice(name, "cpu", "named"), SEEN, None, **arguments)


def test_a_stopped_epoch_frees_the_lane(any_engine: str):
    fresh = engine_of(any_engine)
    fresh.start(0, SETTINGS)
    expected = [fresh.epoch()[0].loss for _ in range(2)]
    answers = iter([False, False, True])
    engine = engine_of(any_engine, should_stop=lambda: next(answers))
    engine.start(0, SETTINGS)
    with pytest.raises(Stopped):
        engine.epoch()
    with pytest.raises(RuntimeError, match="the lane is free"):
        engine.vectors(0)
    assert engine.epoch() == []
    engine.should_stop = never
    engine.start(0, SETTINGS)
    assert [engine.epoch()[0].loss for _ in range(2)] == expected


def test_a_long_epoch_is_left_soon(any_engine: str):
    """The epoch would take a minute. On a busy machine this process has a processor for a share of the time only."""
    seen = data(2_000, 1_500, 100_000)
    settings = config(BSL, dim=8, count=50_000 if any_engine == "numba" else 2_000)
    engine_of(any_engine).start(0, SETTINGS)
    asked = threading.Event()
    run = train(settings, seen, engine=any_engine, device="cpu", should_stop=asked.is_set)
    warm = train(SETTINGS.replace(epochs=1), SEEN, engine=any_engine, device="cpu")
    warm.finish()  # compiles the kernels first
    when: list[float] = []
    timer = threading.Timer(1.0, lambda: (when.append(time.monotonic()), asked.set()))
    began, cpu = time.monotonic(), time.process_time()
    timer.start()
    with pytest.raises(Stopped):
        run.finish()
    ended = time.monotonic()
    share = min(1.0, (time.process_time() - cpu) / (ended - began))
    assert share * (ended - when[0]) < SOON


@pytest.mark.parametrize("passes", [0, 5, 20])
def test_a_compilation_is_left_between_its_passes(passes: int):
    @numba.njit
    def inner(x: float) -> float:
        return x + 1.0

    @numba.njit
    def outer(x: float) -> float:
        return inner(x) * 2.0

    answers = iter([False] * passes + [True])
    with pytest.raises(Stopped), stoppable_compilation(lambda: next(answers)):
        outer(1.0)
    with stoppable_compilation(never):
        assert outer(1.0) == 4.0
    assert np.isnan(outer(np.nan))
    with stoppable_compilation(lambda: True):
        assert outer(2.0) == 6.0, "a compiled function does not check again"
