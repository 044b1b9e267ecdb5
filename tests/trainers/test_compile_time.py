"""The clock of epochs does not count compilation."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numba import njit

from trainers import TrainConfig
from trainers.compile_time import seconds_without_compiling
from trainers.engines.one_lane import OneLane
from trainers.engines.protocol import EpochResult, Vectors

from .engines.cases import data


def fresh_function() -> Any:
    """A function that is not compiled yet and calls another one."""

    @njit
    def inner(x):
        return np.sort(x).sum()

    @njit
    def outer(x):
        return inner(x) + inner(x[::-1])

    return outer


def test_the_clock_stops_while_numba_compiles():
    seconds_without_compiling()
    function, x = fresh_function(), np.arange(3.0)
    wall, clock = time.perf_counter(), seconds_without_compiling()
    function(x)
    wall, clock = time.perf_counter() - wall, seconds_without_compiling() - clock
    assert 0.0 <= clock < wall / 2
    wall, clock = time.perf_counter(), seconds_without_compiling()
    time.sleep(0.05)
    function(x)
    assert seconds_without_compiling() - clock >= 0.05, "it runs at other times"


class Compiles(OneLane):
    """An engine that compiles at its first training and at its first evaluation."""

    def _begin(self, config: TrainConfig) -> None:
        self.functions = [fresh_function(), fresh_function()]

    def _train_epoch(self, config: TrainConfig, epoch: int) -> float:
        self.functions[0](np.arange(3.0))
        time.sleep(0.02)
        return 1.0

    def _vectors(self) -> Vectors:
        self.functions[1](np.arange(3.0))
        return np.ones((60, 2), np.float32), np.ones((50, 2), np.float32)

    def _snapshot(self) -> Any: ...

    def _restore(self, snapshot: Any, config: TrainConfig) -> None: ...

    def _state(self) -> Any: ...

    def _resume(self, state: Any) -> None: ...


def timed_epoch(engine: Compiles) -> tuple[EpochResult, float]:
    """An epoch, and its seconds with compilation."""
    started = time.perf_counter()
    (result,) = engine.epoch()
    return result, time.perf_counter() - started


def test_seconds_of_epochs_do_not_include_compilation():
    """The first epoch compiles the training. The second epoch ends with an evaluation, and compiles that."""
    engine = Compiles(data(60, 50, 700), None)
    engine.start(0, TrainConfig.from_dict({"loss": {"name": "bpr"}, "epochs": 2}))
    for _ in range(2):
        result, wall = timed_epoch(engine)
        assert result.train_seconds >= 0.02
        assert result.train_seconds + result.evaluate_seconds < wall / 2, "most of the time was compilation"
