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
from hpo.study.trials import retried_by


class SeededByTrial(BaseSampler):
    """Proposes each trial with a new sampler, seeded by the search's seed and the trial's rank.

    The rank is the trial's number minus the number of retries before it; a retry has the rank of the trial that it retries.
    Number and retry are in the storage from the start of a trial, so all workers agree on the rank, and different proposals
    have different ranks. The samplers see the trials in the order of their ranks: TPE weighs older trials less, and the retry
    of a start has a higher number than the starts that wait. A search by one worker therefore proposes the same configs with
    and without interruptions.

    Args:
        make: returns a sampler for a seed and the number of queued trials, which do not count as random startup trials.
        seed: the search's seed.
    """

    def __init__(self, make: Callable[[int, int], BaseSampler], seed: int) -> None:
        self._make = make
        self._seed = seed
        self._number, self._sampler = -1, make(seed, 0)

    def _of(self, study: optuna.Study, trial: FrozenTrial) -> BaseSampler:
        if trial.number != self._number:
            trials = study.get_trials(deepcopy=False)
            seed = np.random.SeedSequence([self._seed, ranks(trials)[trial.number]]).generate_state(1)[0]
            self._number, self._sampler = trial.number, self._make(int(seed), count_queued(trials))
        return self._sampler

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Delegate to the sampler of this trial."""
        return self._of(study, trial).infer_relative_search_space(InOrderOfRanks(study), trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Delegate to the sampler of this trial."""
        return self._of(study, trial).sample_relative(InOrderOfRanks(study), trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Delegate to the sampler of this trial."""
        return self._of(study, trial).sample_independent(InOrderOfRanks(study), trial, param_name, param_distribution)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Delegate to the sampler of this trial."""
        self._of(study, trial).before_trial(study, trial)

    def after_trial(self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Delegate to the sampler of this trial."""
        self._of(study, trial).after_trial(study, trial, state, values)


class InOrderOfRanks(optuna.Study):
    """A study for a sampler: the trials have the order and the numbers that they would have without interruptions."""

    def __init__(self, study: optuna.Study) -> None:
        self.__dict__.update(vars(study))

    def _get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        trials = super()._get_trials(deepcopy=False, use_cache=use_cache)
        if any(RETRY_OF in trial.user_attrs for trial in trials):
            pairs = sorted(zip(ranks(trials), trials, strict=True), key=lambda pair: (pair[0], pair[1].number))
            trials = [copy.copy(trial) for _, trial in pairs]
            for number, trial in enumerate(trials):
                trial.number = number
        found = [trial for trial in trials if states is None or trial.state in states]
        return copy.deepcopy(found) if deepcopy else found


def ranks(trials: Sequence[FrozenTrial]) -> list[int]:
    """The rank of each trial of a study, see `SeededByTrial`."""
    found: list[int] = []
    retries = 0
    for number, trial in enumerate(trials):
        before = retried_by(trial)
        found.append(number - retries if before is None else found[before])
        retries += RETRY_OF in trial.user_attrs
    return found


def make_sampler(plan: SearchPlan, lanes: int = 1) -> BaseSampler:
    """The sampler of a search. Its first `n_startup_trials` trials are random, and at least one per lane."""
    startup = max(plan.sampler.n_startup_trials, lanes)
    if plan.sampler.name == "qmc":  # one sequence for the whole study: it continues from the study's trials
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return QMCSampler(seed=plan.seed, scramble=True, warn_asynchronous_seeding=False)
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
