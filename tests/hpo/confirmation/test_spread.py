"""Columns of `mean ± sd`, and what the ± is."""

from __future__ import annotations

import pytest

from hpo.confirmation.spread import column, spread_said


@pytest.mark.parametrize(
    ("figures", "cells"),
    [
        ([(0.25531, 0.0013), (0.1, 0.0)], ["0.2553 ± 0.0013", "0.1000 ± 0.0000"]),
        ([(0.00123, 0.00002), (0.0012, 0.000034)], ["0.001230 ± 0.000020", "0.001200 ± 0.000034"]),
        ([(0.5, 0.2), (0.00123, 0.00096)], ["0.50000 ± 0.20000", "0.00123 ± 0.00096"]),
        ([(0.3, None), None, (0.2, 0.0)], ["0.3000", "diverged", "0.2000 ± 0.0000"]),
        ([(0.3, 1e-17), (0.3, 2e-9)], ["0.300000000 ± 0.000000000", "0.300000000 ± 0.000000002"]),
        ([(0.3, 1e-17)], ["0.3000 ± 0.0000"]),
        ([], []),
    ],
)
def test_the_smallest_sd_of_a_column_has_two_digits(figures: list[tuple[float, float | None] | None], cells: list[str]):
    """Four decimals would hide two of these differences: 0.0012 ± 0.0000 in both rows."""
    assert column(figures) == cells


def test_what_a_spread_is():
    assert spread_said({"between searches": [], "over seeds": []}) == ""
    assert spread_said({"between searches": [], "over seeds": ["A", "iALS"]}) == "± is the standard deviation over seeds."
    assert spread_said({"between searches": ["A"], "over seeds": []}) == "± is the standard deviation between searches."
    both = spread_said({"between searches": ["A", "B"], "over seeds": ["C", "D", "iALS"]})
    assert both == "± is the standard deviation: between searches for A and B; over seeds for C, D and iALS."
