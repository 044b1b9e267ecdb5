"""Trials: their configs and values, and the best ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from hpo.study.attributes import (
    FAILURE,
    LOST,
    RETRY_OF,
    stands_for_published,
)
from hpo.study.spec import StudySpec
from trainers.config import TrainConfig


@dataclass(frozen=True)
class Tally:
    """The number of trials of each kind, and the highest value of the complete ones.

    Attributes:
        failed: trials that failed because of their config, without interrupted and lost ones.
        best: None before the first complete trial.
    """

    complete: int
    pruned: int
    running: int
    failed: int
    best: float | None

    @property
    def finished(self) -> int:
        """The number of trials that count towards the budget."""
        return self.complete + self.pruned


def tally(trials: Iterable[FrozenTrial]) -> Tally:
    """Count the trials of a study."""
    trials = list(trials)
    states = [trial.state for trial in trials]
    values = [trial.value for trial in trials if trial.state == TrialState.COMPLETE and trial.value is not None]
    return Tally(
        complete=states.count(TrialState.COMPLETE),
        pruned=states.count(TrialState.PRUNED),
        running=states.count(TrialState.RUNNING),
        failed=sum(has_failed(trial) for trial in trials),
        best=max(values, default=None),
    )


def has_failed(trial: FrozenTrial) -> bool:
    """Whether a trial failed because of its config. The reason is stored before the trial is ended."""
    return trial.state == TrialState.FAIL and FAILURE in trial.user_attrs


def trial_value(metrics: dict[str, float], spec: StudySpec) -> float:
    """The value of a trial: the objective at its last trained epoch, not smoothed and not the best over epochs."""
    return metrics[spec.objective]


def trial_metrics(trial: FrozenTrial, spec: StudySpec) -> dict[str, float]:
    """The metrics of a complete trial by name, the objective first."""
    objective, secondary = spec.measured
    assert trial.value is not None  # complete
    return {objective: trial.value, secondary: trial.user_attrs[secondary]}


def shown_metrics(trial: FrozenTrial, spec: StudySpec) -> str:
    """The metrics of a complete trial as text."""
    return ", ".join(f"{name} {value:.4f}" for name, value in trial_metrics(trial, spec).items())


def searched_fields(config: TrainConfig, spec: StudySpec) -> dict[str, Any]:
    """The effective values of the searched settings as plain data, e.g. margins and weights instead of ratios."""
    plain = config.to_dict()
    fields = {key: value for key, value in plain["loss"].items() if key != "name"}
    inner = {"negatives": config.negatives.per_row(config.batch_size), "dropout": config.encoder.dropout}
    inner |= {name: plain["encoder"][name] for name in ("init_std", "dim") if name in plain["encoder"]}
    return fields | {name: inner.get(name, plain.get(name)) for name in spec.space.also}


def trial_config(trial: FrozenTrial | optuna.Trial, spec: StudySpec) -> TrainConfig:
    """The config that a trial trained."""
    return spec.space.config(trial.params, spec.fields(spec.search.epochs, spec.search.seed))


def best_trials(study: optuna.Study, count: int | None = None) -> list[FrozenTrial]:
    """The `count` best complete trials (by default all), best first; of equal values the one that was proposed first. Of equal
    parameters only the first counts."""
    complete = [one for one in in_order_of_ranks(study.get_trials(deepcopy=False)) if one.state == TrialState.COMPLETE]
    by_params = dict[tuple[tuple[str, Any], ...], FrozenTrial]()
    for trial in sorted(complete, key=lambda trial: -(trial.value or 0.0)):
        by_params.setdefault(tuple(sorted(trial.params.items())), trial)
    return [*by_params.values()][:count]


def finalist_trials(study: optuna.Study, count: int, spec: StudySpec) -> list[FrozenTrial]:
    """The trials that confirm retrains: the best `count`, and the published config or the nearest to it, whatever its rank.

    A search of few epochs ranks fast learners too high (benchmarks/RESULTS.md), so the published config may overtake them. If
    no paper has a config, the first trial is added, because the gain of the search is measured against it. Parameters may
    have no effect, such as tau with one margin, so the best ones are compared by their configs.
    """
    ranked = best_trials(study)
    first, top, configs = first_of(study, spec), list[FrozenTrial](), list[TrainConfig]()
    for trial in ranked:
        config = trial_config(trial, spec) if len(top) < count else None
        if config is not None and config not in configs:
            top.append(trial)
            configs.append(config)
    chosen = {trial.number for trial in top}
    others = [trial for trial in ranked if trial.number not in chosen]
    return top + [trial for trial in others if stands_for_published(trial) or trial == first]


def first_of(study: optuna.Study, spec: StudySpec) -> FrozenTrial | None:
    """The complete trial that the gain of a search is measured against: the published config, or the nearest to it in the
    ranges; if no paper has one, the first trial."""
    ranked = best_trials(study)
    if spec.published(spec.search.epochs, spec.search.seed) is not None:
        return next((trial for trial in ranked if stands_for_published(trial)), None)
    of_ranked = {trial.number for trial in ranked}
    return next((one for one in in_order_of_ranks(study.get_trials(deepcopy=False)) if one.number in of_ranked), None)


def attempts(trials: Sequence[FrozenTrial], number: int) -> Iterator[FrozenTrial]:
    """Yield a trial, the trial that it retries, and so on to the first attempt."""
    trial = trials[number]
    yield trial
    while (before := retried_by(trial)) is not None:
        trial = trials[before]
        yield trial


def retried_by(trial: FrozenTrial) -> int | None:
    """The number of the trial that this one retries; None if it is a first attempt."""
    before = trial.user_attrs.get(RETRY_OF)
    return before if isinstance(before, int) and 0 <= before < trial.number else None


def ranks(trials: Sequence[FrozenTrial]) -> list[int]:
    """The rank of each trial of a study: its number minus the number of retries before it. A retry has the rank of the trial
    that it retries, so ranks are the numbers that trials would have without interruptions.

    Args:
        trials: all trials, in the order of their numbers.
    """
    found: list[int] = []
    retries = 0
    for number, trial in enumerate(trials):
        before = retried_by(trial)
        found.append(number - retries if before is None else found[before])
        retries += RETRY_OF in trial.user_attrs
    return found


def in_order_of_ranks(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """All trials of a study in the order of their ranks. Attempts at one trial have the order of their numbers."""
    pairs = zip(ranks(trials), trials, strict=True)
    return [trial for _, trial in sorted(pairs, key=lambda pair: (pair[0], pair[1].number))]


def is_lost(trial: FrozenTrial) -> bool:
    """Whether a trial was ended because its worker is gone, so that it needs a retry."""
    return trial.state == TrialState.FAIL and LOST in trial.user_attrs and FAILURE not in trial.user_attrs
