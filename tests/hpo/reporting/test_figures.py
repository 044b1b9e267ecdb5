"""The pictures of the report."""

from __future__ import annotations

import numpy as np
import pytest

from hpo.confirmation.results import BestSoFar
from hpo.reporting.figures import hinge_cost, mean_by_epoch
from hpo.reporting.search_progress import best_so_far_figure
from trainers.losses import BSL, CCL, MML

from ..conftest import Place
from ..outcomes import confirmed, files


@pytest.mark.pictures
def test_the_report_has_gradient_shares_and_the_curves_of_loss_and_objective(place: Place, monkeypatch: pytest.MonkeyPatch):
    """They come from the runs of confirm."""
    monkeypatch.setattr("hpo.confirmation.stages.CURVE_EVERY", 1)
    place.run()
    outcome = confirmed(place)
    markdown, html = files(place)
    for method in outcome.methods:
        assert 0 < method.gradient["hardest 1 %"] <= method.gradient["hardest 10 %"] <= 1
        row = f"{100 * method.gradient['active']:.1f} %"
        assert any(line.startswith(f"| {method.label} | {row}") for line in markdown.splitlines())
    assert "Which negatives get the gradient" in html
    for finalist in outcome.finalists:
        assert sorted(next(iter(finalist.losses.values()))) == [1, 2, 3, 4]
    assert 'id="figure-loss-and-objective"' in html
    assert "Rank correlation over the epochs: -" in html


def test_the_hinge_cost_agrees_with_a_computation_by_hand():
    """At .9: 2 x (.25 x .4 + .75 x .1) = .35, gradient 2 x 1. At .6 one hinge is active: 2 x .25 x .1 = .05, gradient .5."""
    loss = MML(margins=(0.5, 0.8), weights=(0.25, 0.75), positive_weight=2.0, negative_weight=4.0)
    cost, gradient = hinge_cost(loss, np.array([0.4, 0.6, 0.9]))
    assert cost == pytest.approx([0.0, 0.05, 0.35])
    assert gradient == pytest.approx([0.0, 0.5, 2.0])
    assert hinge_cost(CCL(margin=0.5, negative_weight=3.0), np.array([0.7]))[0] == pytest.approx([0.6])
    with pytest.raises(ValueError, match="bsl has no margins"):
        hinge_cost(BSL(temperature=0.1, exponent=1.0), np.array([0.7]))


def test_a_mean_curve_ends_where_a_seed_diverges():
    """At epoch 4 the mean over the survivors is .4, although the mean over both seeds stopped at .2."""
    assert mean_by_epoch({1: {2: 0.1, 4: 0.4}, 2: {2: 0.3}}) == {2: pytest.approx(0.2)}
    assert mean_by_epoch({1: {2: 0.1}, 2: {}}) == {}
    assert mean_by_epoch({}) == {}


def test_the_best_value_so_far_is_a_line_or_a_mean_with_its_range():
    one = [BestSoFar(10, {2: 0.1, 5: 0.3})]
    several = [BestSoFar(10, {1: 0.1, 4: 0.3}), BestSoFar(8, {2: 0.2}), BestSoFar(9, {})]
    figure = best_so_far_figure({"A": one, "B": several, "C": [BestSoFar(0, {})]}, "ndcg@20")
    line, high, low, mean = figure.data
    assert (line.name, list(line.x), list(line.y)) == ("A", [2, 5, 10], [0.1, 0.3, 0.3])
    assert list(mean.x) == list(high.x) == list(low.x) == [2, 4, 8], (
        "from the first trial with two values to the end of the shorter search"
    )
    assert list(high.y) == [0.2, 0.3, 0.3]
    assert list(low.y) == [0.1, 0.2, 0.2]
    assert list(mean.y) == pytest.approx([0.15, 0.25, 0.25])
    assert (mean.name, low.fill) == ("B, mean of 2 searches", "tonexty")
