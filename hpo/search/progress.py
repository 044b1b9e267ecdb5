"""The interface through which a search reports its progress."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import optuna
from optuna.trial import FrozenTrial


class Progress(Protocol):
    """Receives the progress of a search."""

    def begin(self, study: optuna.Study, budget: int) -> None: ...

    def running(self, epochs: Mapping[int, int], study: optuna.Study) -> None:
        """All running trials by number, with the epochs that each has trained; 0 if unknown."""

    def finished(self, trial: FrozenTrial, study: optuna.Study) -> None: ...


class NoProgress:
    """Reports nothing; for worker processes, whose parent reports for all."""

    def begin(self, study: optuna.Study, budget: int) -> None:
        """Nothing."""

    def running(self, epochs: Mapping[int, int], study: optuna.Study) -> None:
        """Nothing."""

    def finished(self, trial: FrozenTrial, study: optuna.Study) -> None:
        """Nothing."""
