"""Optuna's samplers and pruners for a search plan."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Container, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler, GPSampler, QMCSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from hpo.study.attributes import RETRY_OF
from hpo.study.plan import PrunerSpec, SearchPlan
from hpo.study.starts import count_queued, was_queued
from hpo.study.trials import in_order_of_ranks, ranks

WIDENED = "widened"  # attribute of a study: how often ranges were widened on the way to it; absent if never


class SeededByTrial(BaseSampler):
    """Proposes each trial with a new sampler, seeded by the search's seed and the trial's rank.

    The rank, see `ranks`, follows from what is in the storage from the start of a trial, so all workers agree on it, and
    different proposals have different ranks. The samplers see the trials in the order of their ranks: TPE weighs older trials
    less, and the retry of a start has a higher number than the starts that wait. A search by one worker therefore proposes the
    same configs with and without interruptions. In wider ranges all seeds are others, so no trial of the original is drawn
    again.

    Args:
        make: returns a sampler for a seed and the number of queued trials, which do not count as random startup trials.
        seed: the search's seed.
    """

    def __init__(self, make: Callable[[int, int], BaseSampler], seed: int) -> None:
        self._make = make
        self._seed = seed
        self._number, self._rank, self._sampler = -1, -1, make(seed, 0)

    def _of(self, study: optuna.Study, trial: FrozenTrial) -> tuple[BaseSampler, InOrderOfRanks, FrozenTrial]:
        """The sampler of a trial; and the study and the trial as it should see them, with ranks as numbers."""
        if trial.number != self._number:
            trials = study.get_trials(deepcopy=False)
            self._number, self._rank = trial.number, ranks(trials)[trial.number]
            self._sampler = self._make(_seed_from(self._seed, self._rank, *_widened(study)), count_queued(trials))
        return self._sampler, InOrderOfRanks(study), _numbered(trial, self._rank)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Delegate to the sampler of this trial."""
        sampler, ordered, ranked = self._of(study, trial)
        return sampler.infer_relative_search_space(ordered, ranked)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Delegate to the sampler of this trial."""
        sampler, ordered, ranked = self._of(study, trial)
        return sampler.sample_relative(ordered, ranked, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Delegate to the sampler of this trial."""
        sampler, ordered, ranked = self._of(study, trial)
        return sampler.sample_independent(ordered, ranked, param_name, param_distribution)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Delegate to the sampler of this trial."""
        sampler, ordered, ranked = self._of(study, trial)
        sampler.before_trial(ordered, ranked)

    def after_trial(self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Delegate to the sampler of this trial."""
        sampler, ordered, ranked = self._of(study, trial)
        sampler.after_trial(ordered, ranked, state, values)


class InOrderOfRanks(optuna.Study):
    """A study for a sampler: the trials have the order and the numbers that they would have without interruptions.

    The numbers are ranks. They do not change when others are queued, so TPE, which leaves the trial that it samples out of its
    model by number, always finds it. All attempts at one trial have the same number.
    """

    def __init__(self, study: optuna.Study) -> None:
        self.__dict__.update(vars(study))

    def _get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        trials = super()._get_trials(deepcopy=False, use_cache=use_cache)
        if any(RETRY_OF in trial.user_attrs for trial in trials):
            rank = dict(zip([trial.number for trial in trials], ranks(trials), strict=True))
            trials = [_numbered(trial, rank[trial.number]) for trial in in_order_of_ranks(trials)]
        found = [trial for trial in trials if states is None or trial.state in states]
        return copy.deepcopy(found) if deepcopy else found


def _numbered(trial: FrozenTrial, number: int) -> FrozenTrial:
    copied = copy.copy(trial)
    copied.number = number
    return copied


class OneSequence(QMCSampler):
    """Proposes all trials of a study from one quasi-random sequence; in wider ranges from another one.

    Args:
        seed: the search's seed.
    """

    def __init__(self, seed: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            super().__init__(seed=seed, scramble=True, warn_asynchronous_seeding=False)
        self._seeds = seed

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The next point of the sequence. Optuna counts the points in the storage, for each seed and space."""
        times = _widened(study)
        self._seed = _seed_from(self._seeds, *times) if times else self._seeds
        return super().sample_relative(study, trial, search_space)


def _widened(study: optuna.Study) -> tuple[int, ...]:
    """How often the ranges of a study were widened; empty if never."""
    times = study.user_attrs.get(WIDENED)
    return () if times is None else (times,)


def _seed_from(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def make_sampler(plan: SearchPlan, lanes: int = 1) -> BaseSampler:
    """The sampler of a search. Its first `n_startup_trials` trials are random, and at least one per lane."""
    startup = max(plan.sampler.n_startup_trials, lanes)
    if plan.sampler.name == "qmc":
        return OneSequence(plan.seed)
    makers: dict[str, Callable[[int, int], BaseSampler]] = {
        "tpe": lambda seed, others: TPESampler(seed=seed, n_startup_trials=startup + others),
        "gp": lambda seed, others: GPSampler(seed=seed, n_startup_trials=startup + others),
        "random": lambda seed, _: RandomSampler(seed=seed),
    }
    return SeededByTrial(makers[plan.sampler.name], plan.seed)


def make_pruner(spec: PrunerSpec, epochs: int) -> BasePruner:
    """The pruner of trials of `epochs` epochs. Reports must have the number of trained epochs as their step."""
    if spec.name == "none":
        return optuna.pruners.NopPruner()
    when = (0, spec.warmup(epochs), spec.interval_steps)
    pruner: BasePruner
    if spec.name == "median":
        pruner = optuna.pruners.MedianPruner(*when, n_min_trials=spec.n_min_trials)
    else:
        pruner = optuna.pruners.PercentilePruner(spec.percentile, *when, n_min_trials=spec.n_min_trials)
    return AfterProposed(pruner, spec.n_startup_trials)


class AfterProposed(BasePruner):
    """Wraps a pruner: prunes only after `n_startup_trials` complete trials that were not queued.

    The starts resemble each other, so alone they say little about the median. They are part of it all the same.
    """

    def __init__(self, pruner: BasePruner, n_startup_trials: int) -> None:
        self._pruner = pruner
        self._n_startup_trials = n_startup_trials

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Whether to prune the trial."""
        complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        proposed = sum(not was_queued(one) for one in complete)
        return proposed >= self._n_startup_trials and self._pruner.prune(study, trial)
