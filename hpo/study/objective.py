"""The objective of a study, and the other metrics that are measured."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from trainers.metrics.definitions import Metric

DEFAULT_OBJECTIVE = "ndcg@20"
USUAL = ("ndcg@20", "recall@20", "ndcg@50", "recall@50")  # always measured at full budget


def _known(text: str) -> str:
    return str(Metric.parse(text))


Objective = Annotated[str, AfterValidator(_known)]
"""The name of a metric, see `trainers.metrics.definitions`."""


def measured(objective: str) -> tuple[str, str]:
    """The metrics of a search: the objective, and recall at the same cut-off, or NDCG if the objective is recall."""
    metric = Metric.parse(objective)
    return objective, f"{'ndcg' if metric.name == 'recall' else 'recall'}@{metric.k}"


def measured_at_full_budget(objective: str) -> tuple[str, ...]:
    """The metrics of runs at full budget: those of the search, the objective first, then the usual ones."""
    return tuple(dict.fromkeys([*measured(objective), *USUAL]))
