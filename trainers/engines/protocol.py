"""The protocol of engines, for code that trains with them."""

from __future__ import annotations

import sys
from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from trainers.config import TrainConfig
from trainers.stopping import ShouldStop
from trainers.validation import whole

Vectors = tuple[NDArray[np.float32], NDArray[np.float32]]
State = Mapping[str, NDArray[Any]]  # arrays by name

USUAL_METRICS = ("ndcg@20", "recall@20")  # the default metrics of engines


def every(epochs: int) -> Container[int]:
    """The epochs after which to evaluate: every `epochs` epochs.

    Raises:
        InputError: `epochs` is no whole number of at least 1.
    """
    epochs = whole("evaluate_every", epochs)
    return range(epochs, sys.maxsize, epochs)


@dataclass(frozen=True)
class EpochResult:
    """The result of an epoch of a lane.

    Attributes:
        lane: the engine's slot.
        epoch: epochs trained so far, from 1.
        loss: mean training loss over the epoch's rows; NaN or infinite if training diverged.
        metrics: the engine's metrics on held-out pairs, by name; None in epochs without evaluation.
        train_seconds, evaluate_seconds: wall time without numba's compilation.
    """

    lane: int
    epoch: int
    loss: float
    metrics: dict[str, float] | None
    train_seconds: float
    evaluate_seconds: float


class Engine(Protocol):
    """Trains one config per lane, epoch by epoch.

    An engine is built with `(seen, held_out, evaluate_at, device, should_stop, metrics, sample)`, and with `lanes` if it can
    have several. It measures a lane in `metrics` (names such as `ndcg@20`): on `held_out` after the config's last epoch, and
    on `sample`, or without one on `held_out`, after earlier epochs in `evaluate_at`. Without `held_out` it never measures. A
    config's history depends on config and data alone. Evaluation, `vectors`, `snapshot` and `state` read copies: they change
    no bit of the further training.

    `start` and `epoch` raise OutOfMemory if the device's memory does not suffice. Afterwards the busy lanes are free, and
    `lanes` may be smaller.

    `epoch` calls `should_stop()` between kernel calls, several times a second, and raises Stopped if it returns true.
    Afterwards the lanes are free: an epoch that was interrupted cannot be continued.
    """

    lanes: int
    should_stop: ShouldStop

    def start(self, lane: int, config: TrainConfig) -> None:
        """Start a config in a free lane."""

    def epoch(self) -> list[EpochResult]:
        """Train one epoch of every busy lane."""

    def vectors(self, lane: int) -> Vectors:
        """Copies of the ranking vectors, float32 (n_users, d) and (n_items, d); their inner products are the scores."""

    def snapshot(self, lane: int) -> State:
        """The lane's current parameters, for `restore`."""

    def restore(self, lane: int, snapshot: State, learning_rate: float) -> None:
        """Reset the lane's parameters to a snapshot, and change its learning rate. Adam's moments and the draws continue."""

    def state(self, lane: int) -> State:
        """Copies of the lane's whole state in main memory, for `resume`."""

    def resume(self, lane: int, config: TrainConfig, state: State) -> None:
        """Start a config in a free lane with the state of another lane, perhaps of another process, after an epoch of the same
        config on the same data. Further training gives the same bits.

        Raises:
            ValueError: the state is of another engine or config.
        """

    def stop(self, lane: int) -> None:
        """Free the lane, finished or not."""
