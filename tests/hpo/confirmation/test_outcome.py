"""The table, the verdict and the caveats, from results given by hand."""

from __future__ import annotations

import numpy as np
import pytest

from hpo.confirmation.outcome import Confirmation
from hpo.confirmation.results import Candidate, Method
from hpo.runs.store import BaselineResult
from trainers import TrainConfig

from ..conftest import Place
from ..outcomes import CONFIG, sentences


def test_runs_of_several_revisions_are_said(place: Place):
    winner = Candidate(0, CONFIG, 0.0, {0: {"ndcg@20": 1.0}})
    methods = [Method(n, CONFIG, {}, 0.0, "nan", trained_by=[by]) for n, by in (("A", "abc"), ("B", "abc"), ("C", "def dirty"))]
    said = sentences(Confirmation("s", [winner], winner, methods))[-1]
    assert said == "these runs were trained by 2 revisions of the program (abc, def dirty): see trained_by in confirm.yaml"
    assert len(sentences(Confirmation("s", [winner], winner, methods[:2]))) == 2


def test_runs_of_several_kinds_of_machine_are_said():
    winner = Candidate(0, CONFIG, 0.0, {0: {"ndcg@20": 1.0}})
    methods = [Method(n, CONFIG, {}, 0.0, "nan", trained_on=[on]) for n, on in (("A", "x CPU (old)"), ("B", "x CPU (new)"))]
    assert sentences(Confirmation("s", [winner], winner, methods))[-1] == (
        "these runs were trained on 2 kinds of machine (x CPU (new), x CPU (old)), whose figures differ in their last digits"
    )


def warned(chosen: Candidate) -> list[str]:
    """What is said of a tuned rival whose search had 10 epochs."""
    ours = Candidate(0, CONFIG, 0.0, {0: {"ndcg@20": 1.0}})
    method = Method("A", CONFIG, {1: {"ndcg@20": 0.1, "recall@20": 0.2}}, 1.0, per_user=np.full(5, 0.1))
    outcome = Confirmation("s", [ours], ours, [method], validated={"A": [ours], "B tuned": [chosen]}, search_epochs=10)
    return [sentence.partition(";")[0] for sentence in sentences(outcome)]


@pytest.mark.parametrize(
    ("curve", "says"), [({1: 0.1, 2: 0.2, 3: 0.21}, True), ({1: 0.1, 2: 0.2, 3: 0.201}, False), ({3: 0.1}, False)]
)
def test_a_curve_that_still_rises_is_said(curve: dict[int, float], says: bool):
    chosen = Candidate(0, CONFIG, 0.0, {0: {"ndcg@20": 1.0}}, curves={0: curve})  # 0.0 in the search: nothing to compare with
    assert warned(chosen) == (["B tuned: validation ndcg@20 still rose by 5.0 % from epoch 2 to 3"] if says else [])


@pytest.mark.parametrize(
    ("epochs", "value", "says"), [(40, 0.103, True), (40, 0.1019, False), (20, 0.1019, True), (10, 0.2, False)]
)
def test_what_longer_training_gained_is_said_where_the_rate_falls(epochs: int, value: float, says: bool):
    """1 % by twice the epochs: 2.01 % from 10 to 40. The end of such a curve is flat, whether training was finished or not."""
    config = CONFIG.replace(schedule="linear", epochs=epochs)
    chosen = Candidate(0, config, 0.1, {0: {"ndcg@20": value}}, curves={0: {1: 0.1, 2: 0.2, 3: 0.3}})
    expected = f"B tuned: validation ndcg@20 was 0.1000 when trained for 10 epochs and {value:.4f} for {epochs}"
    assert warned(chosen) == ([expected] if says else [])


def test_the_table_by_hand():
    def method(label: str, *values: float) -> Method:
        by_seed = {seed: dict.fromkeys(("ndcg@20", "recall@20"), value) for seed, value in enumerate(values)}
        return Method(label, CONFIG, by_seed, 1.0, per_user=np.full(50, np.mean(values)))

    winner = Candidate(0, CONFIG, 0.0, {0: {"ndcg@20": 1.0}})
    methods = [method("MML tuned", 0.22, 0.20), method("CCL published", 0.19, 0.21), method("BSL published", 0.1)]
    outcome = Confirmation("s", [winner], winner, [*methods, Method("X", CONFIG, {}, 0.0, "nan in epoch 2")])
    assert outcome.rows() == [
        ["MML tuned", "0.2100 ± 0.0141", "0.2100 ± 0.0141", ""],
        ["CCL published", "0.2000 ± 0.0141", "0.2000 ± 0.0141", "+5.0 %"],
        ["BSL published", "0.1000", "0.1000", "+110.0 %"],
        ["X", "diverged", "diverged", ""],
    ]
    highest, ccl, bsl, diverged = sentences(outcome)
    assert highest == "the highest ndcg@20 on the test split is that of MML tuned, 0.2100"
    assert ccl.startswith(
        "MML tuned and CCL published are not distinguishable: ndcg@20 +5.0 % (95 % interval of this pair -25.4 to"
    )
    assert bsl.startswith("no verdict on MML tuned and BSL published: ndcg@20 +110.0 % (95 % interval over users")
    assert diverged == "X diverged on train + validation: nan in epoch 2"


def test_what_tuning_brought_is_said_of_both_splits():
    def of(weight: float) -> TrainConfig:
        return CONFIG.replace(loss={"name": "ccl", "margin": 0.5, "negative_weight": weight})

    def method(label: str, weight: float, value: float) -> Method:
        return Method(label, of(weight), {7: dict.fromkeys(("ndcg@20", "recall@20"), value)}, 1.0, per_user=np.full(50, value))

    candidates = [
        Candidate(trial, of(weight), 0.0, {0: {"ndcg@20": v}}) for trial, weight, v in ((0, 1.0, 0.25), (4, 2.0, 0.3))
    ]
    other = Candidate(9, of(3.0), 0.0, {0: {"ndcg@20": 0.29}})  # has no row on test
    methods = [method("MML tuned", 9.0, 0.3), method("CCL tuned", 2.0, 0.19), method("CCL published", 1.0, 0.2)]
    outcome = Confirmation("s", [other], other, methods, validated={"CCL tuned": [*candidates, other]})
    said = "CCL tuned against CCL published: +20.0 % on validation, by which it was chosen, -5.0 % on test"
    assert [s for s in sentences(outcome) if " on validation, by which" in s] == [said]


def test_baselines_are_shown_and_warned_of():
    winner = Candidate(0, CONFIG, 0.0, {0: {"ndcg@20": 1.0}})
    method = Method("A", CONFIG, {1: {"ndcg@20": 0.1, "recall@20": 0.2}}, 1.0, per_user=np.full(5, 0.1))
    popular = BaselineResult("MostPop", "", {"ndcg@20": 0.05, "recall@20": 0.1}, {}, 1.0)
    ahead = BaselineResult("EASE", "", {"ndcg@20": 0.3, "recall@20": 0.4}, {}, 1.0)
    outcome = Confirmation("s", [winner], winner, [method], [popular, ahead])
    assert outcome.rows()[1:] == [["MostPop", "0.0500", "0.1000", "baseline"], ["EASE", "0.3000", "0.4000", "baseline"]]
    assert [sentence[:45] for sentence in sentences(outcome)] == ["EASE, without training, is ahead of A: ndcg@2"]


def test_no_verdict_when_the_winner_diverges():
    winner = Candidate(0, CONFIG, 0.0, {0: {"ndcg@20": 1.0}})
    rival = Method("B", CONFIG, {1: {"ndcg@20": 0.1}}, 1.0, per_user=np.full(5, 0.1))
    outcome = Confirmation("s", [winner], winner, [Method("A", CONFIG, {}, 0.0, "inf in epoch 1"), rival])
    assert outcome.verdict == []
    assert sentences(outcome) == ["A diverged on train + validation: inf in epoch 1"]
