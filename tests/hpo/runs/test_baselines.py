"""Baselines: what is tried, what is kept when it is stopped, what fails, and how many items EASE knows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from hpo.runs import baselines
from hpo.runs.baseline_results import Evaluation, TunedBaseline
from hpo.runs.baselines import BaselineFailed, BaselineRuns, n_points
from hpo.runs.store import RunStore
from hpo.runs.train import FullRuns
from hpo.runtime.signals import Stopper
from search_spaces.baselines import BASELINE_RANGES, points
from search_spaces.parameters import Parameter
from trainers.baselines import EASE, IALS, RP3beta
from trainers.errors import InputError
from trainers.metrics.accuracy import evaluate_lists
from trainers.stopping import Stopped

from .test_train import HELD_OUT, METRICS, SEEN, Bars, pairs

VALIDATION = pairs(2)


def made(folder: Path, bars: Bars | None = None, stopper: Stopper | None = None, **more: Any) -> BaselineRuns:
    runs = FullRuns(RunStore(folder), bars or Bars(), stopper or Stopper(), METRICS)
    return BaselineRuns(runs, **{"seed": 3, "factors": 4, "test_seeds": [201, 202], **more})


def without_seconds(tuned: TunedBaseline) -> list[Evaluation]:
    return [each.model_copy(update={"seconds": 0.0}) for each in tuned.evaluations]


def test_the_default_settings_come_first_and_then_the_points(tmp_path: Path):
    tuned = made(tmp_path).tune("rp3beta", 3, SEEN, VALIDATION)
    first, *others = [each.settings for each in tuned.evaluations]
    assert first == {"k": 100, "alpha": 1.0, "beta": 0.6, "normalise": False}
    assert others == points("rp3beta", 2, 3, SEEN.n_items)
    lists = RP3beta().fit(SEEN).recommend(np.flatnonzero(VALIDATION.per_user), 20)
    by_hand = evaluate_lists(lists, held_out=VALIDATION, metrics=["ndcg@20"])["ndcg@20"].mean()
    assert tuned.evaluations[0].value == pytest.approx(by_hand)
    assert [each.value for each in tuned.ranked] == sorted((each.value for each in tuned.evaluations), reverse=True)


def test_a_longer_budget_continues_a_shorter_one(tmp_path: Path):
    short, bars = made(tmp_path).tune("ease", 2, SEEN, VALIDATION), Bars()
    long = made(tmp_path, bars).tune("ease", 5, SEEN, VALIDATION)
    assert long.evaluations[:2] == short.evaluations
    assert bars.advanced == ["validation, ease"] * 3, "what was tried is not tried again"
    assert made(tmp_path, bars).tune("ease", 2, SEEN, VALIDATION).evaluations == short.evaluations
    assert made(tmp_path, bars).tune("ease", 2, SEEN, HELD_OUT).evaluations != short.evaluations, "another split"
    assert len(bars.advanced) == 3 + 2


def test_several_at_once_give_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in BASELINE_RANGES:
        one = without_seconds(made(tmp_path / "one").tune(name, 6, SEEN, VALIDATION))
        with monkeypatch.context() as patch:
            patch.setattr(baselines, "cpus", lambda: 3)
            assert without_seconds(made(tmp_path / "three").tune(name, 6, SEEN, VALIDATION)) == one, name


@pytest.mark.parametrize("cpus", [1, 3])
def test_what_has_finished_is_kept_when_it_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cpus: int):
    monkeypatch.setattr(baselines, "cpus", lambda: cpus)
    whole, bars = without_seconds(made(tmp_path / "whole").tune("ials", 8, SEEN, VALIDATION)), Bars()
    stopper = Stopper(deserted=lambda: len(bars.advanced) >= 3)
    with pytest.raises(Stopped):
        made(tmp_path / "cut", bars, stopper).tune("ials", 8, SEEN, VALIDATION)
    assert (bars.open, bars.finished) == ([], [])
    done = len(bars.advanced)
    assert 3 <= done < 8
    bars = Bars()
    assert without_seconds(made(tmp_path / "cut", bars).tune("ials", 8, SEEN, VALIDATION)) == whole
    assert len(bars.advanced) == 8 - done


def test_settings_that_cannot_be_fitted_count_as_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(BASELINE_RANGES, "ials", {"l2": Parameter(1e-14, 1e-13, log=True)})
    tuned = made(tmp_path, factors=50).tune("ials", 3, SEEN, VALIDATION)
    first, *others = tuned.evaluations
    assert (first.value is None, first.failure) == (False, "")
    assert [each.value for each in others] == [None, None]
    assert all("l2 must be large enough for float32" in each.failure for each in others)
    measured = made(tmp_path, factors=50).measure(tuned, SEEN, HELD_OUT).result
    assert (measured.label, measured.failed) == ("iALS (tuned, 3 points)", 2)
    assert {**measured.settings, "seed": 0} == first.settings


def test_the_best_settings_that_can_be_fitted_to_all_training_data_are_measured(tmp_path: Path):
    def tried(l2: float, value: float) -> Evaluation:
        return Evaluation(settings={"factors": 50, "l2": l2, "unobserved_weight": 0.1, "epochs": 2, "seed": 0}, value=value)

    tuned = TunedBaseline("ials", ("a", "b"), [tried(1.0, 0.1), tried(1e-14, 0.3), tried(0.1, 0.2)])
    found = made(tmp_path).measure(tuned, SEEN, HELD_OUT).result
    assert (found.settings["l2"], found.validation) == (0.1, 0.2)
    with pytest.raises(BaselineFailed, match="l2 must be large enough"):
        made(tmp_path).measure(replace(tuned, evaluations=tuned.evaluations[1:2]), SEEN, HELD_OUT)
    failed = [Evaluation(settings={}, failure="too small")]
    with pytest.raises(BaselineFailed, match="too small"):
        made(tmp_path).measure(replace(tuned, evaluations=failed), SEEN, HELD_OUT)


def test_figures_are_kept_and_are_those_of_the_points(tmp_path: Path):
    bars = Bars()
    made_here = made(tmp_path, bars)
    tuned = made_here.tune("item_knn", 3, SEEN, VALIDATION)
    first, again = (made_here.measure(tuned, SEEN, HELD_OUT) for _ in range(2))
    assert bars.finished.count("test, item_knn, baseline") == 1
    assert again.result == first.result
    pd.testing.assert_frame_equal(again.per_user, first.per_user)
    assert first.result.metrics == pytest.approx({name: first.per_user[name].mean() for name in METRICS})
    assert first.result.evaluations == tuned.evaluations
    assert first.result.settings == tuned.ranked[0].settings
    fewer = made_here.measure(made_here.tune("item_knn", 1, SEEN, VALIDATION), SEEN, HELD_OUT).result
    assert (first.result.label, fewer.label) == ("ItemKNN (tuned, 3 points)", "ItemKNN (default settings)")
    assert len([*(tmp_path / "baselines").glob("*.json")]) == 2, "other points are another record"


@pytest.mark.parametrize("version", ["BASELINE_VERSION", "FIGURES_VERSION"])
def test_a_higher_version_makes_points_and_figures_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str):
    def made_now() -> list[str]:
        bars = Bars()
        runs = made(tmp_path, bars)
        runs.measure(runs.tune("item_knn", 2, SEEN, VALIDATION), SEEN, HELD_OUT)
        return bars.finished

    everything = ["validation, item_knn", "test, item_knn, baseline"]
    assert (made_now(), made_now()) == (everything, [])
    monkeypatch.setattr(baselines, version, getattr(baselines, version) + 1)
    assert (made_now(), made_now()) == (everything, [])


def test_a_baseline_that_starts_at_random_is_fitted_with_each_seed(tmp_path: Path):
    tuned = made(tmp_path).tune("ials", 1, SEEN, VALIDATION)
    found = made(tmp_path).measure(tuned, SEEN, HELD_OUT)
    users = np.flatnonzero(HELD_OUT.per_user)
    by_hand = {}
    for seed in (201, 202):
        lists = IALS(factors=4, seed=seed).fit(SEEN).recommend(users, 20)
        by_hand[seed] = evaluate_lists(lists, held_out=HELD_OUT, metrics=["ndcg@20"])["ndcg@20"].to_numpy()
    values = found.result.values("ndcg@20")
    assert values == pytest.approx([each.mean() for each in by_hand.values()], rel=1e-6)
    assert values[0] != values[1]
    assert found.result.metrics["ndcg@20"] == pytest.approx(np.mean(values), rel=1e-6)
    assert found.per_user["ndcg@20"].to_numpy() == pytest.approx((by_hand[201] + by_hand[202]) / 2, abs=1e-6)
    assert made(tmp_path, test_seeds=[201]).measure(tuned, SEEN, HELD_OUT).result.by_seed.keys() == {201}, "another record"
    assert made(tmp_path).measure(made(tmp_path).tune("ease", 1, SEEN, VALIDATION), SEEN, HELD_OUT).result.by_seed == {}


def test_popularity_has_nothing_to_tune(tmp_path: Path):
    assert (n_points("most_popular", None, 200), n_points("most_popular", 50, 200)) == (1, 1)
    tuned = made(tmp_path).tune("most_popular", 1, SEEN, VALIDATION)
    assert made(tmp_path).measure(tuned, SEEN, HELD_OUT).result.label == "MostPop"


def test_as_many_points_as_the_search_has_trials_or_as_are_worth_it():
    assert [n_points("rp3beta", None, trials) for trials in (1, 20, 200)] == [1, 20, 36]
    assert [n_points("ease", None, trials) for trials in (1, 20, 200)] == [1, 12, 12]
    assert [n_points("ease", asked, 20) for asked in (1, 50)] == [1, 50], "who asks for more gets more"


def ease_of(folder: Path, **more: Any) -> tuple[dict[str, Any], str, str]:
    runs = made(folder, **more)
    tuned = runs.tune("ease", 2, SEEN, VALIDATION)
    assert len({each.settings["max_items"] for each in tuned.evaluations}) == 1
    found = runs.measure(tuned, SEEN, HELD_OUT).result
    return {"tuned": tuned.evaluations[0].settings["max_items"], "fitted": found.settings["max_items"]}, found.label, found.note


def test_ease_knows_all_items_if_they_fit_into_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The data have 40 items."""
    sizes, label, note = ease_of(tmp_path)
    assert (sizes, label) == ({"tuned": 40, "fitted": 40}, "EASE (tuned, 2 points)")
    assert "max-memory" not in note
    just_too_little = (EASE().memory(40) - 1) / 1e9
    sizes, label, note = ease_of(tmp_path, max_memory=just_too_little)
    assert (sizes, label) == ({"tuned": 39, "fitted": 39}, "EASE, 39 most popular items (tuned, 2 points)")
    assert note.endswith("recommends no other items; EASE on all 40 items needs 0.0 GB: --max-memory 1")
    monkeypatch.setattr(BaselineRuns, "_few_items", 20)  # as of 40,000 items 8,000 are
    sizes, label, note = ease_of(tmp_path)
    assert (sizes, label) == ({"tuned": 20, "fitted": 40}, "EASE (tuned, 2 points)")
    assert note.endswith("; l2 chosen on the 20 most popular items")
    tuned = made(tmp_path).tune("ease", 2, SEEN, VALIDATION)
    best = EASE(l2=tuned.ranked[0].settings["l2"], max_items=40)
    lists = best.fit(SEEN).recommend(np.flatnonzero(VALIDATION.per_user), 20)
    on_all = evaluate_lists(lists, held_out=VALIDATION, metrics=["ndcg@20"])["ndcg@20"].mean()
    measured = made(tmp_path).measure(tuned, SEEN, HELD_OUT).result
    assert measured.validation == pytest.approx(on_all), "validation and test have the same model"
    assert measured.validation != pytest.approx(tuned.ranked[0].value)
    assert {each.settings["max_items"] for each in measured.evaluations} == {20}, "the points are those that were compared"
    assert measured.on_all_items is not None
    assert measured.on_all_items.settings == {"l2": best.l2, "max_items": 40}
    seconds = [each.seconds for each in measured.evaluations]
    changed = measured.model_copy(update={"on_all_items": measured.on_all_items.model_copy(update={"seconds": 5.0})})
    assert changed.tuning_seconds == pytest.approx(sum(seconds) + 5.0), "the time to find it has the largest fit"
    runs = made(tmp_path)
    untuned = runs.measure(runs.tune("ease", 1, SEEN, VALIDATION), SEEN, HELD_OUT).result
    assert (untuned.label, untuned.note) == ("EASE (default settings)", "closed form, l2 500"), "nothing was chosen"
    assert (len(untuned.evaluations), untuned.on_all_items) == (1, None), "no fit on few items is needed"
    lists = EASE().fit(SEEN).recommend(np.flatnonzero(VALIDATION.per_user), 20)
    by_hand = evaluate_lists(lists, held_out=VALIDATION, metrics=["ndcg@20"])["ndcg@20"].mean()
    assert untuned.validation == pytest.approx(by_hand)


def test_a_limit_that_makes_no_difference_repeats_nothing(tmp_path: Path):
    ease_of(tmp_path)
    bars = Bars()
    runs = made(tmp_path, bars, max_memory=0.1)
    tuned = runs.tune("ease", 2, SEEN, VALIDATION)
    runs.measure(tuned, SEEN, HELD_OUT)
    assert bars.finished == []
    assert runs.chosen(tuned, SEEN.n_items) == made(tmp_path).chosen(tuned, SEEN.n_items)


def test_a_machine_with_too_little_memory_is_said_and_not_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    runs, remedy = made(tmp_path), "baseline ease must fit into the memory of this machine .*; lower --max-memory$"
    with monkeypatch.context() as patch:
        patch.setattr(EASE, "fit", lambda *_: torch.empty(1 << 50))
        with pytest.raises(InputError, match=remedy):
            runs.tune("ease", 2, SEEN, VALIDATION)
    tuned = runs.tune("ease", 2, SEEN, VALIDATION)
    assert [each.failure for each in tuned.evaluations] == ["", ""]
    monkeypatch.setattr(EASE, "fit", lambda *_: torch.empty(1 << 50))
    with pytest.raises(InputError, match=remedy):
        runs.measure(tuned, SEEN, HELD_OUT)


def test_what_is_fitted_at_once_fits_into_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(baselines, "cpus", lambda: 8)
    runs = made(tmp_path, max_memory=1.0)
    assert runs._jobs([EASE()] * 12, 8000) == 2  # 0.35 GB each
    assert runs._jobs([RP3beta()] * 12, 8000) == 8
    assert runs._jobs([RP3beta()] * 3, 8000) == 3
    assert made(tmp_path, max_memory=0.1)._jobs([EASE()] * 12, 8000) == 1
