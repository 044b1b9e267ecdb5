"""The first trials of a search: published settings, and randomly moved copies of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from hpo.study.attributes import FAILURE, FINISHED, NEAREST_MARK, PUBLISHED_MARK, RETRY_OF, START_MARK, START_MARKS, WORKER_DIED
from hpo.study.spec import StudySpec
from trainers.errors import InputError
from trainers.published import published_elsewhere, settings_of

STARTS = "starts"  # attribute of a study: the queued starts, so that another version of this program queues the same
SPREAD = 0.15  # standard deviation of a moved copy, as a share of the length of the range (of its logarithm if it has one)


@dataclass(frozen=True)
class Start:
    """A trial to queue: the attribute that marks it, the value of that attribute, and the parameters."""

    mark: str
    label: str
    params: dict[str, Any]


def starts_of(spec: StudySpec) -> tuple[list[Start], str]:
    """The first trials of a search in order; and why the published config is not among them, or an empty text.

    They are the published config, or the nearest one in the space; then at most `search.starts` others: configs that were
    published for other data, then copies of the first one, moved at random with the search's seed. None has the parameters of
    another.
    """
    epochs, seed = spec.search.epochs, spec.search.seed
    published = spec.published(epochs, seed)
    if published is None:
        return [], f"no published settings are known for loss {spec.space.loss_name}"
    config, label = published
    try:
        first, why_not = Start(PUBLISHED_MARK, label, spec.space.params(config)), ""
    except InputError as error:
        why_not = f"the {label} are outside this study's search ranges: {error}"
        nearest = spec.space.nearest(config)
        if nearest is None:
            return [], why_not
        first, why_not = Start(NEAREST_MARK, label, nearest), f"{why_not}; the nearest config inside them is tried first"
    found = [first]
    for loss, dataset in published_elsewhere(spec.space.loss_name, spec.dataset, *spec.model):
        params = spec.space.nearest(spec.train_config(loss, epochs, seed))
        if params is not None and params not in [start.params for start in found]:
            found.append(Start(START_MARK, settings_of(dataset), params))
    found = found[: 1 + spec.search.starts]
    for number in range(1, spec.search.starts + 2 - len(found)):
        params = spec.space.moved(first.params, SPREAD, np.random.default_rng([seed, number]))
        if params not in [start.params for start in found]:
            found.append(Start(START_MARK, f"{label}, moved {number}", params))
    return found, why_not


def enqueue_starts(study: optuna.Study, spec: StudySpec) -> str:
    """Queue the first trials of a search, and lost ones again. Returns why the published config is not among them, or an empty
    text."""
    starts, why_not = starts_of(spec)
    if STARTS not in study.user_attrs:
        study.set_user_attr(STARTS, [[start.mark, start.label, start.params] for start in starts])
    trials = study.get_trials(deepcopy=False)
    for mark, label, params in study.user_attrs[STARTS]:
        marked = [trial for trial in trials if trial.user_attrs.get(mark) == label]
        if all(_was_lost(trial) for trial in marked):
            # a lost trial is queued as a retry, so that later proposals do not depend on the loss
            attempt = {RETRY_OF: marked[-1].number} if marked else {}
            study.enqueue_trial(params, user_attrs={mark: label, **attempt})
    return why_not


def has_failed_as(trials: Sequence[FrozenTrial], mark: str, label: str) -> bool:
    """Whether a start was tried and failed because of its config, so that it is not tried again."""
    marked = [trial for trial in trials if trial.user_attrs.get(mark) == label]
    return any(trial.state == TrialState.FAIL and not _was_lost(trial) for trial in marked) and not any(
        trial.state in FINISHED for trial in marked
    )


def was_queued(trial: FrozenTrial) -> bool:
    """Whether a trial is one of the starts, which no sampler proposed."""
    return any(mark in trial.user_attrs for mark in START_MARKS)


def count_queued(trials: Iterable[FrozenTrial]) -> int:
    """The number of starts among trials. Retries and duplicates, which several processes may queue, do not count."""
    return len({(mark, trial.user_attrs[mark]) for trial in trials for mark in START_MARKS if mark in trial.user_attrs})


def _was_lost(trial: FrozenTrial) -> bool:
    """Whether a trial failed for another reason than its config, so that it may be tried again."""
    failure = trial.user_attrs.get(FAILURE)
    return trial.state == TrialState.FAIL and (failure is None or bool(failure.get(WORKER_DIED)))
