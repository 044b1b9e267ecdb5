"""Unchanged files of RecBole, LensKit, RecTools, Cornac and Elliot are read. They have 36 generated users and lists of 10.

RecBole 1.2.1, LensKit 2025.8.1, RecTools 0.19.0 and Cornac 3.0.1 wrote their files. The file for Elliot has the layout of its
store_recommendation.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hpo import compare
from hpo.comparison.files import read_side
from hpo.comparison.outcome import Compared
from hpo.comparison.sides import Side
from hpo.comparison.truth import Truth, read_truth
from trainers.data.readers.layout import Layout
from trainers.metrics.definitions import metrics_at

FILES = Path(__file__).parent / "files"
ASKED = metrics_at(["ndcg@10", "recall@10"])
LISTS = ["recbole_bpr_1.tsv", "recbole_pop.tsv", "lenskit_knn_recs.csv", "lenskit_knn_native.parquet"]
LISTS += ["rectools_ease_recs.csv", "cornac_ease_recs.csv", "elliot_ease.tsv"]
BY_USER = ["lenskit_knn_users.csv", "lenskit_knn_users.parquet", "rectools_ease_users.csv", "cornac_ease_users.csv"]


@pytest.fixture(scope="module")
def truth() -> Truth:
    return read_truth(FILES / "truth.csv", Layout())


def side(name: str, truth: Truth | None) -> Side:
    return read_side("x", [FILES / name], truth, ASKED)


@pytest.mark.parametrize("name", LISTS)
def test_lists_of_items_are_read(name: str, truth: Truth):
    found = side(name, truth)
    assert (found.kind, len(found.users), found.metrics) == ("recommendations", 36, ["ndcg@10", "recall@10"])
    assert 0.05 < found.runs[0].mean("recall@10", found.users) < 0.7


@pytest.mark.parametrize("name", BY_USER)
def test_metrics_by_user_are_read(name: str):
    found = side(name, None)
    assert (found.kind, len(found.users), found.metrics) == ("metrics", 36, ["ndcg@10", "recall@10"])


@pytest.mark.parametrize(
    ("lists", "users", "metrics"),
    [
        ("lenskit_knn_recs.csv", "lenskit_knn_users.csv", ["recall@10"]),
        ("lenskit_knn_native.parquet", "lenskit_knn_users.parquet", ["recall@10"]),
        ("rectools_ease_recs.csv", "rectools_ease_users.csv", ["recall@10"]),
        ("cornac_ease_recs.csv", "cornac_ease_users.csv", ["recall@10", "ndcg@10"]),
    ],
)
def test_our_metrics_equal_those_of_the_library(lists: str, users: str, metrics: list[str], truth: Truth):
    """NDCG is compared only for equal definitions: LensKit discounts from the third item, RecTools has the ideal of k hits."""
    ours, theirs = (side(name, truth).runs[0].users for name in (lists, users))
    for metric in metrics:
        pd.testing.assert_series_equal(ours[metric], theirs[metric].reindex(ours.index), check_exact=False, rtol=1e-6)


def test_two_layouts_give_the_same_lists(truth: Truth):
    for one, other in (("lenskit_knn_recs.csv", "lenskit_knn_native.parquet"), ("rectools_ease_recs.csv", "elliot_ease.tsv")):
        np.testing.assert_array_equal(*(side(name, truth).runs[0].users for name in (one, other)))


def test_files_of_a_library_give_a_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(compare, "write_page", lambda outcome, folder: folder)
    files = {name: str(FILES / name) for name in ("recbole_bpr_1.tsv", "recbole_bpr_2.tsv", "recbole_pop.tsv", "truth.csv")}
    one, two, pop, held_out = files.values()
    flags = ["--truth", held_out, "--objective", "NDCG@10", "--output", str(tmp_path)]
    assert compare.main([f"BPR={one},{two}", f"Pop={pop}", "--deterministic", "Pop", *flags]) == 0
    assert "BPR is better than Pop: ndcg@10 +" in capsys.readouterr().out
    found = Compared.read(tmp_path / "compare.yaml")
    assert found.methods[0].values["ndcg@10"] == [pytest.approx([0.38, 0.38], abs=0.05)]
