"""The panels of the searched settings."""

from __future__ import annotations

import math

import optuna
import pytest
from optuna.trial import create_trial

from hpo.reporting.settings_figure import settings_figure, settings_of
from hpo.study.spec import load_spec
from search_spaces import Space


def trial(space: Space, value: float, **params: float) -> optuna.trial.FrozenTrial:
    attributes = {"margins": [0.2, 0.3, 0.4, params["margin_top"]], "weights": [0.1, 0.2, 0.3, 0.4], "l2": 0.0, "loss": "x"}
    attributes |= {"learning_rate": params["learning_rate"], "negative_weight": params["negative_ratio"]}
    return create_trial(value=value, params={**space.corner(), **params}, distributions=space.boxes(), user_attrs=attributes)


@pytest.fixture
def space() -> Space:
    return load_spec("demo_mml").override({"space.also": ["learning_rate", "l2"]}).space


def test_log_parameters_have_log_axes_over_their_whole_range(space: Space):
    trials = [
        trial(space, 0.1, margin_top=0.9, learning_rate=rate, negative_ratio=ratio)
        for rate, ratio in ((1e-3, 2.0), (1e-2, 900.0))
    ]
    found = {setting.name: setting for setting in settings_of(trials, space, {"negative_weight"})}
    assert "margin_top" not in found, "it has the panel margin 4"
    assert not any(name.startswith(("margin_", "weight_")) for name in found)
    rate, l2 = found["learning_rate"], found["l2"]
    assert (rate.log, rate.searched) == (True, (1e-5, 1e-1))
    low, high = rate.axis["range"]
    assert (rate.axis["type"], low < math.log10(1e-5), high > math.log10(1e-1)) == ("log", True, True)
    assert l2.points[0][0] == l2.searched[0], "an l2 of 0 is shown at the low end"
    assert (found["negative_ratio"].log, found["negative_ratio"].searched) == (True, (1.0, 10_000.0))
    assert (found["negative_weight"].log, found["negative_weight"].searched) == (True, None), "it follows from the ratio"
    assert (found["margin 4"].log, found["margin 4"].searched) == (False, (0.0, 0.99))
    assert (found["weight 1"].searched, found["weight 1"].axis["range"]) == (None, pytest.approx([-0.05, 1.05]))


def test_the_ends_of_the_range_are_lines_of_the_panel(space: Space):
    trials = [trial(space, 0.1, margin_top=0.9, learning_rate=1e-3, negative_ratio=2.0)]
    (rate,) = (setting for setting in settings_of(trials, space, set()) if setting.name == "learning_rate")
    figure = settings_figure([rate], "ndcg@20")
    assert figure.layout.xaxis.type == "log"
    assert [line.x0 for line in figure.layout.shapes] == [1e-5, 1e-1]
    assert [trace.name for trace in figure.data] == ["complete", "pruned"]
