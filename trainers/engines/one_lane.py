"""The common part of engines with one lane: the lane's life cycle, timing and evaluation. Subclasses train."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainers.compile_time import seconds_without_compiling
from trainers.config import TrainConfig
from trainers.data import Interactions
from trainers.engines.protocol import USUAL_METRICS, EpochResult, State, Vectors
from trainers.errors import OutOfMemory, first_line
from trainers.jit import stoppable_compilation
from trainers.metrics.accuracy import evaluate
from trainers.metrics.definitions import metrics_at
from trainers.stopping import ShouldStop, Stopped, check, never

SAMPLER = "sampler"  # prefix of the sampler's state
OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "bad_alloc", "status_alloc_failed")


class OneLane(ABC):
    """An engine with one lane."""

    lanes = 1

    def __init__(
        self,
        seen: Interactions,
        held_out: Interactions | None,
        evaluate_at: Container[int] = (),
        device: str = "cpu",
        should_stop: ShouldStop = never,
        metrics: Sequence[str] = USUAL_METRICS,
        sample: Interactions | None = None,
    ) -> None:
        self.seen = seen
        self.held_out = held_out
        self.sample = held_out if sample is None else sample
        self.evaluate_at = evaluate_at
        self.device = device
        self.should_stop = should_stop
        self.metrics = metrics_at(metrics)
        self.config: TrainConfig | None = None
        self.epochs_done = 0

    def start(self, lane: int, config: TrainConfig) -> None:
        """Start a config; the previous one is dropped.

        Raises:
            OutOfMemory: the lane is free.
        """
        self.stop(lane)
        with self._enough_memory():
            self._begin(config)
        self.config, self.epochs_done = config, 0

    def epoch(self) -> list[EpochResult]:
        """Train one epoch of the lane; returns no result if it is free or its config is finished.

        Raises:
            OutOfMemory, Stopped: the lane is free.
        """
        config = self.config
        if config is None or self.epochs_done >= config.epochs:
            return []
        try:
            with self._enough_memory(), stoppable_compilation(self.should_stop):
                return [self._epoch(config)]
        except Stopped:
            self.stop(0)
            raise

    def _epoch(self, config: TrainConfig) -> EpochResult:
        started = seconds_without_compiling()
        loss = self._train_epoch(config, self.epochs_done)
        self.epochs_done += 1
        trained = seconds_without_compiling()
        check(self.should_stop)
        metrics, is_last = None, self.epochs_done == config.epochs
        held_out = self.held_out if is_last else self.sample
        if is_last or (held_out is not None and self.epochs_done in self.evaluate_at):
            users, items = self._vectors()
            if not (sound(torch.from_numpy(users)) and sound(torch.from_numpy(items))):
                loss = math.nan  # the loss may be finite: an overflown vector has cosine 0
            elif held_out is not None:
                metrics = evaluate(users, items, seen=self.seen, held_out=held_out, metrics=self.metrics)
        return EpochResult(0, self.epochs_done, loss, metrics, trained - started, seconds_without_compiling() - trained)

    def vectors(self, lane: int) -> Vectors:
        """Copies of the lane's ranking vectors, float32 (n_users, d) and (n_items, d).

        Raises:
            RuntimeError: the lane is free.
            OutOfMemory: the lane is free now.
        """
        self._check(lane)
        if self.config is None:
            raise RuntimeError("the lane is free: start a config before asking for its vectors")
        with self._enough_memory():
            return self._vectors()

    def snapshot(self, lane: int) -> State:
        """The lane's current parameters, for `restore`.

        Raises:
            OutOfMemory: the lane is free.
        """
        self._check(lane)
        with self._enough_memory():
            return self._snapshot()

    def restore(self, lane: int, snapshot: State, learning_rate: float) -> None:
        """Reset the lane's parameters to a snapshot, and change its learning rate. Adam's moments and the draws continue.

        Raises:
            ValueError: the lane is free, or its learning rate is not constant.
            OutOfMemory: the lane is free.
        """
        self._check(lane)
        if self.config is None or self.config.schedule != "constant":
            raise ValueError("only a running config with a constant learning rate can go back")
        config = self.config.replace(learning_rate=learning_rate)
        with self._enough_memory():
            self._restore(snapshot, config)
        self.config = config

    def state(self, lane: int) -> State:
        """Copies of the lane's whole state; see `Engine.state`.

        Raises:
            RuntimeError: the lane is free.
        """
        self._check(lane)
        if self.config is None:
            raise RuntimeError("the lane is free: start a config before asking for its state")
        counters = {"epochs_done": np.int64(self.epochs_done), "learning_rate": np.float64(self.config.learning_rate)}
        return {name: np.array(array) for name, array in {**self._state(), **counters}.items()}

    def resume(self, lane: int, config: TrainConfig, state: State) -> None:
        """Start a config in a saved state; see `Engine.resume`.

        Raises:
            ValueError: the state is of another engine or config.
            OutOfMemory: the lane is free.
        """
        self.stop(lane)
        try:
            config = config.replace(learning_rate=float(state["learning_rate"]))  # `restore` may have changed it
            with self._enough_memory():
                self._begin(config)
                self._resume(state)
            self.config, self.epochs_done = config, int(state["epochs_done"])
        except (KeyError, ValueError, TypeError) as error:
            self.stop(lane)
            raise ValueError(f"the state does not belong to this engine and config: {first_line(error)}") from None

    def stop(self, lane: int) -> None:
        """Free the lane and its memory."""
        self._check(lane)
        self.config = None
        self._release()

    @contextmanager
    def _enough_memory(self) -> Iterator[None]:
        """Within the block, turn every library's error for a lack of memory into OutOfMemory, and free the lane."""
        try:
            yield
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            self.stop(0)
            raise OutOfMemory(f"out of memory on {self.device}: {first_line(error)}") from error

    def _check(self, lane: int) -> None:
        if lane != 0:
            raise ValueError(f"this engine has one lane, 0, got {lane}")

    def _release(self) -> None:  # noqa: B027
        """Free large memory that `_begin` allocated."""

    @abstractmethod
    def _begin(self, config: TrainConfig) -> None:
        """Start a config from its first epoch."""

    @abstractmethod
    def _train_epoch(self, config: TrainConfig, epoch: int) -> float:
        """Train epoch number `epoch` (from 0), checking `should_stop`; returns the mean loss over its rows."""

    @abstractmethod
    def _vectors(self) -> Vectors: ...

    @abstractmethod
    def _snapshot(self) -> State: ...

    @abstractmethod
    def _restore(self, snapshot: State, config: TrainConfig) -> None: ...

    @abstractmethod
    def _state(self) -> State:
        """All that training changes, perhaps without copying; `state` copies it."""

    @abstractmethod
    def _resume(self, state: State) -> None:
        """Set everything to a result of `_state`, after `_begin`.

        Raises:
            KeyError, ValueError: the state does not fit.
        """


def with_prefix(prefix: str, state: State) -> dict[str, NDArray[Any]]:
    """The arrays of a part, with names such as `users.rows`."""
    return {f"{prefix}.{name}": array for name, array in state.items()}


def without_prefix(prefix: str, state: State) -> dict[str, NDArray[Any]]:
    """The arrays of a part, from a result of `with_prefix` and others."""
    return {name.removeprefix(f"{prefix}."): array for name, array in state.items() if name.startswith(f"{prefix}.")}


def put(target: Mapping[str, NDArray[Any]], state: State) -> None:
    """Copy the arrays of a state into the arrays of the same names in `target`.

    Raises:
        KeyError, ValueError: a name is missing, or an array has another shape or type.
    """
    for name, array in target.items():
        if (array.shape, array.dtype) != (state[name].shape, state[name].dtype):
            raise ValueError(f"{name} is {state[name].dtype}{state[name].shape}, not {array.dtype}{array.shape}")
        array[...] = state[name]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out. Python and CUDA's allocator have an error type for it; PyTorch's CPU allocator, Triton, CUDA
    graphs and cuBLAS only a message.
    """
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    text = str(error).lower() if isinstance(error, RuntimeError) else ""
    return any(words in text for words in OUT_OF_MEMORY)


def sound(vectors: Tensor) -> Tensor:
    """Whether all rows (n, d) are finite and none is zero, as a bool tensor. A unit vector is zero if the norm overflows."""
    return torch.isfinite(vectors).all() & vectors.any(dim=1).all()
