"""Results of confirm: finalists on validation, methods on test, and the cost of the searches."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import field

import optuna
from optuna.trial import TrialState
from pydantic.dataclasses import dataclass

from hpo.runs.store import Beyond
from hpo.study.attributes import FINISHED, RESUMED_AFTER, RETRY_OF
from hpo.study.trials import in_order_of_ranks, tally
from trainers.config import TrainConfig
from trainers.errors import InputError
from trainers.validation import SETTINGS

PARTS = 3  # `late_percent` is about the last third of a search


@dataclass(frozen=True, config=SETTINGS)
class SearchCost:
    """The cost of finding a config: finished trials, epochs trained, seconds of training and of the search's evaluation.

    Epochs and seconds include diverged and interrupted trials, but not unsaved work of killed processes.
    """

    trials: int = 0
    epochs: int = 0
    seconds: float = 0.0

    def with_selection(self, finalists: Sequence[Finalist]) -> SearchCost:
        """This cost plus the cost of stage 1 of confirm."""
        epochs = sum(finalist.epochs_trained for finalist in finalists)
        seconds = sum(finalist.seconds for finalist in finalists)
        return SearchCost(self.trials, self.epochs + epochs, round(self.seconds + seconds, 1))

    @classmethod
    def total(cls, costs: Sequence[SearchCost]) -> SearchCost:
        """The sum of several costs."""
        seconds = round(sum(cost.seconds for cost in costs), 1)
        return cls(sum(cost.trials for cost in costs), sum(cost.epochs for cost in costs), seconds)


NO_SEARCH = SearchCost()


def search_cost(study: optuna.Study) -> SearchCost:
    """The cost of a study so far. Epochs that were trained again after an interruption count once."""
    trials = study.get_trials(deepcopy=False)
    # a trial that was resumed has the epochs and seconds of its earlier attempt, too
    resumed = {trial.user_attrs.get(RETRY_OF) for trial in trials if RESUMED_AFTER in trial.user_attrs}
    spent = [trial.user_attrs for trial in trials if trial.number not in resumed]
    seconds = sum(attrs.get("train_seconds", 0.0) + attrs.get("evaluate_seconds", 0.0) for attrs in spent)
    return SearchCost(tally(trials).finished, sum(attrs.get("epochs_trained", 0) for attrs in spent), round(seconds, 1))


@dataclass(frozen=True, config=SETTINGS)
class BestSoFar:
    """The best value of a search after each of its finished trials, pruned ones included, which have no value.

    Attributes:
        trials: number of finished trials.
        rises: each new best value, by the number of trials that were finished when it was reached.
    """

    trials: int
    rises: dict[int, float]

    def after(self, trials: int) -> float | None:
        """The best value after the first `trials` trials; None before the first complete one."""
        return max((value for number, value in self.rises.items() if number <= trials), default=None)

    @property
    def late_percent(self) -> float | None:
        """The rise in the last third of the trials, in percent; None if there are too few trials."""
        before, now = self.after(self.trials - self.trials // PARTS), self.after(self.trials)
        return None if self.trials < PARTS or before is None or now is None else percent(now, before)


def best_so_far(study: optuna.Study) -> BestSoFar:
    """The best value of a study after each of its trials, in the order in which they were proposed."""
    trials = [trial for trial in in_order_of_ranks(study.get_trials(deepcopy=False)) if trial.state in FINISHED]
    rises, best = dict[int, float](), float("-inf")
    for number, trial in enumerate(trials, start=1):
        if trial.state == TrialState.COMPLETE and trial.value is not None and trial.value > best:
            best = rises[number] = trial.value
    return BestSoFar(len(trials), rises)


@dataclass(frozen=True, config=SETTINGS)
class Finalist:
    """A config that entered the validation stage, with its metrics by seed; `failure` if it diverged.

    Attributes:
        trial: its number in the search; None for a config that no search tried.
        search_value: its value in the search; 0 for a config that no search tried.
        curves: by seed, the validation objective by epoch.
        losses: by seed, the mean training loss by epoch.
        seconds: training time over all seeds.
        epochs_trained: over all seeds; a run that diverges ends early.
        search: the number of the method's search that found it.
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
    search: int = 1

    def mean(self, metric: str) -> float:
        """The mean of a metric on validation over seeds; minus infinity if it diverged."""
        return float("-inf") if self.failure else statistics.fmean(metrics[metric] for metrics in self.by_seed.values())


def highest(finalists: Sequence[Finalist], objective: str, name: str) -> Finalist:
    """The finalist with the highest mean of the objective.

    Raises:
        InputError: every finalist diverged; the message names the study `name`.
    """
    best = chosen_of(finalists, objective)
    if best is None:
        raise InputError(f"study {name!r}: every finalist diverged when confirm trained it, e.g. {finalists[0].failure}")
    return best


def chosen_of(finalists: Sequence[Finalist], objective: str) -> Finalist | None:
    """The finalist with the highest mean of the objective; None if all diverged or there is none."""
    best = max(finalists, key=lambda finalist: finalist.mean(objective), default=None)
    return None if best is None or best.failure else best


def on_validation(finalists: Sequence[Finalist], objective: str) -> float | None:
    """A method's figure on validation: the mean over its searches, each with its best finalist; None if a search has none."""
    by_search: dict[int, list[Finalist]] = {}
    for finalist in finalists:
        by_search.setdefault(finalist.search, []).append(finalist)
    chosen = [chosen_of(each, objective) for each in by_search.values()]
    found = [each.mean(objective) for each in chosen if each is not None]
    return statistics.fmean(found) if found and len(found) == len(chosen) else None


@dataclass(frozen=True, config=SETTINGS)
class SearchWinner:
    """The winner of one search of a method, as stage 2 trained it.

    Attributes:
        number: the number of the search, from 1.
        study: the name of its study.
        config: its seed is the first of `seeds`.
        seeds: the seeds of its runs on test.
    """

    number: int
    study: str
    trial: int | None
    config: TrainConfig
    seeds: list[int]


@dataclass(frozen=True, config=SETTINGS)
class Method:
    """A row of the comparison.

    Attributes:
        label: `MML tuned`, `CCL published`, ...
        config: the trained config, with the first of its seeds; with several searches, the best one on validation.
        by_seed: test metrics by seed, of all searches; searches share no seed.
        seconds: training time over all seeds.
        search: the cost of all its searches; zero for a published config.
        searches: the winner of each search; empty for a published config.
        beyond: measures beyond accuracy, mean over seeds; None if a seed diverged.
        gradient: which negatives get the gradient, mean over seeds, see `trainers.metrics.gradient_share.gradient_shares`.
        trained_by: the revisions of this program that trained its runs; stored runs may be from older ones.
        trained_on: the kinds of machine that trained its runs.
        trained_with: by engine, the versions of the libraries that affect rounding.
    """

    label: str
    config: TrainConfig
    by_seed: dict[int, dict[str, float]]
    seconds: float
    failure: str = ""
    search: SearchCost = NO_SEARCH
    searches: list[SearchWinner] = field(default_factory=list)
    beyond: Beyond | None = None
    gradient: dict[str, float] = field(default_factory=dict)
    trained_by: list[str] = field(default_factory=list)
    trained_on: list[str] = field(default_factory=list)
    trained_with: dict[str, list[str]] = field(default_factory=dict)

    @property
    def is_tuned(self) -> bool:
        """Whether a search found its config."""
        return self.search.trials > 0

    @property
    def seeds(self) -> list[list[int]]:
        """The seeds of each search; one list for a published config."""
        return [one.seeds for one in self.searches] or [[*self.by_seed]]

    def values(self, metric: str) -> list[list[float]]:
        """The metric for every seed, a list for each search; one list for a published config."""
        return [[self.by_seed[seed][metric] for seed in seeds] for seeds in self.seeds]

    def mean(self, metric: str) -> float:
        """The mean over seeds, then over searches."""
        return over_searches(self.values(metric))[0]

    def found_by(self, number: int) -> SearchWinner | None:
        """The winner of one of its searches; None for a published config."""
        return next((one for one in self.searches if one.number == number), None)

    def of_search(self, number: int) -> dict[int, dict[str, float]]:
        """Test metrics by seed of one of its searches; for a published config, of all its seeds."""
        found = self.found_by(number)
        return self.by_seed if found is None else {seed: self.by_seed[seed] for seed in found.seeds}

    def sd(self, metric: str) -> float | None:
        """Standard deviation between searches, or over the seeds of a single search; None for one seed."""
        return over_searches(self.values(metric))[1]


def over_searches(values: Sequence[Sequence[float]]) -> tuple[float, float | None]:
    """Mean and standard deviation of a method's figures, which come as a list for each search.

    The mean is over the seeds of each search, then over searches. The standard deviation is between searches, or over the seeds
    of a single search; None for one seed.
    """
    means = [statistics.fmean(each) for each in values]
    return statistics.fmean(means), mean_and_sd(values[0] if len(values) == 1 else means)[1]


def mean_and_sd(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and standard deviation; the latter is None for a single value."""
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None


def percent(value: float, before: float) -> float | None:
    """The rise from `before` to `value` in percent; None unless `before` is above 0."""
    return 100 * (value / before - 1) if before > 0 else None
