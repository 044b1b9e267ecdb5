"""Losses as row functions for numba: one positive score and the scores of its negatives in, the loss and its gradients out.

A loss is known to fused engines through its line in `row_losses.ROWS` alone. To add one: a line there, and where no kind of row
function fits, a function here with a branch in `row_loss`, and its twin in `triton_engine.row_functions`. Tests compare them.

A row function is called as `(settings, count, positive, scores, b, n, gradients)`: `scores[b, :n]` are those of the row's
`count` negatives that do not lie below the loss's cutoff. It writes d loss / d score to `gradients[b, :n]` and returns
(loss, d loss / d positive) of the row.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import math
from typing import Any

import numpy as np

from trainers.engines.numba_engine.intrinsics import inlined
from trainers.engines.row_losses import (
    DISTANCES,
    HINGES,
    LOGISTIC,
    PAIR_HINGE,
    PAIR_LOGISTIC,
    PAIR_SOFTMAX,
    SOFTMAX,
    SQUARES,
)
from trainers.losses.distances import SMALLEST
from trainers.losses.softmax import SMALLEST_BASE


@inlined
def row_loss(kind, settings, count, positive, scores, b, n, gradients):
    """Dispatch on the kind: one predictable branch per row, so that all losses share one compiled kernel."""
    if kind == HINGES:
        return _hinges(settings, count, positive, scores, b, n, gradients)
    if kind == SOFTMAX:
        return _softmax(settings, count, positive, scores, b, n, gradients)
    if kind == PAIR_HINGE:
        return _pair_hinge(settings, count, positive, scores, b, n, gradients)
    if kind == PAIR_LOGISTIC:
        return _pair_logistic(count, positive, scores, b, n, gradients)
    if kind == SQUARES:
        return _squares(positive, scores, b, n, gradients)
    if kind == LOGISTIC:
        return _logistic(positive, scores, b, n, gradients)
    if kind == DISTANCES:
        return _distances(settings, count, positive, scores, b, n, gradients)
    if kind == PAIR_SOFTMAX:
        return _pair_softmax(settings, positive, scores, b, n, gradients)
    return _nearest(settings, count, positive, scores, b, n, gradients)


@inlined
def _hinges(settings, count, positive, scores, b, n, gradients):
    """MML and CCL: a weighted hinge per margin; settings = positive weight, negative weight, K, margins, weights."""
    n_margins = int(settings[2])
    share = settings[1] / np.float32(count)
    total: Any = 0.0
    for j in range(n):
        height = np.float32(0.0)
        gradient = np.float32(0.0)
        for k in range(n_margins):
            above = scores[b, j] - settings[3 + k]
            if not above <= np.float32(0.0):  # true for NaN, which must reach the loss
                height += settings[3 + n_margins + k] * above
                gradient += settings[3 + n_margins + k]
        gradients[b, j] = share * gradient
        total += height
    loss = total * share
    gap = np.float32(1.0) - positive
    if gap <= np.float32(0.0):
        return loss, np.float32(0.0)
    return loss + settings[0] * gap, -settings[0]


@inlined
def _softmax(settings, count, positive, scores, b, n, gradients):
    """Log-sum-exp over the negatives; settings = temperature, exponent, 1 for the mean in place of the sum, 1 for the positive
    among the negatives, a factor."""
    sharpness = np.float32(1.0) / settings[0]
    own = settings[3] != np.float32(0.0)
    highest = positive if own else np.float32(-np.inf)
    for j in range(n):
        highest = max(highest, scores[b, j])
    share = np.exp((positive - highest) * sharpness) if own else np.float32(0.0)
    total = share
    for j in range(n):
        gradients[b, j] = np.exp((scores[b, j] - highest) * sharpness)
        total += gradients[b, j]
    for j in range(n):
        gradients[b, j] *= settings[4] * (settings[1] * sharpness / total)
    log_sum = highest * sharpness + np.log(total)
    if settings[2] != np.float32(0.0):
        log_sum -= np.float32(np.log(count))
    gradient = settings[4] * (sharpness * (settings[1] * share / total - np.float32(1.0)))
    return float(settings[4] * (settings[1] * log_sum - positive * sharpness)), gradient


@inlined
def _pair_softmax(settings, positive, scores, b, n, gradients):
    """PSL: log-sum-exp of log(1 + activation(d)) / t, d = (s_uj - s_ui) / 2; settings = temperature, number of the activation.

    The highest score has the highest summand. The gradient by d is a summand's share times the derivative of
    log(1 + activation(d)), over t.
    """
    sharpness = np.float32(1.0) / settings[0]
    highest = np.float32(-np.inf)
    for j in range(n):
        highest = max(highest, scores[b, j])
    log_highest, _ = _log_base(settings[1], np.float32(0.5) * (highest - positive))
    total = np.float32(0.0)
    for j in range(n):
        log_base, steepness = _log_base(settings[1], np.float32(0.5) * (scores[b, j] - positive))
        part = np.exp((log_base - log_highest) * sharpness)
        total += part
        gradients[b, j] = part * steepness
    pull = np.float32(0.0)
    for j in range(n):
        gradients[b, j] *= np.float32(0.5) * sharpness / total
        pull += gradients[b, j]
    return float(log_highest * sharpness + np.log(total)), -pull


@inlined
def _log_base(activation, gap):
    """log(1 + activation(gap)) and its derivative; tanh, relu, atan are 0, 1, 2."""
    if activation == np.float32(0.0):
        # log(1 + tanh(d)) = log 2 - log(1 + exp(-2 d)), finite for any d
        return np.float32(math.log(2.0)) - _softplus(np.float32(-2.0) * gap), np.float32(1.0) - np.tanh(gap)
    base, slope = np.float32(1.0) + gap, np.float32(1.0)
    if activation == np.float32(2.0):
        base, slope = np.float32(1.0) + np.arctan(gap), np.float32(1.0) / (np.float32(1.0) + gap * gap)
    if base < np.float32(SMALLEST_BASE):  # false for NaN, which must reach the loss
        return np.float32(math.log(SMALLEST_BASE)), np.float32(0.0)
    return np.log(base), slope / base


@inlined
def _pair_hinge(settings, count, positive, scores, b, n, gradients):
    """Hinge and triplet: the mean of [margin + factor (s_uj - s_ui)]+; settings = margin, factor."""
    loss: Any = 0.0
    active = np.float32(0.0)
    gradient = settings[1] / np.float32(count)
    for j in range(n):
        height = settings[0] + settings[1] * (scores[b, j] - positive)
        gradients[b, j] = np.float32(0.0)
        if not height <= np.float32(0.0):  # true for NaN
            loss += height
            gradients[b, j] = gradient
            active += np.float32(1.0)
    return loss / count, -gradient * active


@inlined
def _softplus(x):
    """log(1 + e^x) without overflow."""
    return max(x, np.float32(0.0)) + np.log1p(np.exp(-abs(x)))


@inlined
def _sigmoid(x):
    return np.float32(1.0) / (np.float32(1.0) + np.exp(-x))


@inlined
def _pair_logistic(count, positive, scores, b, n, gradients):
    """BPR: the mean of log(1 + exp(s_uj - s_ui))."""
    loss: Any = 0.0
    total = np.float32(0.0)
    for j in range(n):
        loss += _softplus(scores[b, j] - positive)
        gradients[b, j] = _sigmoid(scores[b, j] - positive) / np.float32(count)
        total += gradients[b, j]
    return loss / count, -total


@inlined
def _squares(positive, scores, b, n, gradients):
    """MSE: (s_ui - 1)^2 / 2 and the sum of s_uj^2 / 2."""
    gap = positive - np.float32(1.0)
    loss: Any = float(gap * gap)
    for j in range(n):
        loss += scores[b, j] * scores[b, j]
        gradients[b, j] = scores[b, j]
    return 0.5 * loss, gap


@inlined
def _logistic(positive, scores, b, n, gradients):
    """BCE: log(1 + exp(-s_ui)) and the sum of log(1 + exp(s_uj))."""
    loss: Any = float(_softplus(-positive))
    for j in range(n):
        loss += _softplus(scores[b, j])
        gradients[b, j] = _sigmoid(scores[b, j])
    return loss, -_sigmoid(-positive)


@inlined
def _distances(settings, count, positive, scores, b, n, gradients):
    """Contrastive: d_ui^2 and the mean of ([margin - d_uj]+)^2, d^2 = 2 - 2 s; settings = margin."""
    loss: Any = 0.0
    for j in range(n):
        square = np.float32(2.0) - np.float32(2.0) * scores[b, j]
        far = not square < np.float32(SMALLEST)  # true for NaN; nearer, a distance has no gradient
        distance = np.sqrt(square) if far else np.float32(math.sqrt(SMALLEST))
        gap = settings[0] - distance
        gradients[b, j] = np.float32(0.0)
        if not gap <= np.float32(0.0):
            loss += gap * gap
            if far:
                gradients[b, j] = np.float32(2.0) * gap / (distance * np.float32(count))
    return loss / count + np.float32(2.0) * (np.float32(1.0) - positive), np.float32(-2.0)


@inlined
def _nearest(settings, count, positive, scores, b, n, gradients):
    """CML: the hinge of the nearest negative, weighted by the positive's estimated rank; settings = margin, 1 for the weight,
    number of items."""
    best = 0
    violations = np.float32(0.0)
    reach = positive - np.float32(0.5) * settings[0]  # a negative with a higher score violates the margin
    for j in range(n):
        gradients[b, j] = np.float32(0.0)
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
    gradients[b, best] = np.float32(2.0) * weight
    return float(weight * gap), -gradients[b, best]
