"""The metric that a study's trials are valued by, and the other metrics that are measured."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from trainers.metrics.definitions import Metric

DEFAULT_OBJECTIVE = "ndcg@20"
USUAL = ("ndcg@20", "recall@20", "ndcg@50", "recall@50")  # measured at full budget whatever the objective


def _known(text: str) -> str:
    return str(Metric.parse(text))


Objective = Annotated[str, AfterValidator(_known)]
"""The name of a metric, see `trainers.metrics.definitions`."""


def measured(objective: str) -> tuple[str, str]:
    """What a search measures: the objective and the secondary metric: recall at the same cut-off, or NDCG for recall."""
    metric = Metric.parse(objective)
    return objective, f"{'ndcg' if metric.name == 'recall' else 'recall'}@{metric.k}"


def measured_at_full_budget(objective: str) -> tuple[str, ...]:
    """What runs at full budget are measured in: what the search measures, then the usual ones; the objective first."""
    return tuple(dict.fromkeys([*measured(objective), *USUAL]))
