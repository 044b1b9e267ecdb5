"""SimpleX's schedule: after an epoch without a new best, restore the best epoch and cut the learning rate.

(Mao et al., CIKM 2021, and the authors' program.)

Only hpo.replicate trains this way, to reproduce papers. Where a paper chooses the epoch on the test split, the figures are not
comparable with figures of a fixed epoch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainers.config import TrainConfig
from trainers.engines.protocol import Engine, EpochResult, State

MIN_DELTA = 1e-6  # least improvement of a new best
LOWEST_RATE = 1e-6


@dataclass(frozen=True)
class Plateau:
    """A rule of early stopping.

    Attributes:
        metric: the metric to maximise; the engine must measure it.
        patience: training ends after this number of measurements in a row without a new best.
        cut: factor for the learning rate after each measurement without improvement; parameters are then restored to the best
            epoch. None disables both.
        every: epochs between measurements; the last epoch is always measured.
    """

    metric: str
    patience: int = 3
    cut: float | None = 0.1
    every: int = 1


class EarlyStopping:
    """Applies a plateau to one run: stores the best epoch, restores it, and ends the training."""

    def __init__(self, plateau: Plateau, config: TrainConfig) -> None:
        self._plateau, self._epochs, self._rate = plateau, config.epochs, config.learning_rate
        self._best, self._failures = float("-inf"), 0
        self._best_parameters: State = {}  # before the first epoch

    def notes(self) -> tuple[dict[str, Any], State]:
        """The state after the epochs so far, as JSON data, and the parameters of the best epoch; for `go_on`."""
        return {"best": self._best, "failures": self._failures, "rate": self._rate}, self._best_parameters

    def go_on(self, values: Mapping[str, Any], best_parameters: State) -> None:
        """Continue from a result of `notes`."""
        self._best, self._failures, self._rate = float(values["best"]), int(values["failures"]), float(values["rate"])
        self._best_parameters = best_parameters

    def ends(self, engine: Engine, result: EpochResult) -> bool:
        """Record an epoch; returns whether training ends. At the end the lane has the parameters of the best epoch.

        Call it for every epoch.

        Raises:
            ValueError: the epoch had to be measured and was not, or not in the plateau's metric, or the config's learning rate
                is not constant.
            OutOfMemory: parameters cannot be stored or restored; the lane is free again.
        """
        metric, between = self._plateau.metric, self._plateau.every
        if result.epoch % between and result.epoch != self._epochs:
            return False
        if result.metrics is None:
            raise ValueError(f"a plateau needs an engine that evaluates after every {between} epochs, got epoch {result.epoch}")
        if metric not in result.metrics:
            raise ValueError(
                f"a plateau of {metric} needs an engine that measures it, this one has {', '.join(result.metrics)}"
            )
        if result.metrics[metric] > self._best + MIN_DELTA:
            self._best, self._failures = result.metrics[metric], 0
            self._best_parameters = engine.snapshot(result.lane)
        else:
            self._failures += 1
        ended = self._failures >= self._plateau.patience or result.epoch == self._epochs
        cut = None if ended or not self._failures else self._plateau.cut
        if cut is not None:
            self._rate = max(LOWEST_RATE, self._rate * cut)
        if ended or cut is not None:
            engine.restore(result.lane, self._best_parameters, self._rate)
        return ended
