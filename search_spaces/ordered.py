"""Ascending sequences as mathematics: maps between a box without order and margins or monotone weights.

The box holds either a value per step, or a shape: lowest and highest margin, curvature of the spacing, temperature.

Every point of the box gives a valid sequence, so nothing is rejected or repaired. Values live on a decimal grid: that is
what makes `ratios(forward(ratios))` and `forward(ratios(sequence))` exact for every sequence the box can produce, and the
published ones exact in it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

GRID = 10**10  # ten decimals
SLACK = 1e-3  # of a grid step: far above float rounding (1e-6 of a step), far below half a step
CURVATURE_DECIMALS, TAU_DECIMALS = 2, 3  # so few values that a shape is found by trying all of them


def margins_from_drops(top: float, drops: Sequence[float]) -> tuple[float, ...]:
    """Ascending margins with the highest equal to `top`; margin k lies below margin k + 1 by the share `drops[k]` of it."""
    margins = [_to_grid(top)]
    for drop in reversed(drops):
        margins.insert(0, _to_grid(margins[0] * (1.0 - drop)))
    return tuple(margins)


def drops_of(margins: Sequence[float]) -> tuple[float, ...]:
    """The share by which each margin lies below the next one; 0 below 0 counts as none."""
    return tuple(1.0 - ratio for ratio in ratios_of(margins))


def weights_from_ratios(ratios: Sequence[float]) -> tuple[float, ...]:
    """Non-decreasing weights with sum 1; `ratios[k]` is weight k over weight k + 1."""
    relative = [1.0]
    for ratio in reversed(ratios):
        relative.insert(0, relative[0] * ratio)
    return _normalised(relative)


def ratios_of(values: Sequence[float]) -> tuple[float, ...]:
    """Each value over the next one; 0/0 counts as 1."""
    return tuple(low / high if high > 0.0 else 1.0 for low, high in pairwise(values))


def margins_from_shape(n: int, low: float, top: float, curvature: float) -> tuple[float, ...]:
    """Ascending margins (n,): low + (top - low) * (k / (n - 1)) ** curvature for k = 0 .. n - 1, with low <= top.

    Above 1 they crowd at the low end, below 1 at the top. `curvature` counts to CURVATURE_DECIMALS. One margin is `top`.
    """
    top = _to_grid(top)
    low, curvature = min(_to_grid(low), top), round(curvature, CURVATURE_DECIMALS)
    return (*(_to_grid(low + (top - low) * (k / (n - 1)) ** curvature) for k in range(n - 1)), top)


def weights_from_tau(margins: Sequence[float], tau: float) -> tuple[float, ...]:
    """Non-decreasing weights (n,) with sum 1, proportional to exp(margins / tau), for ascending margins (n,).

    The gradient of the loss in the score then grows like exp(score / tau), as that of a softmax loss does. `tau` is in units
    of the score and counts to TAU_DECIMALS.
    """
    tau = round(tau, TAU_DECIMALS)
    return _normalised([math.exp((margin - margins[-1]) / tau) for margin in margins])


def nearest_curvature(margins: Sequence[float], low: float, high: float) -> float:
    """The curvature in [low, high] whose margins have the least squared distance to these; among equals the nearest to 1."""

    def distance(curvature: float) -> tuple[float, float]:
        shape = margins_from_shape(len(margins), margins[0], margins[-1], curvature)
        return math.dist(shape, margins), abs(math.log(curvature))

    return min(_decimals(low, high, CURVATURE_DECIMALS), key=distance)


def nearest_tau(margins: Sequence[float], weights: Sequence[float], low: float, high: float) -> float:
    """The tau in [low, high] whose weights have the least squared distance to these; among equals the highest.

    With one margin, or equal ones, tau has no effect and all are equals.
    """
    return min(_decimals(low, high, TAU_DECIMALS), key=lambda tau: (math.dist(weights_from_tau(margins, tau), weights), -tau))


def _decimals(low: float, high: float, decimals: int) -> list[float]:
    """All values with so many decimals from `low` to `high`."""
    scale = 10**decimals
    return [step / scale for step in range(round(low * scale), round(high * scale) + 1)]


def _normalised(relative: Sequence[float]) -> tuple[float, ...]:
    """Non-decreasing positive values as weights on the grid with sum 1."""
    total = sum(relative)
    # all but the last are rounded down, so that the last, which takes the rest, stays the largest
    steps = [int(value / total * GRID + SLACK) for value in relative[:-1]]
    return tuple(step / GRID for step in (*steps, GRID - sum(steps)))


def _to_grid(value: float) -> float:
    return round(value * GRID) / GRID
