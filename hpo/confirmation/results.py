"""What confirm measures: candidates on validation, methods on test, and what finding them took."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import optuna

from hpo.confirmation.statistics import Floats
from hpo.study.spec import OBJECTIVE
from hpo.study.trials import tally
from trainers.config import TrainConfig
from trainers.errors import InputError

CONFIRM_METRICS = ("ndcg@20", "recall@20", "ndcg@50", "recall@50")
LOSS_BY_EPOCH = "training loss by epoch"


@dataclass(frozen=True)
class SearchCost:
    """What finding a config took: finished trials, epochs trained, seconds of training and of the search's evaluation.

    Diverged and interrupted trials are included; what a killed process had not yet written is not.
    """

    trials: int = 0
    epochs: int = 0
    seconds: float = 0.0

    def with_selection(self, candidates: Sequence[Candidate]) -> SearchCost:
        """The same with stage 1 of confirm, which chooses among the candidates."""
        epochs = sum(candidate.config.epochs * len(candidate.by_seed) for candidate in candidates)
        seconds = sum(candidate.seconds for candidate in candidates)
        return SearchCost(self.trials, self.epochs + epochs, round(self.seconds + seconds, 1))


NO_SEARCH = SearchCost()


def search_cost(study: optuna.Study) -> SearchCost:
    """The cost of a study so far."""
    trials = study.get_trials(deepcopy=False)
    spent = [trial.user_attrs for trial in trials]
    seconds = sum(attrs.get("train_seconds", 0.0) + attrs.get("evaluate_seconds", 0.0) for attrs in spent)
    return SearchCost(tally(trials).finished, sum(attrs.get("epochs_trained", 0) for attrs in spent), round(seconds, 1))


@dataclass(frozen=True)
class Candidate:
    """A config that entered the validation stage, with its metrics by seed; `failure` if it diverged.

    Attributes:
        curves: by seed, the validation objective by epoch.
        losses: by seed, the mean training loss by epoch.
        seconds: training time over all seeds.
    """

    trial: int
    config: TrainConfig
    search_value: float
    by_seed: dict[int, dict[str, float]]
    failure: str = ""
    curves: dict[int, dict[int, float]] = field(default_factory=dict)
    losses: dict[int, dict[int, float]] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def mean(self) -> float:
        """Mean validation objective over seeds, minus infinity when it diverged."""
        return float("-inf") if self.failure else statistics.fmean(m[OBJECTIVE] for m in self.by_seed.values())

    def to_dict(self) -> dict[str, Any]:
        """Plain data for confirm.yaml."""
        outcome = {"failure": self.failure} if self.failure else {f"mean {OBJECTIVE}": self.mean}
        found = {"trial": self.trial, "search_value": self.search_value, **outcome, "by_seed": self.by_seed}
        return {**found, f"{OBJECTIVE} by epoch": self.curves, LOSS_BY_EPOCH: self.losses}


def highest(candidates: Sequence[Candidate], name: str) -> Candidate:
    """The candidate of the highest mean.

    Raises:
        InputError: all of study `name` diverged.
    """
    winner = max(candidates, key=lambda candidate: candidate.mean)
    if winner.failure:
        raise InputError(f"study {name!r}: every candidate diverged at full epochs, e.g. {winner.failure}")
    return winner


@dataclass(frozen=True)
class Method:
    """A row of the comparison.

    Attributes:
        label: `MML tuned`, `CCL published`, ...
        config: what was trained; its seed is the first of the seeds.
        by_seed: test metrics by seed.
        per_user: (n_users,) the objective of each user, mean over seeds; empty when a seed diverged.
        seconds: training time over all seeds.
        search: what finding the config took; nothing for published ones.
        beyond: beyond accuracy, mean over seeds, see `trainers.metrics.beyond_accuracy.summarise`.
        gradient: which negatives get the gradient, mean over seeds, see `trainers.metrics.gradient_share.gradient_shares`.
        trained_by: the revisions of this program that trained its runs, which are kept and may be older than this one.
        trained_on: the kinds of machine that they were trained on, as far as they say so.
    """

    label: str
    config: TrainConfig
    by_seed: dict[int, dict[str, float]]
    seconds: float
    failure: str = ""
    per_user: Floats = field(default_factory=lambda: np.zeros(0), repr=False)
    search: SearchCost = NO_SEARCH
    beyond: dict[str, Any] = field(default_factory=dict)
    gradient: dict[str, float] = field(default_factory=dict)
    trained_by: Sequence[str] = ()
    trained_on: Sequence[str] = ()

    def values(self, metric: str) -> list[float]:
        """The metric for every seed."""
        return [metrics[metric] for metrics in self.by_seed.values()]

    def mean(self, metric: str) -> float:
        """Mean over seeds."""
        return statistics.fmean(self.values(metric))

    def sd(self, metric: str) -> float | None:
        """Standard deviation over seeds, None for one seed."""
        return statistics.stdev(self.values(metric)) if len(self.by_seed) > 1 else None

    def figure(self, metric: str) -> str:
        """`mean ± sd` of a metric."""
        return mean_sd(self.mean(metric), self.sd(metric))

    def to_dict(self) -> dict[str, Any]:
        """Plain data for confirm.yaml."""
        means = {} if self.failure else {m: {"mean": self.mean(m), "sd": self.sd(m)} for m in CONFIRM_METRICS}
        failure = {"failure": self.failure} if self.failure else {}
        costs = {"seconds": round(self.seconds, 1), "search": asdict(self.search)}
        found = {"by_seed": self.by_seed, "beyond": self.beyond, "gradient": self.gradient}
        trained = {"trained_by": [*self.trained_by], "trained_on": [*self.trained_on], "config": self.config.to_dict()}
        return {"method": self.label, **failure, **means, **costs, **found, **trained}


def mean_sd(mean: float, sd: float | None) -> str:
    """`mean ± sd`; the mean alone where one seed has no sd."""
    return f"{mean:.4f}" + ("" if sd is None else f" ± {sd:.4f}")


def mean_of(parts: Sequence[Any]) -> Any:
    """The mean of numbers, and of what stands at the same place in equal mappings and lists."""
    first = parts[0]
    if isinstance(first, dict):
        return {key: mean_of([part[key] for part in parts]) for key in first}
    if isinstance(first, list):
        return [mean_of(list(column)) for column in zip(*parts, strict=True)]
    return statistics.fmean(parts)
