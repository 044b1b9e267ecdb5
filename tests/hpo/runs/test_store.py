"""Stored runs: their keys and the checks of their files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from hpo.runs.provenance import provenance
from hpo.runs.sealed import read_sealed, write_sealed
from hpo.runs.store import Beyond, FinishedRun, PopularityGroup, RunKey, RunStore
from trainers.early_stopping import Plateau
from trainers.engines import cache_versions
from trainers.engines.cache_versions import LOSS_VERSIONS
from trainers.errors import InputError

from ..outcomes import CONFIG

KEY = RunKey(CONFIG, "seen", "held out", "numba", "cpu", ("ndcg@20", "recall@20"))
GROUP = PopularityGroup(items=3, share_of_interactions=0.5, share_of_recommendations=0.4, recall=0.1, ndcg=0.2)
RUN = FinishedRun(
    config=CONFIG,
    metrics={"ndcg@20": 0.25, "recall@20": 0.5},
    per_user=pd.DataFrame(
        {"ndcg@20": [0.0, 0.5], "recall@20": [0.0, 1.0]}, index=pd.Index([0, 3], name="user"), dtype="float32"
    ),
    seconds=1.5,
    beyond=Beyond(k=20, coverage=0.5, mean_popularity=2.0, gini=0.1, groups=[GROUP] * 5),
    curve={10: 0.2, 20: 0.25},
    losses={1: 0.9, 2: 0.8},
    gradient={"active": 0.5, "hardest 1 %": 0.6, "hardest 10 %": 0.9},
    trained_by=provenance("cpu"),
)


def folder(of_study: Path) -> Path:
    """The folder of the runs in an existing folder of a study."""
    of_study.mkdir()
    return of_study / "runs"


@pytest.mark.parametrize("plateau", [None, Plateau("ndcg@20", patience=2, cut=None)])
def test_a_stored_run_is_read_unchanged(tmp_path: Path, plateau: Plateau | None):
    store, key = RunStore(folder(tmp_path / "a")), replace(KEY, plateau=plateau)
    assert store.load(key) is None
    store.save(key, RUN)
    for one in (store, RunStore(folder(tmp_path / "b"), elsewhere=tmp_path)):  # the second store copies it from the first
        read = one.load(key)
        assert read is not None
        pd.testing.assert_frame_equal(read.per_user, RUN.per_user, check_index_type=False)
        assert replace(read, per_user=None) == replace(RUN, per_user=None)


def test_the_epochs_of_a_diverged_run_include_the_one_in_which_it_diverged():
    assert RUN.epochs_trained == 2
    assert replace(RUN, failure="nan in epoch 3").epochs_trained == 3


@pytest.mark.parametrize(
    "other",
    [
        {"config": CONFIG.replace(seed=1)},
        {"seen": "x"},
        {"held_out": "x"},
        {"engine": "torch"},
        {"device": "cuda"},
        {"measured_in": ("ndcg@20",)},
        {"measured_in": ("recall@20", "ndcg@20")},
        {"plateau": Plateau("ndcg@20")},
    ],
)
def test_another_key_is_another_run(tmp_path: Path, other: dict[str, Any]):
    store, key = RunStore(tmp_path), replace(KEY, **other)
    store.save(KEY, RUN)
    assert store.load(key) is None
    (tmp_path / f"{KEY.digest()}.json").rename(tmp_path / f"{key.digest()}.json")
    (tmp_path / f"{KEY.digest()}.npz").rename(tmp_path / f"{key.digest()}.npz")
    with pytest.raises(InputError, match="has another config, data, engine, metrics or version; delete it"):
        store.load(key)


def test_a_run_with_another_key_is_not_copied_from_another_study(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    sister, store, other = (
        RunStore(folder(tmp_path / "a")),
        RunStore(folder(tmp_path / "b"), tmp_path),
        replace(KEY, seen="x"),
    )
    sister.save(KEY, RUN)
    for suffix in (".json", ".npz"):
        (sister.folder / f"{KEY.digest()}{suffix}").rename(sister.folder / f"{other.digest()}{suffix}")
    assert store.load(other) is None
    assert "has another config, data, engine, metrics or version" in caplog.text
    assert not store.folder.exists()


def test_a_higher_version_of_a_loss_trains_again_only_with_that_engine_and_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    store = RunStore(tmp_path)
    others = [replace(KEY, engine="torch"), replace(KEY, config=CONFIG.replace(loss={"name": "bpr"}))]
    for key in (KEY, *others):
        store.save(key, replace(RUN, config=key.config))
    monkeypatch.setitem(LOSS_VERSIONS, ("numba", "ccl"), LOSS_VERSIONS.get(("numba", "ccl"), 0) + 1)
    assert store.load(KEY) is None
    assert all(store.load(key) is not None for key in others)


def test_a_higher_version_of_the_figures_measures_every_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    store = RunStore(tmp_path)
    store.save(KEY, RUN)
    before = KEY.digest()
    monkeypatch.setattr(cache_versions, "FIGURES_VERSION", cache_versions.FIGURES_VERSION + 1)
    assert store.load(KEY) is None
    for suffix in (".json", ".npz"):
        (tmp_path / f"{before}{suffix}").rename(tmp_path / f"{KEY.digest()}{suffix}")
    with pytest.raises(InputError, match="has another config, data, engine, metrics or version; delete it"):
        store.load(KEY)


@pytest.mark.parametrize(("change", "rule"), [({"format": 0}, "reads format 1, got 0"), ({"x": 1}, "unknown key 'x'")])
def test_a_file_of_another_format_is_refused_or_in_another_study_skipped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, change: dict[str, Any], rule: str
):
    store = RunStore(folder(tmp_path / "a"))
    store.save(KEY, RUN)
    path = store.folder / f"{KEY.digest()}.json"
    record, table = read_sealed(path)

    class Changed:
        def to_dict(self) -> dict[str, Any]:
            return record | change

    write_sealed(path, Changed(), table)  # type: ignore[arg-type]
    assert json.loads(path.read_text())["sha256"]
    with pytest.raises(InputError) as caught:
        store.load(KEY)
    assert rule in str(caught.value)
    assert str(caught.value).endswith("; delete it to make it again")
    assert RunStore(tmp_path / "b" / "runs", elsewhere=tmp_path).load(KEY) is None
    assert rule in caplog.text


def test_a_run_does_not_create_the_folder_of_a_study(tmp_path: Path):
    """The folder was moved or deleted."""
    with pytest.raises(InputError, match="a/runs: cannot be written: No such file or directory"):
        RunStore(tmp_path / "a" / "runs").save(KEY, RUN)
    assert list(tmp_path.iterdir()) == []
