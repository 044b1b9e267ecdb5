"""Columns of `mean ± sd`: how many decimals a column needs, and what its ± is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from hpo.runtime.text import listed

LEAST, MOST = 4, 9  # decimals of a column
NOISE = 1e-9  # a spread below this is an error of rounding

Figure = tuple[float, float | None]
"""A mean, and its standard deviation or half of its interval; None without one."""


def decimals(spreads: Iterable[float | None]) -> int:
    """The decimals of a column in which the smallest of these spreads that is not 0 has two digits, and at least four."""
    smallest = min((spread for spread in spreads if spread and spread > NOISE), default=1.0)
    return min(max(LEAST, 1 - math.floor(math.log10(smallest))), MOST)


def column(figures: Sequence[Figure | None]) -> list[str]:
    """The cells of a column: `mean ± sd`, the mean alone without an sd, `diverged` without a mean."""
    digits = decimals(figure[1] for figure in figures if figure is not None)
    return ["diverged" if figure is None else _cell(*figure, digits) for figure in figures]


def _cell(mean: float, spread: float | None, digits: int) -> str:
    return f"{mean:.{digits}f}" + ("" if spread is None else f" ± {spread:.{digits}f}")


def spread_said(over: Mapping[str, Sequence[str]]) -> str:
    """What the ± of a column is; empty if no method has one.

    Args:
        over: the labels of the methods with a ±, by what it is over, such as `over seeds`.
    """
    found = {what: labels for what, labels in over.items() if labels}
    if not found:
        return ""
    if len(found) == 1:
        return f"± is the standard deviation {next(iter(found))}."
    return f"± is the standard deviation: {'; '.join(f'{what} for {listed(labels)}' for what, labels in found.items())}."
