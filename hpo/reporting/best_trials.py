"""The table of a study's best trials. It shows margins and weights, not the ratios that the sampler draws."""

from __future__ import annotations

from typing import Any

import optuna

from hpo.study.spec import StudySpec
from hpo.study.trials import best_trials, searched_fields, trial_config

SHOWN = 5


def best_trials_table(study: optuna.Study, spec: StudySpec) -> tuple[list[str], list[list[str]]]:
    """(columns, rows) of the best trials: number, value on validation, and each searched setting.

    There are no rows if no trial is complete.
    """
    rows, columns = [], ["", f"validation {spec.objective}"]
    for trial in best_trials(study, SHOWN):
        settings = searched_fields(trial_config(trial, spec), spec)
        columns = [*columns[:2], *settings]
        rows.append([f"trial {trial.number}", f"{trial.value:.4f}", *map(short, settings.values())])
    return columns, rows


def short(value: Any) -> str:
    """A setting as text. Decimal numbers have four significant digits."""
    if isinstance(value, list):
        return f"[{', '.join(map(short, value))}]"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
