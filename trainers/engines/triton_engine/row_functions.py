"""Losses as row functions for Triton: those of `numba_engine.row_functions`, with the same kinds, settings and formulas.

A row function takes `settings` (a pointer), `count` (float32), the positive's score, the negatives' scores (BLOCK,) and their
mask. It returns the row's loss, dL/dpositive, and dL/dscore (BLOCK,). Entries outside the mask are arbitrary.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import math

import triton
import triton.language as tl

from trainers.engines import row_losses
from trainers.losses import distances, softmax

HINGES = tl.constexpr(row_losses.HINGES)
HINGES_POSITIVE_WEIGHT = tl.constexpr(row_losses.HINGES_POSITIVE_WEIGHT)
HINGES_NEGATIVE_WEIGHT = tl.constexpr(row_losses.HINGES_NEGATIVE_WEIGHT)
HINGES_N_MARGINS = tl.constexpr(row_losses.HINGES_N_MARGINS)
HINGES_MARGINS = tl.constexpr(row_losses.HINGES_MARGINS)
SOFTMAX = tl.constexpr(row_losses.SOFTMAX)
SOFTMAX_TEMPERATURE = tl.constexpr(row_losses.SOFTMAX_TEMPERATURE)
SOFTMAX_EXPONENT = tl.constexpr(row_losses.SOFTMAX_EXPONENT)
SOFTMAX_MEAN = tl.constexpr(row_losses.SOFTMAX_MEAN)
SOFTMAX_WITH_POSITIVE = tl.constexpr(row_losses.SOFTMAX_WITH_POSITIVE)
SOFTMAX_SCALE = tl.constexpr(row_losses.SOFTMAX_SCALE)
PAIR_HINGE = tl.constexpr(row_losses.PAIR_HINGE)
PAIR_HINGE_MARGIN = tl.constexpr(row_losses.PAIR_HINGE_MARGIN)
PAIR_HINGE_FACTOR = tl.constexpr(row_losses.PAIR_HINGE_FACTOR)
PAIR_LOGISTIC = tl.constexpr(row_losses.PAIR_LOGISTIC)
SQUARES = tl.constexpr(row_losses.SQUARES)
LOGISTIC = tl.constexpr(row_losses.LOGISTIC)
DISTANCES = tl.constexpr(row_losses.DISTANCES)
DISTANCES_MARGIN = tl.constexpr(row_losses.DISTANCES_MARGIN)
NEAREST_MARGIN = tl.constexpr(row_losses.NEAREST_MARGIN)
NEAREST_RANK_WEIGHT = tl.constexpr(row_losses.NEAREST_RANK_WEIGHT)
NEAREST_N_ITEMS = tl.constexpr(row_losses.NEAREST_N_ITEMS)
PAIR_SOFTMAX = tl.constexpr(row_losses.PAIR_SOFTMAX)
PAIR_SOFTMAX_TEMPERATURE = tl.constexpr(row_losses.PAIR_SOFTMAX_TEMPERATURE)
PAIR_SOFTMAX_ACTIVATION = tl.constexpr(row_losses.PAIR_SOFTMAX_ACTIVATION)
TANH = tl.constexpr(row_losses.TANH)
RELU = tl.constexpr(row_losses.RELU)
SMALLEST_BASE = tl.constexpr(softmax.SMALLEST_BASE)
LOG_TWO = tl.constexpr(math.log(2.0))
SMALLEST = tl.constexpr(distances.SMALLEST)
SMALLEST_DISTANCE = tl.constexpr(math.sqrt(distances.SMALLEST))


@triton.jit
def row_loss(KIND: tl.constexpr, settings, count, positive, scores, mask):
    """Dispatch on the kind at compile time; gradients outside the mask are 0."""
    if KIND == HINGES:
        loss, gradient, gradients = _hinges(settings, count, positive, scores, mask)
    elif KIND == SOFTMAX:
        loss, gradient, gradients = _softmax(settings, count, positive, scores, mask)
    elif KIND == PAIR_HINGE:
        loss, gradient, gradients = _pair_hinge(settings, count, positive, scores, mask)
    elif KIND == PAIR_LOGISTIC:
        loss, gradient, gradients = _pair_logistic(count, positive, scores, mask)
    elif KIND == SQUARES:
        loss, gradient, gradients = _squares(positive, scores, mask)
    elif KIND == LOGISTIC:
        loss, gradient, gradients = _logistic(positive, scores, mask)
    elif KIND == DISTANCES:
        loss, gradient, gradients = _distances(settings, count, positive, scores, mask)
    elif KIND == PAIR_SOFTMAX:
        loss, gradient, gradients = _pair_softmax(settings, positive, scores, mask)
    else:
        loss, gradient, gradients = _nearest(settings, count, positive, scores, mask)
    return loss, gradient, tl.where(mask, gradients, 0.0)


@triton.jit
def _above(value):
    """Whether a value is positive or NaN: NaN must reach the loss."""
    return (value > 0.0) | (value != value)


@triton.jit
def _sum(values, mask):
    """The sum of the values in the mask."""
    return tl.sum(tl.where(mask, values, 0.0), 0)


@triton.jit
def _softplus(x):
    """log(1 + e^x) without overflow."""
    return tl.maximum(x, 0.0) + tl.log(1.0 + tl.exp(-tl.abs(x)))


@triton.jit
def _sigmoid(x):
    """1 / (1 + e^-x)."""
    return 1.0 / (1.0 + tl.exp(-x))


@triton.jit
def _hinges(settings, count, positive, scores, mask):
    """MML and CCL: a weighted hinge per margin."""
    n_margins = tl.load(settings + HINGES_N_MARGINS).to(tl.int32)
    costs = tl.zeros_like(scores)
    gradients = tl.zeros_like(scores)
    for k in range(n_margins):
        excess = scores - tl.load(settings + HINGES_MARGINS + k)
        weight = tl.load(settings + HINGES_MARGINS + n_margins + k)
        costs += tl.where(_above(excess), weight * excess, 0.0)
        gradients += tl.where(_above(excess), weight, 0.0)
    factor = tl.load(settings + HINGES_NEGATIVE_WEIGHT) / count
    shortfall = 1.0 - positive
    positive_weight = tl.load(settings + HINGES_POSITIVE_WEIGHT)
    loss = _sum(costs, mask) * factor + tl.where(_above(shortfall), positive_weight * shortfall, 0.0)
    return loss, tl.where(_above(shortfall), -positive_weight, 0.0), factor * gradients


@triton.jit
def _softmax(settings, count, positive, scores, mask):
    """Softmax losses: scale * (exponent * log-sum-exp of scores / temperature - positive / temperature)."""
    inverse_temperature = 1.0 / tl.load(settings + SOFTMAX_TEMPERATURE)
    exponent = tl.load(settings + SOFTMAX_EXPONENT)
    with_positive = tl.load(settings + SOFTMAX_WITH_POSITIVE) != 0.0
    highest = tl.max(tl.where(mask, scores, -float("inf")), 0)
    highest = tl.where(with_positive, tl.maximum(highest, positive), highest)
    positive_part = tl.where(with_positive, tl.exp((positive - highest) * inverse_temperature), 0.0)
    parts = tl.exp((scores - highest) * inverse_temperature)
    total = _sum(parts, mask) + positive_part
    log_sum = highest * inverse_temperature + tl.log(total)
    log_sum -= tl.where(tl.load(settings + SOFTMAX_MEAN) != 0.0, tl.log(count), 0.0)
    scale = tl.load(settings + SOFTMAX_SCALE)
    gradients = parts * (scale * (exponent * inverse_temperature / total))
    gradient = scale * (inverse_temperature * (exponent * positive_part / total - 1.0))
    return scale * (exponent * log_sum - positive * inverse_temperature), gradient, gradients


@triton.jit
def _tanh(x):
    """tanh from exp(-2 |x|), which does not overflow."""
    part = tl.exp(-2.0 * tl.abs(x))
    return tl.where(x < 0.0, -1.0, 1.0) * (1.0 - part) / (1.0 + part)


@triton.jit
def _pair_softmax(settings, positive, scores, mask):
    """PSL: log-sum-exp of log(1 + activation(d)) / temperature over the negatives, d = (s_uj - s_ui) / 2."""
    inverse_temperature = 1.0 / tl.load(settings + PAIR_SOFTMAX_TEMPERATURE)
    activation = tl.load(settings + PAIR_SOFTMAX_ACTIVATION)
    gaps = 0.5 * (scores - positive)
    tanh = _tanh(gaps)
    atan = _atan(gaps)
    base = tl.where(activation == TANH, 1.0 + tanh, tl.where(activation == RELU, 1.0 + gaps, 1.0 + atan))
    base_derivatives = tl.where(activation == RELU, 1.0, 1.0 / (1.0 + gaps * gaps))
    is_low = base < SMALLEST_BASE  # false for NaN
    base = tl.where(is_low, SMALLEST_BASE, base)
    derivatives = tl.where(activation == TANH, 1.0 - tanh, tl.where(is_low, 0.0, base_derivatives / base))
    # log(1 + tanh(d)) = log 2 - log(1 + exp(-2 d)), finite for any d
    log_base = tl.where(activation == TANH, LOG_TWO - _softplus(-2.0 * gaps), tl.log(base))
    highest = tl.max(tl.where(mask, log_base, -float("inf")), 0)
    parts = tl.exp((log_base - highest) * inverse_temperature)
    total = _sum(parts, mask)
    gradients = parts * derivatives * (0.5 * inverse_temperature / total)
    return highest * inverse_temperature + tl.log(total), -_sum(gradients, mask), gradients


@triton.jit
def _atan(x):
    """atan for |x| < 1.2, exact to 1e-8: 4 atan(y) by its series up to y^15, y = x after the half-angle formula twice."""
    once = x / (1.0 + tl.sqrt(1.0 + x * x))
    y = once / (1.0 + tl.sqrt(1.0 + once * once))
    z = y * y
    series = 1.0 / 13.0 - z / 15.0
    series = 1.0 / 11.0 - z * series
    series = 1.0 / 9.0 - z * series
    series = 1.0 / 7.0 - z * series
    series = 1.0 / 5.0 - z * series
    series = 1.0 / 3.0 - z * series
    return 4.0 * y * (1.0 - z * series)


@triton.jit
def _pair_hinge(settings, count, positive, scores, mask):
    """Hinge and triplet: the mean of [margin + factor (s_uj - s_ui)]+."""
    factor = tl.load(settings + PAIR_HINGE_FACTOR)
    costs = tl.load(settings + PAIR_HINGE_MARGIN) + factor * (scores - positive)
    active = _above(costs)
    gradients = tl.where(active, factor / count, 0.0)
    return _sum(tl.where(active, costs, 0.0), mask) / count, -_sum(gradients, mask), gradients


@triton.jit
def _pair_logistic(count, positive, scores, mask):
    """BPR: the mean of log(1 + exp(s_uj - s_ui))."""
    gradients = _sigmoid(scores - positive) / count
    return _sum(_softplus(scores - positive), mask) / count, -_sum(gradients, mask), gradients


@triton.jit
def _squares(positive, scores, mask):
    """MSE: (s_ui - 1)^2 / 2 and the sum of s_uj^2 / 2."""
    gap = positive - 1.0
    return 0.5 * (gap * gap + _sum(scores * scores, mask)), gap, scores


@triton.jit
def _logistic(positive, scores, mask):
    """BCE: log(1 + exp(-s_ui)) and the sum of log(1 + exp(s_uj))."""
    return _softplus(-positive) + _sum(_softplus(scores), mask), -_sigmoid(-positive), _sigmoid(scores)


@triton.jit
def _distances(settings, count, positive, scores, mask):
    """Contrastive: d_ui^2 and the mean of ([margin - d_uj]+)^2, d^2 = 2 - 2 s."""
    square = 2.0 - 2.0 * scores
    has_gradient = (square >= SMALLEST) | (square != square)  # the root of a smaller square has none
    distance = tl.where(has_gradient, tl.sqrt(tl.where(has_gradient, square, SMALLEST)), SMALLEST_DISTANCE)
    gap = tl.load(settings + DISTANCES_MARGIN) - distance
    gradients = tl.where(_above(gap) & has_gradient, 2.0 * gap / (distance * count), 0.0)
    loss = _sum(tl.where(_above(gap), gap * gap, 0.0), mask) / count + 2.0 * (1.0 - positive)
    return loss, positive * 0.0 - 2.0, gradients


@triton.jit
def _nearest(settings, count, positive, scores, mask):
    """CML: the hinge of the nearest negative, possibly weighted by the positive's estimated rank."""
    margin = tl.load(settings + NEAREST_MARGIN)
    violations = _sum(tl.where(_above(scores - (positive - 0.5 * margin)), 1.0, 0.0), mask)
    drawn = tl.where(mask, scores, -float("inf"))
    # a maximum may ignore NaN, a sum does not
    gap = margin + 2.0 * (tl.max(drawn, 0) - positive) + 0.0 * _sum(scores, mask)
    rank = tl.load(settings + NEAREST_N_ITEMS) * violations / count
    weight = tl.where(tl.load(settings + NEAREST_RANK_WEIGHT) != 0.0, tl.log(1.0 + rank), 1.0)
    gradient = tl.where(_above(gap), 2.0 * weight, 0.0)
    nearest = tl.arange(0, scores.shape[0]) == tl.argmax(drawn, 0)
    return tl.where(_above(gap), weight * gap, 0.0), -gradient, tl.where(nearest, gradient, 0.0)
