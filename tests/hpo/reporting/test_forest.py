"""The forest plot."""

from __future__ import annotations

import pytest

from hpo.confirmation.evidence import Evidence
from hpo.confirmation.results import Method, SearchCost
from hpo.confirmation.statistics import Comparison, Word
from hpo.reporting.forest import forest, forests

from ..outcomes import CONFIG


def against(rival: str, difference: float, base: float = 0.2, detectable: float | None = 0.01) -> Comparison:
    users = Evidence(difference - 0.01, difference + 0.01, 0.01, 0.005)
    both = Evidence(difference - 0.02, difference + 0.02, 0.01, 0.01)
    judged = {} if detectable is None else {"runs": users, "both": both, "detectable": detectable}
    return Comparison("MML tuned", rival, difference, base, users, 0.01 if judged else 1.0, 0.5, **judged)


def test_rows_are_in_percent():
    drawn = forest(
        "T", [against("BSL", 0.04), against("CCL", -0.1, detectable=None)], "ndcg@20", ("the other method", "MML tuned")
    )
    assert drawn is not None
    first, second = drawn.rows
    assert (first.name, first.word, first.style) == ("BSL", Word.BETTER, "better")
    assert (first.difference, first.low, first.high, first.detectable) == pytest.approx((20, 10, 30, 5))
    assert first.figures == "+20.0 % (+10.0 to +30.0 %)"
    assert (second.style, second.detectable) == ("none", None)
    assert (second.low, second.high) == pytest.approx((-55, -45)), "the interval over users alone"
    assert drawn.unit == "difference in ndcg@20, % of the mean of the other method"
    assert drawn.sides == ("the other method", "MML tuned")


def test_the_axis_includes_zero_and_every_row_and_has_round_ticks():
    drawn = forest("T", [against("BSL", 0.04)], "ndcg@20")
    assert drawn is not None
    low, high = drawn.ends
    assert low < -5, "the detectable effect is drawn on both sides"
    assert high > 30
    assert (drawn.place(low), drawn.place(high)) == ("0.00%", "100.00%")
    assert [label for _, label in drawn.ticks] == ["0", "+10 %", "+20 %", "+30 %"]
    assert drawn.ticks[0][0] == drawn.place(0.0)


def test_with_a_mean_of_zero_the_plot_is_not_in_percent():
    drawn = forest("T", [against("BSL", 0.04, base=0.0), against("CCL", 0.04)], "ndcg@20")
    assert drawn is not None
    assert (drawn.rows[0].difference, drawn.unit) == (0.04, "difference in ndcg@20")
    assert forest("T", [], "ndcg@20") is None


def test_tuned_rivals_have_a_plot_of_their_own_with_the_strongest_first():
    methods = [
        Method(label, CONFIG, {1: {"ndcg@20": 0.1}}, 1.0, search=SearchCost(trials))
        for label, trials in (("MML tuned", 4), ("CCL (published settings)", 0), ("CCL tuned", 4), ("BSL tuned", 4))
    ]
    comparisons = [against("CCL (published settings)", 0.3), against("CCL tuned", 0.01), against("BSL tuned", 0.01, base=0.3)]
    drawn = forests(comparisons, methods, "ndcg@20")
    assert [(each.title, [row.name for row in each.rows]) for each in drawn] == [
        ("MML tuned against tuned methods", ["BSL tuned", "CCL tuned"]),
        ("MML tuned against published settings", ["CCL (published settings)"]),
    ]
