"""The two stages train the right configs on the right data, and nothing else reads the test split."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from hpo import confirm
from hpo.runs.baselines import MEASURED, TUNING
from trainers.data import datasets

from ..conftest import Place
from ..outcomes import BSL_OF_YELP, CCL_OF_YELP, MML_OF_YELP, confirmed, labels, stored_runs


def test_both_stages_train_with_their_own_seeds(place: Place, capsys: pytest.CaptureFixture[str]):
    assert place.run() == 0
    outcome = confirmed(place)
    assert len(outcome.finalists) == 3, "the top 2 configs, and the one nearest to the published config"
    assert all(list(finalist.by_seed) == [101, 102] for finalist in outcome.finalists)
    assert all(finalist.epochs_trained == 2 * 4 for finalist in outcome.finalists)
    assert outcome.chosen.mean("ndcg@20") == max(finalist.mean("ndcg@20") for finalist in outcome.finalists)
    published = [outcome.validated[label] for label in (MML_OF_YELP, CCL_OF_YELP, BSL_OF_YELP)]
    assert [(each.trial, list(each.by_seed)) for (each,) in published] == [(None, [101, 102])] * 3, (
        "published configs are measured on validation, too"
    )
    assert labels(outcome) == ["MML tuned", MML_OF_YELP, CCL_OF_YELP, BSL_OF_YELP]
    for method in outcome.methods:
        assert list(method.by_seed) == [201, 202], "seeds that neither search nor selection used"
        assert method.config.epochs == 4
        assert 0.0 < method.mean("ndcg@20") < 1.0
    assert outcome.provenance.python
    assert outcome.definition.engine == "numba"
    shown = capsys.readouterr().out
    assert [comparison.rival for comparison in outcome.comparisons] == [MML_OF_YELP, CCL_OF_YELP, BSL_OF_YELP]
    assert all(sentence in shown for sentence in [*outcome.statements(), *outcome.sentences()])
    assert "lead of MML tuned" in shown


def test_search_never_reads_the_test_split(place: Place):
    test = place.root / "data" / "tiny" / "test.txt"
    test.write_text("broken\n")
    assert place.run("--search-only") == 0, "the search does not read it"
    assert place.run("--study-name", "other") == 2, "confirm reads it"
    assert not (place.output / "other").exists(), "it fails before the search"


@pytest.mark.confirmed
def test_baselines_are_made_once(place: Place, fails: Callable[[int], str]):
    outcome = confirmed(place)
    assert [baseline.name for baseline in outcome.baselines] == ["most_popular", "rp3beta", "ials", "ease"]
    for baseline in outcome.baselines:
        assert sum(group.ndcg for group in baseline.beyond.groups) == pytest.approx(baseline.metrics["ndcg@20"])
    folders = [place.output / "tiny_mml" / "runs" / name for name in (MEASURED, TUNING)]
    stored = sorted(path for folder in folders for path in folder.glob("*.json"))
    assert len(stored) == 2 * 4
    before = [path.stat().st_mtime_ns for path in stored]
    assert confirm.main(["--study", "tiny_mml", *place.where]) == 0
    assert [path.stat().st_mtime_ns for path in stored] == before
    for path in (stored[0], stored[-1]):
        kept = path.read_text()
        path.write_text("{}")
        assert f"{path}: stored run is damaged" in fails(confirm.main(["--study", "tiny_mml", *place.where]))
        path.write_text(kept)


@pytest.mark.confirmed
def test_learning_curves_never_use_the_test_split(place: Place):
    by_stage = {True: [], False: []}
    for path in stored_runs(place):
        record = json.loads(path.read_text())
        by_stage[record["config"]["seed"] < 200].append(record["curve"])
    assert all(curve == {} for curve in by_stage[False]), "stage 2 measures its last epoch only"
    assert by_stage[True]


@pytest.mark.confirmed
def test_stage_two_trains_on_all_training_data(place: Place):
    """The key of a run has the checksum of its training data: train in stage 1, train + validation in stage 2."""
    everything = datasets.load_dataset("tiny", place.root / "data").train.checksum
    seen = [json.loads(path.read_text())["seen"] for path in stored_runs(place)]
    assert seen.count(everything) == 4 * 2
    assert len(seen) - seen.count(everything) == (3 + 3) * 2, "three finalists, three published configs"
