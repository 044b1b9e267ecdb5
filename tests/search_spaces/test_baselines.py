"""Where the settings of baselines are tried."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from search_spaces.baselines import BASELINE_RANGES, _at, at_ends, most_points, points, ranges_of
from search_spaces.parameters import Choice, Parameter
from trainers.baselines import BASELINES


def test_there_are_ranges_for_every_baseline_and_they_are_of_its_settings():
    assert BASELINE_RANGES.keys() == BASELINES.keys()
    for name, searched in BASELINE_RANGES.items():
        assert searched.keys() <= {field.name for field in fields(BASELINES[name])}  # type: ignore[arg-type]


def test_twelve_points_for_each_number():
    found = {name: most_points(name) for name in BASELINE_RANGES}
    assert found == {"most_popular": 1, "item_knn": 24, "rp3beta": 36, "ials": 24, "ease": 12}


@pytest.mark.parametrize("name", BASELINE_RANGES)
def test_more_points_begin_with_the_same_ones(name: str):
    first, all_ = points(name, 5, 3, 2000), points(name, 40, 3, 2000)
    assert all_[:5] == first
    assert points(name, 40, 3, 2000) == all_
    assert (points(name, 40, 4, 2000) == all_) == (not BASELINE_RANGES[name]), "another seed gives others"
    for each in all_:
        BASELINES[name](**each)  # valid settings
    for setting, parameter in ranges_of(name, 2000).items():
        values = [each[setting] for each in all_]
        if isinstance(parameter, Choice):
            assert set(values) == set(parameter.values)
            continue
        assert all(parameter.low <= value <= parameter.high for value in values)
        middle = (parameter.low * parameter.high) ** 0.5 if parameter.log else (parameter.low + parameter.high) / 2
        assert 18 <= sum(value < middle for value in values) <= 22, "spread over the range"


@pytest.mark.parametrize(
    ("parameter", "u", "value"),
    [
        (Parameter(0.0, 2.0), 0.12345678, 0.2469),  # four digits
        (Parameter(1.0, 10_000.0, log=True), 0.75, 1000.0),
        (Parameter(10, 1000, log=True, whole=True), 0.5, 100),
        (Parameter(10, 1000, log=True, whole=True), 0.0, 10),
        (Choice((False, True), bool), 0.5, True),
        (Choice(("a", "b", "c")), 0.999, "c"),
    ],
)
def test_a_share_of_a_range_by_hand(parameter: Parameter | Choice, u: float, value: Any):
    found = _at(parameter, u)
    assert (found, type(found)) == (value, type(value))


def test_no_more_neighbours_than_items():
    assert all(each["k"] <= 40 for each in points("rp3beta", 40, 0, 40))
    assert {each["k"] for each in points("item_knn", 20, 0, 1)} <= {5, 6}
    assert at_ends("rp3beta", {"k": 40, "alpha": 1.0, "beta": 1.0}, 40) == [], "all items are neighbours"
    assert [each.end for each in at_ends("rp3beta", {"k": 990, "alpha": 1.0, "beta": 1.0}, 5000)] == ["high"]


def test_ends_of_ranges():
    """Within 5 % of the range, on its scale; none where a setting has a limit."""
    (found,) = at_ends("ease", {"l2": 9000.0}, 100)
    assert (found.name, found.value, found.low, found.high, found.end) == ("l2", 9000.0, 1.0, 10_000.0, "high")
    assert at_ends("ease", {"l2": 6000.0}, 100) == []
    assert at_ends("rp3beta", {"k": 50, "alpha": 0.0, "beta": 1.95}, 5000)[0].name == "beta"
    ends = {each: at_ends("item_knn", {"k": 50, "similarity": each, "shrinkage": 990.0}, 5000) for each in ("cosine", "dot")}
    assert [len(each) for each in ends.values()] == [1, 0], "shrinkage changes no ranking by dot products"
