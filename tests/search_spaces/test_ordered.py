from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces.ordered import (
    drops_of,
    margins_from_drops,
    margins_from_shape,
    nearest_curvature,
    nearest_tau,
    ratios_of,
    weights_from_ratios,
    weights_from_tau,
)

RATIO = st.one_of(st.just(0.0), st.just(1.0), st.floats(0.0, 1.0), st.floats(1e-12, 1e-8))
DROP = st.one_of(st.just(0.0), st.just(0.01), st.just(1.0), st.floats(0.0, 1.0), st.floats(1e-12, 1e-8))


def test_margins_agree_with_a_computation_by_hand():
    assert margins_from_drops(0.8, [0.5, 0.25]) == (0.3, 0.6, 0.8)
    assert drops_of((0.3, 0.6, 0.8)) == pytest.approx((0.5, 0.25))


def test_weights_agree_with_a_computation_by_hand():
    assert weights_from_ratios([0.5, 0.5]) == pytest.approx((1 / 7, 2 / 7, 4 / 7), abs=1e-9)


def test_one_value_has_no_ratio():
    assert margins_from_drops(0.9, []) == (0.9,)
    assert weights_from_ratios([]) == (1.0,)
    assert ratios_of((0.9,)) == ()


def test_zero_over_zero_counts_as_one():
    assert ratios_of((0.0, 0.0, 1.0)) == (1.0, 0.0)
    assert weights_from_ratios([1.0, 0.0]) == (0.0, 0.0, 1.0)
    assert drops_of((0.0, 0.0, 1.0)) == (0.0, 1.0)


@given(st.lists(RATIO, min_size=0, max_size=9))
def test_weights_ascend_sum_to_one_and_round_trip(ratios: list[float]):
    weights = weights_from_ratios(ratios)
    assert all(a <= b for a, b in itertools.pairwise(weights))
    assert weights[0] >= 0.0
    assert math.fsum(weights) == pytest.approx(1.0, abs=1e-12)
    assert weights_from_ratios(ratios_of(weights)) == weights


@given(st.floats(0.0, 0.99), st.lists(DROP, min_size=0, max_size=9))
def test_margins_ascend_and_round_trip(top: float, drops: list[float]):
    margins = margins_from_drops(top, drops)
    assert all(a <= b for a, b in itertools.pairwise(margins))
    assert margins[0] >= 0.0
    assert margins_from_drops(margins[-1], drops_of(margins)) == margins


def test_margins_of_a_shape_agree_with_a_computation_by_hand():
    assert margins_from_shape(4, 0.6, 0.9, 1.0) == (0.6, 0.7, 0.8, 0.9)
    assert margins_from_shape(3, 0.5, 0.9, 2.0) == (0.5, 0.6, 0.9), "with a curvature above 1 they are close at the low end"
    assert margins_from_shape(3, 0.5, 0.9, 0.5) == pytest.approx((0.5, 0.5 + 0.4 * math.sqrt(0.5), 0.9), abs=1e-10)
    assert margins_from_shape(2, 0.5, 0.9, 3.0) == (0.5, 0.9)
    assert margins_from_shape(1, 0.5, 0.9, 3.0) == (0.9,)


def test_weights_of_a_temperature_agree_with_a_computation_by_hand():
    tau = 0.1
    weights = weights_from_tau((0.6, 0.7, 0.9), tau)
    assert weights[1] / weights[0] == pytest.approx(math.exp(0.1 / tau), rel=1e-6)
    assert weights[2] / weights[1] == pytest.approx(math.exp(0.2 / tau), rel=1e-6)
    assert math.fsum(weights) == pytest.approx(1.0, abs=1e-12)
    assert weights_from_tau((0.9,), tau) == (1.0,)
    assert weights_from_tau((0.9,) * 4, tau) == (0.25,) * 4


def test_curvature_and_tau_without_effect_have_a_fixed_value():
    for margins in ((0.9,), (0.6, 0.9), (0.8, 0.8, 0.8)):
        assert nearest_curvature(margins, 0.25, 4.0) == 1.0
    for margins, weights in (((0.9,), (1.0,)), ((0.8, 0.8), (0.5, 0.5))):
        assert nearest_tau(margins, weights, 0.03, 1.0) == 1.0


def test_margins_and_weights_without_a_shape_have_a_nearest_one():
    """For Yelp2018's published weights, least squares give .117 on the weights and .129 on their logarithms."""
    assert nearest_tau((0.6, 0.7, 0.8, 0.9), (0.05, 0.15, 0.2, 0.6), 0.03, 1.0) == 0.117
    assert nearest_tau((0.6, 0.9), (0.0, 1.0), 0.03, 1.0) == 0.03, "a weight of zero gives the lowest temperature"
    assert nearest_curvature((0.6, 0.61, 0.9), 0.25, 4.0) == 4.0, "the bound is the nearest value"


@given(
    st.integers(1, 16),
    st.floats(0.0, 0.9),
    st.one_of(st.just(0.0), st.floats(1e-11, 1e-7), st.floats(0.0, 0.09)),
    st.floats(0.25, 4.0),
    st.floats(0.03, 1.0),
)
def test_shapes_ascend_and_round_trip(n: int, low: float, width: float, curvature: float, tau: float):
    margins = margins_from_shape(n, low, low + width, curvature)
    weights = weights_from_tau(margins, tau)
    for values in (margins, weights):
        assert len(values) == n
        assert all(a <= b for a, b in itertools.pairwise(values))
    assert weights[0] >= 0.0
    assert math.fsum(weights) == pytest.approx(1.0, abs=1e-12)
    found = margins_from_shape(n, margins[0], margins[-1], nearest_curvature(margins, 0.25, 4.0))
    assert found == margins
    assert weights_from_tau(margins, nearest_tau(margins, weights, 0.03, 1.0)) == weights
