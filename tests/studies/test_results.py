"""This version can read every file in studies/results, by the class that writes its kind."""

from __future__ import annotations

import json
from pathlib import Path

import optuna
import pytest

from benchmarks.replay.recordings import SUFFIX, Recording
from hpo.confirmation.outcome import CONFIRM, Confirmation
from hpo.replication.outcome import ReplicatedTable
from hpo.reporting.export import ExportedConfig, config_names
from hpo.runs.baseline_results import BaselineResult, BaselineTuning
from hpo.runs.baselines import MEASURED, TUNING
from hpo.runs.store import RunRecord, RunStore
from hpo.storage.journal import JOURNAL
from hpo.storage.open import open_storage
from hpo.study.names import BEST
from hpo.study.owner import OWNER, Owner
from hpo.study.stored import stored_study
from trainers.errors import InputError

RESULTS = Path(__file__).resolve().parents[2] / "studies" / "results"
FOR_PEOPLE = {".md", ".csv", ".png"}  # the program does not read them
KINDS = {MEASURED: BaselineResult, TUNING: BaselineTuning}  # by the folder of finished runs


def read(path: Path) -> object:
    """Read a file by the class of its kind.

    Raises:
        InputError: the file cannot be read, or has an unknown kind.
    """
    if path.name == JOURNAL:
        storage = open_storage(str(path), create=False, to_write=False)
        studies = [optuna.load_study(study_name=name, storage=storage) for name in optuna.get_all_study_names(storage)]
        return [stored_study(study) for study in studies]
    if path.name == CONFIRM:
        return Confirmation.read(path)
    if path.name in config_names():
        return ExportedConfig.read(path)
    if path.parent.name == "replicate" and path.suffix == ".yaml":
        return ReplicatedTable.read(path)
    if path.parent.name == "replay" and path.suffix == SUFFIX:
        return Recording.read(path)
    if path.parent.name in KINDS and path.suffix in (".json", ".npz"):
        return RunStore(path.parent).read(f"{path.stem}.json", KINDS[path.parent.name], lambda found, table: found)
    if path.parent.name == "runs" and path.suffix in (".json", ".npz"):
        record = RunStore(path.parent).read(f"{path.stem}.json", RunRecord, lambda found, table: found)
        assert record is not None, f"{path} has no record"
        assert RunStore(path.parent).load(record.key()) is not None, f"{path} has another key, or an older version"
        return record
    if path.name == OWNER:
        return Owner.read(path.parent)
    raise InputError(f"{path} is of no kind that this test knows; remove it, or say how it is read")


@pytest.mark.parametrize("path", [path for path in sorted(RESULTS.rglob("*")) if path.is_file()], ids=lambda path: path.name)
def test_every_file_can_be_read(path: Path):
    assert path.suffix in FOR_PEOPLE or read(path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (f"gowalla_mml/{CONFIRM}", "format: 0\n"),
        (f"gowalla_mml/{BEST}", "config: {}\n"),
        ("replicate/mml_mf.yaml", "runs: []\n"),
        ("gowalla_mml/runs/baselines/ease.json", json.dumps({"label": "EASE"})),
        ("replay/gowalla_mml.jsonl", "{}"),
        ("gowalla_mml/runs/0f.json", "{}"),
        ("gowalla_mml/notes.txt", "x"),
    ],
)
def test_a_file_that_cannot_be_read_is_found(tmp_path: Path, name: str, content: str):
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    path.write_text(content)
    with pytest.raises(InputError):
        read(path)


def test_a_study_of_another_format_is_found(tmp_path: Path):
    storage = open_storage(str(tmp_path / JOURNAL))
    optuna.create_study(study_name="old", storage=storage).set_user_attr("spec", {"name": "old"})
    with pytest.raises(InputError, match="this version reads format 2, got none"):
        read(tmp_path / JOURNAL)
