"""Losses as row functions: one positive score and the scores of its negatives in, the loss and its slopes out.

A loss is known to this engine through its entry in `ROWS` alone. To add one: a function here, a branch in `row_loss`, a line
in `ROWS`. The torch form in `trainers.losses` is the definition; tests compare value and slopes with it.

A row function is called as `(settings, count, positive, scores, b, n, slopes)`: `scores[b, :n]` are those of the row's `count`
negatives that do not lie below the loss's cutoff. It writes d loss / d score to `slopes[b, :n]` and returns
(loss, d loss / d positive) of the row.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trainers.engines.cpu.low import inlined
from trainers.losses import BSL, CCL, MML, Loss

HINGES, SOFTMAX = 0, 1

ALL = -math.inf  # the cutoff of a loss in which every negative has a slope


class RowLoss(NamedTuple):
    """A loss as the kernel takes it.

    Attributes:
        kind: which row function.
        settings: its parameters, float32.
        cutoff: negatives that score below have no slope and add nothing to the loss.
    """

    kind: int
    settings: NDArray[np.float32]
    cutoff: float


@dataclass(frozen=True)
class RowFunction:
    """Line of the table `ROWS`: the kind, settings and cutoff that a loss gives, and what to log about it, if anything."""

    kind: int
    settings: Callable[[Any], list[float]]
    cutoff: Callable[[Any], float]
    why_not: Callable[[Any], str] = lambda loss: ""


def _mml_settings(loss: MML) -> list[float]:
    return [loss.positive_weight, loss.negative_weight, len(loss.margins), *loss.margins, *loss.weights]


def _ccl_settings(loss: CCL) -> list[float]:
    return [1.0, loss.negative_weight, 1, loss.margin, 1.0]


def _bsl_settings(loss: BSL) -> list[float]:
    return [loss.temperature, loss.exponent, 0.0 if loss.mode == "reweight" else 1.0]


def _bsl_why_not(loss: BSL) -> str:
    return "bsl mode multi pools positives over the rows of a user, a row function sees one row" if loss.mode == "multi" else ""


ROWS: dict[type[Loss], RowFunction] = {
    MML: RowFunction(HINGES, _mml_settings, lambda loss: loss.margins[0]),
    CCL: RowFunction(HINGES, _ccl_settings, lambda loss: loss.margin),
    BSL: RowFunction(SOFTMAX, _bsl_settings, lambda loss: ALL, _bsl_why_not),
}


def row_loss_of(loss: Loss) -> RowLoss:
    """The kernel's description of a loss that is in `ROWS`."""
    row = ROWS[type(loss)]
    return RowLoss(row.kind, np.array(row.settings(loss), np.float32), row.cutoff(loss))


@inlined
def row_loss(kind, settings, count, positive, scores, b, n, slopes):
    """Dispatch on the kind: one predictable branch per row, so that all losses share one compiled kernel."""
    if kind == HINGES:
        return _hinges(settings, count, positive, scores, b, n, slopes)
    return _softmax(settings, count, positive, scores, b, n, slopes)


@inlined
def _hinges(settings, count, positive, scores, b, n, slopes):
    """MML and CCL: a weighted hinge per margin; settings = positive weight, negative weight, K, margins, weights."""
    n_margins = int(settings[2])
    share = settings[1] / np.float32(count)
    total: Any = 0.0
    for j in range(n):
        height = np.float32(0.0)
        slope = np.float32(0.0)
        for k in range(n_margins):
            above = scores[b, j] - settings[3 + k]
            if not above <= np.float32(0.0):  # true for NaN, which must reach the loss
                height += settings[3 + n_margins + k] * above
                slope += settings[3 + n_margins + k]
        slopes[b, j] = share * slope
        total += height
    loss = total * share
    gap = np.float32(1.0) - positive
    if gap <= np.float32(0.0):
        return loss, np.float32(0.0)
    return loss + settings[0] * gap, -settings[0]


@inlined
def _softmax(settings, count, positive, scores, b, n, slopes):
    """BSL: log-sum-exp over the negatives; settings = temperature, exponent, 1 for the mean in place of the sum."""
    sharpness = np.float32(1.0) / settings[0]
    highest = np.float32(-np.inf)
    for j in range(n):
        highest = max(highest, scores[b, j])
    total = np.float32(0.0)
    for j in range(n):
        slopes[b, j] = np.exp((scores[b, j] - highest) * sharpness)
        total += slopes[b, j]
    for j in range(n):
        slopes[b, j] *= settings[1] * sharpness / total
    log_sum = highest * sharpness + np.log(total)
    if settings[2] != np.float32(0.0):
        log_sum -= np.float32(np.log(count))
    return float(settings[1] * log_sum - positive * sharpness), -sharpness
