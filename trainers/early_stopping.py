"""SimpleX's schedule: whenever an epoch brings no new best, fall back to the best one and cut the learning rate.

(Mao et al., CIKM 2021, its authors' program.)

It chooses by what it is measured on. So what it gives is not comparable with what was measured once, at a fixed epoch; only
hpo.replicate trains this way, to see what papers saw.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from trainers.config import TrainConfig
from trainers.engines.protocol import Engine, EpochResult
from trainers.train import Run, check_finite

MIN_DELTA = 1e-6  # of a new best
LOWEST_RATE = 1e-6


@dataclass(frozen=True)
class Plateau:
    """When to stop.

    Attributes:
        metric: what is to rise, measured after every epoch.
        patience: epochs in a row without a new best that end the training.
        cut: factor for the learning rate after each epoch without improvement; parameters are then restored to the best epoch.
            None disables both.
    """

    metric: str
    patience: int = 3
    cut: float | None = 0.1


class PlateauRun(Run):
    """A run that ends after `patience` epochs without a new best, or the config's epochs, with the best epoch's vectors.

    The engine has to evaluate after every epoch.
    """

    def __init__(self, engine: Engine, config: TrainConfig, plateau: Plateau) -> None:
        super().__init__(engine, config)
        self._plateau = plateau

    def _train(self) -> Iterator[EpochResult]:
        plateau, rate, best, failures, kept = self._plateau, self.config.learning_rate, float("-inf"), 0, None
        self._engine.start(0, self.config)
        for _ in range(self.config.epochs):
            (result,) = self._engine.epoch()
            self._last = result
            check_finite(result)
            if result.metrics is None:
                raise ValueError("a plateau needs an engine that evaluates after every epoch")
            if result.metrics[plateau.metric] > best + MIN_DELTA:
                best, failures, kept = result.metrics[plateau.metric], 0, self._engine.keep(0)
            else:
                failures += 1
            yield result
            if failures >= plateau.patience:
                break
            if failures and plateau.cut is not None:
                rate = max(LOWEST_RATE, rate * plateau.cut)
                self._engine.go_back(0, kept, rate)
        self._engine.go_back(0, kept, rate)
