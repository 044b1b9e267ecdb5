"""`hpo.confirm`: stored runs, continuation, exported files, and refused input."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import pytest

from hpo import confirm, export, pipeline, train
from hpo.confirmation.caveats import CaveatKind
from hpo.confirmation.outcome import Confirmation
from hpo.reporting.export import export_trials
from hpo.runs import provenance
from trainers import TrainConfig, evaluate, load_dataset, load_test
from trainers import train as fit
from trainers.yaml_files import read_yaml

from .conftest import Place
from .outcomes import confirmed, facts, stored_runs


@pytest.mark.confirmed
def test_the_exported_winner_trains_to_the_same_figures(place: Place, capsys: pytest.CaptureFixture[str]):
    best = place.output / "tiny_mml" / "best.yaml"
    content = read_yaml(best)
    assert content["config"]["epochs"] == 4
    assert content["config"]["seed"] == 101
    assert list(content["test_by_seed"]) == [201, 202]
    capsys.readouterr()
    assert train.main([str(best), "--data-dir", str(place.root / "data")]) == 0
    assert "epoch 4/4: loss" in (shown := capsys.readouterr().out)
    assert f"validation ndcg@20 {content['validation']['ndcg@20']:.6f}" in shown.splitlines()[-2]


@pytest.mark.confirmed
def test_the_winner_trained_on_train_and_validation_is_the_run_of_stage_two(place: Place):
    best = read_yaml(place.output / "tiny_mml" / "best.yaml")
    dataset = load_dataset("tiny", place.root / "data")
    run = fit(TrainConfig.from_dict(best["config"] | {"seed": 201}), dataset.train)
    run.finish()
    found = evaluate(*run.vectors(), seen=dataset.train, held_out=load_test(dataset))
    assert found["ndcg@20"] == pytest.approx(best["test_by_seed"][201]["ndcg@20"], abs=1e-7)


@pytest.mark.confirmed
def test_a_repeated_confirm_trains_nothing_and_gives_the_same_verdict(place: Place, capsys: pytest.CaptureFixture[str]):
    before = {path: path.stat().st_mtime_ns for path in stored_runs(place)}
    first = confirmed(place)
    capsys.readouterr()
    assert confirm.main(["--study", "tiny_mml", *place.where]) == 0
    assert {path: path.stat().st_mtime_ns for path in stored_runs(place)} == before
    again = confirmed(place)
    assert again.model_copy(update={"provenance": first.provenance}) == first
    assert "epochs in" not in capsys.readouterr().out


def without_seconds(outcome: Confirmation) -> dict[str, Any]:
    content = outcome.to_dict()
    del content["provenance"]
    measured = [*content["methods"], *(method["search"] for method in content["methods"])]
    for each in [*measured, *(one for finalists in content["validated"].values() for one in finalists)]:
        del each["seconds"]
    return content


def test_an_interrupted_confirm_trains_only_the_missing_runs(place: Place):
    place.run()
    first = confirmed(place)
    lost = stored_runs(place)[3:]
    for path in lost:
        path.unlink()  # a run without its .json does not count
    kept = {path: path.stat().st_mtime_ns for path in stored_runs(place)}
    assert confirm.main(["--study", "tiny_mml", *place.where]) == 0
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert set(lost) <= set(stored_runs(place))
    again = confirmed(place)
    assert without_seconds(again) == without_seconds(first)


def test_per_user_metrics_are_stored(place: Place, capsys: pytest.CaptureFixture[str]):
    place.run("--top", "1", "--select-seeds", "1", "--confirm-seeds", "1", "--confirm-epochs", "1")
    assert "on validation the top 1 config" in (shown := capsys.readouterr().out)
    assert "1 configs" not in shown
    for path in stored_runs(place):
        record = json.loads(path.read_text())
        with np.load(path.with_suffix(".npz"), allow_pickle=False) as arrays:
            assert set(arrays.files) == {"user", "recall@20", "ndcg@20", "recall@50", "ndcg@50"}
            assert len(arrays["user"]) == 48
            assert arrays["ndcg@20"].mean() == pytest.approx(record["metrics"]["ndcg@20"], abs=1e-6)


def test_a_damaged_run_is_refused_with_the_remedy(place: Place, fails: Callable[[int], str]):
    place.run()
    stored_runs(place)[0].write_text("{")
    message = fails(confirm.main(["--study", "tiny_mml", *place.where]))
    assert "delete it to make it again" in message


@pytest.mark.parametrize(("suffix", "content"), [(".npz", b""), (".npz", b"PK\x03\x04 cut off"), (".json", b"[]")])
def test_damaged_files_of_a_run_are_refused_with_the_remedy(
    place: Place, fails: Callable[[int], str], suffix: str, content: bytes
):
    least = ["--top", "1", "--select-seeds", "1", "--confirm-seeds", "1", "--confirm-epochs", "1"]
    place.run(*least)
    stored_runs(place)[0].with_suffix(suffix).write_bytes(content)
    message = fails(confirm.main(["--study", "tiny_mml", *place.where, *least]))
    assert "delete it to make it again" in message


def test_a_run_has_its_provenance(place: Place):
    place.run("--top", "1", "--select-seeds", "1", "--confirm-seeds", "1", "--confirm-epochs", "1")
    assert all("version" in json.loads(path.read_text())["trained_by"] for path in stored_runs(place))


@pytest.mark.confirmed
def test_after_confirm_best_yaml_has_the_confirmed_config(place: Place, capsys: pytest.CaptureFixture[str]):
    best = place.output / "tiny_mml" / "best.yaml"
    before = best.read_text()
    assert export.main(["--study", "tiny_mml", *place.where]) == 0
    assert best.read_text() == before
    printed = " ".join(capsys.readouterr().out.split())
    assert "best.yaml is that of the confirmation; best_trial.yaml is the best trial of the search, 3 epochs" in printed
    trial = read_yaml(best.with_name("best_trial.yaml"))
    assert trial["config"]["epochs"] == 3
    cited, of_trial = read_yaml(best)["citation"], trial["citation"]
    assert cited.startswith(f"Study tiny_mml on tiny (SHA-256 of the training interactions {trial['data']['checksum']}), ")
    assert "ndcg@20 on validation at the last of 3 epochs, 4 finished trials, sampler tpe, pruner median." in cited
    assert "MML tuned was retrained on train and validation for 4 epochs over 2 seeds; the test split was read once" in cited
    assert ("Confirm:" in of_trial, "4 finished trials" in of_trial) == (False, True)
    assert f"numba {numba.__version__}" in cited


@pytest.mark.parametrize("command", [export, confirm])
def test_changed_data_since_the_search_are_refused(place: Place, fails: Callable[[int], str], command: Any):
    place.run("--search-only")
    best = (place.output / "tiny_mml" / "best.yaml").read_text()
    train_file = place.root / "data" / "tiny" / "train.txt"
    train_file.write_text(train_file.read_text().replace("\n", " 39\n"))
    assert "was searched on other data" in fails(command.main(["--study", "tiny_mml", *place.where]))
    assert (place.output / "tiny_mml" / "best.yaml").read_text() == best


def test_data_that_change_before_the_confirmation_are_refused(
    place: Place, fails: Callable[[int], str], monkeypatch: pytest.MonkeyPatch
):
    """hpo.run searches and confirms in one process."""
    train_file = place.root / "data" / "tiny" / "train.txt"

    def export(*arguments: Any) -> Any:
        train_file.write_text(train_file.read_text().replace("\n", " 39\n"))
        return export_trials(*arguments)

    monkeypatch.setattr(pipeline, "export_trials", export)
    assert "was searched on other data" in fails(place.run())


def test_equal_runs_of_another_study_are_copied(place: Place):
    place.run("--select-seeds", "1", "--confirm-seeds", "1", "--confirm-epochs", "2")
    of_first = {path.name: json.loads(path.read_text()) for path in stored_runs(place)}
    place.run("--select-seeds", "1", "--confirm-seeds", "1", "--confirm-epochs", "2", "--study-name", "tiny_mml_again")
    of_second = sorted((place.output / "tiny_mml_again" / "runs").glob("*.json"))
    assert {path.name for path in of_second} == set(of_first)
    assert {path.name: json.loads(path.read_text()) for path in of_second} == of_first, "seconds and provenance, too"


def test_runs_of_another_revision_are_a_caveat_with_their_number(place: Place, monkeypatch: pytest.MonkeyPatch):
    """A study with another name copies the runs and has the caveat, too. A deleted run is trained by this revision."""
    few = ["--trials", "1", "--top", "1", "--select-seeds", "1", "--confirm-seeds", "1", "--confirm-epochs", "1"]

    def by(revision: str, dirty: bool = False) -> None:
        monkeypatch.setattr(provenance, "_git", lambda: {"revision": revision, "dirty": dirty})

    def then(study: str = "tiny_mml") -> list[tuple[str, dict[str, int], int]]:
        return [(by["now"], by["then"], by["runs"]) for _, by in facts(place, CaveatKind.OTHER_REVISIONS, study)]

    by("a" * 40)
    assert place.run(*few) == 0
    n_runs = len(stored_runs(place)) + 4  # with the four baselines
    assert then() == []
    by("b" * 40)
    assert place.run(*few, "--study-name", "again") == 0
    assert then("again") == [("b" * 40, {"a" * 40: n_runs}, n_runs)]
    caveat = f"{n_runs} of the {n_runs} runs behind these figures were trained or measured by another revision of the program"
    assert caveat in (place.output / "again" / "report.md").read_text()
    for lost in place.output.glob(f"*/runs/{stored_runs(place)[-1].name}"):
        lost.unlink()
    by("a" * 40, dirty=True)
    assert place.run(*few) == 0
    assert then() == [("a" * 40 + " dirty", {"a" * 40: n_runs - 1}, n_runs)]
    for runs in place.output.glob("*/runs"):
        shutil.rmtree(runs)
    assert place.run(*few) == 0
    assert then() == []


def test_a_study_without_complete_trials_cannot_be_confirmed(place: Place, fails: Callable[[int], str]):
    place.edit("learning_rate: 1.0e-2", "learning_rate: 1.0e+30")
    assert place.run("--search-only") == 1, "every trial diverges"
    assert "has no complete trial to confirm" in fails(confirm.main(["--study", "tiny_mml", *place.where]))


def test_flags_of_confirm_hold_once_and_the_study_file_is_read_again(place: Place, fails: Callable[[int], str]):
    place.run("--top", "1", "--confirm-seeds", "3", "--confirm-epochs", "1")
    assert [len(method.by_seed) for method in confirmed(place).methods] == [3] * 4
    assert confirm.main(["--study", "tiny_mml", *place.where]) == 0
    assert [len(method.by_seed) for method in confirmed(place).methods] == [2] * 4, "the number in the old file"
    place.edit("seeds: 2, epochs: 4", "seeds: 4, epochs: 1")
    place.edit("rivals: [tiny_ccl.yaml, tiny_bsl.yaml]", "rivals: [tiny_ccl.yaml]")
    assert confirm.main(["--study", str(place.study), *place.where]) == 0
    assert [len(method.by_seed) for method in confirmed(place).methods] == [4] * 3, "the number in the new file"
    place.edit("learning_rate: 1.0e-2", "learning_rate: 1.0e-3")
    message = fails(confirm.main(["--study", str(place.study), *place.where]))
    assert (
        "must define study 'tiny_mml' as it was searched, and has changed (config.learning_rate: was 0.01, now 0.001)"
        in message
    )
    assert "excludes the flags of confirm, which are not stored" in fails(place.run("--search-only", "--confirm-seeds", "7"))
    place.study.unlink()
    assert "cannot be read" in fails(confirm.main(["--study", str(place.study), *place.where]))


def test_another_validation_split_than_in_the_search_is_refused(place: Place, fails: Callable[[int], str]) -> None:
    """If the valid file is joined to the train file, the pairs are the same, but others would be held out."""
    data, valid = place.root / "data" / "tiny", "0 39 37 35\n2 39 37\n4 1\n"
    (data / "valid.txt").write_text(valid)
    assert place.run("--search-only") == 0
    (data / "valid.txt").unlink()
    (data / "train.txt").write_text((data / "train.txt").read_text() + valid)
    message = fails(confirm.main(["--study", "tiny_mml", *place.where]))
    assert "was searched on another validation split: it held out the valid file" in message
