"""Losses, engines and evaluation for implicit-feedback recommenders, independent of optuna and studies.

>>> from trainers import TrainConfig, load_dataset, train
>>> dataset = load_dataset("demo")
>>> config = TrainConfig.from_dict({"loss": {"name": "ccl", "margin": 0.8, "negative_weight": 150.0}, "epochs": 5})
>>> run = train(config, dataset.train)
>>> last_epoch = run.finish()
>>> users, items = run.vectors()
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from trainers.config import TrainConfig
from trainers.data import Interactions, hold_out
from trainers.errors import InputError, TrainingDiverged
from trainers.stopping import Stopped
from trainers.train import Run, train

if TYPE_CHECKING:
    from trainers.data.datasets import Dataset, load_dataset, load_test
    from trainers.metrics.accuracy import evaluate
    from trainers.metrics.ranking import recommend
    from trainers.recommender import Recommender

# These names are imported at first use: pandas, numba and torch take seconds to load, and reading a config needs none of them.
_LATE = {
    "Dataset": "trainers.data.datasets",
    "Recommender": "trainers.recommender",
    "evaluate": "trainers.metrics.accuracy",
    "load_dataset": "trainers.data.datasets",
    "load_test": "trainers.data.datasets",
    "recommend": "trainers.metrics.ranking",
}

__all__ = [
    "Dataset",
    "InputError",
    "Interactions",
    "Recommender",
    "Run",
    "Stopped",
    "TrainConfig",
    "TrainingDiverged",
    "evaluate",
    "hold_out",
    "load_dataset",
    "load_test",
    "recommend",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LATE[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
