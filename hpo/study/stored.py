"""Studies as a storage holds them: checked before use, since journals are copied, cut and edited."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from hpo.study.attributes import FINISHED, SAMPLED
from hpo.study.definition import (
    REMEDY,
    SPEC,
    STUDY_ID,
    StoredStudy,
    definition_of,
    differences,
    stored_definition,
)
from hpo.study.spec import StudySpec, check_name
from hpo.study.trials import trial_config
from trainers.errors import InputError, first_line, unknown
from trainers.text import shown

EVALUATED_ON = "evaluated on"  # of a study: how many validation users trials are measured on before their last epoch, and then
NUMBERS = ("epochs_trained", "train_seconds", "evaluate_seconds")  # of every finished trial, beside its metrics


def find_study(storage: BaseStorage, name: str) -> optuna.Study:
    """An existing study, to be read.

    Raises:
        InputError: there is no such study (nearest name suggested).
    """
    names = optuna.get_all_study_names(storage)
    if name not in names:
        raise InputError(f"{unknown('study', name, names)}; nothing of that name has been run on this storage")
    return optuna.load_study(study_name=name, storage=storage)


def is_ours(study: optuna.Study) -> bool:
    """Whether this program made the study; others may share the storage."""
    return SPEC in study.user_attrs


def stored_study(study: optuna.Study) -> StoredStudy:
    """A study as it was run, with its rivals as they were then, after a look at its trials.

    Raises:
        InputError: it was made by another program or in another format, is damaged, or has a name that no folder can have.
    """
    where = f"study {study.study_name!r}"
    if not is_ours(study):
        raise InputError(f"{where} was not made by this program: it carries no definition")
    found = StoredStudy.from_dict(study.user_attrs[SPEC], where, REMEDY)
    definition = stored_definition(study.study_name, study.user_attrs)
    now = definition_of(found.spec, definition.split_data, definition.engine)
    if unlike := differences(definition, now, leaving_out=("code",)):  # to read a study its code may have changed
        raise InputError(f"{where} is damaged: {'; '.join(map(str, unlike))}; {REMEDY}")
    if not isinstance(study.user_attrs.get(STUDY_ID), str):
        raise InputError(f"{where} is damaged: it has no {STUDY_ID}; {REMEDY}")
    if not _is_some_of(study.user_attrs.get(EVALUATED_ON)):
        raise InputError(f"{where} is damaged: it does not say on how many users its trials were evaluated; {REMEDY}")
    if study.metric_names != [found.spec.objective]:
        raise InputError(f"{where} is damaged: its metric is called {study.metric_names!r}; {REMEDY}")
    for trial in study.get_trials(deepcopy=False, states=FINISHED):
        _check_trial(trial, found.spec, where)
    name = check_name(study.study_name)  # of a copy the spec has the original's
    return found.model_copy(update={"spec": found.spec.model_copy(update={"name": name})})


def unsound_trials(study: optuna.Study) -> Iterator[FrozenTrial]:
    """The finished trials of a study that `stored_study` would refuse it for.

    Raises:
        InputError: it was made by another program or in another format.
    """
    where = f"study {study.study_name!r}"
    spec = StoredStudy.from_dict(study.user_attrs.get(SPEC), where, REMEDY).spec
    for trial in study.get_trials(deepcopy=False, states=FINISHED):
        try:
            _check_trial(trial, spec, where)
        except InputError:
            yield trial


def _is_some_of(counts: Any) -> bool:
    """Whether these are two whole numbers, the first at least 1 and not above the second."""
    is_pair = isinstance(counts, list) and len(counts) == 2 and all(type(count) is int for count in counts)
    return is_pair and 1 <= counts[0] <= counts[1]


def on_some_users(study: optuna.Study) -> str:
    """On whom trials were measured before their last epoch, and so those that were pruned: `on 1,000 of 31,668 validation
    users`; empty where on all."""
    counts: Any = study.user_attrs.get(EVALUATED_ON)
    return f"on {counts[0]:,} of {counts[1]:,} validation users" if _is_some_of(counts) and counts[0] < counts[1] else ""


def stored_spec(study: optuna.Study) -> StudySpec:
    """The spec of a `stored_study`, which raises what that does."""
    return stored_study(study).spec


def stored_rivals(study: optuna.Study) -> tuple[StudySpec, ...]:
    """The rivals of a `stored_study`, which raises what that does."""
    return stored_study(study).rivals


def _check_trial(trial: FrozenTrial, spec: StudySpec, where: str) -> None:
    try:
        trial_config(trial, spec)
    except (ValueError, TypeError, KeyError, OverflowError) as error:  # what no space has sampled
        raise InputError(f"{where}: trial {trial.number} is damaged ({first_line(error)}); {REMEDY}") from None
    attributes = trial.user_attrs
    if attributes.get(SAMPLED) is not True:
        raise InputError(f"{where}: trial {trial.number} is damaged (not all its parameters were drawn); {REMEDY}")
    numbers: dict[str, Any] = {name: attributes.get(name) for name in (spec.measured[1], *NUMBERS)}
    if trial.state == TrialState.COMPLETE:
        numbers["value"] = trial.value
    for name, number in numbers.items():
        is_right = isinstance(number, int if name == "epochs_trained" else int | float)
        if not is_right or not abs(number) <= sys.float_info.max:
            raise InputError(f"{where}: trial {trial.number} is damaged ({name} is {shown(number)}); {REMEDY}")
