"""Whom a search tells how far it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import optuna
from optuna.trial import FrozenTrial


class Progress(Protocol):
    """What the loop tells the console."""

    def begin(self, study: optuna.Study, budget: int) -> None: ...

    def running(self, epochs: Mapping[int, int], study: optuna.Study) -> None:
        """All trials that run now, by number, and how many epochs each has trained, as far as is known: 0 for nothing."""

    def finished(self, trial: FrozenTrial, study: optuna.Study) -> None: ...


class NoProgress:
    """A worker's own progress: shown by the parent, which sees all of them."""

    def begin(self, study: optuna.Study, budget: int) -> None:
        """Nothing."""

    def running(self, epochs: Mapping[int, int], study: optuna.Study) -> None:
        """Nothing."""

    def finished(self, trial: FrozenTrial, study: optuna.Study) -> None:
        """Nothing."""
