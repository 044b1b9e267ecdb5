"""What confirm measures: finalists on validation, methods on test, and what finding them took."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import field
from typing import Any

import optuna
from pydantic.dataclasses import dataclass

from hpo.runs.store import Beyond
from hpo.study.trials import tally
from trainers.config import TrainConfig
from trainers.errors import InputError
from trainers.validation import SETTINGS


@dataclass(frozen=True, config=SETTINGS)
class SearchCost:
    """What finding a config took: finished trials, epochs trained, seconds of training and of the search's evaluation.

    Diverged and interrupted trials are included; what a killed process had not yet written is not.
    """

    trials: int = 0
    epochs: int = 0
    seconds: float = 0.0

    def with_selection(self, finalists: Sequence[Finalist]) -> SearchCost:
        """The same with stage 1 of confirm, which chooses among the finalists."""
        epochs = sum(finalist.epochs_trained for finalist in finalists)
        seconds = sum(finalist.seconds for finalist in finalists)
        return SearchCost(self.trials, self.epochs + epochs, round(self.seconds + seconds, 1))


NO_SEARCH = SearchCost()


def search_cost(study: optuna.Study) -> SearchCost:
    """The cost of a study so far."""
    trials = study.get_trials(deepcopy=False)
    spent = [trial.user_attrs for trial in trials]
    seconds = sum(attrs.get("train_seconds", 0.0) + attrs.get("evaluate_seconds", 0.0) for attrs in spent)
    return SearchCost(tally(trials).finished, sum(attrs.get("epochs_trained", 0) for attrs in spent), round(seconds, 1))


@dataclass(frozen=True, config=SETTINGS)
class Finalist:
    """A config that entered the validation stage, with its metrics by seed; `failure` if it diverged.

    Attributes:
        trial: its number in the search; None for a config that no search has tried.
        search_value: its value there; 0 for such a config.
        curves: by seed, the validation objective by epoch.
        losses: by seed, the mean training loss by epoch.
        seconds: training time over all seeds.
        epochs_trained: over all seeds; a run that diverges ends early.
    """

    trial: int | None
    config: TrainConfig
    search_value: float
    by_seed: dict[int, dict[str, float]]
    failure: str = ""
    curves: dict[int, dict[int, float]] = field(default_factory=dict)
    losses: dict[int, dict[int, float]] = field(default_factory=dict)
    seconds: float = 0.0
    epochs_trained: int = 0

    def mean(self, metric: str) -> float:
        """Mean of a metric on validation over seeds, minus infinity when it diverged."""
        return float("-inf") if self.failure else statistics.fmean(metrics[metric] for metrics in self.by_seed.values())


def highest(finalists: Sequence[Finalist], objective: str, name: str) -> Finalist:
    """The finalist of the highest mean of the objective.

    Raises:
        InputError: all of study `name` diverged.
    """
    best = chosen_of(finalists, objective)
    if best is None:
        raise InputError(f"study {name!r}: every finalist diverged at full epochs, e.g. {finalists[0].failure}")
    return best


def chosen_of(finalists: Sequence[Finalist], objective: str) -> Finalist | None:
    """The finalist of the highest mean of the objective; None where all have diverged, or there is none."""
    best = max(finalists, key=lambda finalist: finalist.mean(objective), default=None)
    return None if best is None or best.failure else best


@dataclass(frozen=True, config=SETTINGS)
class Method:
    """A row of the comparison.

    Attributes:
        label: `MML tuned`, `CCL published`, ...
        config: what was trained; its seed is the first of the seeds.
        by_seed: test metrics by seed.
        seconds: training time over all seeds.
        search: what finding the config took; nothing for published ones.
        study: whose search has found it; empty for published ones.
        beyond: beyond accuracy, mean over seeds; None when a seed diverged.
        gradient: which negatives get the gradient, mean over seeds, see `trainers.metrics.gradient_share.gradient_shares`.
        trained_by: the revisions of this program that trained its runs, which are kept and may be older than this one.
        trained_on: the kinds of machine that they were trained on.
        trained_with: by engine, the versions of the libraries that decide how it rounds.
    """

    label: str
    config: TrainConfig
    by_seed: dict[int, dict[str, float]]
    seconds: float
    failure: str = ""
    search: SearchCost = NO_SEARCH
    study: str = ""
    beyond: Beyond | None = None
    gradient: dict[str, float] = field(default_factory=dict)
    trained_by: list[str] = field(default_factory=list)
    trained_on: list[str] = field(default_factory=list)
    trained_with: dict[str, list[str]] = field(default_factory=dict)

    @property
    def is_tuned(self) -> bool:
        """Whether a search has found its config."""
        return self.search.trials > 0

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


def mean_sd(mean: float, sd: float | None) -> str:
    """`mean ± sd`; the mean alone where one seed has no sd."""
    return f"{mean:.4f}" + ("" if sd is None else f" ± {sd:.4f}")


def mean_of(parts: Sequence[Any]) -> Any:
    """The mean of numbers; of mappings and lists of one shape the mean at each position."""
    first = parts[0]
    if isinstance(first, dict):
        return {key: mean_of([part[key] for part in parts]) for key in first}
    if isinstance(first, list):
        return [mean_of(list(column)) for column in zip(*parts, strict=True)]
    return statistics.fmean(parts)
