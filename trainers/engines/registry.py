"""Which engines there are, and the choice of one."""

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
    """Line of the table `ENGINES`; nothing that it names is imported before it is asked for.

    Attributes:
        engine: `module:class`.
        device: the only one that it runs on; empty for any.
        why_not: `module:function` from a config to the reason why the engine cannot train it, empty if it can; "" for an engine
            that trains everything.
        many_lanes: whether it is built with a number of lanes; others have one.
    """

    engine: str
    device: str = ""
    why_not: str = ""
    many_lanes: bool = False

    def refuses(self, config: TrainConfig, device: str) -> str:
        """Empty when it can train the config on a device, else the reason why not."""
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
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


@dataclass(frozen=True)
class EngineChoice:
    """A resolved engine: its name, device, and why it was chosen; `asked_for` is the device that was asked for, or auto."""

    name: str
    device: str
    reason: str
    asked_for: str = AUTO


def choose_engine(config: TrainConfig, engine: str = AUTO, device: str = AUTO) -> EngineChoice:
    """Resolve `auto`: the fastest engine that can train the config.

    With CUDA that is triton for matrix factorisation, or numba on the CPU for what triton cannot train of it, and torch on CUDA
    for the rest; without CUDA numba or torch.

    Raises:
        InputError: unknown engine or device; CUDA asked for and absent; an engine that cannot run the config or device.
    """
    if device not in DEVICES:
        raise InputError(unknown("device", device, DEVICES))
    if engine not in (AUTO, *ENGINES):
        raise InputError(unknown("engine", engine, [AUTO, *ENGINES]))
    has_cuda = torch.cuda.is_available()
    if device == "cuda" and not has_cuda:
        raise InputError("device cuda was asked for, but torch finds no CUDA device; use --device cpu or auto")
    if engine != AUTO:
        return _asked_for(config, engine, device, has_cuda)
    reasons: list[str] = []
    devices = _devices(device, has_cuda)
    for name, one in [(name, one) for name, entry in ENGINES.items() for one in devices if entry.device in ("", one)]:
        reason = _refuses_to_be_chosen(name, config, one, has_cuda and device == AUTO)
        if not reason:
            return EngineChoice(name, one, "; ".join(reasons) or "the fused engine can train this", device)
        reasons.append(f"{name}: {reason}")
    raise AssertionError("torch trains everything")


def _devices(device: str, has_cuda: bool) -> list[str]:
    """Where to train, best first."""
    if device != AUTO:
        return [device]
    return ["cuda", "cpu"] if has_cuda else ["cpu"]


def _refuses_to_be_chosen(name: str, config: TrainConfig, device: str, cuda_is_free: bool) -> str:
    if name == "numba" and cuda_is_free and not isinstance(config.encoder, MF):
        return f"torch is faster on CUDA with encoder {config.encoder.name}"
    return ENGINES[name].refuses(config, device)


def _asked_for(config: TrainConfig, engine: str, device: str, has_cuda: bool) -> EngineChoice:
    entry = ENGINES[engine]
    if entry.device == "cuda" and not has_cuda:
        raise InputError(f"engine {engine} needs a CUDA device, and torch finds none; use engine numba, torch or auto")
    where = entry.device if device == AUTO and entry.device else _devices(device, has_cuda)[0]
    if reason := entry.refuses(config, where):
        raise InputError(f"engine {engine} cannot run this: {reason}; use engine torch or auto")
    return EngineChoice(engine, where, "asked for", device)


def engine_for(config: TrainConfig, ours: EngineChoice) -> EngineChoice:
    """The engine that a study trains with, or where that cannot train the config (a rival's loss) one that can."""
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
    """Build the chosen engine; its module is imported only now. Of engines with one lane `lanes` is ignored.

    Args:
        evaluate_at: the epochs after which a config is measured, beside its last one.
        metrics: what its epochs are measured in on `held_out`, names such as `ndcg@20`.
        sample: pairs of `held_out` that a config is measured on before its last epoch; None: on all of them.

    Raises:
        InputError: nothing to train or to evaluate on, or a metric that does not exist.
    """
    if not len(seen):
        raise InputError("there is nothing to train on: the training data hold no interactions")
    if held_out is not None:  # what the evaluation would refuse, before epochs are spent
        check_held_out(seen, held_out)
    entry = ENGINES[choice.name]
    more: dict[str, Any] = {"lanes": lanes} if entry.many_lanes else {}
    more |= {"should_stop": should_stop, "metrics": metrics, "sample": sample}
    engine: Engine = _named(entry.engine)(seen, held_out, evaluate_at, choice.device, **more)
    return engine
