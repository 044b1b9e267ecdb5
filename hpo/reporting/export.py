"""Best configs as YAML, trials as a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pandas as pd
from optuna.trial import FrozenTrial

from hpo.confirmation.outcome import Confirmation, confirmation
from hpo.runs.provenance import provenance
from hpo.runtime.text import CHANGE_OUTPUT_HINT
from hpo.study.attributes import PUBLISHED_MARK, SEARCHED_BY, WORKER
from hpo.study.spec import OBJECTIVE, SECONDARY_METRIC
from hpo.study.trials import best_trials, trial_config
from hpo.study.workspace import Workspace
from trainers.config import TrainConfig
from trainers.errors import InputError
from trainers.files import write_text
from trainers.yaml_files import to_yaml

BEST, BEST_TRIAL = "best.yaml", "best_trial.yaml"
TRIALS = "trials.csv"


def export_best(work: Workspace, study: optuna.Study) -> tuple[Path, FrozenTrial]:
    """Write the best trial's config as trained, with its validation metrics and origin.

    To `best.yaml`; once the study is confirmed that is the winner's, and the best trial goes to `best_trial.yaml`.

    Raises:
        InputError: no trial is complete, or the folder cannot be written.
    """
    best = best_trials(study, 1)
    if not best:
        raise InputError(f"study {study.study_name!r} has no complete trial yet; let it run longer")
    trial = best[0]
    validation = {OBJECTIVE: trial.value, SECONDARY_METRIC: trial.user_attrs[SECONDARY_METRIC]}
    facts = {"trial": trial.number, "published": trial.user_attrs.get(PUBLISHED_MARK, False), "validation": validation}
    name = BEST_TRIAL if confirmation(work.folder, study) else BEST
    return write_config(work, work.folder / name, trial_config(trial, work.spec), facts), trial


def export_winner(work: Workspace, outcome: Confirmation) -> Path:
    """Write the config that confirm chose to `best.yaml`, with its figures by seed."""
    winner, tested = outcome.winner, outcome.methods[0]
    facts = {
        "trial": winner.trial,
        "validation": winner.by_seed[winner.config.seed],
        "validation_by_seed": winner.by_seed,
        "test_by_seed": tested.by_seed,
    }
    return write_config(work, work.folder / BEST, winner.config, facts)


def write_config(work: Workspace, path: Path, config: TrainConfig, facts: dict[str, Any]) -> Path:
    """A config file: the config, what was measured with it, on which data, and where it comes from."""
    content = {
        "config": config.to_dict(),
        "study": work.spec.name,
        **facts,
        "data": {
            "dataset": work.spec.dataset,
            "checksum": work.dataset.checksum,
            "split_seed": work.spec.split_seed,
            "engine": work.choice.name,
        },
        "config_digest": config.digest(),
        "provenance": provenance(work.choice.device),
    }
    write_text(path, to_yaml(content), CHANGE_OUTPUT_HINT)
    return path


def trials_table(study: optuna.Study) -> pd.DataFrame:
    """One row per trial: number, state, value, parameters, effective settings, epochs, seconds.

    A parameter that is a setting under the same name has the setting's column: what was trained with, which may be another
    value (the l2 that stands for none).
    """
    frame = study.trials_dataframe(attrs=("number", "state", "value", "params", "user_attrs", "datetime_start", "duration"))
    frame.columns = [
        str(name).removeprefix("user_attrs_").removeprefix("params_").removeprefix("value_") for name in frame.columns
    ]
    return frame.drop(columns=[WORKER, SEARCHED_BY], errors="ignore").loc[:, lambda f: ~f.columns.duplicated(keep="last")]


def export_trials(study: optuna.Study, path: Path) -> Path:
    """Write the table of all trials as CSV."""
    write_text(path, trials_table(study).to_csv(index=False), CHANGE_OUTPUT_HINT)
    return path
