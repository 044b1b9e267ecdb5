"""Replicate: what its file keeps. What it gives on the public data is in benchmarks/RESULTS.md."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpo import replicate
from hpo.replicate import PaperRow
from trainers.published import PUBLISHED
from trainers.yaml_files import read_yaml

from .conftest import write_tiny

Replicate = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Replicate:
    """Replicate a table of two rows with few epochs; gives the rows of the file."""
    write_tiny(tmp_path / "data" / "tiny")
    rows = tuple(PaperRow(loss, "tiny", {"batch_size": 64, "learning_rate": 1.0e-2}, 0.5, 0.4) for loss in ("mml", "ccl"))
    monkeypatch.setitem(replicate.REPLICATIONS, "mml_mf", rows)
    for loss in ("mml", "ccl"):
        monkeypatch.setitem(PUBLISHED[loss], "tiny", PUBLISHED[loss]["gowalla"])

    def run(*flags: str) -> list[dict[str, Any]]:
        where = ["--data-dir", str(tmp_path / "data"), "--output", str(tmp_path / "out")]
        assert replicate.main(["mml_mf", "--epochs", "2", *where, *flags]) == 0
        found: list[dict[str, Any]] = read_yaml(tmp_path / "out" / "replicate" / "mml_mf.yaml")["runs"]
        return found

    return run


def what(rows: list[dict[str, Any]]) -> list[tuple[str, int, int]]:
    return sorted((row["config"]["loss"]["name"], row["config"]["negatives"]["count"], row["config"]["seed"]) for row in rows)


def test_rows_of_other_commands_stay(table: Replicate):
    first = table("--negatives", "3,5")
    assert what(first) == [("ccl", 3, 0), ("ccl", 5, 0), ("mml", 3, 0), ("mml", 5, 0)]
    later = table("--negatives", "5", "--losses", "mml", "--seed", "1")
    assert what(later) == sorted([*what(first), ("mml", 5, 1)])
    again = table("--negatives", "3", "--losses", "ccl")
    assert what(again) == what(later)
    assert all(row in again for row in later)


def test_paper_and_measured(table: Replicate, capsys: pytest.CaptureFixture[str]):
    row = table("--negatives", "100", "--epochs", "100", "--losses", "mml")[0]
    assert row["paper"] == {"recall@20": 0.5, "ndcg@20": 0.4}
    measured = row["measured"]["recall@20"]
    shown = capsys.readouterr().out
    assert f"{measured:.4f}" in shown
    assert f"{100 * (measured / 0.5 - 1):+.1f} %" in shown


def test_a_file_that_is_no_table_is_explained(table: Replicate, tmp_path: Path, fails: Callable[[int], str]):
    table()
    path = tmp_path / "out" / "replicate" / "mml_mf.yaml"
    path.write_text("runs: 3\n")
    message = fails(
        replicate.main(["mml_mf", "--epochs", "2", "--data-dir", str(tmp_path / "data"), "--output", str(tmp_path / "out")])
    )
    assert f"{path}: is not a table" in message
