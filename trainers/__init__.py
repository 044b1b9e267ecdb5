"""Losses, engines and evaluation for implicit-feedback recommenders. Knows neither optuna nor studies.

>>> from trainers import TrainConfig, load_dataset, train
>>> dataset = load_dataset("demo")
>>> config = TrainConfig.from_dict({"loss": {"name": "ccl", "margin": 0.8, "negative_weight": 150.0}, "epochs": 5})
>>> run = train(config, dataset.train)
>>> last_epoch = run.finish()
>>> users, items = run.vectors()
"""

from trainers.config import TrainConfig
from trainers.data import Interactions, hold_out
from trainers.data.datasets import Dataset, load_dataset, load_test
from trainers.errors import InputError, TrainingDiverged
from trainers.metrics.accuracy import evaluate
from trainers.metrics.ranking import recommend
from trainers.stopping import Stopped
from trainers.train import Run, train

__all__ = [
    "Dataset",
    "InputError",
    "Interactions",
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
