"""The owner of a study's folder: a study or its copy, a storage with several addresses, moved storages and folders."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest

from hpo import confirm, dashboard, export, report, run, studies
from hpo.reporting.dashboard_sync import ARTIFACTS
from hpo.reporting.export import claim
from hpo.storage.open import location, open_storage
from hpo.study.definition import STUDY_ID
from hpo.study.owner import OWNER, Owner
from trainers.errors import InputError

from ..conftest import Place


def files_in(folder: Path) -> dict[str, bytes]:
    """The content of all files by path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def journal(folder: Path) -> str:
    return str(folder / "journal.log")


def copy_study(source: str, target: str, name: str) -> None:
    before, after = open_storage(source), open_storage(target)
    optuna.copy_study(from_study_name="tiny_mml", from_storage=before, to_storage=after, to_study_name=name)


def made(url: str, name: str = "s", study_id: str = "1f") -> optuna.Study:
    study = optuna.create_study(study_name=name, storage=open_storage(url))
    study.set_user_attr(STUDY_ID, study_id)
    return study


@pytest.mark.confirmed
@pytest.mark.parametrize("to_storage", ["", "sqlite:///{root}/x.db"])
def test_a_copy_of_a_study_has_its_own_folder(place: Place, to_storage: str):
    """Its artifacts of the dashboard are its own, too. At first they are those of the original."""
    own = journal(place.output)
    target = to_storage.format(root=place.root) or own
    copy_study(own, target, "copy")
    kept = {folder: files_in(place.output / folder) for folder in ("tiny_mml", ARTIFACTS)}
    flags = ["--study", "copy", *place.where, "--storage", target]
    assert report.main(flags) == 0
    shown = (place.output / "copy" / "report.md").read_text()
    assert shown.startswith("# copy\n")
    assert "No verdict yet" in shown, "the verdict belongs to the original"
    assert export.main(flags) == 0
    assert confirm.main([*flags, "--top", "1", "--select-seeds", "1"]) == 0
    assert "No verdict yet" not in (place.output / "copy" / "report.md").read_text()
    now = {folder: files_in(place.output / folder) for folder in kept}
    assert now["tiny_mml"] == kept["tiny_mml"]
    assert {name: now[ARTIFACTS][name] for name in kept[ARTIFACTS]} == kept[ARTIFACTS]
    assert len(now[ARTIFACTS]) == len(kept[ARTIFACTS]) + 2
    assert studies.main(["delete", "copy", "--yes", *place.where, "--storage", target]) == 0
    assert not (place.output / "copy").exists()
    assert {folder: files_in(place.output / folder) for folder in kept} == kept


def test_deleting_an_unused_copy_keeps_the_artifacts_of_the_original(place: Place):
    place.run("--search-only", "--trials", "1")
    copy_study(journal(place.output), journal(place.output), "copy")
    kept = files_in(place.output / ARTIFACTS)
    assert studies.main(["delete", "copy", "--yes", "--output", str(place.output)]) == 0
    assert files_in(place.output / ARTIFACTS) == kept


@pytest.mark.confirmed
@pytest.mark.parametrize("how", ["copy_study", "cp"])
def test_a_copy_with_the_same_name_is_refused(place: Place, fails: Callable[[int], str], how: str):
    """The copy is in another storage and has the same output folder. No result is shown or overwritten."""
    own, other = journal(place.output), str(place.root / "other.log")
    if how == "cp":
        shutil.copy(own, other)
    else:
        copy_study(own, other, "tiny_mml")
    before, folder = files_in(place.output), place.output / "tiny_mml"
    for command in (report, export, confirm, run):
        study = str(place.study) if command is run else "tiny_mml"
        assert fails(command.main(["--study", study, *place.where, "--storage", other])) == (
            f"error: {folder} holds the results of another study: owner.yaml there names study 'tiny_mml' on journal.log, and "
            f"this is study 'tiny_mml' on {other}; give another --output or --study-name, or move that folder away; if these "
            f"are the same study, give the storage that is in owner.yaml, or delete {folder / OWNER}\n"
        )
    assert studies.main(["delete", "tiny_mml", "--yes", *place.where, "--storage", other]) == 0
    assert files_in(place.output) == before


def test_the_dashboard_does_not_change_folders_of_other_studies(place: Place, monkeypatch: pytest.MonkeyPatch):
    place.run("--search-only", "--trials", "1")
    other = str(place.root / "other.log")
    copy_study(journal(place.output), other, "tiny_mml")
    before = files_in(place.output / "tiny_mml")
    monkeypatch.setattr(dashboard, "serve", lambda *_: None)
    monkeypatch.setattr(dashboard, "_check_free", lambda *_: None)
    assert dashboard.main([*place.where, "--storage", other]) == 0
    assert files_in(place.output / "tiny_mml") == before


def test_a_study_is_recognised_by_other_paths_and_after_a_move(place: Place, monkeypatch: pytest.MonkeyPatch):
    place.run("--search-only", "--trials", "1")
    note = (place.output / "tiny_mml" / OWNER).read_text()
    monkeypatch.chdir(place.root)
    (place.root / "link").symlink_to(place.output)
    absolute = str(place.output / "journal.log")
    for output, storage in (("out", "out/journal.log"), ("link", absolute), ("./out", "link/journal.log")):
        assert report.main(["--study", "tiny_mml", "--output", output, "--storage", storage]) == 0
    moved = place.root / "elsewhere"
    place.output.rename(moved)
    assert report.main(["--study", "tiny_mml", "--output", str(moved)]) == 0
    assert (moved / "tiny_mml" / OWNER).read_text() == note
    (moved / "journal.log").rename(place.root / "moved.log")
    assert report.main(["--study", "tiny_mml", "--output", str(moved), "--storage", "moved.log"]) == 0
    assert (moved / "tiny_mml" / OWNER).read_text() == note.replace("journal.log", str(place.root / "moved.log"))


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("postgresql+psycopg://me:secret@db/hpo", "postgresql://db:5432/hpo"),
        ("postgresql+psycopg2://you@db:5432/hpo?sslmode=require", "postgresql://db:5432/hpo"),
        ("postgresql://db/hpo?password=secret", "postgresql://db:5432/hpo"),
        ("postgresql://me@/hpo?host=/tmp/pg", "postgresql:///tmp/pg:5432/hpo"),
        ("mysql+pymysql://me@db:3307/hpo", "mysql://db:3307/hpo"),
        ("sqlite:///x.db", "{here}/x.db"),
        ("x.log", "{here}/x.log"),
        ("grpc://db:13000", ""),
    ],
)
def test_all_urls_of_a_storage_give_one_location(url: str, where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("hpo.storage.open.open_remote", lambda _: optuna.storages.InMemoryStorage())  # no server is contacted
    assert location(open_storage(url)) == where.format(here=tmp_path)


def test_a_storage_in_memory_has_no_location():
    assert location(optuna.storages.InMemoryStorage()) == ""


SERVER, PROXY = "postgresql://db:5432/hpo", ""


@pytest.mark.parametrize(
    ("noted", "now", "same"),
    [
        (SERVER, SERVER, True),
        (SERVER, "postgresql://other:5432/hpo", False),
        (SERVER, PROXY, True),
        (PROXY, SERVER, True),
        ("journal.log", SERVER, False),  # the file exists, so one of them is a copy
        ("gone.log", SERVER, True),  # the study was moved to the server
        (SERVER, "journal.log", False),
        ("journal.log", "link.log", True),
        ("journal.log", "copied.log", False),
        ("gone.log", "journal.log", True),
    ],
)
def test_two_locations_may_be_one_storage(tmp_path: Path, noted: str, now: str, same: bool):
    for name in ("journal.log", "copied.log"):
        (tmp_path / name).touch()
    os.link(tmp_path / "journal.log", tmp_path / "link.log")
    first, second = (Owner(study="s", study_id="1f", storage=storage) for storage in (noted, now))
    assert first.is_same(second, tmp_path / "s") is same
    assert not first.is_same(second.model_copy(update={"study": "copy"}), tmp_path / "s")
    assert not first.is_same(second.model_copy(update={"study_id": "2e"}), tmp_path / "s")


def test_the_message_about_another_server_has_the_remedy(tmp_path: Path):
    study, folder = made(str(tmp_path / "x.log")), tmp_path / "out" / "s"
    Owner(study="s", study_id="1f", storage=SERVER).write(folder)
    with pytest.raises(InputError) as caught:
        claim(folder, study)
    assert str(caught.value).endswith(
        f"; if these are two addresses of one storage, give the storage that is in owner.yaml, or delete {folder / OWNER}"
    )
    (folder / OWNER).unlink()
    claim(folder, study)
    assert Owner.read(folder) == Owner(study="s", study_id="1f", storage=str(tmp_path / "x.log"))


def test_the_owner_file_keeps_the_storage_after_access_through_a_proxy(tmp_path: Path):
    folder, known = tmp_path / "s", Owner(study="s", study_id="1f", storage=SERVER)
    known.write(folder)
    study = optuna.create_study(study_name="s")  # in memory, so it has no location
    study.set_user_attr(STUDY_ID, "1f")
    claim(folder, study)
    assert Owner.read(folder) == known


@pytest.mark.parametrize("content", ["", "study: s\n", "format: 1\nstudy: s\n", "{"])
def test_a_damaged_owner_file_is_refused(place: Place, fails: Callable[[int], str], content: str):
    place.run("--search-only", "--trials", "1")
    note = place.output / "tiny_mml" / OWNER
    note.write_text(content)
    before = files_in(place.output / "tiny_mml")
    assert str(note) in fails(report.main(["--study", "tiny_mml", "--output", str(place.output)]))
    assert files_in(place.output / "tiny_mml") == before


ONE_RUN_EACH = ["--top", "1", "--select-seeds", "1", "--confirm-seeds", "1", "--confirm-epochs", "1"]


@pytest.mark.parametrize(
    ("command", "flags", "written"),
    [
        (report, [], {"report.md", "report.html"}),
        (export, [], {"best.yaml", "trials.csv"}),
        (confirm, ONE_RUN_EACH, {"confirm.yaml", "best.yaml", "report.md", "report.html"}),
    ],
)
def test_a_deleted_folder_is_made_again(place: Place, command: Any, flags: list[str], written: set[str]):
    place.run("--search-only", "--trials", "1")
    folder = place.output / "tiny_mml"
    note = (folder / OWNER).read_text()
    shutil.rmtree(folder)
    assert command.main(["--study", "tiny_mml", *place.where, *flags]) == 0
    assert (folder / OWNER).read_text() == note
    assert {path.name for path in folder.glob("[a-z]*.*")} == {OWNER, *written}


def test_a_folder_with_foreign_files_is_not_claimed(place: Place, fails: Callable[[int], str]):
    """Else they would be deleted with the study."""
    folder = place.output / "tiny_mml"
    folder.mkdir(parents=True)
    (folder / "thesis.txt").write_text("years")
    assert fails(place.run("--search-only", "--trials", "1")) == (
        f"error: {folder} has no owner.yaml and holds files of unknown origin (thesis.txt); move them away, or "
        "give another --output or --study-name\n"
    )
    assert [path.name for path in folder.iterdir()] == ["thesis.txt"]


def test_the_dashboard_claims_no_folder(place: Place, monkeypatch: pytest.MonkeyPatch):
    place.run("--search-only", "--trials", "1")
    elsewhere = place.root / "elsewhere" / "tiny_mml"
    elsewhere.mkdir(parents=True)
    monkeypatch.setattr(dashboard, "serve", lambda *_: None)
    monkeypatch.setattr(dashboard, "_check_free", lambda *_: None)
    where = ["--storage", journal(place.output), "--output", str(elsewhere.parent)]
    assert dashboard.main(where) == 0
    assert list(elsewhere.iterdir()) == []


def test_deleting_a_copy_keeps_the_files_of_an_unreachable_original(place: Place, capsys: pytest.CaptureFixture[str]):
    own = place.root / "mount" / "j.log"
    own.parent.mkdir()
    place.run("--search-only", "--trials", "1", "--storage", str(own))
    copy = place.root / "backup.log"
    shutil.copy(own, copy)
    own.parent.rename(place.root / "unmounted")
    assert studies.main(["delete", "tiny_mml", "--yes", *place.where, "--storage", str(copy)]) == 0
    assert "tiny_mml stays: owner.yaml there says that it is another study's" in capsys.readouterr().out
    assert (place.output / "tiny_mml" / "best.yaml").exists()


def test_an_unreadable_location_counts_as_another_storage(tmp_path: Path):
    study, folder = made(str(tmp_path / "x.log")), tmp_path / "out" / "s"
    Owner(study="s", study_id="1f", storage="x" * 5000).write(folder)
    with pytest.raises(InputError, match="holds the results of another study"):
        claim(folder, study)
