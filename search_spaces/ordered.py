"""Ascending sequences as mathematics: maps between an unordered box of ratios and margins or monotone weights.

Every point of the box gives a valid sequence, so nothing is rejected or repaired. Values live on a decimal grid: that is
what makes `ratios(forward(ratios))` and `forward(ratios(sequence))` exact for every sequence the box can produce, and the
published ones exact in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

GRID = 10**10  # ten decimals
SLACK = 1e-3  # of a grid step: far above float rounding (1e-6 of a step), far below half a step


def margins_from_ratios(top: float, ratios: Sequence[float]) -> tuple[float, ...]:
    """Ascending margins with the highest equal to `top`; `ratios[k]` is margin k over margin k + 1."""
    margins = [_to_grid(top)]
    for ratio in reversed(ratios):
        margins.insert(0, _to_grid(margins[0] * ratio))
    return tuple(margins)


def weights_from_ratios(ratios: Sequence[float]) -> tuple[float, ...]:
    """Non-decreasing weights with sum 1; `ratios[k]` is weight k over weight k + 1."""
    relative = [1.0]
    for ratio in reversed(ratios):
        relative.insert(0, relative[0] * ratio)
    total = sum(relative)
    # all but the last are rounded down, so that the last, which takes the rest, stays the largest
    steps = [int(value / total * GRID + SLACK) for value in relative[:-1]]
    return tuple(step / GRID for step in (*steps, GRID - sum(steps)))


def ratios_of(values: Sequence[float]) -> tuple[float, ...]:
    """Each value over the next one; 0/0 counts as 1."""
    return tuple(low / high if high > 0.0 else 1.0 for low, high in pairwise(values))


def _to_grid(value: float) -> float:
    return round(value * GRID) / GRID
