"""The choice of the winner."""

from __future__ import annotations

import pytest

from hpo.confirmation.league import leader_of
from hpo.confirmation.results import Finalist, Method, SearchCost, SearchWinner
from hpo.confirmation.results import on_validation as figure_on_validation
from hpo.confirmation.statements import winner_said
from hpo.confirmation.winner import decide
from hpo.runs.baseline_results import BaselineResult

from ..outcomes import CONFIG, baseline_result
from .test_outcome import method

NDCG = "ndcg@20"


def decided(tested: dict[str, float], validation: dict[str, float], *baselines: BaselineResult) -> str | None:
    """The winner's label. A value below zero means that the method diverged."""

    def finalist(value: float) -> Finalist:
        by_seed = {} if value < 0 else {101: {NDCG: value}}
        return Finalist(None, CONFIG, 0.0, by_seed, "nan in epoch 2" if value < 0 else "")

    def row(label: str, value: float) -> Method:
        search = SearchCost(4 if label.endswith("tuned") else 0)
        return method(label, failure="inf", search=search) if value < 0 else method(label, value, search=search)

    methods = [row(label, value) for label, value in tested.items()]
    winner = decide(methods, {label: [finalist(value)] for label, value in validation.items()}, baselines, NDCG).winner
    return winner and winner.label


def test_validation_chooses_the_winner():
    tested = {"MML tuned": 0.9, "CCL tuned": 0.1, "BSL published": 0.5}
    assert decided(tested, {"MML tuned": 0.2, "CCL tuned": 0.3, "BSL published": 0.1}) == "CCL tuned"
    assert decided(tested, {"MML tuned": 0.2, "CCL tuned": 0.3, "BSL published": 0.4}) == "BSL published"
    assert decided(tested, {"MML tuned": 0.3, "CCL tuned": 0.3, "BSL published": 0.1}) == "MML tuned", (
        "the first of equal ones wins"
    )


def test_a_method_that_diverged_on_a_split_never_wins():
    validation = {"MML tuned": 0.2, "CCL tuned": 0.3, "BSL published": -1}
    assert decided({"MML tuned": 0.1, "CCL tuned": -1, "BSL published": 0.5}, validation) == "MML tuned"
    assert decided({"MML tuned": -1, "CCL tuned": -1, "BSL published": 0.5}, validation) is None


def on_validation(label: str, value: float) -> BaselineResult:
    """A baseline that is far ahead on the test split, which must not matter."""
    return baseline_result(label, {NDCG: 0.9}, value)


def test_a_method_below_a_baseline_on_validation_does_not_win():
    """A baseline above the other methods only has no effect."""
    tested, validation = {"MML tuned": 0.2, "CCL tuned": 0.4}, {"MML tuned": 0.1, "CCL tuned": 0.3}
    assert decided(tested, validation, on_validation("EASE", 0.3)) == "CCL tuned"
    assert decided(tested, validation, on_validation("EASE", 0.3), on_validation("MostPop", 0.31)) is None


def test_the_winner_is_the_method_with_the_highest_mean_over_its_searches():
    """A has the best single search (.4), but .25 on average; B has .3. The config of B's best search is exported."""
    searches = [SearchWinner(number, f"s{number}", 0, CONFIG, [number - 1]) for number in (1, 2)]
    a, b = (method(label, 0.1, 0.4, search=SearchCost(12), searches=searches) for label in ("A", "B"))

    def found(*values: float) -> list[Finalist]:
        return [Finalist(0, CONFIG, 0.0, {101: {NDCG: value}}, search=number) for number, value in enumerate(values, 1)]

    validated = {"A": [*found(0.4, 0.1), *found(0.35)], "B": found(0.28, 0.32)}
    assert figure_on_validation(validated["A"], NDCG) == pytest.approx(0.25), "the best finalist of each search"
    decision = decide([a, b], validated, [], NDCG)
    assert (decision.best, decision.search, decision.test) == (b, searches[1], 0.4)
    assert decision.value == pytest.approx(0.3)
    assert leader_of([a, b], validated, NDCG) == "B"
    said = winner_said(decision, NDCG, 2)
    assert "validation ndcg@20 0.3000 on average over its 2 searches, the highest of 2 methods; its best search, s2, " in said
    assert "s2, has 0.3200 on validation and 0.4000 on the test split" in said


def test_the_winners_figure_comes_from_its_chosen_search():
    """The second of three searches is the best on validation.

    A baseline is ahead of the mean of the three, not of the second.
    """
    searches = [SearchWinner(number, f"s{number}", 0, CONFIG, [number - 1]) for number in (1, 2, 3)]
    several = method("MML tuned", 0.1, 0.4, 0.1, search=SearchCost(12), searches=searches)
    found = [Finalist(0, CONFIG, 0.0, {101: {NDCG: value}}, search=number) for number, value in ((1, 0.2), (2, 0.3), (3, 0.1))]
    decision = decide([several], {"MML tuned": found}, [on_validation("EASE", 0.25)], NDCG)
    assert (decision.winner, decision.test, decision.search) == (several, 0.4, searches[1])
