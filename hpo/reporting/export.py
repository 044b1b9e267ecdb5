"""Best configs as YAML, trials as a table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import optuna
import pandas as pd
from optuna.trial import FrozenTrial
from pydantic import BaseModel

from hpo.confirmation.league_records import pair_records, records
from hpo.confirmation.outcome import CONFIRM, Confirmation, confirmation
from hpo.confirmation.results import Method, chosen_of, search_cost
from hpo.confirmation.statements import winner_said
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
LEAGUE_FILES = "league.csv", "league_pairs.csv"
REMEDY = "delete it and export it again with hpo.export, or leave nothing in it but the keys of its config"


def best_of_rival(loss: str) -> str:
    """The file of a tuned rival's config; no two of a study's rivals have one loss."""
    return f"best-{loss}.yaml"


def config_names() -> tuple[str, ...]:
    """The files that an `ExportedConfig` is written to."""
    return (WINNER, BEST, *map(best_of_rival, LOSSES), BEST_TRIAL)


class ExportedData(BaseModel):
    """What an exported config was trained on, and by which engine."""

    model_config = SETTINGS | {"frozen": True}
    dataset: Place
    checksum: str
    options: DataOptions = DataOptions()
    validation: ValidationSplit
    engine: str


class ExportedConfig(Stored):
    """A config with what was measured with it, on which data, and where it comes from.

    Attributes:
        study_id: which of all studies of this name it is.
        method: what confirm calls it; None before.
        chosen: how it was chosen, in a sentence; of the winner only.
        searched_in: the study whose search found it, where that is a rival's, or a repeat.
        trial: its number there; None where no search has found it.
        published: what the settings are called where they are a paper's.
        objective: what the study chose by.
        validation: metrics of exactly this config.
        config_digest: of the config that was measured; another one than the config's after an edit.
        citation: data, protocol and versions in sentences to quote.
        losses: its loss, where that is one of the user's own.
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
        """What `to_dict` gave; a loss of the user's own is imported first.

        Raises:
            InputError: as for all that is stored; a loss that cannot be imported.
        """
        restore(content.get("losses") if isinstance(content, Mapping) else None, where, remedy)
        return super().from_dict(content, where, remedy)

    @classmethod
    def read(cls, path: Path) -> ExportedConfig:
        """What was exported, edited or not.

        Raises:
            InputError: it is missing, damaged, or has another format.
        """
        return cls.from_dict(read_yaml(path), str(path), REMEDY)

    @property
    def is_edited(self) -> bool:
        """Whether the config is no longer the one that was measured."""
        return self.config.digest() != self.config_digest


def export_best(work: Workspace, study: optuna.Study) -> tuple[Path, FrozenTrial]:
    """Write the best trial's config as trained, with its validation metrics and origin.

    To `best.yaml`; once the study is confirmed that is what confirm chose, and the best trial goes to `best_trial.yaml`.

    Raises:
        InputError: no trial is complete, or the folder cannot be written, or it is another study's.
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
    """Which method's config each file has: the winner's, our own, and those of the tuned rivals that trained to the end."""
    ours, *others = outcome.methods
    winner, tuned = outcome.decision.winner, [other for other in others if other.is_tuned and not other.failure]
    first = {} if winner is None else {WINNER: winner}
    return first | {BEST: ours} | {best_of_rival(rival.config.loss.name): rival for rival in tuned}


def export_confirmed(work: Workspace, outcome: Confirmation) -> list[Path]:
    """Write what confirm chose, with its figures by seed, see `exported`; files of an earlier confirm that this one does not
    have are deleted.

    Raises:
        InputError: the folder cannot be written.
    """
    files, said = exported(outcome), winner_said(outcome.decision, outcome.objective)
    for name in {*config_names()} - {*files, BEST_TRIAL}:
        with writing(work.folder):
            (work.folder / name).unlink(missing_ok=True)
    return [_export_method(work, outcome, name, method, said) for name, method in files.items()]


def _export_method(work: Workspace, outcome: Confirmation, name: str, method: Method, winner: str) -> Path:
    found = chosen_of(outcome.validated[method.label], outcome.objective)
    assert found is not None  # of a tuned method and of the winner
    search = method.found_by(found.search)
    facts = {
        "method": method.label,
        "chosen": winner if name == WINNER else None,
        "searched_in": search.study if search and search.study != outcome.study else None,
        "trial": found.trial,
        "published": None if method.is_tuned else method.label,
        "validation": found.by_seed[found.config.seed],
        "validation_by_seed": found.by_seed,
        "test_by_seed": method.of_search(found.search),
        "citation": citation(work, method.search.trials, method, outcome.provenance),
    }
    return _write_config(work, outcome.study_id, name, found.config, facts, engine_for(found.config, work.choice))


def _write_config(
    work: Workspace, study_id: str, name: str, config: TrainConfig, facts: dict[str, Any], choice: EngineChoice | None = None
) -> Path:
    """Write a config with what was measured with it; `choice`: what has trained it, where that may be another engine."""
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


def export_league(work: Workspace, outcome: Confirmation) -> list[Path]:
    """Write the table of the league and that of all pairs as CSV; those of an earlier confirm are deleted.

    Returns:
        The files: none if the study asks for no league, the first alone if the test split has too few users for a verdict.

    Raises:
        InputError: the folder cannot be written.
    """
    standings, written = outcome.standings, list[Path]()
    tables = ([], []) if standings is None else (records(standings), pair_records(standings))
    for path, rows in zip((work.folder / name for name in LEAGUE_FILES), map(list, tables), strict=True):
        if rows:
            write_text(path, pd.DataFrame(rows, dtype=object).to_csv(index=False), CHANGE_OUTPUT_HINT, make_folder=False)
            written.append(path)
        else:
            with writing(work.folder):
                path.unlink(missing_ok=True)
    return written


def owners(folder: Path) -> dict[Path, tuple[str, str] | None]:
    """The files in a study's folder that say whose they are, each with the study's name and id; None for one that cannot be
    read."""
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
    """As the files in its folder have them."""
    return study.study_name, str(study.user_attrs.get(STUDY_ID))


def check_owner(folder: Path, study: optuna.Study | None, to_overwrite: bool = True) -> None:
    """Look whose a study's folder is, and whose results lie there, before others are written; None: one that is yet to be made.

    Args:
        to_overwrite: whether the results themselves are to be written anew, and not only a report.

    Raises:
        InputError: they are those of another study, or `to_overwrite` nobody can say whose.
    """
    refuse_others(folder, study)
    ours, found = name_and_id(study) if study else None, owners(folder)
    others = [path for path, owner in found.items() if owner not in (None, ours)]
    if to_overwrite and (unreadable := [path for path, owner in found.items() if owner is None]):
        raise InputError(
            f"{unreadable[0]} cannot be read, and may hold another study's results, which are never overwritten; move it "
            "away or delete it, then run the same command again"
        )
    if others:
        raise InputError(
            f"{folder} holds the results of another study ({others[0].name} says so), which is in another storage or was "
            "deleted; give another --output or --study-name, or move that folder away"
        )


def claim(folder: Path, study: optuna.Study, to_overwrite: bool = True) -> None:
    """Note that a folder is a study's, before anything else is written there; otherwise as `check_owner`.

    Raises:
        InputError: see `check_owner`, or the folder cannot be written.
    """
    check_owner(folder, study, to_overwrite)
    note_owner(folder, study, name_and_id(study) in owners(folder).values())


def trials_table(study: optuna.Study) -> pd.DataFrame:
    """One row per trial: number, state, value, parameters, effective settings, epochs, seconds, users measured on.

    A parameter that is a setting under the same name has the setting's column: what was trained with, which may be another
    value (the l2 that means none).
    """
    if not study.get_trials(deepcopy=False):
        return pd.DataFrame(columns=["number", "state", "value", "datetime_start", "duration", "validation_users"])
    frame = study.trials_dataframe(attrs=("number", "state", "value", "params", "user_attrs", "datetime_start", "duration"))
    frame.columns = [
        str(name).removeprefix("user_attrs_").removeprefix("params_").removeprefix("value_") for name in frame.columns
    ]
    some, all_ = study.user_attrs[EVALUATED_ON]
    frame["validation_users"] = frame["state"].map({"PRUNED": some, "COMPLETE": all_}).astype("Int64")
    return frame.drop(columns=[WORKER, SAMPLED], errors="ignore").loc[:, lambda f: ~f.columns.duplicated(keep="last")]


def export_trials(study: optuna.Study, path: Path) -> Path:
    """Write the table of all trials as CSV."""
    write_text(path, trials_table(study).to_csv(index=False), CHANGE_OUTPUT_HINT, make_folder=False)
    return path
