"""`hpo.studies`: list, show and delete, also during a running search."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.artifacts import upload_artifact
from optuna.trial import TrialState

from hpo import confirm, export, studies
from hpo.reporting.dashboard_sync import ATTACHED, artifact_store, study_attributes
from hpo.reporting.removal import Removal
from hpo.runs.train import _Record
from hpo.search.claims import this_worker
from hpo.storage.open import open_storage
from hpo.study.attributes import WORKER
from hpo.study.owner import OWNER
from hpo.study.workspace import alone
from trainers.errors import InputError
from trainers.yaml_files import read_yaml

from .conftest import Place
from .processes import PATIENCE, pids_at_work, start, wait_until


def study_of(place: Place, storage: str = "") -> optuna.Study:
    return optuna.load_study(study_name="tiny_mml", storage=open_storage(storage or str(place.output / "journal.log")))


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def question(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The questions that were asked. The answer is always no."""
    asked: list[str] = []

    def answer(question: str) -> str:
        asked.append(question)
        return "n"

    monkeypatch.setattr("builtins.input", answer)
    return asked


def test_a_study_is_listed_shown_and_deleted(place: Place, capsys: pytest.CaptureFixture[str], question: list[str]):
    place.run("--search-only", "--trials", "2")
    where = ["--output", str(place.output)]
    capsys.readouterr()
    assert studies.main(["list", *where]) == 0
    listing = capsys.readouterr().out
    assert listing.index("your studies") < listing.index("tiny_mml") < listing.index("shipped studies") < listing.index("demo_")
    assert "yelp_mml" in listing
    for name in ("tiny_mml", str(place.study)):
        assert studies.main(["show", name, *where]) == 0
        assert "# tiny_mml: 2 finished trials" in capsys.readouterr().out
    assert studies.main(["show", str(place.root / "tiny_ccl.yaml"), *where]) == 0
    assert "# tiny_ccl: has not run" in capsys.readouterr().out
    assert studies.main(["delete", "tiny_mml", *where]) == 2
    assert (place.output / "tiny_mml" / "best.yaml").exists()
    assert studies.main(["delete", "tiny_mml", "--yes", *where]) == 0
    assert not (place.output / "tiny_mml").exists()
    assert export.main(["--study", "tiny_mml", *where]) == 2


@pytest.mark.parametrize("has_run", [False, True])
def test_the_output_of_show_is_a_study_file(place: Place, capsys: pytest.CaptureFixture[str], has_run: bool):
    """With the name of the study it continues the study, because both are the same."""
    if has_run:
        assert place.run("--search-only", "--trials", "1") == 0
    capsys.readouterr()
    assert studies.main(["show", str(place.study), "--output", str(place.output)]) == 0
    (place.root / "mine.yaml").write_text(capsys.readouterr().out)
    assert place.run("--search-only", "--trials", "1", study="mine.yaml") == 0
    assert place.run("--search-only", "--trials", "1", "--study-name", "tiny_mml", study="mine.yaml") == 0
    assert ("the budget is met, 1 of 1 finished" in capsys.readouterr().out) == has_run


def test_the_question_has_all_that_will_be_deleted(place: Place, question: list[str], capsys: pytest.CaptureFixture[str]):
    """That is the study, its folder and its artifacts in the dashboard, but not those of other studies."""
    place.run("--search-only", "--trials", "2")
    place.run("--search-only", "--trials", "1", study="tiny_ccl.yaml")
    study, storage = study_of(place), open_storage(str(place.output / "journal.log"))
    running = study.ask()  # the dashboard attaches to a finished trial in the same way
    by_code = upload_artifact(
        artifact_store=artifact_store(place.output), file_path=str(place.study), study_or_trial=running, storage=storage
    )
    study.tell(running, state=TrialState.FAIL)
    (place.output / "artifacts" / "by-hand").write_text("x")
    storage.set_study_system_attr(study._study_id, "dashboard:artifacts:0:by-hand", json.dumps({"artifact_id": "by-hand"}))
    where, artifacts = ["--output", str(place.output)], place.output / "artifacts"
    assert {by_code, "by-hand"} < set(files_in(artifacts))
    assert len(files_in(artifacts)) == 6
    assert studies.main(["delete", "tiny_mml", *where]) == 2
    out = str(place.output)
    parts = f"study tiny_mml (2 finished trials) on {out}/journal.log and {out}/tiny_mml and 4 files of it in {artifacts}"
    assert question == [f"delete {parts}? [y/N] "]
    capsys.readouterr()
    assert studies.main(["delete", "tiny_mml", "--yes", *where]) == 0
    assert capsys.readouterr().out == f"deleted {parts}\n"
    assert not (place.output / "tiny_mml").exists()
    assert (place.output / "tiny_ccl" / "best.yaml").exists()
    assert len(files_in(artifacts)) == 2
    assert optuna.get_all_study_names(open_storage(str(place.output / "journal.log"))) == ["tiny_ccl"]


def test_several_studies_are_deleted_and_their_remaining_repeats_are_listed(
    place: Place, capsys: pytest.CaptureFixture[str], fails: Callable[[int], str]
):
    journal, where = place.output / "journal.log", ["--output", str(place.output), "--yes"]
    place.output.mkdir(exist_ok=True)
    storage = open_storage(str(journal))
    for name in ("a", "b", "b-search2", "b-search2x", "c"):
        optuna.create_study(study_name=name, storage=storage)
    assert "unknown study 'd'" in fails(studies.main(["delete", "a", "d", *where]))
    assert "a" in optuna.get_all_study_names(storage), "a misspelt name deletes no study"
    assert studies.main(["delete", "a", "b", "a", *where]) == 0
    command = f"`python -m hpo.studies delete b-search2 --output {place.output}`"
    assert f"are kept; delete them with {command}" in " ".join(capsys.readouterr().out.split())
    assert optuna.get_all_study_names(open_storage(str(journal))) == ["b-search2", "b-search2x", "c"]


def test_a_file_that_was_deleted_in_the_dashboard_is_attached_again(place: Place):
    """The dashboard replaces its attribute with null."""
    place.run("--search-only", "--trials", "1")
    study, storage = study_of(place), open_storage(str(place.output / "journal.log"))
    for key in study_attributes(study, storage):
        if key.startswith(ATTACHED):
            storage.set_study_system_attr(study._study_id, key, json.dumps(None))
    assert place.run("--search-only", "--trials", "1") == 0
    assert len(files_in(place.output / "artifacts")) == 4


@pytest.mark.parametrize("by", ["flag", "variable"])
def test_the_folder_of_a_study_on_another_storage_is_deleted_with_it(place: Place, monkeypatch: pytest.MonkeyPatch, by: str):
    """Its confirmation and its edited best.yaml belong to the study."""
    url = f"sqlite:///{place.root}/x.db"
    flags = ["--storage", url] if by == "flag" else []
    if by == "variable":
        monkeypatch.setenv("HPO_STORAGE", url)
    assert place.run(*flags) == 0
    best = place.output / "tiny_mml" / "best.yaml"
    best.write_text(best.read_text().replace("batch_size: 64", "batch_size: 32"))
    assert studies.main(["delete", "tiny_mml", "--yes", "--output", str(place.output), *flags]) == 0
    assert not (place.output / "tiny_mml").exists()


def test_a_folder_with_results_of_another_study_is_kept(place: Place, question: list[str]):
    url = f"sqlite:///{place.root}/x.db"
    where, folder = ["--output", str(place.output)], place.output / "tiny_mml"
    place.run("--search-only", "--trials", "1", "--storage", url)
    other = Place(place.root / "other")
    shutil.copytree(place.root / "data", other.root / "data")
    shutil.copy(place.study, other.study)
    other.edit("rivals: [tiny_ccl.yaml, tiny_bsl.yaml]", "rivals: []")
    other.run("--search-only", "--trials", "1")
    note = folder / OWNER
    ours = note.read_text()
    shutil.copy(other.output / "tiny_mml" / "best.yaml", folder)
    assert studies.main(["delete", "tiny_mml", *where, "--storage", url]) == 2
    assert question[-1].endswith(f"; {folder} stays: best.yaml there belongs to another study? [y/N] ")
    note.unlink()
    assert studies.main(["delete", "tiny_mml", *where, "--storage", url]) == 2
    assert question[-1].endswith(f"; {folder} stays: no owner.yaml there says that it is this study's? [y/N] ")
    note.write_text(ours.replace("study: tiny_mml", "study: other"))
    before = files_in(folder)
    assert studies.main(["delete", "tiny_mml", *where, "--storage", url]) == 2
    reason = f"owner.yaml there says that it is another study's, study 'other' on {place.root / 'x.db'}"
    assert question[-1].endswith(f"; {folder} stays: {reason}? [y/N] ")
    assert studies.main(["delete", "tiny_mml", *where, "--storage", url, "--yes"]) == 0
    assert files_in(folder) == before


def test_a_confirmation_is_deleted_with_its_study_even_in_another_study_s_folder(place: Place):
    """confirm.yaml is deleted, and the other files of the folder are kept."""
    url = f"sqlite:///{place.root}/x.db"
    folder = place.output / "tiny_mml"
    assert place.run("--storage", url) == 0
    best = read_yaml(folder / "best.yaml")
    (folder / "best.yaml").write_text((folder / "best.yaml").read_text().replace(best["study_id"], "f" * 32))
    assert studies.main(["delete", "tiny_mml", "--output", str(place.output), "--storage", url, "--yes"]) == 0
    assert "confirm.yaml" not in files_in(folder)
    assert "best.yaml" in files_in(folder)


def test_a_study_with_a_running_search_is_deleted_only_with_force(place: Place, fails: Callable[[int], str]):
    place.run("--search-only", "--trials", "1")
    where = ["--yes", "--output", str(place.output)]
    study_of(place).ask().set_user_attr(WORKER, this_worker())
    message = fails(studies.main(["delete", "tiny_mml", *where]))
    assert f"study 'tiny_mml' is being searched: trial 1 of process {os.getpid()}" in message
    assert "--force" in message
    assert (place.output / "tiny_mml" / "best.yaml").exists()
    study_of(place).ask().set_user_attr(WORKER, {**this_worker(), "boot": "another"})
    assert studies.main(["delete", "tiny_mml", "--force", *where]) == 0
    assert not (place.output / "tiny_mml").exists()


def test_a_study_with_a_running_confirmation_is_deleted_only_with_force(place: Place, fails: Callable[[int], str]):
    place.run("--search-only", "--trials", "1")
    folder = place.output / "tiny_mml"
    with alone(folder, "confirm") as held:
        assert held
        message = fails(studies.main(["delete", "tiny_mml", "--yes", "--output", str(place.output)]))
        assert "study 'tiny_mml' is being confirmed" in message
        assert "--force" in message
        assert (folder / "best.yaml").exists()
    assert studies.main(["delete", "tiny_mml", "--yes", "--output", str(place.output)]) == 0
    assert not folder.exists()


def test_a_trial_of_a_dead_worker_does_not_prevent_deletion(place: Place):
    place.run("--search-only", "--trials", "1")
    study_of(place).ask().set_user_attr(WORKER, {**this_worker(), "boot": "another"})
    assert studies.main(["delete", "tiny_mml", "--yes", "--output", str(place.output)]) == 0


def test_a_confirmation_ends_with_a_message_if_its_study_is_deleted(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """The study is deleted after an epoch of the second run. Its files are not written again."""
    place.run("--search-only", "--trials", "1")
    epochs, where = [], ["--output", str(place.output)]

    def ends(self: _Record, *arguments: Any) -> bool:
        epochs.append(0)
        if len(epochs) == 6:
            assert studies.main(["delete", "tiny_mml", "--yes", "--force", *where]) == 0
        return real_ends(self, *arguments)

    real_ends = _Record.ends
    monkeypatch.setattr(_Record, "ends", ends)
    capsys.readouterr()
    assert confirm.main(["--study", "tiny_mml", *place.where]) == 1
    message = "error: study 'tiny_mml' was deleted while it was confirmed; search it again with hpo.run\n"
    assert capsys.readouterr().err == message
    assert not (place.output / "tiny_mml").exists()
    assert files_in(place.output / "artifacts") == []


def test_a_confirmation_ends_with_a_message_if_a_rival_is_deleted(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    few = ["--trials", "1", "--top", "1", "--select-seeds", "1"]
    assert place.run(*few[:2], "--search-only", study="tiny_ccl.yaml") == 0

    def ends(self: _Record, *arguments: Any) -> bool:
        if "tiny_ccl" in self.label and "tiny_ccl" in optuna.get_all_study_names(open_storage(journal)):
            assert studies.main(["delete", "tiny_ccl", "--yes", "--force", "--output", str(place.output)]) == 0
        return real_ends(self, *arguments)

    journal, real_ends = str(place.output / "journal.log"), _Record.ends
    monkeypatch.setattr(_Record, "ends", ends)
    assert place.run(*few) == 1
    assert "study 'tiny_ccl' was deleted while it was confirmed as a rival" in capsys.readouterr().err
    assert (place.output / "tiny_mml" / "best.yaml").exists()


def test_if_the_folder_is_a_link_only_the_link_is_deleted(place: Place, capsys: pytest.CaptureFixture[str]):
    place.run("--search-only", "--trials", "1")
    folder, target = place.output / "tiny_mml", place.root / "disk"
    folder.rename(target)
    folder.symlink_to(target)
    before = files_in(target)
    capsys.readouterr()
    assert studies.main(["delete", "tiny_mml", "--yes", "--output", str(place.output)]) == 0
    assert f"{target} stays: {folder} is only a link to it" in capsys.readouterr().out
    assert not folder.is_symlink()
    assert set(before) <= set(files_in(target))


def test_the_message_has_the_path_that_cannot_be_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The error of the system may have no path."""

    def refuse(path: Path) -> None:
        raise OSError("it is in use")

    monkeypatch.setattr(shutil, "rmtree", refuse)
    with pytest.raises(InputError, match=f"^{tmp_path}: cannot be deleted: it is in use; mend that"):
        Removal([tmp_path], []).remove()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_search_ends_with_a_message_if_its_study_is_deleted(place: Place, workers: int):
    place.edit("epochs: 3", "epochs: 1000000")
    place.edit("interval_steps: 1", "interval_steps: 10")
    process = start(place, "--workers", str(workers))
    wait_until(lambda: len(pids_at_work(place)) == workers, process)
    assert studies.main(["delete", "tiny_mml", "--yes", "--force", "--output", str(place.output)]) == 0
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert errors.count("study 'tiny_mml' was deleted while it was searched") == 1
    assert "Traceback" not in errors


def test_odd_names_of_other_programs_studies_are_escaped(place: Place, capsys: pytest.CaptureFixture[str]):
    """They are neither markup nor control sequences."""
    place.output.mkdir()
    storage = open_storage(str(place.output / "journal.log"))
    for name in ("[/x]", "\x1b[2J[red]"):
        optuna.create_study(study_name=name, storage=storage)
    assert studies.main(["list", "--output", str(place.output)]) == 0
    assert studies.main(["show", "\x1b[2J[red]", "--output", str(place.output)]) == 0
    shown = capsys.readouterr().out
    assert "[/x]" in shown
    assert "# \\x1b[2J[red]: 0 finished trials" in shown
    assert shown.count("\\x1b[2J[red]") == 2
    assert "\x1b" not in shown
