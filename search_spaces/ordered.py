"""Maps between independent search parameters and ascending margins or monotone weights.

The parameters are either a value per step, or a shape: lowest and highest margin, curvature of the spacing, temperature.

Every point gives a valid sequence, so nothing is rejected or repaired. Values are rounded to a decimal grid. That makes
`ratios(forward(ratios))` and `forward(ratios(sequence))` exact for every sequence in the space, and published sequences exact.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

GRID = 10**10  # ten decimals
SLACK = 1e-3  # in grid steps: far above float rounding (1e-6 steps), far below half a step
CURVATURE_DECIMALS, TAU_DECIMALS = 2, 3  # few enough values to find a shape by trying all of them


def margins_from_drops(top: float, drops: Sequence[float]) -> tuple[float, ...]:
    """Ascending margins with the highest equal to `top`; margin k is margin k + 1 times (1 - drops[k])."""
    margins = [_to_grid(top)]
    for drop in reversed(drops):
        margins.insert(0, _to_grid(margins[0] * (1.0 - drop)))
    return tuple(margins)


def drops_of(margins: Sequence[float]) -> tuple[float, ...]:
    """For each margin 1 - margin / next margin; 0 if both are 0."""
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

    With a curvature above 1 they are denser at the low end, below 1 at the top. The curvature is rounded to CURVATURE_DECIMALS.
    A single margin is `top`.
    """
    top = _to_grid(top)
    low, curvature = min(_to_grid(low), top), round(curvature, CURVATURE_DECIMALS)
    return (*(_to_grid(low + (top - low) * (k / (n - 1)) ** curvature) for k in range(n - 1)), top)


def weights_from_tau(margins: Sequence[float], tau: float) -> tuple[float, ...]:
    """Non-decreasing weights (n,) with sum 1, proportional to exp(margins / tau), for ascending margins (n,).

    The gradient of the loss with respect to the score then grows like exp(score / tau), as for a softmax loss. `tau` is in
    units of the score and is rounded to TAU_DECIMALS.
    """
    tau = round(tau, TAU_DECIMALS)
    return _normalised([math.exp((margin - margins[-1]) / tau) for margin in margins])


def nearest_curvature(margins: Sequence[float], low: float, high: float) -> float:
    """The curvature in [low, high] whose margins have the least squared distance to these; of equal ones the nearest to 1."""

    def distance(curvature: float) -> tuple[float, float]:
        shape = margins_from_shape(len(margins), margins[0], margins[-1], curvature)
        return math.dist(shape, margins), abs(math.log(curvature))

    return min(_decimals(low, high, CURVATURE_DECIMALS), key=distance)


def nearest_tau(margins: Sequence[float], weights: Sequence[float], low: float, high: float) -> float:
    """The tau in [low, high] whose weights have the least squared distance to these; of equal ones the highest.

    With one margin, or equal margins, tau has no effect.
    """
    return min(_decimals(low, high, TAU_DECIMALS), key=lambda tau: (math.dist(weights_from_tau(margins, tau), weights), -tau))


def _decimals(low: float, high: float, decimals: int) -> list[float]:
    """All values with `decimals` decimals from `low` to `high`."""
    scale = 10**decimals
    return [step / scale for step in range(round(low * scale), round(high * scale) + 1)]


def _normalised(relative: Sequence[float]) -> tuple[float, ...]:
    """Non-decreasing positive values as weights on the grid with sum 1."""
    total = sum(relative)
    # all but the last are rounded down, so that the last, which gets the remainder, is the largest
    steps = [int(value / total * GRID + SLACK) for value in relative[:-1]]
    return tuple(step / GRID for step in (*steps, GRID - sum(steps)))


def _to_grid(value: float) -> float:
    return round(value * GRID) / GRID
