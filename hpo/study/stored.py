"""Reads studies from a storage and checks them: journals get copied, cut and edited."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from hpo.study.attributes import FINISHED, NUMBERS, SAMPLED
from hpo.study.definition import (
    OF_CODE,
    REMEDY,
    SPEC,
    STUDY_ID,
    StoredStudy,
    definition_of,
    differences,
    differences_said,
    stored_definition,
)
from hpo.study.names import check_name
from hpo.study.spec import StudySpec
from hpo.study.trials import trial_config
from trainers.errors import InputError, first_line, unknown
from trainers.text import shown

# Attribute of a study: the numbers of validation users that trials are measured on before and at their last epoch.
EVALUATED_ON = "evaluated on"


def find_study(storage: BaseStorage, name: str) -> optuna.Study:
    """An existing study.

    Raises:
        InputError: there is no such study; the message suggests the nearest name.
    """
    names = optuna.get_all_study_names(storage)
    if not names:
        raise InputError(
            f"unknown study {name!r}: this storage holds no study at all; run it first with hpo.run, or give another "
            "--storage or --output"
        )
    if name not in names:
        raise InputError(
            f"{unknown('study', name, names)}; this storage has no study of that name: run it first with hpo.run, or give "
            "another --storage or --output"
        )
    return optuna.load_study(study_name=name, storage=storage)


def is_ours(study: optuna.Study) -> bool:
    """Whether this program created the study; other programs may share the storage."""
    return SPEC in study.user_attrs


def stored_study(study: optuna.Study) -> StoredStudy:
    """The stored study and its rivals, after a check of its trials.

    Raises:
        InputError: the study was made by another program, has another format, is damaged, or has a name that cannot be a
            folder.
    """
    where = f"study {study.study_name!r}"
    if not is_ours(study):
        raise InputError(f"{where} was not made by this program, since it has no definition; give another study")
    found = StoredStudy.from_dict(study.user_attrs[SPEC], where, REMEDY)
    definition = stored_definition(study.study_name, study.user_attrs)
    now = definition_of(found.spec, definition.split_data, definition.engine)
    if unlike := differences(definition, now, leaving_out=OF_CODE):  # a change of the code does not damage a study
        raise InputError(
            f"{where} is damaged, or another version of this program began it: {differences_said(unlike)}; {REMEDY}"
        )
    if not isinstance(study.user_attrs.get(STUDY_ID), str):
        raise InputError(f"{where} is damaged: it has no {STUDY_ID}; {REMEDY}")
    if not _is_some_of(study.user_attrs.get(EVALUATED_ON)):
        raise InputError(f"{where} is damaged: it lacks the number of users that its trials were evaluated on; {REMEDY}")
    if study.metric_names != [found.spec.objective]:
        raise InputError(f"{where} is damaged: its metric must be {found.spec.objective}, got {study.metric_names!r}; {REMEDY}")
    for trial in study.get_trials(deepcopy=False, states=FINISHED):
        _check_trial(trial, found.spec, where)
    name = check_name(study.study_name)  # the spec of a copied study has the original's name
    return found.model_copy(update={"spec": found.spec.model_copy(update={"name": name})})


def unsound_trials(study: optuna.Study) -> Iterator[FrozenTrial]:
    """The damaged trials of a study, for which `stored_study` refuses it.

    Raises:
        InputError: the study was made by another program or has another format.
    """
    where = f"study {study.study_name!r}"
    spec = StoredStudy.from_dict(study.user_attrs.get(SPEC), where, REMEDY).spec
    for trial in study.get_trials(deepcopy=False, states=FINISHED):
        try:
            _check_trial(trial, spec, where)
        except InputError:
            yield trial


def _is_some_of(counts: Any) -> bool:
    """Whether the value is a list of two whole numbers with 1 <= first <= second."""
    is_pair = isinstance(counts, list) and len(counts) == 2 and all(type(count) is int for count in counts)
    return is_pair and 1 <= counts[0] <= counts[1]


def on_some_users(study: optuna.Study) -> str:
    """A text such as `on 1,000 of 31,668 validation users` if trials are measured on a sample of users before their last epoch,
    as pruned trials are; else an empty text."""
    counts: Any = study.user_attrs.get(EVALUATED_ON)
    return f"on {counts[0]:,} of {counts[1]:,} validation users" if _is_some_of(counts) and counts[0] < counts[1] else ""


def stored_spec(study: optuna.Study) -> StudySpec:
    """The spec of a study; raises what `stored_study` does."""
    return stored_study(study).spec


def stored_rivals(study: optuna.Study) -> tuple[StudySpec, ...]:
    """The rivals of a study; raises what `stored_study` does."""
    return stored_study(study).rivals


def _check_trial(trial: FrozenTrial, spec: StudySpec, where: str) -> None:
    try:
        trial_config(trial, spec)
    except (ValueError, TypeError, KeyError, OverflowError) as error:  # not parameters of the space
        raise InputError(f"{where}: trial {trial.number} is damaged ({first_line(error)}); {REMEDY}") from None
    attributes = trial.user_attrs
    if attributes.get(SAMPLED) is not True:
        raise InputError(f"{where}: trial {trial.number} is damaged (not all parameters were sampled); {REMEDY}")
    numbers: dict[str, Any] = {name: attributes.get(name) for name in (spec.measured[1], *NUMBERS)}
    if trial.state == TrialState.COMPLETE:
        numbers["value"] = trial.value
    for name, number in numbers.items():
        is_right = isinstance(number, int if name == "epochs_trained" else int | float)
        if not is_right or not abs(number) <= sys.float_info.max:
            raise InputError(f"{where}: trial {trial.number} is damaged ({name} is {shown(number)}); {REMEDY}")
