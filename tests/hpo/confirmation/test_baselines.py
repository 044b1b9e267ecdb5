"""The verdict on baselines."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from hpo import confirm
from hpo.confirmation.baselines import _at_ends, against_baselines
from hpo.confirmation.caveats import CaveatKind
from hpo.confirmation.statistics import Measured, Word
from hpo.runs.baseline_results import Evaluation
from hpo.runs.baselines import MEASURED, TUNING, MeasuredBaseline
from trainers.baselines import IALS
from trainers.errors import InputError

from ..conftest import Place
from ..outcomes import baseline_result, confirmed, facts, opened
from .test_outcome import NDCG, baseline


def constant(label: str, users: np.ndarray) -> MeasuredBaseline:
    mean = float(users.mean())
    return MeasuredBaseline(baseline(label, mean, mean), pd.DataFrame({NDCG: users.astype(np.float32)}))


def test_only_our_runs_vary():
    """Three runs of mean 0.2 and standard deviation 0.01 against 0.18: t = 2 sqrt(3) with 2 degrees of freedom, so that
    p = 1 - t / sqrt(2 + t^2) = 1 - sqrt(12 / 14). All users differ by 0.02 or so, which is decided."""
    rng = np.random.default_rng(0)
    users = np.full(500, 0.18)
    ours = Measured("A", users + 0.02 + rng.permutation(np.linspace(-0.001, 0.001, 500)), [np.array([0.19, 0.2, 0.21])])
    (found,) = against_baselines([ours], [constant("EASE", users)], NDCG)
    assert found.runs is not None
    assert found.runs.p == pytest.approx(1 - math.sqrt(12 / 14), rel=1e-6)
    assert (found.word, found.family, found.rival) == (Word.UNDECIDED, 1, "EASE")
    assert found.difference == pytest.approx(0.02)
    assert against_baselines([], [constant("EASE", users)], NDCG) == [], "ours diverged"


def test_holms_correction_covers_the_baselines():
    rng = np.random.default_rng(1)
    users = rng.random(300)
    ours = Measured("A", users + 0.02, [np.array([0.5199, 0.52, 0.5201])])
    few = against_baselines([ours], [constant("EASE", users)], NDCG)
    many = against_baselines([ours], [constant("EASE", users), constant("MostPop", users - 0.3)], NDCG)
    assert [each.family for each in (*few, *many)] == [1, 2, 2]
    two = against_baselines([ours, replace(ours, label="B")], [constant("EASE", users), constant("MostPop", users - 0.3)], NDCG)
    assert [(each.ours, each.rival, each.family) for each in two] == [
        ("A", "EASE", 4),
        ("A", "MostPop", 4),
        ("B", "EASE", 4),
        ("B", "MostPop", 4),
    ]
    single = Measured("A", users + 0.02, [np.array([0.52])])
    assert against_baselines([single], [constant("EASE", users)], NDCG)[0].word is Word.NO_VERDICT, "one seed of ours"


def test_a_baseline_with_seeds_varies_as_a_method_does():
    """Welch's test of (.19, .2, .21) and (.17, .18, .19): t = .02 / sqrt(2 * .01^2 / 3) = sqrt(6) with 4 degrees of freedom."""
    rng = np.random.default_rng(0)
    users = np.full(500, 0.18)
    ours = Measured("A", users + 0.02 + rng.permutation(np.linspace(-0.001, 0.001, 500)), [np.array([0.19, 0.2, 0.21])])
    ials = constant("iALS", users)
    ials = replace(ials, result=ials.result.model_copy(update={"by_seed": {s: {NDCG: 0.16 + 0.01 * s} for s in (1, 2, 3)}}))
    (found,) = against_baselines([ours], [ials], NDCG)
    assert found.runs is not None
    assert found.runs.p == pytest.approx(2 * scipy.stats.t.sf(math.sqrt(6), 4), rel=1e-6)


def test_a_real_confirmation(place: Place, capsys: pytest.CaptureFixture[str]):
    """Four trials give four points for each baseline; without baselines the verdicts on the rivals are the same."""
    assert place.run() == 0
    found, shown = confirmed(place), capsys.readouterr().out
    names = ["RP3beta (tuned, 4 points)", "iALS (tuned, 4 points)", "EASE (tuned, 4 points)"]
    assert [each.label for each in found.baselines] == ["MostPop", *names]
    assert [(each.rival, each.family) for each in found.against_baselines] == [(name, 4) for name in ["MostPop", *names]]
    assert [len(each.evaluations) for each in found.baselines] == [1, 4, 4, 4]
    for each in found.baselines:
        assert each.validation == max(one.value for one in each.evaluations if one.value is not None)
        tried = [{key: value for key, value in one.settings.items() if key != "seed"} for one in each.evaluations]
        assert each.settings in tried, "without the seed of the points"
    assert found.baselines[2].settings["factors"] == 8, "as the vectors of the study"
    assert [[*each.by_seed] for each in found.baselines] == [[], [], [201, 202], []], "iALS starts at random"
    ials = found.baselines[2]
    assert ials.metrics["ndcg@20"] == pytest.approx(np.mean(ials.values("ndcg@20")))
    assert "validation, rp3beta: 4 points in" in shown
    assert all(sentence in shown for sentence in [*found.statements(), *found.about_baselines()])
    assert any("EASE (tuned, 4 points)" in each and "for 4 baselines" in each for each in found.statements())
    report = opened(place)
    assert [each.title for each in report.forests()][-1] == "MML tuned against baselines"
    rows = {row[0]: row for row in report.methods()}
    assert rows["EASE (tuned, 4 points)"][3] == f"{found.baselines[3].validation:.4f}"
    assert rows["EASE (tuned, 4 points)"][5] == "4"
    assert " ± " in rows["iALS (tuned, 4 points)"][1]
    assert " ± " not in rows["EASE (tuned, 4 points)"][1]
    place.edit("rivals: [", "baselines: []\nrivals: [")
    assert confirm.main(["--study", str(place.study), *place.where]) == 0
    assert confirmed(place).baselines == confirmed(place).against_baselines == []
    assert confirmed(place).comparisons == found.comparisons


@pytest.mark.confirmed
def test_a_number_of_points_of_the_plan_and_a_file_that_names_others(place: Place):
    place.edit("rivals: [", "baselines: [item_knn, ease]\nrivals: [")
    place.edit("seeds: 2, epochs: 4", "seeds: 2, epochs: 4, baseline_trials: 1")
    assert confirm.main(["--study", str(place.study), *place.where]) == 0
    assert [each.label for each in confirmed(place).baselines] == ["ItemKNN (default settings)", "EASE (default settings)"]
    assert confirm.main(["--study", str(place.study), *place.where, "--baseline-trials", "6"]) == 0
    assert [each.label for each in confirmed(place).baselines] == ["ItemKNN (tuned, 6 points)", "EASE (tuned, 6 points)"]


@pytest.mark.confirmed
def test_a_baseline_that_cannot_be_fitted_is_a_caveat(place: Place, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> None:
        raise InputError("l2 must be larger, got 1; raise it")

    monkeypatch.setattr(IALS, "fit", refuse)
    for kept in (TUNING, MEASURED):
        shutil.rmtree(place.output / "tiny_mml" / "runs" / kept)
    assert confirm.main(["--study", "tiny_mml", *place.where]) == 0
    failed = {"points": 4, "failure": "l2 must be larger, got 1; raise it"}
    assert facts(place, CaveatKind.BASELINE_FAILED) == [("ials", failed)]
    assert [each.name for each in confirmed(place).baselines] == ["most_popular", "rp3beta", "ease"]


def test_chosen_settings_at_the_end_of_a_range_are_a_caveat():
    tried = [Evaluation(settings={"l2": l2, "max_items": 8000}, value=0.1) for l2 in (500.0, 9800.0)]
    found = baseline_result("EASE", {NDCG: 0.1}, settings=tried[1].settings, evaluations=tried)
    (caveat,) = _at_ends(found, 100)
    end = {"name": "l2", "value": 9800.0, "low": 1.0, "high": 10_000.0, "end": "high", "trials": 1, "of": 2, "is_chosen": True}
    assert (caveat.kind, caveat.subject, caveat.facts) == (CaveatKind.AT_RANGE_END, "EASE", {"ends": [end]})
    assert [*_at_ends(found.model_copy(update={"settings": tried[0].settings}), 100)] == []
    assert [*_at_ends(found.model_copy(update={"evaluations": tried[1:]}), 100)] == [], "default settings were not chosen"
