"""Results by hand give a table, a file and caveats."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpo.confirmation.caveats import MOST_POPULAR, Caveat, CaveatKind, caveats_of, other_revisions
from hpo.confirmation.outcome import Confirmation, DataCounts
from hpo.confirmation.results import BestSoFar, Finalist, Method, SearchCost
from hpo.confirmation.stages import compared_by_users, same_figures
from hpo.confirmation.statements import statements
from hpo.confirmation.tuning import Tuning
from hpo.confirmation.wording import sentences
from hpo.runs.baseline_results import BaselineResult
from hpo.runs.provenance import provenance
from hpo.study.definition import SplitData, definition_of
from hpo.study.spec import StudySpec
from trainers import TrainConfig
from trainers.baselines import MostPopular
from trainers.data.facts import DataFacts, TestFacts
from trainers.data.options import ValidationSplit
from trainers.errors import InputError
from trainers.losses import BSL, SL
from trainers.yaml_files import read_yaml, sealed, to_yaml

from ..outcomes import BEYOND, CONFIG, baseline_result

NDCG = "ndcg@20"
OTHER = CONFIG.replace(loss={"name": "ccl", "margin": 0.5, "negative_weight": 9.0})


def method(label: str, *values: float, config: TrainConfig = CONFIG, **more: Any) -> Method:
    by_seed = {seed: dict.fromkeys(("ndcg@20", "recall@20"), value) for seed, value in enumerate(values)}
    return Method(label, config, by_seed, 1.0, **more)


def baseline(label: str, ndcg: float, recall: float, validation: float = 0.1) -> BaselineResult:
    return baseline_result(label, {"ndcg@20": ndcg, "recall@20": recall}, validation)


DATA = DataCounts(
    users=1,
    items=2,
    train=3,
    validation=4,
    test=5,
    users_with_test=60,
    facts=DataFacts(),
    about_test=TestFacts(pairs=5, users=60, kept_users=60),
    validation_split=ValidationSplit(name="random"),
    validation_unknown=0,
)


def with_users(*methods: Method) -> list[tuple[Method, np.ndarray]]:
    """The methods with the same value for each of 50 users."""
    return [(one, np.zeros(0) if one.failure else np.full(50, one.mean("ndcg@20"))) for one in methods]


def on_validation(trial: int, value: float, **more: Any) -> Finalist:
    return Finalist(trial, CONFIG, 0.1, {0: {"ndcg@20": value}}, curves={0: {1: 0.5}}, **more)


def outcome(
    *methods: Method,
    baselines: list[BaselineResult] | None = None,
    caveats: list[Caveat] | None = None,
    validated: dict[str, list[Finalist]] | None = None,
    tuning: list[Tuning] | None = None,
) -> Confirmation:
    spec = StudySpec.model_validate({"name": "s", "dataset": "demo", "space": {"name": "mml"}})
    return Confirmation(
        study="s",
        study_id="1f",
        trials=4,
        search_epochs=10,
        data=DATA,
        methods=list(methods),
        comparisons=compared_by_users(with_users(*methods), NDCG),
        against_baselines=[],
        caveats=caveats or [],
        tuning=tuning or [],
        baselines=baselines or [],
        validated=validated or {one.label: [on_validation(number, 1.0)] for number, one in enumerate(methods)},
        definition=definition_of(spec, SplitData("sum", DATA.validation_split, "seen", "held out"), "numba"),
        provenance=provenance("cpu"),
    )


def of_kinds(caveats: list[Caveat], *kinds: CaveatKind) -> list[tuple[CaveatKind, str, dict[str, Any]]]:
    return [(caveat.kind, caveat.subject, caveat.facts) for caveat in caveats if caveat.kind in kinds]


def test_runs_of_several_machines_are_a_caveat():
    one, other = "x CPU (new)", "x CPU (old)"
    methods = [method(name, failure="nan", trained_on=[on]) for name, on in (("A", one), ("B", one), ("C", other))]
    expected = [(CaveatKind.MIXED_MACHINES, "A", {"found": [one, other]})]
    assert of_kinds(caveats_of(methods, {}, [], 0, NDCG), *CaveatKind) == expected
    assert caveats_of(methods[:2], {}, [], 0, NDCG) == []


def test_runs_of_other_revisions_are_counted():
    programs = ["abc", "abc dirty", "def", "abc dirty", "abc"]
    facts = {"now": "abc", "then": {"abc dirty": 2, "def": 1}, "runs": 5}
    assert of_kinds(other_revisions("A", programs, "abc"), *CaveatKind) == [(CaveatKind.OTHER_REVISIONS, "A", facts)]
    assert other_revisions("A", ["abc", "abc"], "abc") == []


def test_runs_of_several_library_versions_are_a_caveat():
    """Each engine is checked separately, because torch and numba round differently."""

    def by(label: str, **engines: str) -> Method:
        return method(label, failure="nan", trained_with={engine: [found] for engine, found in engines.items()})

    methods = [by("A", numba="numba 1"), by("B", torch="torch 2"), by("C", numba="numba 2")]
    expected = [(CaveatKind.MIXED_LIBRARIES, "numba", {"found": ["numba 1", "numba 2"]})]
    assert of_kinds(caveats_of(methods, {}, [], 0, NDCG), *CaveatKind) == expected
    assert caveats_of(methods[:2], {}, [], 0, NDCG) == []


def warned(chosen: Finalist) -> list[Caveat]:
    """The caveats of a tuned rival. Its search had 10 epochs."""
    ours = Finalist(0, CONFIG, 0.0, {0: {"ndcg@20": 1.0}})
    return caveats_of([method("A", 0.1)], {"A": [ours], "B tuned": [chosen]}, [], search_epochs=10, objective=NDCG)


@pytest.mark.parametrize(
    ("curve", "says"), [({1: 0.1, 2: 0.2, 3: 0.21}, True), ({1: 0.1, 2: 0.2, 3: 0.201}, False), ({3: 0.1}, False)]
)
def test_a_curve_that_still_rises_is_a_caveat(curve: dict[int, float], says: bool):
    chosen = Finalist(0, CONFIG, 0.0, {0: {"ndcg@20": 1.0}}, curves={0: curve})  # 0.0 in the search: no comparison
    found = of_kinds(warned(chosen), CaveatKind.CURVE_RISES, CaveatKind.LONGER_TRAINING_HELPED)
    facts = {"percent": pytest.approx(5.0), "from_epoch": 2, "to_epoch": 3}
    assert found == ([(CaveatKind.CURVE_RISES, "B tuned", facts)] if says else [])


@pytest.mark.parametrize(("second", "percent"), [(0.198, 2.0), (0.19, None)])
def test_the_rise_of_a_curve_is_its_mean_over_seeds(second: float, percent: float | None):
    """The curve of the first seed rises by 5 %, that of the second one falls by 1 % or by 5 %."""
    curves = {0: {1: 0.1, 2: 0.2, 3: 0.21}, 1: {1: 0.1, 2: 0.2, 3: second}}
    chosen = Finalist(0, CONFIG, 0.0, {0: {"ndcg@20": 1.0}, 1: {"ndcg@20": 1.0}}, curves=curves)
    found = [facts["percent"] for _, _, facts in of_kinds(warned(chosen), CaveatKind.CURVE_RISES)]
    assert found == ([pytest.approx(percent)] if percent else [])


@pytest.mark.parametrize(
    ("epochs", "value", "says"), [(40, 0.103, True), (40, 0.1019, False), (20, 0.1019, True), (10, 0.2, False)]
)
def test_the_gain_of_longer_training_is_a_caveat_if_the_rate_falls(epochs: int, value: float, says: bool):
    """The limit is 1 % per doubling of the epochs: 2.01 % from 10 to 40. With a falling rate every curve ends flat."""
    config = CONFIG.replace(schedule="linear", epochs=epochs)
    chosen = Finalist(0, config, 0.1, {0: {"ndcg@20": value}}, curves={0: {1: 0.1, 2: 0.2, 3: 0.3}})
    found = of_kinds(warned(chosen), CaveatKind.CURVE_RISES, CaveatKind.LONGER_TRAINING_HELPED)
    facts = {"search_value": 0.1, "search_epochs": 10, "value": value, "epochs": epochs}
    assert found == ([(CaveatKind.LONGER_TRAINING_HELPED, "B tuned", facts)] if says else [])


def test_the_table_has_means_deviations_and_leads():
    methods = [method("MML tuned", 0.22, 0.20), method("CCL published", 0.19, 0.21), method("BSL published", 0.1)]
    found = outcome(*methods, method("X", failure="nan in epoch 2"))
    assert found.rows() == [
        ["MML tuned", "0.2100 ± 0.0141", "0.2100 ± 0.0141", ""],
        ["CCL published", "0.2000 ± 0.0141", "0.2000 ± 0.0141", "+5.0 %"],
        ["BSL published", "0.1000", "0.1000", "+110.0 %"],
        ["X", "diverged", "diverged", ""],
    ]
    assert [(comparison.rival, comparison.word) for comparison in found.comparisons] == [
        ("CCL published", "not distinguishable"),
        ("BSL published", "no verdict"),
    ]


def test_the_table_has_baselines_and_a_baseline_ahead_is_a_caveat():
    """RP3beta is ahead on test only, which is the business of the verdict. The remedy of a caveat must not follow the test."""
    ahead, below = baseline("EASE", 0.3, 0.4, validation=0.2), baseline("RP3beta", 0.9, 0.9, validation=0.01)
    baselines = [baseline("MostPop", 0.05, 0.1, validation=0.05), ahead, below]
    found = outcome(method("A", 0.1), baselines=baselines[:2])
    assert found.rows()[1:] == [["MostPop", "0.0500", "0.1000", "+100.0 %"], ["EASE", "0.3000", "0.4000", "-66.7 %"]]
    expected = (
        CaveatKind.BASELINE_AHEAD,
        "A",
        {"baseline": "EASE", "value": 0.15, "baseline_value": 0.2, "split": "validation"},
    )
    validated = {"A": [on_validation(0, 0.15)]}
    assert of_kinds(caveats_of([method("A", 0.1)], validated, baselines, 0, NDCG), *CaveatKind) == [expected]
    above = {"A": [on_validation(0, 0.25)]}
    assert of_kinds(caveats_of([method("A", 0.1)], above, baselines, 0, NDCG), *CaveatKind) == []


def test_each_method_below_popularity_or_below_the_best_baseline_is_a_caveat():
    assert MostPopular().name == MOST_POPULAR
    popular = baseline("MostPop", 0.9, 0.9, validation=0.05).model_copy(update={"name": MOST_POPULAR})
    baselines = [popular, baseline("EASE", 0.01, 0.01, validation=0.3)]
    values = {"A": 0.31, "B tuned": 0.2, "C tuned": 0.04}
    validated = {label: [on_validation(0, value)] for label, value in values.items()}
    validated["D"] = [Finalist(0, CONFIG, 0.1, {0: {}}, failure="nan")]
    found = [(kind, subject) for kind, subject, _ in of_kinds(caveats_of([], validated, baselines, 0, NDCG), *CaveatKind)]
    assert found == [
        (CaveatKind.DIVERGED, "D"),
        (CaveatKind.BASELINE_AHEAD, "B tuned"),
        (CaveatKind.BELOW_POPULARITY, "C tuned"),
    ]


def test_a_learning_rate_that_was_searched_is_no_remedy():
    curves = {0: {1: 0.1, 2: 0.2}}
    validated = {label: [replace(on_validation(0, 0.3), search_value=0.0, curves=curves)] for label in ("A", "B tuned")}
    baselines, methods = [baseline("EASE", 0.3, 0.4, validation=0.5)], [method("A", 0.1), method("B tuned", 0.2)]
    found = caveats_of(methods, validated, baselines, 10, NDCG, rate_searched=["B tuned"])
    assert [each.kind for each in found].count(CaveatKind.BASELINE_AHEAD) == 2
    assert [(each.subject, bool(each.facts.get("rate_searched"))) for each in found] == 2 * [("A", False), ("B tuned", True)]
    advice = [each for each in sentences(found, NDCG) if each.startswith("B tuned")]
    assert len(advice) == 2, "A has another sentence, because its remedy differs"
    assert all("trials" in each and "learning rate" not in each for each in advice)


def test_configs_that_diverged_on_validation_are_a_caveat_for_each_method():
    lost = Finalist(3, CONFIG, 0.1, {101: {}, 102: {NDCG: 0.1}, 103: {}}, failure="nan in epoch 2")
    validated = {"A": [on_validation(0, 0.3)], "B tuned": [on_validation(1, 0.2), lost], "C": [replace(lost, trial=None)]}
    found = of_kinds(caveats_of([method("A", 0.1)], validated, [], 0, NDCG), *CaveatKind)
    seeds = {"failure": "nan in epoch 2", "lost_seeds": 2, "seeds": 3, "failed": 1}
    assert found == [
        (CaveatKind.DIVERGED, "B tuned", {**seeds, "of": 2, "trial": 3}),
        (CaveatKind.DIVERGED, "C", {**seeds, "of": 1, "trial": None}),
    ]


def test_the_curve_of_a_published_config_may_still_rise():
    """The curve is measured on validation, too."""
    published = replace(on_validation(0, 0.3), trial=None, search_value=0.0, curves={0: {1: 0.1, 2: 0.2}})
    validated = {"A": [on_validation(0, 0.3)], "B published": [published]}
    found = of_kinds(caveats_of([method("A", 0.1)], validated, [], 10, NDCG), *CaveatKind)
    assert [(kind, subject) for kind, subject, _ in found if subject != "A"] == [(CaveatKind.CURVE_RISES, "B published")]


def test_no_verdict_when_the_winner_diverges():
    methods = [method("A", failure="inf in epoch 1"), method("B", 0.1)]
    assert compared_by_users(with_users(*methods), NDCG) == []
    assert statements(methods, [], [], 30, NDCG) == ["A diverged on train + validation: inf in epoch 1"]


def test_a_written_file_is_read_unchanged(tmp_path: Path):
    caveat = Caveat(kind=CaveatKind.TEST_READ_AGAIN, subject="s", facts={"times": 2})
    methods = [method("A", 0.1, 0.2, beyond=BEYOND, gradient={"active": 0.5}), method("B", 0.1), method("C", failure="nan")]
    tuning = [Tuning("A", "B", False, 4.0, searches=[BestSoFar(30, {1: 0.1, 25: 0.2})])]
    written = outcome(*methods, baselines=[baseline("EASE", 0.3, 0.4)], caveats=[caveat], tuning=tuning)
    read = Confirmation.read(written.write(tmp_path))
    assert list(read.in_words.statements) == written.statements()
    assert list(read.in_words.tuning) == written.brought()
    assert list(read.in_words.caveats) == written.sentences()
    assert read.model_copy(update={"in_words": written.in_words}) == written


@pytest.mark.parametrize(("key", "value"), [("format", 0), ("format", None), ("more", 1), ("trials", "many")])
def test_a_file_that_breaks_a_rule_is_refused(tmp_path: Path, key: str, value: object):
    path = outcome(method("A", 0.1)).write(tmp_path)
    path.write_text(sealed(to_yaml({**read_yaml(path), key: value})))
    with pytest.raises(InputError) as caught:
        Confirmation.read(path)
    message = str(caught.value)
    assert str(path) in message
    assert key in message
    assert "; delete it and run hpo.confirm again" in message


def test_the_cost_of_a_search_counts_trained_epochs():
    """Two runs of 100 epochs diverged in epoch 2, so each of them counts two."""
    finalists = [
        Finalist(0, CONFIG, 0.1, {0: {}, 1: {}}, failure="nan in epoch 2", epochs_trained=4),
        Finalist(1, CONFIG, 0.1, {0: {"ndcg@20": 0.1}, 1: {"ndcg@20": 0.1}}, epochs_trained=200),
    ]
    assert SearchCost(5, 30).with_selection(finalists).epochs == 30 + 4 + 200


def test_two_names_of_one_model_are_a_caveat():
    """BSL with exponent 1 is SL. A search that found the published config again has its own caveat."""
    bsl, sl, ccl = (CONFIG.replace(loss=loss) for loss in (BSL(temperature=0.2), SL(temperature=0.2), CONFIG.loss))
    users, other = np.array([0.1, 0.2]), np.array([0.1, 0.3])
    tested = [
        (method("BSL tuned", 0.15, config=bsl), users),
        (method("SL tuned", 0.15, config=sl), users),
        (method("BSL published", 0.15, config=bsl.replace(seed=7)), users),
        (method("CCL tuned", 0.2, config=ccl), other),
        (method("MML tuned", config=ccl, failure="nan"), users),
    ]
    found = [(each.subject, each.facts["other"]) for each in same_figures(tested)]
    assert found == [("BSL tuned", "SL tuned"), ("SL tuned", "BSL published")]
