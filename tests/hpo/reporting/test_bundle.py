"""A study in one file, and its report on another machine."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from hpo import export, report, studies
from hpo.reporting import bundle
from hpo.reporting.export import trials_table
from hpo.search.claims import this_worker
from hpo.storage.open import open_storage
from hpo.study.attributes import WORKER
from hpo.study.stored import find_study
from trainers.yaml_files import SEAL, sealed

from ..conftest import Place
from ..outcomes import confirmed, files, opened


def bundled(place: Place, name: str = "sent.zip") -> Path:
    path = place.root / name
    assert export.main(["--study", "tiny_mml", "--output", str(place.output), "--bundle", str(path)]) == 0
    return path


def changed(path: Path, change: Callable[[dict[str, bytes]], None]) -> None:
    with zipfile.ZipFile(path) as packed:
        members = {name: packed.read(name) for name in packed.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w") as packed:
        for name, content in members.items():
            packed.writestr(name, content)


@pytest.mark.confirmed
def test_the_report_of_a_bundle_is_that_of_the_study(place: Place, capsys: pytest.CaptureFixture[str]):
    """It needs neither the data nor the storage nor the folder of the study. A running trial is included, as a failed one."""
    study = opened(place).study
    study.ask().set_user_attr(WORKER, this_worker())
    path, (markdown, _), outcome = bundled(place), files(place), confirmed(place)
    assert "confirm.yaml" in capsys.readouterr().out
    trials = study.trials
    place.output.rename(place.root / "away")
    assert report.main(["--bundle", str(path)]) == 0
    folder = place.root / "sent"
    assert capsys.readouterr().out == f"wrote {folder / 'report.md'}\nwrote {folder / 'report.html'}\n"
    text = (folder / "report.md").read_text()
    for sentence in [*outcome.statements(), *outcome.sentences()]:
        assert sentence in text
    assert markdown.partition("## Search")[0].splitlines()[:3] == text.splitlines()[:3]
    assert all(bundle.is_member(each.name) for each in folder.iterdir() if each.name != bundle.CONTENTS)
    journal = folder / "journal.log"
    assert str(this_worker()["host"]) not in journal.read_text()
    copy = find_study(open_storage(str(journal)), "tiny_mml")
    assert [trial.number for trial in copy.trials] == [trial.number for trial in trials]
    assert copy.trials[-1].state == TrialState.FAIL
    assert [trial.value for trial in copy.trials] == [trial.value for trial in trials]
    assert studies.main(["show", "tiny_mml", "--storage", str(journal)]) == 0
    assert report.main(["--bundle", str(path)]) == 0, "its own files may be overwritten"


def test_a_study_without_a_verdict_can_be_bundled(place: Place, capsys: pytest.CaptureFixture[str]):
    place.run("--search-only", "--trials", "1")
    capsys.readouterr()
    path = bundled(place)
    assert "contains no verdict, since the study has not been confirmed" in capsys.readouterr().out
    assert report.main(["--bundle", str(path)]) == 0
    assert "No verdict yet" in (place.root / "sent" / "report.md").read_text()


def test_a_study_without_trials_has_an_empty_table():
    table = trials_table(optuna.create_study())
    assert table.empty
    assert {"number", "state", "value"} <= set(table.columns)


def edited(members: dict[str, bytes]) -> None:
    members["trials.csv"] = members["trials.csv"].replace(b"0.", b"9.")


def no_contents(members: dict[str, bytes]) -> None:
    del members[bundle.CONTENTS]


def outside(members: dict[str, bytes]) -> None:
    members["../evil"] = b"x"


def another_format(members: dict[str, bytes]) -> None:
    members[bundle.CONTENTS] = members[bundle.CONTENTS].replace(b"format: 1", b"format: 7")


def a_member_less(members: dict[str, bytes]) -> None:
    del members["report.md"]


@pytest.mark.confirmed
def test_a_bundle_whose_verdict_has_an_older_format_is_refused(place: Place, fails: Callable[[int], str]):
    path = bundled(place)

    def older(members: dict[str, bytes]) -> None:
        text = members["confirm.yaml"].decode().rpartition(SEAL)[0].replace("format: 5", "format: 4", 1)
        before, members["confirm.yaml"] = members["confirm.yaml"], sealed(text).encode()
        digests = (hashlib.sha256(content).hexdigest().encode() for content in (before, members["confirm.yaml"]))
        members[bundle.CONTENTS] = members[bundle.CONTENTS].replace(*digests)

    changed(path, older)
    assert fails(report.main(["--bundle", str(path)])).endswith(
        f"error: {path}, confirm.yaml: this version reads format 5, got 4; unzip it for the report of the version that made "
        "it\n"
    )
    assert not (place.root / "sent").exists()


@pytest.mark.confirmed
def test_a_damaged_bundle_is_refused(place: Place, fails: Callable[[int], str], monkeypatch: pytest.MonkeyPatch):
    path = bundled(place)
    sound = path.read_bytes()
    for change, message in (
        (edited, "its files do not match the checksums in contents.yaml"),
        (a_member_less, "its files do not match the checksums in contents.yaml"),
        (no_contents, "is no bundle of a study: it has no contents.yaml"),
        (outside, "holds '../evil', which is not part of a bundle"),
        (another_format, "this version reads format 1, got 7"),
    ):
        path.write_bytes(sound)
        changed(path, change)
        assert message in fails(report.main(["--bundle", str(path)]))
        assert not (place.root / "sent").exists()
    for content in (b"", b"no zip", sound[: len(sound) // 2], sound[:100] + b"\0" * 50 + sound[150:]):
        path.write_bytes(content)
        assert "is no bundle, or a damaged one" in fails(report.main(["--bundle", str(path)]))
    path.write_bytes(sound)
    with monkeypatch.context() as patch:
        patch.setattr(bundle, "LARGEST", 1000)
        assert "may have at most 1,000 bytes unpacked" in fails(report.main(["--bundle", str(path)]))
    (place.root / "sent").write_text("a plain file")
    assert "sent must be a folder or not exist, and is a file" in fails(report.main(["--bundle", str(path)]))
    (place.root / "sent").unlink()
    (place.root / "sent").mkdir()
    (place.root / "sent" / "notes.txt").write_text("mine")
    assert "sent holds notes.txt, which is not part of the bundle" in fails(report.main(["--bundle", str(path)]))
    assert "No such file" in fails(report.main(["--bundle", str(place.root / "none.zip")]))
    path.rename(place.root / "bare")
    assert "rename it to bare.zip" in fails(report.main(["--bundle", str(place.root / "bare")]))
