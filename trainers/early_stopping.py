"""SimpleX's schedule: whenever an epoch brings no new best, fall back to the best one and cut the learning rate.

(Mao et al., CIKM 2021, its authors' program.)

It chooses by what it is measured on. So what it gives is not comparable with what was measured once, at a fixed epoch; only
hpo.replicate trains this way, to see what papers saw.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainers.config import TrainConfig
from trainers.engines.protocol import Engine, EpochResult, State

MIN_DELTA = 1e-6  # of a new best
LOWEST_RATE = 1e-6


@dataclass(frozen=True)
class Plateau:
    """When to stop.

    Attributes:
        metric: what is to rise, measured after every epoch: one of those that the engine was asked for.
        patience: epochs in a row without a new best that end the training.
        cut: factor for the learning rate after each epoch without improvement; parameters are then restored to the best epoch.
            None disables both.
    """

    metric: str
    patience: int = 3
    cut: float | None = 0.1


class EarlyStopping:
    """A plateau, applied to one run: keeps the best epoch, falls back to it, and says when training ends."""

    def __init__(self, plateau: Plateau, config: TrainConfig) -> None:
        self._plateau, self._epochs, self._rate = plateau, config.epochs, config.learning_rate
        self._best, self._failures = float("-inf"), 0
        self._best_parameters: State = {}  # before the first epoch

    def notes(self) -> tuple[dict[str, Any], State]:
        """What it knows of the epochs so far, as JSON holds it, and the best epoch's parameters; for `go_on`."""
        return {"best": self._best, "failures": self._failures, "rate": self._rate}, self._best_parameters

    def go_on(self, values: Mapping[str, Any], best_parameters: State) -> None:
        """Go on after the epochs that notes are about."""
        self._best, self._failures, self._rate = float(values["best"]), int(values["failures"]), float(values["rate"])
        self._best_parameters = best_parameters

    def ends(self, engine: Engine, result: EpochResult) -> bool:
        """To be told of every epoch: whether it was the last one. Then the lane has the best epoch's parameters.

        Raises:
            ValueError: the epoch was not measured in the plateau's metric, or the config's learning rate is not constant.
            OutOfMemory: parameters cannot be kept or put back; the lane is free again.
        """
        metric = self._plateau.metric
        if result.metrics is None:
            raise ValueError("a plateau needs an engine that evaluates after every epoch")
        if metric not in result.metrics:
            raise ValueError(
                f"a plateau of {metric} needs an engine that measures it, this one has {', '.join(result.metrics)}"
            )
        if result.metrics[metric] > self._best + MIN_DELTA:
            self._best, self._failures = result.metrics[metric], 0
            self._best_parameters = engine.keep(result.lane)
        else:
            self._failures += 1
        ended = self._failures >= self._plateau.patience or result.epoch == self._epochs
        cut = None if ended or not self._failures else self._plateau.cut
        if cut is not None:
            self._rate = max(LOWEST_RATE, self._rate * cut)
        if ended or cut is not None:
            engine.go_back(result.lane, self._best_parameters, self._rate)
        return ended
