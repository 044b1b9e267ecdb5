"""Studies as a storage holds them: checked before use, since journals are copied, cut and edited."""

from __future__ import annotations

import math
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from hpo.study.attributes import FINISHED
from hpo.study.definition import DEFINITION, SPEC, differences
from hpo.study.spec import SECONDARY_METRIC, StudySpec
from hpo.study.trials import trial_config
from trainers.errors import InputError, unknown
from trainers.validation import checked

NUMBERS = (SECONDARY_METRIC, "epochs_trained", "train_seconds", "evaluate_seconds")
REMEDY = "restore the storage from a copy, or delete the study"


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


def stored_spec(study: optuna.Study) -> StudySpec:
    """The definition of a study as it was run, after a look at its trials.

    Raises:
        InputError: it was made by another program, or is damaged.
    """
    where = f"study {study.study_name!r}"
    if not is_ours(study):
        raise InputError(f"{where} was not made by this program: it carries no definition")
    spec = checked(StudySpec, study.user_attrs[SPEC], f"{where}; {REMEDY}")
    definition = study.user_attrs.get(DEFINITION)
    if not isinstance(definition, dict):
        raise InputError(f"{where} is damaged: it has no definition; {REMEDY}")
    expected = spec.definition(str(definition.get("dataset checksum")), str(definition.get("engine")))
    if definition != expected:
        raise InputError(f"{where} is damaged, or of another version: {differences(definition, expected)}; {REMEDY}")
    for trial in study.get_trials(deepcopy=False, states=FINISHED):
        _check_trial(trial, spec, where)
    return spec


def _check_trial(trial: FrozenTrial, spec: StudySpec, where: str) -> None:
    try:
        trial_config(trial, spec)
    except (InputError, KeyError) as error:
        raise InputError(f"{where}: trial {trial.number} is damaged ({error}); {REMEDY}") from None
    attributes = trial.user_attrs
    numbers: dict[str, Any] = {name: attributes.get(name) for name in NUMBERS}
    if trial.state == TrialState.COMPLETE:
        numbers["value"] = trial.value
    for name, number in numbers.items():
        if not isinstance(number, int | float) or not math.isfinite(number):
            raise InputError(f"{where}: trial {trial.number} is damaged ({name} is {number!r}); {REMEDY}")
