"""The file of hpo.replicate. Its results on the public data are in benchmarks/RESULTS.md."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpo import replicate
from hpo.replication.papers import TABLES
from hpo.replication.rows import MEAN_POPULARITY, PaperGain, PaperRow
from hpo.replication.validation import tenth
from hpo.runs import provenance
from hpo.runs.store import FinishedRun
from hpo.runs.train import FullRuns
from trainers import Interactions
from trainers.early_stopping import Plateau
from trainers.published import PUBLISHED
from trainers.yaml_files import read_yaml

from .conftest import write_tiny

Replicate = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Replicate:
    """Replicate a table of two rows with few epochs, and return the rows of the file."""
    write_tiny(tmp_path / "data" / "tiny")
    common = {"batch_size": 64, "learning_rate": 1.0e-2}
    rows = tuple(
        PaperRow(loss, "tiny", common | {"loss": PUBLISHED[loss]["gowalla"]}, {"recall@20": 0.5} | more)
        for loss, more in (("mml", {"ndcg@20": 0.4}), ("ccl", {}))
    )
    monkeypatch.setitem(TABLES, "mml_mf", replace(TABLES["mml_mf"], rows=rows))
    own = PaperRow("own", "tiny", rows[0].fields | {"negatives": {"name": "unseen", "count": 2}}, {MEAN_POPULARITY: 30.0})
    monkeypatch.setitem(TABLES, "two_stage", replace(TABLES["two_stage"], rows=(own,), epochs=2))

    def run(*flags: str) -> list[dict[str, Any]]:
        where = ["--data-dir", str(tmp_path / "data"), "--output", str(tmp_path / "out")]
        assert replicate.main(["mml_mf", "--epochs", "2", *where, *flags]) == 0
        found: list[dict[str, Any]] = read_yaml(tmp_path / "out" / "replicate" / "mml_mf.yaml")["runs"]
        return found

    return run


def what(rows: list[dict[str, Any]]) -> list[tuple[str, int, int]]:
    return sorted((row["config"]["loss"]["name"], row["config"]["negatives"]["count"], row["config"]["seed"]) for row in rows)


def test_rows_of_another_revision_give_a_message(
    table: Replicate, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    for revision in "ab":
        capsys.readouterr()
        monkeypatch.setattr(provenance, "_git", lambda revision=revision: {"revision": revision * 40, "dirty": False})
        rows = table("--negatives", "3")
    assert "2 of the 2 runs behind these figures were trained or measured by another revision" in capsys.readouterr().out
    assert {row["trained_by"] for row in rows} == {"a" * 40}


def test_rows_of_other_commands_are_kept(table: Replicate):
    first = table("--negatives", "3,5")
    assert what(first) == [("ccl", 3, 0), ("ccl", 5, 0), ("mml", 3, 0), ("mml", 5, 0)]
    later = table("--negatives", "5", "--only", "mml", "--seed", "1")
    assert what(later) == sorted([*what(first), ("mml", 5, 1)])
    again = table("--negatives", "3", "--only", "ccl")
    assert what(again) == what(later)
    assert all(row in again for row in later)


def test_rows_that_another_process_wrote_meanwhile_are_kept(table: Replicate, monkeypatch: pytest.MonkeyPatch):
    train = FullRuns.train

    def meanwhile(*arguments: Any, **named: Any) -> list[FinishedRun]:
        monkeypatch.setattr(FullRuns, "train", train)
        table("--negatives", "3", "--only", "ccl")
        return train(*arguments, **named)

    monkeypatch.setattr(FullRuns, "train", meanwhile)
    assert what(table("--negatives", "3", "--only", "mml")) == [("ccl", 3, 0), ("mml", 3, 0)]


def test_a_row_has_the_figures_of_the_paper_and_ours(table: Replicate, capsys: pytest.CaptureFixture[str]):
    row = table("--negatives", "100", "--epochs", "100", "--only", "mml")[0]
    assert row["paper"] == {"recall@20": 0.5, "ndcg@20": 0.4}
    measured = row["measured"]["recall@20"]
    shown = capsys.readouterr().out
    assert f"{measured:.4f}" in shown
    assert f"{100 * (measured / 0.5 - 1):+.1f} %" in shown


def test_a_row_that_diverged_says_so_and_why(
    table: Replicate, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    far = PaperRow("far", "tiny", {"learning_rate": 1e30, "loss": PUBLISHED["ccl"]["gowalla"]}, {"recall@20": 0.5})
    monkeypatch.setitem(TABLES, "mml_mf", replace(TABLES["mml_mf"], rows=(far,)))
    (found,) = table()
    shown = capsys.readouterr().out
    assert found["failure"]
    assert [cell for line in shown.splitlines() for cell in line.split() if cell == "diverged"], "a cell of the table"
    assert f"{far.name} tiny diverged: {found['failure']}" in " ".join(shown.split())
    assert "nan %" not in shown


def test_a_paper_may_lack_a_figure(table: Replicate):
    assert table("--only", "ccl", "--negatives", "100", "--epochs", "100")[0]["paper"] == {"recall@20": 0.5}


def test_a_table_may_have_its_own_negatives_and_metrics(
    table: Replicate, tmp_path: Path, capsys: pytest.CaptureFixture[str], fails: Callable[[int], str]
):
    where = ["--data-dir", str(tmp_path / "data"), "--output", str(tmp_path / "out")]
    assert replicate.main(["two_stage", *where]) == 0
    shown = capsys.readouterr().out
    assert "other data" in shown
    (row,) = read_yaml(tmp_path / "out" / "replicate" / "two_stage.yaml")["runs"]
    assert row["config"]["negatives"] == {"name": "unseen", "count": 2}
    popularity = row["measured"][MEAN_POPULARITY]
    assert f"{100 * (popularity / 30.0 - 1):+.1f} %" in shown
    message = fails(replicate.main(["two_stage", "--negatives", "5", *where]))
    assert "--negatives cannot be used with" in message


def test_a_row_may_stop_early(
    table: Replicate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    plain = TABLES["mml_mf"].rows[0]
    stopped = replace(plain, name="mml-stopped", plateau=Plateau("ndcg@20", patience=1))
    monkeypatch.setitem(TABLES, "mml_encoders", replace(TABLES["mml_encoders"], rows=(plain, stopped), epochs=60))
    assert replicate.main(["mml_encoders", "--data-dir", str(tmp_path / "data"), "--output", str(tmp_path / "out")]) == 0
    first, second = read_yaml(tmp_path / "out" / "replicate" / "mml_encoders.yaml")["runs"]
    assert first["config"] == second["config"]
    assert "stopped_by" not in first
    assert first["epochs_trained"] == 60
    assert second["stopped_by"] == {"metric": "ndcg@20", "patience": 1, "cut": 0.1, "every": 1}
    assert 1 < second["epochs_trained"] < 60
    assert first["measured"] != second["measured"]
    shown = " ".join(capsys.readouterr().out.split())
    assert "a leak" in shown
    assert f"{second['epochs_trained']} epochs" in shown


def test_a_gain_of_the_paper_is_shown_beside_ours(
    table: Replicate, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    gain = PaperGain("mml", "ccl", "tiny", 3, {"recall@20": 0.195})
    monkeypatch.setitem(TABLES, "mml_mf", replace(TABLES["mml_mf"], gains=(gain,), epochs=2))
    recall = {row["config"]["loss"]["name"]: row["measured"]["recall@20"] for row in table("--negatives", "3")}
    ours = 100 * (recall["mml"] / recall["ccl"] - 1)
    shown = " ".join(capsys.readouterr().out.split())
    assert f"mml over ccl on tiny with 3 negatives: recall@20 {ours:+.1f} % (paper +19.5 %)" in shown
    table("--negatives", "5")
    table("--negatives", "3", "--only", "mml")
    table("--negatives", "3", "--epochs", "1")
    assert "mml over ccl" not in capsys.readouterr().out


def test_a_row_may_choose_its_epoch_on_validation(table: Replicate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """It does not train on the validation pairs. A paper may take its means over all users, with and without a test item."""
    plain = replace(TABLES["mml_mf"].rows[0], plateau=Plateau("ndcg@20", patience=2, cut=None, every=2))
    rows = (plain, replace(plain, validation=True), replace(plain, over_all_users=True, fields=plain.fields | {"l2": 1e-12}))
    monkeypatch.setitem(TABLES, "mml_encoders", replace(TABLES["mml_encoders"], rows=rows, epochs=6))
    folder = tmp_path / "data" / "tiny"
    test = (folder / "test.txt").read_text().splitlines()
    n_users = len((folder / "train.txt").read_text().splitlines())
    (folder / "test.txt").write_text("\n".join(test[: n_users // 2]) + "\n")
    assert replicate.main(["mml_encoders", "--data-dir", str(tmp_path / "data"), "--output", str(tmp_path / "out")]) == 0
    leaked, chosen, over_all = read_yaml(tmp_path / "out" / "replicate" / "mml_encoders.yaml")["runs"]
    assert leaked["config"] == chosen["config"]
    assert leaked["validation"] is False
    assert chosen["validation"] is True
    assert chosen["measured"] != leaked["measured"]
    assert over_all["measured"]["ndcg@20"] == pytest.approx(leaked["measured"]["ndcg@20"] / 2)


def test_the_validation_of_ir_benchmark_is_a_tenth_rounded_down():
    sizes = np.array([1, 2, 9, 10, 19, 20, 39])
    train = Interactions.from_pairs(np.repeat(np.arange(7), sizes), np.concatenate([np.arange(size) for size in sizes]), 7, 40)
    seen, validation = tenth(train)
    assert validation.per_user.tolist() == [0, 1, 1, 1, 1, 2, 3]
    assert (seen.per_user + validation.per_user).tolist() == sizes.tolist()


def test_unknown_rows_are_refused(table: Replicate, fails: Callable[[int], str]):
    assert "unknown name 'mmll'" in fails(replicate.main(["mml_mf", "--only", "mmll"]))
    message = fails(replicate.main(["mml_losses", "--only", "bpr", "--datasets", "yelp"]))
    assert "unknown dataset 'yelp'" in message


def test_every_row_is_a_config():
    for paper_table in TABLES.values():
        for row in paper_table.rows:
            config = row.config(paper_table.epochs, 0, paper_table.count)
            assert config.epochs == paper_table.epochs
            assert set(row.paper) <= set(paper_table.metrics)


@pytest.mark.parametrize(
    ("text", "rule"),
    [("runs: 3\n", "this version reads format 1, got none"), ("format: 1\nruns: 3\n", "runs: ")],
)
def test_a_file_that_is_no_table_is_refused_with_the_remedy(
    table: Replicate, tmp_path: Path, fails: Callable[[int], str], text: str, rule: str
):
    table()
    path = tmp_path / "out" / "replicate" / "mml_mf.yaml"
    path.write_text(text)
    message = fails(
        replicate.main(["mml_mf", "--epochs", "2", "--data-dir", str(tmp_path / "data"), "--output", str(tmp_path / "out")])
    )
    assert f"{path}: " in message
    assert rule in message
    assert "; delete it; finished runs are kept" in message
