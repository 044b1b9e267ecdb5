"""The types of flags: which texts they take, and what they say of others."""

from __future__ import annotations

import argparse
from collections.abc import Callable

import pytest

from hpo.cli.flags import above_zero, at_least_zero, gigabytes


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (above_zero, "0.5", 0.5),
        (above_zero, "1e-9", 1e-9),
        (at_least_zero, "0", 0.0),
        (at_least_zero, "0.00", 0.0),
        (at_least_zero, " 30 ", 30.0),
        (gigabytes, "0.1", 0.1),
    ],
)
def test_numbers_are_read(kind: Callable[[str], float], text: str, value: float):
    assert kind(text) == value


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        (above_zero, "0", "must be a finite number above 0, got 0"),
        (above_zero, "-1", "must be a finite number above 0, got -1"),
        (above_zero, "inf", "must be a finite number above 0, got inf"),
        (above_zero, "nan", "must be a finite number above 0, got nan"),
        (above_zero, "1e999", "must be a finite number above 0, got 1e999"),
        (above_zero, "soon", "must be a finite number above 0, got 'soon'"),
        (at_least_zero, "-0.5", "must be a finite number, 0 or more, got -0.5"),
        (at_least_zero, "inf", "must be a finite number, 0 or more, got inf"),
        (at_least_zero, "", "must be a finite number, 0 or more, got ''"),
        (gigabytes, "0.05", "must be a finite number, 0.1 GB or more, got 0.05"),
        (gigabytes, "nan", "must be a finite number, 0.1 GB or more, got nan"),
    ],
)
def test_other_texts_are_refused(kind: Callable[[str], float], text: str, message: str):
    with pytest.raises(argparse.ArgumentTypeError) as error:
        kind(text)
    assert str(error.value) == message
