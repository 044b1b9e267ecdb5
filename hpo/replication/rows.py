"""What a table of a paper is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from trainers.config import TrainConfig
from trainers.early_stopping import Plateau

MEAN_POPULARITY = "mean popularity"  # of recommended items, see `trainers.metrics.beyond_accuracy.summarise`


@dataclass(frozen=True)
class PaperRow:
    """A row of a paper's table.

    Attributes:
        name: the name in the paper.
        fields: the fields of the TrainConfig, without epochs and seed.
        paper: the paper's figures on the test split by metric; some may be missing.
        plateau: the rule of early stopping; None without.
        validation: whether the plateau looks at validation data, see `hpo.replication.validation`; else at the test split.
        over_all_users: whether the paper's means count users without a test item as 0.
    """

    name: str
    dataset: str
    fields: dict[str, Any]
    paper: dict[str, float]
    plateau: Plateau | None = None
    validation: bool = False
    over_all_users: bool = False

    def config(self, epochs: int, seed: int, count: int | None) -> TrainConfig:
        """The config to train. `count` replaces the number of negatives, unless it is None."""
        fields = self.fields | ({"negatives": {"name": "uniform", "count": count}} if count else {})
        return TrainConfig.from_dict({**fields, "epochs": epochs, "seed": seed})


@dataclass(frozen=True)
class PaperGain:
    """By how much a row is better than another one of the same dataset, where a paper gives no more than that.

    Attributes:
        name, over: the names of the two rows.
        count: number of uniform negatives of both.
        paper: the relative difference by metric.
    """

    name: str
    over: str
    dataset: str
    count: int
    paper: dict[str, float]


@dataclass(frozen=True)
class PaperTable:
    """A table of a paper.

    Attributes:
        gains: what the paper says of rows with other numbers of negatives.
        metrics: its columns.
        epochs: epochs of its rows.
        count: number of uniform negatives of its rows; None if the rows have their own negatives.
        note: differences that matter for a comparison.
    """

    rows: tuple[PaperRow, ...]
    metrics: tuple[str, ...]
    epochs: int
    count: int | None
    note: str
    gains: tuple[PaperGain, ...] = ()
