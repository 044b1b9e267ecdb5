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
from trainers.losses import BCE, BPR, BSL, CCL, CML, MML, MSE, SL, SSM, Contrastive, Hinge, InfoNCE, Loss, SoftmaxCE, Triplet
from trainers.losses.distances import SMALLEST

HINGES, SOFTMAX, PAIR_HINGE, PAIR_LOGISTIC, SQUARES, LOGISTIC, DISTANCES, NEAREST = range(8)

ALL = -math.inf  # the cutoff of a loss in which every negative has a slope


class RowLoss(NamedTuple):
    """A loss as the kernel takes it.

    Attributes:
        kind: which row function.
        settings: its parameters, then the number of items, float32.
        cutoff: negatives that score below have no slope and add nothing to the loss.
        summed: the batch's loss is the sum of its rows' losses, not their mean.
    """

    kind: int
    settings: NDArray[np.float32]
    cutoff: float
    summed: bool


@dataclass(frozen=True)
class RowFunction:
    """Line of the table `ROWS`: the kind, settings and cutoff that a loss gives, and what to log about it, if anything."""

    kind: int
    settings: Callable[[Any], list[float]]
    cutoff: Callable[[Any], float] = lambda loss: ALL
    why_not: Callable[[Any], str] = lambda loss: ""


def _mml_settings(loss: MML) -> list[float]:
    return [loss.positive_weight, loss.negative_weight, len(loss.margins), *loss.margins, *loss.weights]


def _ccl_settings(loss: CCL) -> list[float]:
    return [1.0, loss.negative_weight, 1, loss.margin, 1.0]


def _softmax_settings(temperature: float, exponent: float = 1.0, mean: bool = False, own: bool = False) -> list[float]:
    return [temperature, exponent, float(mean), float(own)]


def _bsl_settings(loss: BSL) -> list[float]:
    return _softmax_settings(loss.temperature, loss.exponent, mean=loss.mode != "reweight")


def _with_own_positive(loss: InfoNCE | SSM) -> list[float]:
    return _softmax_settings(loss.temperature, own=True)


def _bsl_why_not(loss: BSL) -> str:
    return "bsl mode multi pools positives over the rows of a user, a row function sees one row" if loss.mode == "multi" else ""


def _cml_why_not(loss: CML) -> str:
    return "cml's covariance term needs all vectors, a row function sees one row" if loss.covariance_weight else ""


ROWS: dict[type[Loss], RowFunction] = {
    MML: RowFunction(HINGES, _mml_settings, lambda loss: loss.margins[0]),
    CCL: RowFunction(HINGES, _ccl_settings, lambda loss: loss.margin),
    BSL: RowFunction(SOFTMAX, _bsl_settings, why_not=_bsl_why_not),
    SL: RowFunction(SOFTMAX, lambda loss: _softmax_settings(loss.temperature)),
    InfoNCE: RowFunction(SOFTMAX, _with_own_positive),
    SSM: RowFunction(SOFTMAX, _with_own_positive),
    SoftmaxCE: RowFunction(SOFTMAX, lambda loss: _softmax_settings(1.0, own=True)),
    BPR: RowFunction(PAIR_LOGISTIC, lambda loss: []),
    Hinge: RowFunction(PAIR_HINGE, lambda loss: [loss.margin, 1.0]),
    Triplet: RowFunction(PAIR_HINGE, lambda loss: [loss.margin, 2.0]),  # squared distances differ by twice what cosines do
    MSE: RowFunction(SQUARES, lambda loss: []),
    BCE: RowFunction(LOGISTIC, lambda loss: []),
    Contrastive: RowFunction(DISTANCES, lambda loss: [loss.margin], lambda loss: 1.0 - 0.5 * loss.margin**2),
    CML: RowFunction(NEAREST, lambda loss: [loss.margin, float(loss.rank_weight)], why_not=_cml_why_not),
}


def row_loss_of(loss: Loss, n_items: int) -> RowLoss:
    """The kernel's description of a loss that is in `ROWS`."""
    row = ROWS[type(loss)]
    return RowLoss(row.kind, np.array([*row.settings(loss), n_items], np.float32), row.cutoff(loss), loss.summed)


@inlined
def row_loss(kind, settings, count, positive, scores, b, n, slopes):
    """Dispatch on the kind: one predictable branch per row, so that all losses share one compiled kernel."""
    if kind == HINGES:
        return _hinges(settings, count, positive, scores, b, n, slopes)
    if kind == SOFTMAX:
        return _softmax(settings, count, positive, scores, b, n, slopes)
    if kind == PAIR_HINGE:
        return _pair_hinge(settings, count, positive, scores, b, n, slopes)
    if kind == PAIR_LOGISTIC:
        return _pair_logistic(count, positive, scores, b, n, slopes)
    if kind == SQUARES:
        return _squares(positive, scores, b, n, slopes)
    if kind == LOGISTIC:
        return _logistic(positive, scores, b, n, slopes)
    if kind == DISTANCES:
        return _distances(settings, count, positive, scores, b, n, slopes)
    return _nearest(settings, count, positive, scores, b, n, slopes)


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
    """Log-sum-exp over the negatives; settings = temperature, exponent, 1 for the mean in place of the sum, 1 for the positive
    among the negatives."""
    sharpness = np.float32(1.0) / settings[0]
    own = settings[3] != np.float32(0.0)
    highest = positive if own else np.float32(-np.inf)
    for j in range(n):
        highest = max(highest, scores[b, j])
    share = np.exp((positive - highest) * sharpness) if own else np.float32(0.0)
    total = share
    for j in range(n):
        slopes[b, j] = np.exp((scores[b, j] - highest) * sharpness)
        total += slopes[b, j]
    for j in range(n):
        slopes[b, j] *= settings[1] * sharpness / total
    log_sum = highest * sharpness + np.log(total)
    if settings[2] != np.float32(0.0):
        log_sum -= np.float32(np.log(count))
    return float(settings[1] * log_sum - positive * sharpness), sharpness * (settings[1] * share / total - np.float32(1.0))


@inlined
def _pair_hinge(settings, count, positive, scores, b, n, slopes):
    """Hinge and triplet: the mean of [margin + factor (s_uj - s_ui)]+; settings = margin, factor."""
    loss: Any = 0.0
    active = np.float32(0.0)
    slope = settings[1] / np.float32(count)
    for j in range(n):
        height = settings[0] + settings[1] * (scores[b, j] - positive)
        slopes[b, j] = np.float32(0.0)
        if not height <= np.float32(0.0):  # true for NaN
            loss += height
            slopes[b, j] = slope
            active += np.float32(1.0)
    return loss / count, -slope * active


@inlined
def _softplus(x):
    """log(1 + e^x) without overflow."""
    return max(x, np.float32(0.0)) + np.log1p(np.exp(-abs(x)))


@inlined
def _sigmoid(x):
    return np.float32(1.0) / (np.float32(1.0) + np.exp(-x))


@inlined
def _pair_logistic(count, positive, scores, b, n, slopes):
    """BPR: the mean of log(1 + exp(s_uj - s_ui))."""
    loss: Any = 0.0
    total = np.float32(0.0)
    for j in range(n):
        loss += _softplus(scores[b, j] - positive)
        slopes[b, j] = _sigmoid(scores[b, j] - positive) / np.float32(count)
        total += slopes[b, j]
    return loss / count, -total


@inlined
def _squares(positive, scores, b, n, slopes):
    """MSE: (s_ui - 1)^2 / 2 and the sum of s_uj^2 / 2."""
    gap = positive - np.float32(1.0)
    loss: Any = float(gap * gap)
    for j in range(n):
        loss += scores[b, j] * scores[b, j]
        slopes[b, j] = scores[b, j]
    return 0.5 * loss, gap


@inlined
def _logistic(positive, scores, b, n, slopes):
    """BCE: log(1 + exp(-s_ui)) and the sum of log(1 + exp(s_uj))."""
    loss: Any = float(_softplus(-positive))
    for j in range(n):
        loss += _softplus(scores[b, j])
        slopes[b, j] = _sigmoid(scores[b, j])
    return loss, -_sigmoid(-positive)


@inlined
def _distances(settings, count, positive, scores, b, n, slopes):
    """Contrastive: d_ui^2 and the mean of ([margin - d_uj]+)^2, d^2 = 2 - 2 s; settings = margin."""
    loss: Any = 0.0
    for j in range(n):
        square = np.float32(2.0) - np.float32(2.0) * scores[b, j]
        far = not square < np.float32(SMALLEST)  # true for NaN; nearer, a distance has no slope
        distance = np.sqrt(square) if far else np.float32(math.sqrt(SMALLEST))
        gap = settings[0] - distance
        slopes[b, j] = np.float32(0.0)
        if not gap <= np.float32(0.0):
            loss += gap * gap
            if far:
                slopes[b, j] = np.float32(2.0) * gap / (distance * np.float32(count))
    return loss / count + np.float32(2.0) * (np.float32(1.0) - positive), np.float32(-2.0)


@inlined
def _nearest(settings, count, positive, scores, b, n, slopes):
    """CML: the hinge of the nearest negative, weighted by the positive's estimated rank; settings = margin, 1 for the weight,
    number of items."""
    best = 0
    violations = np.float32(0.0)
    reach = positive - np.float32(0.5) * settings[0]  # a negative with a higher score violates the margin
    for j in range(n):
        slopes[b, j] = np.float32(0.0)
        if not scores[b, j] <= reach:  # true for NaN
            violations += np.float32(1.0)
        if not scores[b, j] <= scores[b, best]:
            best = j
    gap = settings[0] + np.float32(2.0) * (scores[b, best] - positive)
    if gap <= np.float32(0.0):
        return 0.0, np.float32(0.0)
    weight = np.float32(1.0)
    if settings[1] != np.float32(0.0):
        weight = np.log1p(settings[2] * violations / np.float32(count))
    slopes[b, best] = np.float32(2.0) * weight
    return float(weight * gap), -slopes[b, best]
