"""What an engine is to whoever trains with it."""

from __future__ import annotations

import sys
from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from trainers.config import TrainConfig
from trainers.errors import InputError
from trainers.stopping import ShouldStop

Vectors = tuple[NDArray[np.float32], NDArray[np.float32]]
State = Mapping[str, NDArray[Any]]  # arrays by name

USUAL_METRICS = ("ndcg@20", "recall@20")  # what engines measure unless others are asked for


def every(epochs: int) -> Container[int]:
    """The epochs to evaluate after when there are always so many between two.

    Raises:
        InputError: less than 1.
    """
    if epochs < 1:
        raise InputError(f"evaluate_every must be at least 1, got {epochs}")
    return range(epochs, sys.maxsize, epochs)


@dataclass(frozen=True)
class EpochResult:
    """What one epoch of one lane gave.

    Attributes:
        lane: the engine's slot.
        epoch: epochs trained so far, from 1.
        loss: mean training loss over the epoch's rows; NaN or infinite when training diverged.
        metrics: the validation metrics that the engine was asked for, by name; None in epochs without evaluation.
        train_seconds, evaluate_seconds: wall time, without compiling by numba.
    """

    lane: int
    epoch: int
    loss: float
    metrics: dict[str, float] | None
    train_seconds: float
    evaluate_seconds: float


class Engine(Protocol):
    """Trains one config per lane, an epoch at a time.

    Built with `(seen, held_out, evaluate_at, device, should_stop, metrics, sample)`, and `lanes` where there can be several. A
    lane is measured in `metrics` (names such as `ndcg@20`) on `held_out` after its config's last epoch, and on `sample`, or
    without one on `held_out`, after earlier epochs in `evaluate_at`; without `held_out` never. A config's history depends on
    config and data alone: what looks at a lane (an evaluation, `vectors`, `keep`, `state`) reads copies and changes no bit of
    how training goes on.

    `start` and `epoch` raise OutOfMemory where the device's memory does not suffice. After that the lanes that were busy are
    free, and there may be fewer: look at `lanes` again.

    `epoch` asks `should_stop()` between its calls of kernels, several times a second, and raises Stopped when it says yes.
    After that the lanes are free: an epoch that was abandoned is not worth keeping.
    """

    lanes: int
    should_stop: ShouldStop

    def start(self, lane: int, config: TrainConfig) -> None:
        """Begin a config in a free lane."""

    def epoch(self) -> list[EpochResult]:
        """Train every busy lane for one epoch."""

    def vectors(self, lane: int) -> Vectors:
        """(n_users, d) and (n_items, d) float32, copies; their inner product ranks."""

    def keep(self, lane: int) -> State:
        """The lane's parameters as they are now, for `go_back`."""

    def go_back(self, lane: int, kept: State, learning_rate: float) -> None:
        """Give the lane the parameters of an earlier epoch and another learning rate; Adam's moments and the draws go on."""

    def state(self, lane: int) -> State:
        """All that a lane has become, copies in main memory, for `resume`. Reading it never changes how training goes on."""

    def resume(self, lane: int, config: TrainConfig, state: State) -> None:
        """Put a free lane where another lane, perhaps of another process, stood after an epoch of the same config on the same
        data: what it trains from there is the same to the bit.

        Raises:
            ValueError: a state of another engine or config.
        """

    def stop(self, lane: int) -> None:
        """Free the lane, finished or not."""
