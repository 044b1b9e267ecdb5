"""The table of engines, and the choice of an engine for a config."""

from __future__ import annotations

import importlib
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Any

from trainers.config import TrainConfig
from trainers.data import Interactions
from trainers.encoders import MF
from trainers.engines.protocol import USUAL_METRICS, Engine
from trainers.errors import InputError, unknown
from trainers.late import torch
from trainers.metrics.accuracy import check_held_out
from trainers.stopping import ShouldStop, never

AUTO = "auto"
DEVICES = (AUTO, "cpu", "cuda")


@dataclass(frozen=True)
class EngineEntry:
    """A line of the table `ENGINES`. The modules that it names are imported at first use.

    Attributes:
        engine: `module:class`.
        device: the only device that it runs on; empty for any device.
        why_not: `module:function`, which maps a config to the reason why the engine cannot train it, empty if it can; "" for an
            engine that trains everything.
        many_lanes: whether it can have several lanes.
    """

    engine: str
    device: str = ""
    why_not: str = ""
    many_lanes: bool = False

    def refuses(self, config: TrainConfig, device: str) -> str:
        """Why the engine cannot train a config on a device; empty if it can."""
        if self.device and self.device != device:
            return f"it needs device {self.device}, this is {device}"
        return str(_named(self.why_not)(config)) if self.why_not else ""


# Fastest first.
ENGINES = {
    "triton": EngineEntry(
        "trainers.engines.triton_engine.engine:TritonEngine",
        "cuda",
        "trainers.engines.triton_engine.limits:why_not",
        many_lanes=True,
    ),
    "numba": EngineEntry("trainers.engines.numba_engine:NumbaEngine", "cpu", "trainers.engines.numba_engine:why_not"),
    "torch": EngineEntry("trainers.engines.torch_engine:TorchEngine"),
}


def _named(path: str) -> Any:
    """The object at `module:name`."""
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


@dataclass(frozen=True)
class EngineChoice:
    """A chosen engine.

    Attributes:
        name: a key of `ENGINES`.
        device: cpu or cuda.
        reason: why it was chosen, in words.
        asked_for: the requested device, or auto.
    """

    name: str
    device: str
    reason: str
    asked_for: str = AUTO


def choose_engine(config: TrainConfig, engine: str = AUTO, device: str = AUTO) -> EngineChoice:
    """The requested engine, or for `auto` the fastest one that can train the config.

    With CUDA this is triton for matrix factorisation, numba on the CPU for matrix factorisation that triton cannot train, and
    torch on CUDA for everything else. Without CUDA it is numba or torch.

    Raises:
        InputError: the engine or device is unknown, CUDA is requested and absent, or the engine cannot run the config on the
            device.
    """
    if device not in DEVICES:
        raise InputError(unknown("device", device, DEVICES))
    if engine not in (AUTO, *ENGINES):
        raise InputError(unknown("engine", engine, [AUTO, *ENGINES]))
    has_cuda = torch.cuda.is_available()
    if device == "cuda" and not has_cuda:
        raise InputError("device cuda must be present, and torch finds no CUDA device; use --device cpu or auto")
    if engine != AUTO:
        return _requested(config, engine, device, has_cuda)
    reasons: list[str] = []
    devices = _devices(device, has_cuda)
    for name, one in [(name, one) for name, entry in ENGINES.items() for one in devices if entry.device in ("", one)]:
        reason = _why_not_chosen(name, config, one, has_cuda and device == AUTO)
        if not reason:
            return EngineChoice(name, one, "; ".join(reasons) or "the fused engine can train this", device)
        reasons.append(f"{name}: {reason}")
    raise AssertionError("torch trains everything")


def _devices(device: str, has_cuda: bool) -> list[str]:
    """The devices to train on, in order of preference."""
    if device != AUTO:
        return [device]
    return ["cuda", "cpu"] if has_cuda else ["cpu"]


def _why_not_chosen(name: str, config: TrainConfig, device: str, cuda_is_free: bool) -> str:
    """Why `auto` does not choose an engine for a config and a device; empty if it may."""
    if name == "numba" and cuda_is_free and not isinstance(config.encoder, MF):
        return f"torch is faster on CUDA with encoder {config.encoder.name}"
    return ENGINES[name].refuses(config, device)


def _requested(config: TrainConfig, engine: str, device: str, has_cuda: bool) -> EngineChoice:
    """The engine that was asked for, after a check that it can train the config."""
    entry = ENGINES[engine]
    if entry.device == "cuda" and not has_cuda:
        raise InputError(f"engine {engine} needs a CUDA device, and torch finds none; use engine numba, torch or auto")
    where = entry.device if device == AUTO and entry.device else _devices(device, has_cuda)[0]
    if reason := entry.refuses(config, where):
        raise InputError(f"engine {engine} cannot run this: {reason}; use engine torch or auto")
    return EngineChoice(engine, where, "asked for", device)


def engine_for(config: TrainConfig, ours: EngineChoice) -> EngineChoice:
    """The study's engine, or the fastest one that can train the config (of a rival's loss) if that engine cannot."""
    return choose_engine(config, AUTO, ours.asked_for) if ENGINES[ours.name].refuses(config, ours.device) else ours


def make_engine(
    choice: EngineChoice,
    seen: Interactions,
    held_out: Interactions | None,
    evaluate_at: Container[int] = (),
    lanes: int = 1,
    should_stop: ShouldStop = never,
    metrics: Sequence[str] = USUAL_METRICS,
    sample: Interactions | None = None,
) -> Engine:
    """Build the chosen engine. Engines with one lane ignore `lanes`.

    Args:
        evaluate_at: epochs after which a config is measured, in addition to its last one.
        metrics: names such as `ndcg@20`.
        sample: the pairs of `held_out` to measure on before a config's last epoch; None for all pairs.

    Raises:
        InputError: there are no pairs to train or to evaluate on, or a metric does not exist.
    """
    if not len(seen):
        raise InputError("there is nothing to train on: the training data hold no interactions")
    if held_out is not None:  # fail before training, not at the first evaluation
        check_held_out(seen, held_out)
    entry = ENGINES[choice.name]
    options: dict[str, Any] = {"lanes": lanes} if entry.many_lanes else {}
    options |= {"should_stop": should_stop, "metrics": metrics, "sample": sample}
    engine: Engine = _named(entry.engine)(seen, held_out, evaluate_at, choice.device, **options)
    return engine
