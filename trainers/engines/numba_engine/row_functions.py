"""Losses as row functions for numba: from one positive score and the scores of its negatives to the loss and its gradients.

Fused engines know a loss only by its line in `row_losses.ROW_FUNCTIONS`. To add a loss, add a line there. If no kind of row
function fits, also add a function here with a branch in `row_loss`, and the same one in `triton_engine.row_functions`. Tests
compare the two.

A row function is called as `(settings, count, positive, scores, b, n, gradients)`. `scores[b, :n]` are the scores of those of
the row's `count` negatives that are not below the loss's cutoff. It writes dL/dscore to `gradients[b, :n]` and returns the
row's (loss, dL/dpositive). Conditions such as `not x <= 0` are true for NaN, which must reach the loss.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import math
from typing import Any

import numpy as np

from trainers.engines.numba_engine.intrinsics import inlined
from trainers.engines.row_losses import (
    ATAN,
    DISTANCES,
    DISTANCES_MARGIN,
    HINGES,
    HINGES_MARGINS,
    HINGES_N_MARGINS,
    HINGES_NEGATIVE_WEIGHT,
    HINGES_POSITIVE_WEIGHT,
    LOGISTIC,
    NEAREST_MARGIN,
    NEAREST_N_ITEMS,
    NEAREST_RANK_WEIGHT,
    PAIR_HINGE,
    PAIR_HINGE_FACTOR,
    PAIR_HINGE_MARGIN,
    PAIR_LOGISTIC,
    PAIR_SOFTMAX,
    PAIR_SOFTMAX_ACTIVATION,
    PAIR_SOFTMAX_TEMPERATURE,
    SOFTMAX,
    SOFTMAX_EXPONENT,
    SOFTMAX_MEAN,
    SOFTMAX_SCALE,
    SOFTMAX_TEMPERATURE,
    SOFTMAX_WITH_POSITIVE,
    SQUARES,
    TANH,
)
from trainers.losses.distances import SMALLEST
from trainers.losses.softmax import SMALLEST_BASE


@inlined
def row_loss(kind, settings, count, positive, scores, b, n, gradients):
    """Dispatch on the kind. The branch is the same for all rows, so one compiled kernel serves all losses."""
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
    """MML and CCL: a weighted hinge per margin."""
    n_margins = int(settings[HINGES_N_MARGINS])
    factor = settings[HINGES_NEGATIVE_WEIGHT] / np.float32(count)
    total: Any = 0.0
    for j in range(n):
        cost = np.float32(0.0)
        gradient = np.float32(0.0)
        for k in range(n_margins):
            excess = scores[b, j] - settings[HINGES_MARGINS + k]
            if not excess <= np.float32(0.0):
                cost += settings[HINGES_MARGINS + n_margins + k] * excess
                gradient += settings[HINGES_MARGINS + n_margins + k]
        gradients[b, j] = factor * gradient
        total += cost
    loss = total * factor
    shortfall = np.float32(1.0) - positive
    if shortfall <= np.float32(0.0):
        return loss, np.float32(0.0)
    return loss + settings[HINGES_POSITIVE_WEIGHT] * shortfall, -settings[HINGES_POSITIVE_WEIGHT]


@inlined
def _softmax(settings, count, positive, scores, b, n, gradients):
    """Softmax losses: scale * (exponent * log-sum-exp of scores / temperature - positive / temperature)."""
    inverse_temperature = np.float32(1.0) / settings[SOFTMAX_TEMPERATURE]
    with_positive = settings[SOFTMAX_WITH_POSITIVE] != np.float32(0.0)
    highest = positive if with_positive else np.float32(-np.inf)
    for j in range(n):
        highest = max(highest, scores[b, j])
    positive_part = np.exp((positive - highest) * inverse_temperature) if with_positive else np.float32(0.0)
    total = positive_part
    for j in range(n):
        gradients[b, j] = np.exp((scores[b, j] - highest) * inverse_temperature)
        total += gradients[b, j]
    for j in range(n):
        gradients[b, j] *= settings[SOFTMAX_SCALE] * (settings[SOFTMAX_EXPONENT] * inverse_temperature / total)
    log_sum = highest * inverse_temperature + np.log(total)
    if settings[SOFTMAX_MEAN] != np.float32(0.0):
        log_sum -= np.float32(np.log(count))
    gradient = settings[SOFTMAX_SCALE] * (
        inverse_temperature * (settings[SOFTMAX_EXPONENT] * positive_part / total - np.float32(1.0))
    )
    return float(settings[SOFTMAX_SCALE] * (settings[SOFTMAX_EXPONENT] * log_sum - positive * inverse_temperature)), gradient


@inlined
def _pair_softmax(settings, positive, scores, b, n, gradients):
    """PSL: log-sum-exp of log(1 + activation(d)) / temperature over the negatives, d = (s_uj - s_ui) / 2.

    The highest score has the highest summand. The gradient with respect to d is the summand's share of the sum, times the
    derivative of log(1 + activation(d)), over the temperature.
    """
    inverse_temperature = np.float32(1.0) / settings[PAIR_SOFTMAX_TEMPERATURE]
    highest = np.float32(-np.inf)
    for j in range(n):
        highest = max(highest, scores[b, j])
    log_highest, _ = _log_base(settings[PAIR_SOFTMAX_ACTIVATION], np.float32(0.5) * (highest - positive))
    total = np.float32(0.0)
    for j in range(n):
        log_base, derivative = _log_base(settings[PAIR_SOFTMAX_ACTIVATION], np.float32(0.5) * (scores[b, j] - positive))
        part = np.exp((log_base - log_highest) * inverse_temperature)
        total += part
        gradients[b, j] = part * derivative
    gradient_sum = np.float32(0.0)
    for j in range(n):
        gradients[b, j] *= np.float32(0.5) * inverse_temperature / total
        gradient_sum += gradients[b, j]
    return float(log_highest * inverse_temperature + np.log(total)), -gradient_sum


@inlined
def _log_base(activation, gap):
    """log(1 + activation(gap)) and its derivative. The base 1 + activation(gap) is at least SMALLEST_BASE."""
    if activation == np.float32(TANH):
        # log(1 + tanh(d)) = log 2 - log(1 + exp(-2 d)), finite for any d
        # 1 - tanh(d) = 2 / (1 + exp(2 d)), which has no cancellation for large d
        slope = np.float32(2.0) / (np.float32(1.0) + np.exp(np.float32(2.0) * gap))
        return np.float32(math.log(2.0)) - _softplus(np.float32(-2.0) * gap), slope
    base, derivative = np.float32(1.0) + gap, np.float32(1.0)
    if activation == np.float32(ATAN):
        base, derivative = np.float32(1.0) + np.arctan(gap), np.float32(1.0) / (np.float32(1.0) + gap * gap)
    if base < np.float32(SMALLEST_BASE):  # false for NaN
        return np.float32(math.log(SMALLEST_BASE)), np.float32(0.0)
    return np.log(base), derivative / base


@inlined
def _pair_hinge(settings, count, positive, scores, b, n, gradients):
    """Hinge and triplet: the mean of [margin + factor (s_uj - s_ui)]+."""
    loss: Any = 0.0
    n_active = np.float32(0.0)
    gradient = settings[PAIR_HINGE_FACTOR] / np.float32(count)
    for j in range(n):
        cost = settings[PAIR_HINGE_MARGIN] + settings[PAIR_HINGE_FACTOR] * (scores[b, j] - positive)
        gradients[b, j] = np.float32(0.0)
        if not cost <= np.float32(0.0):
            loss += cost
            gradients[b, j] = gradient
            n_active += np.float32(1.0)
    return loss / count, -gradient * n_active


@inlined
def _softplus(x):
    """log(1 + e^x) without overflow."""
    return max(x, np.float32(0.0)) + np.log1p(np.exp(-abs(x)))


@inlined
def _sigmoid(x):
    """1 / (1 + e^-x)."""
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
    """Contrastive: d_ui^2 and the mean of ([margin - d_uj]+)^2, d^2 = 2 - 2 s."""
    loss: Any = 0.0
    for j in range(n):
        square = np.float32(2.0) - np.float32(2.0) * scores[b, j]
        has_gradient = not square < np.float32(SMALLEST)  # the root of a smaller square has none
        distance = np.sqrt(square) if has_gradient else np.float32(math.sqrt(SMALLEST))
        gap = settings[DISTANCES_MARGIN] - distance
        gradients[b, j] = np.float32(0.0)
        if not gap <= np.float32(0.0):
            loss += gap * gap
            if has_gradient:
                gradients[b, j] = np.float32(2.0) * gap / (distance * np.float32(count))
    return loss / count + np.float32(2.0) * (np.float32(1.0) - positive), np.float32(-2.0)


@inlined
def _nearest(settings, count, positive, scores, b, n, gradients):
    """CML: the hinge of the nearest negative, possibly weighted by the positive's estimated rank."""
    nearest = 0
    violations = np.float32(0.0)
    limit = positive - np.float32(0.5) * settings[NEAREST_MARGIN]  # negatives with a higher score violate the margin
    for j in range(n):
        gradients[b, j] = np.float32(0.0)
        if not scores[b, j] <= limit:
            violations += np.float32(1.0)
        if not scores[b, j] <= scores[b, nearest]:
            nearest = j
    gap = settings[NEAREST_MARGIN] + np.float32(2.0) * (scores[b, nearest] - positive)
    if gap <= np.float32(0.0):
        return 0.0, np.float32(0.0)
    weight = np.float32(1.0)
    if settings[NEAREST_RANK_WEIGHT] != np.float32(0.0):
        weight = np.log1p(settings[NEAREST_N_ITEMS] * violations / np.float32(count))
    gradients[b, nearest] = np.float32(2.0) * weight
    return float(weight * gap), -gradients[b, nearest]
