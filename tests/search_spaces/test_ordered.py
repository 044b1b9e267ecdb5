from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces.ordered import margins_from_ratios, ratios_of, weights_from_ratios

RATIO = st.one_of(st.just(0.0), st.just(1.0), st.floats(0.0, 1.0), st.floats(1e-12, 1e-8))
MARGIN_RATIO = st.one_of(st.just(1.0), st.floats(0.5, 1.0))


def test_margins_by_hand():
    assert margins_from_ratios(0.8, [0.5, 0.75]) == (0.3, 0.6, 0.8)


def test_weights_by_hand():
    assert weights_from_ratios([0.5, 0.5]) == pytest.approx((1 / 7, 2 / 7, 4 / 7), abs=1e-9)


def test_one_value_has_no_ratio():
    assert margins_from_ratios(0.9, []) == (0.9,)
    assert weights_from_ratios([]) == (1.0,)
    assert ratios_of((0.9,)) == ()


def test_zero_over_zero_counts_as_one():
    assert ratios_of((0.0, 0.0, 1.0)) == (1.0, 0.0)
    assert weights_from_ratios([1.0, 0.0]) == (0.0, 0.0, 1.0)


@given(st.lists(RATIO, min_size=0, max_size=9))
def test_weights_ascend_sum_to_one_and_round_trip(ratios: list[float]):
    weights = weights_from_ratios(ratios)
    assert all(a <= b for a, b in itertools.pairwise(weights))
    assert weights[0] >= 0.0
    assert math.fsum(weights) == pytest.approx(1.0, abs=1e-12)
    assert weights_from_ratios(ratios_of(weights)) == weights


@given(st.floats(0.6, 0.98), st.lists(MARGIN_RATIO, min_size=0, max_size=9))
def test_margins_ascend_and_round_trip(top: float, ratios: list[float]):
    margins = margins_from_ratios(top, ratios)
    assert all(a <= b for a, b in itertools.pairwise(margins))
    assert margins_from_ratios(margins[-1], ratios_of(margins)) == margins
