"""The engine contract and the choice of an engine."""

from __future__ import annotations

import importlib
import platform
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from trainers.config import TrainConfig
from trainers.data import Interactions
from trainers.errors import InputError, unknown
from trainers.evaluation import check_held_out

Vectors = tuple[NDArray[np.float32], NDArray[np.float32]]

ENGINES = {
    "torch": "trainers.engines.reference:TorchEngine",
    "numba": "trainers.engines.cpu:NumbaEngine",
}
AUTO = "auto"
DEVICES = (AUTO, "cpu", "cuda")


@dataclass(frozen=True)
class EpochResult:
    """What one epoch of one lane gave.

    Attributes:
        lane: the engine's slot.
        epoch: epochs trained so far, from 1.
        loss: mean training loss over the epoch's rows; NaN or infinite when training diverged.
        metrics: validation metrics such as `ndcg@20`, None in epochs without evaluation.
        train_seconds, evaluate_seconds: wall time.
    """

    lane: int
    epoch: int
    loss: float
    metrics: dict[str, float] | None
    train_seconds: float
    evaluate_seconds: float


class Engine(Protocol):
    """Trains one config per lane, an epoch at a time.

    Built with `(seen, held_out, evaluate_every, device)`. A lane evaluates on `held_out` every `evaluate_every` epochs
    and after its config's last epoch; without `held_out` never. A config's history depends on config and data alone.
    """

    lanes: int

    def start(self, lane: int, config: TrainConfig) -> None:
        """Begin a config in a free lane."""

    def epoch(self) -> list[EpochResult]:
        """Train every busy lane for one epoch."""

    def vectors(self, lane: int) -> Vectors:
        """(n_users, d) and (n_items, d) float32, copies; their inner product ranks."""

    def keep(self, lane: int) -> Any:
        """The lane's parameters as they are now, for `go_back`."""

    def go_back(self, lane: int, kept: Any, learning_rate: float) -> None:
        """Give the lane the parameters of an earlier epoch and another learning rate; Adam's moments and the draws go on."""

    def stop(self, lane: int) -> None:
        """Free the lane, finished or not."""


@dataclass(frozen=True)
class EngineChoice:
    """A resolved engine: its name, device, and why it was chosen."""

    name: str
    device: str
    reason: str


def choose_engine(config: TrainConfig, engine: str = AUTO, device: str = AUTO) -> EngineChoice:
    """Resolve `auto`: on the CPU what numba can train runs on it, everything else on torch.

    Raises:
        InputError: unknown engine or device; CUDA asked for and absent; an engine that cannot run the config or device.
    """
    if device not in DEVICES:
        raise InputError(unknown("device", device, DEVICES))
    if engine not in (AUTO, *ENGINES):
        raise InputError(unknown("engine", engine, [AUTO, *ENGINES]))
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("device cuda was asked for, but torch finds no CUDA device; use --device cpu or auto")
    cuda = device == "cuda" or (device == AUTO and torch.cuda.is_available())
    if engine == "torch":  # without a look at the other engines: importing them costs seconds
        return EngineChoice("torch", "cuda" if cuda else "cpu", "asked for")
    why_not_numba = _why_not_numba(config, device)
    if engine == "numba" and why_not_numba:
        raise InputError(f"engine numba cannot run this: {why_not_numba}; use --engine torch or auto")
    if engine == "numba" or (engine == AUTO and not why_not_numba):
        reason = "asked for" if engine == "numba" else "the fused engine can train this"
        return EngineChoice("numba", "cpu", reason)
    return EngineChoice("torch", "cuda" if cuda else "cpu", why_not_numba)


def engine_for(config: TrainConfig, ours: EngineChoice) -> EngineChoice:
    """The engine that a study trains with, or where that cannot train the config (a rival's loss) one that can."""
    if ours.name == "torch" or not _why_not_numba(config, ours.device):
        return ours
    return choose_engine(config, AUTO, ours.device)


def _why_not_numba(config: TrainConfig, device: str) -> str:
    """Empty when the numba engine can run the config."""
    if device == "cuda":
        return "device cuda was asked for"
    module = importlib.import_module("trainers.engines.cpu")
    return str(module.why_not(config))


def make_engine(choice: EngineChoice, seen: Interactions, held_out: Interactions | None, evaluate_every: int = 1) -> Engine:
    """Build the chosen engine; its module is imported only now."""
    if evaluate_every < 1:
        raise InputError(f"evaluate_every must be at least 1, got {evaluate_every}")
    if not len(seen):
        raise InputError("there is nothing to train on: the training data hold no interactions")
    if held_out is not None:  # what the evaluation would refuse, before epochs are spent
        check_held_out(seen, held_out)
    module, _, name = ENGINES[choice.name].partition(":")
    engine: Engine = getattr(importlib.import_module(module), name)(seen, held_out, evaluate_every, choice.device)
    return engine


def device_name(device: str) -> str:
    """The machine that a device is, e.g. `x86_64 CPU` or the GPU's product name."""
    return torch.cuda.get_device_name() if device == "cuda" else f"{platform.machine()} CPU"
