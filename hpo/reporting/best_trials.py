"""The best trials of a study in its own terms: margins and weights rather than the ratios that the sampler draws."""

from __future__ import annotations

from typing import Any

import optuna

from hpo.study.spec import StudySpec
from hpo.study.trials import best_trials, searched_fields, trial_config

SHOWN = 5


def best_trials_table(study: optuna.Study, spec: StudySpec) -> tuple[list[str], list[list[str]]]:
    """(columns, rows) of the best trials: number, value on validation, and each setting; no rows before the first."""
    rows, columns = [], ["", f"validation {spec.objective}"]
    for trial in best_trials(study, SHOWN):
        settings = searched_fields(trial_config(trial, spec), spec)
        columns = [*columns[:2], *settings]
        rows.append([f"trial {trial.number}", f"{trial.value:.4f}", *map(short, settings.values())])
    return columns, rows


def short(value: Any) -> str:
    """A setting as text, its numbers to four digits."""
    if isinstance(value, list):
        return f"[{', '.join(map(short, value))}]"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
