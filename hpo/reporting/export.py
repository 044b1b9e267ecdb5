"""Writes configs as YAML and trials as CSV. Checks whose results a folder holds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import optuna
import pandas as pd
from optuna.trial import FrozenTrial
from pydantic import BaseModel

from hpo.confirmation.outcome import CONFIRM, Confirmation, confirmation
from hpo.confirmation.results import Method, chosen_of, search_cost
from hpo.reporting.citation import citation
from hpo.runs.provenance import Provenance, provenance
from hpo.runtime.text import CHANGE_OUTPUT_HINT
from hpo.runtime.typed_files import Stored
from hpo.study.attributes import PUBLISHED_MARK, SAMPLED, WORKER
from hpo.study.definition import STUDY_ID
from hpo.study.names import BEST, BEST_TRIAL, WINNER
from hpo.study.objective import Objective
from hpo.study.owner import note_owner, refuse_others
from hpo.study.stored import EVALUATED_ON
from hpo.study.trials import best_trials, trial_config, trial_metrics
from hpo.study.workspace import Workspace
from search_spaces.own import OwnLossRecord, recorded, restore
from trainers.config import TrainConfig
from trainers.data.options import DataOptions, ValidationSplit
from trainers.engines import EngineChoice, engine_for
from trainers.errors import InputError
from trainers.files import write_text, writing
from trainers.losses import LOSSES
from trainers.validation import SETTINGS, Place
from trainers.yaml_files import read_yaml, to_yaml

TRIALS = "trials.csv"
REMEDY = "delete it and export it again with hpo.export, or leave nothing in it but the keys of its config"


def best_of_rival(loss: str) -> str:
    """The name of the file with a tuned rival's config. The rivals of a study all have different losses."""
    return f"best-{loss}.yaml"


def config_names() -> tuple[str, ...]:
    """The files that an `ExportedConfig` is written to."""
    return (WINNER, BEST, *map(best_of_rival, LOSSES), BEST_TRIAL)


class ExportedData(BaseModel):
    """The data and the engine that an exported config was trained with."""

    model_config = SETTINGS | {"frozen": True}
    dataset: Place
    checksum: str
    options: DataOptions = DataOptions()
    validation: ValidationSplit
    engine: str


class ExportedConfig(Stored):
    """A config with its figures, its data and its origin.

    Attributes:
        study_id: the id of the study; studies in different storages may have the same name.
        method: the label of the method in the confirmation; None if the study is not confirmed.
        chosen: a sentence about how the winner was chosen; None for other configs.
        searched_in: the study whose search found the config, if that is a repeat or a rival's study; else None.
        trial: the number of the trial that found the config; None if no search found it.
        published: the label of the settings if they are published; else None.
        failure: why it diverged when confirm trained it on train and validation; else None.
        objective: the metric that the study chose by.
        validation: the validation metrics of this config with its seed.
        config_digest: the digest of the config that was measured. After an edit of the file it is not that of `config`.
        citation: sentences to quote about data, protocol and versions.
        losses: the config's loss if it is a user's own; else None.
    """

    FORMAT: ClassVar[int] = 2
    config: TrainConfig
    study: str
    study_id: str
    method: str | None = None
    chosen: str | None = None
    searched_in: str | None = None
    trial: int | None = None
    published: str | None = None
    failure: str | None = None
    objective: Objective
    validation: dict[str, float]
    validation_by_seed: dict[int, dict[str, float]] | None = None
    test_by_seed: dict[int, dict[str, float]] | None = None
    data: ExportedData
    config_digest: str
    citation: str = ""
    provenance: Provenance
    losses: tuple[OwnLossRecord, ...] | None = None

    @classmethod
    def from_dict(cls, content: object, where: str, remedy: str) -> Self:
        """The config that `to_dict` turned into plain data. A user's own loss is imported first.

        Raises:
            InputError: a key or a value is wrong, the format is another one, or the loss cannot be imported.
        """
        restore(content.get("losses") if isinstance(content, Mapping) else None, where, remedy)
        return super().from_dict(content, where, remedy)

    @classmethod
    def read(cls, path: Path) -> ExportedConfig:
        """Read an exported config, edited or not.

        Raises:
            InputError: the file is missing, damaged, or has another format.
        """
        return cls.from_dict(read_yaml(path), str(path), REMEDY)

    @property
    def is_edited(self) -> bool:
        """Whether the config is no longer the one that was measured."""
        return self.config.digest() != self.config_digest


def export_best(work: Workspace, study: optuna.Study) -> tuple[Path, FrozenTrial]:
    """Write the config of the best trial, with its validation metrics and origin.

    The file is `best.yaml`. If the study is confirmed, that file has the config that confirm chose, and the best trial goes to
    `best_trial.yaml`.

    Returns:
        The path of the file, and the trial.

    Raises:
        InputError: no trial is complete, or the folder cannot be written, or it belongs to another study.
    """
    check_owner(work.folder, study)
    best = best_trials(study, 1)
    if not best:
        raise InputError(f"study {study.study_name!r} has no complete trial yet; let it run longer")
    trial = best[0]
    published, validation = trial.user_attrs.get(PUBLISHED_MARK), trial_metrics(trial, work.spec)
    facts = {"trial": trial.number, "published": published, "validation": validation}
    name = BEST_TRIAL if confirmation(work.folder, study) else BEST
    facts["citation"] = citation(work, search_cost(study).trials, None, provenance(work.choice.device))
    return _write_config(work, study.user_attrs[STUDY_ID], name, trial_config(trial, work.spec), facts), trial


def exported(outcome: Confirmation) -> dict[str, Method]:
    """The method of each config file: the winner, our own method, and each tuned rival that trained to the end."""
    ours, *others = outcome.methods
    winner, tuned = outcome.decision.winner, [other for other in others if other.is_tuned and not other.failure]
    first = {} if winner is None else {WINNER: winner}
    return first | {BEST: ours} | {best_of_rival(rival.config.loss.name): rival for rival in tuned}


def export_confirmed(work: Workspace, outcome: Confirmation) -> list[Path]:
    """Write the configs of `exported` with their figures by seed. Other config files of an earlier confirm are deleted.

    Returns:
        The paths of the files.

    Raises:
        InputError: the folder cannot be written.
    """
    files, said = exported(outcome), outcome.statements()[0]
    for name in {*config_names()} - {*files, BEST_TRIAL}:
        with writing(work.folder):
            (work.folder / name).unlink(missing_ok=True)
    return [_export_method(work, outcome, name, method, said) for name, method in files.items()]


def _export_method(work: Workspace, outcome: Confirmation, name: str, method: Method, winner: str) -> Path:
    found = chosen_of(outcome.validated[method.label], outcome.objective)
    assert found is not None  # none of the exported methods diverged
    search = method.found_by(found.search)
    published = (spec.published_label(found.config) for spec in (work.spec, *work.rivals))
    facts = {
        "method": method.label,
        "chosen": winner if name == WINNER else None,
        "searched_in": search.study if search and search.study != outcome.study else None,
        "trial": found.trial,
        "published": next((label for label in published if label is not None), None),
        "failure": method.failure or None,
        "validation": found.by_seed[found.config.seed],
        "validation_by_seed": found.by_seed,
        "test_by_seed": method.of_search(found.search),
        "citation": citation(work, method.search.trials, method, outcome.provenance, outcome.caveats),
    }
    return _write_config(work, outcome.study_id, name, found.config, facts, engine_for(found.config, work.choice))


def _write_config(
    work: Workspace, study_id: str, name: str, config: TrainConfig, facts: dict[str, Any], choice: EngineChoice | None = None
) -> Path:
    """Write a config with its figures and its origin.

    Args:
        facts: the other fields of `ExportedConfig` by name.
        choice: the engine that trained it; None for the engine of the study.
    """
    choice = choice or work.choice
    data = ExportedData(
        dataset=work.spec.dataset,
        checksum=work.dataset.checksum,
        options=work.spec.data,
        validation=work.validation,
        engine=choice.name,
    )
    content = ExportedConfig(
        config=config,
        study=work.spec.name,
        study_id=study_id,
        objective=work.spec.objective,
        data=data,
        config_digest=config.digest(),
        provenance=provenance(choice.device),
        losses=recorded([config.loss.name]) or None,
        **facts,
    )
    write_text(work.folder / name, to_yaml(content.to_dict()), CHANGE_OUTPUT_HINT, make_folder=False)
    return work.folder / name


def owners(folder: Path) -> dict[Path, tuple[str, str] | None]:
    """The result files in a study's folder, each with the name and id of the study that wrote it.

    A file that cannot be read has None.
    """
    found: dict[Path, tuple[str, str] | None] = {}
    for path in (folder / name for name in (*config_names(), CONFIRM)):
        if path.exists():
            try:
                content = Confirmation.read(path) if path.name == CONFIRM else ExportedConfig.read(path)
            except InputError:
                found[path] = None
            else:
                found[path] = content.study, content.study_id
    return found


def name_and_id(study: optuna.Study) -> tuple[str, str]:
    """The name and id of a study, as its result files give them."""
    return study.study_name, str(study.user_attrs.get(STUDY_ID))


def check_owner(folder: Path, study: optuna.Study | None, to_overwrite: bool = True) -> None:
    """Check before writing that a folder, and the results in it, belong to no other study.

    Args:
        study: the study that will write; None for a study that does not exist yet.
        to_overwrite: whether results will be written. If false, only a report will.

    Raises:
        InputError: the folder or a result in it belongs to another study. With `to_overwrite` also: a result cannot be read, so
            it may belong to another study.
    """
    refuse_others(folder, study)
    ours, found = name_and_id(study) if study else None, owners(folder)
    others = [path for path, owner in found.items() if owner not in (None, ours)]
    if to_overwrite and (unreadable := [path for path, owner in found.items() if owner is None]):
        raise InputError(
            f"{unreadable[0]} cannot be read: it is damaged, of another version, or another study's, and results of others are "
            "never overwritten; move it away or delete it, then run the same command again (finished runs are kept)"
        )
    if others:
        raise InputError(
            f"{folder} holds the results of another study ({others[0].name} says so), which is in another storage or was "
            "deleted; give another --output or --study-name, or move that folder away"
        )


def claim(folder: Path, study: optuna.Study, to_overwrite: bool = True) -> None:
    """Check a folder as `check_owner` does, then record the study as its owner. Nothing else may be written there before.

    Raises:
        InputError: see `check_owner`, or the folder cannot be written.
    """
    check_owner(folder, study, to_overwrite)
    note_owner(folder, study, name_and_id(study) in owners(folder).values())


def trials_table(study: optuna.Study) -> pd.DataFrame:
    """One row per trial: number, state, value, parameters, effective settings, epochs, seconds, users measured on.

    If a parameter and an effective setting have the same name, the table has the setting, which the model was trained with.
    Their values can differ: the lowest l2 stands for no l2, and the setting is 0.
    """
    if not study.get_trials(deepcopy=False):
        return pd.DataFrame(columns=["number", "state", "value", "datetime_start", "duration", "validation_users"])
    frame = study.trials_dataframe(attrs=("number", "state", "value", "params", "user_attrs", "datetime_start", "duration"))
    frame.columns = [_without_prefix(str(name)) for name in frame.columns]
    some, all_ = study.user_attrs[EVALUATED_ON]
    frame["validation_users"] = frame["state"].map({"PRUNED": some, "COMPLETE": all_}).astype("Int64")
    return frame.drop(columns=[WORKER, SAMPLED], errors="ignore").loc[:, lambda f: ~f.columns.duplicated(keep="last")]


def _without_prefix(name: str) -> str:
    """The name of a parameter, attribute or metric in the name that Optuna gives its column."""
    prefix = next((each for each in ("user_attrs_", "params_", "value_") if name.startswith(each)), "")
    return name.removeprefix(prefix)


def export_trials(study: optuna.Study, path: Path) -> Path:
    """Write the table of all trials as CSV."""
    write_text(path, trials_table(study).to_csv(index=False), CHANGE_OUTPUT_HINT, make_folder=False)
    return path
