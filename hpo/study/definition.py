"""How a study stands in a storage: created or continued, and what has changed since."""

from __future__ import annotations

import warnings
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage

from hpo.study.spec import OBJECTIVE
from trainers.errors import InputError

DEFINITION = "definition"
SPEC = "spec"


def open_study(
    storage: BaseStorage,
    name: str,
    definition: dict[str, Any],
    sampler: optuna.samplers.BaseSampler,
    pruner: optuna.pruners.BasePruner,
    rename: str = "give this one another name with --study-name",
) -> optuna.Study:
    """Create the study, or continue it if it was defined in the same way.

    Args:
        rename: how the user gives the study another name.

    Raises:
        InputError: a study of that name exists with another definition; the message gives the differences.
    """
    study = optuna.create_study(
        study_name=name, storage=storage, sampler=sampler, pruner=pruner, direction="maximize", load_if_exists=True
    )
    is_new = not study.get_trials(deepcopy=False)  # read first: whoever made it meanwhile has defined it before its first trial
    stored = study.user_attrs.get(DEFINITION)
    if stored is None and is_new:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            study.set_metric_names([OBJECTIVE])
        study.set_user_attr(DEFINITION, definition)
    elif stored != definition:
        stored = stored or {}
        go_on = (
            f"--engine {stored['engine']} continues it; else "
            if stored == definition | {"engine": stored.get("engine")}
            else ""
        )
        raise InputError(
            f"study {name!r} exists with another definition ({differences(stored, definition)}); {go_on}{rename}, or "
            f"remove the old one with `python -m hpo.studies delete {name}` and the --output and --storage of this command"
        )
    return study


def differences(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> str:
    """`search.epochs: was 30, now 1; ...`, down to the fields of inner mappings."""
    parts = []
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            if before != after:
                parts.append(differences(before, after, f"{prefix}{key}."))
        elif before != after:
            parts.append(f"{prefix}{key}: was {before!r}, now {after!r}")
    return "; ".join(parts)
