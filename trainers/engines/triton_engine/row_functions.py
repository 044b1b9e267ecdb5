"""Losses as row functions for Triton, twins of those in `numba_engine.row_functions`: the same kinds, settings, formulas.

A row function takes `settings` (a pointer), `count` (float32), the positive's score, the negatives' scores (BLOCK,), and which
of them are there; it returns the row's loss, d loss / d positive, and d loss / d score (BLOCK,) of those that are.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import math

import triton
import triton.language as tl

from trainers.engines import row_losses
from trainers.losses import distances, softmax

HINGES = tl.constexpr(row_losses.HINGES)
SOFTMAX = tl.constexpr(row_losses.SOFTMAX)
PAIR_HINGE = tl.constexpr(row_losses.PAIR_HINGE)
PAIR_LOGISTIC = tl.constexpr(row_losses.PAIR_LOGISTIC)
SQUARES = tl.constexpr(row_losses.SQUARES)
LOGISTIC = tl.constexpr(row_losses.LOGISTIC)
DISTANCES = tl.constexpr(row_losses.DISTANCES)
PAIR_SOFTMAX = tl.constexpr(row_losses.PAIR_SOFTMAX)
SMALLEST_BASE = tl.constexpr(softmax.SMALLEST_BASE)
LOG_TWO = tl.constexpr(math.log(2.0))
SMALLEST = tl.constexpr(distances.SMALLEST)
SHORTEST = tl.constexpr(math.sqrt(distances.SMALLEST))


@triton.jit
def row_loss(KIND: tl.constexpr, settings, count, positive, scores, there):
    """Dispatch on the kind, when the kernel is compiled."""
    if KIND == HINGES:
        loss, gradient, gradients = _hinges(settings, count, positive, scores, there)
    elif KIND == SOFTMAX:
        loss, gradient, gradients = _softmax(settings, count, positive, scores, there)
    elif KIND == PAIR_HINGE:
        loss, gradient, gradients = _pair_hinge(settings, count, positive, scores, there)
    elif KIND == PAIR_LOGISTIC:
        loss, gradient, gradients = _pair_logistic(count, positive, scores, there)
    elif KIND == SQUARES:
        loss, gradient, gradients = _squares(positive, scores, there)
    elif KIND == LOGISTIC:
        loss, gradient, gradients = _logistic(positive, scores, there)
    elif KIND == DISTANCES:
        loss, gradient, gradients = _distances(settings, count, positive, scores, there)
    elif KIND == PAIR_SOFTMAX:
        loss, gradient, gradients = _pair_softmax(settings, positive, scores, there)
    else:
        loss, gradient, gradients = _nearest(settings, count, positive, scores, there)
    return loss, gradient, tl.where(there, gradients, 0.0)


@triton.jit
def _above(value):
    """Whether a hinge is open; true for NaN, which must reach the loss."""
    return (value > 0.0) | (value != value)


@triton.jit
def _sum(values, there):
    return tl.sum(tl.where(there, values, 0.0), 0)


@triton.jit
def _softplus(x):
    """log(1 + e^x) without overflow."""
    return tl.maximum(x, 0.0) + tl.log(1.0 + tl.exp(-tl.abs(x)))


@triton.jit
def _sigmoid(x):
    return 1.0 / (1.0 + tl.exp(-x))


@triton.jit
def _hinges(settings, count, positive, scores, there):
    n_margins = tl.load(settings + 2).to(tl.int32)
    heights = tl.zeros_like(scores)
    gradients = tl.zeros_like(scores)
    for k in range(n_margins):
        above = scores - tl.load(settings + 3 + k)
        weight = tl.load(settings + 3 + n_margins + k)
        heights += tl.where(_above(above), weight * above, 0.0)
        gradients += tl.where(_above(above), weight, 0.0)
    share = tl.load(settings + 1) / count
    gap = 1.0 - positive
    pull = tl.load(settings)
    loss = _sum(heights, there) * share + tl.where(_above(gap), pull * gap, 0.0)
    return loss, tl.where(_above(gap), -pull, 0.0), share * gradients


@triton.jit
def _softmax(settings, count, positive, scores, there):
    sharpness = 1.0 / tl.load(settings)
    exponent = tl.load(settings + 1)
    own = tl.load(settings + 3) != 0.0
    highest = tl.max(tl.where(there, scores, -float("inf")), 0)
    highest = tl.where(own, tl.maximum(highest, positive), highest)
    share = tl.where(own, tl.exp((positive - highest) * sharpness), 0.0)
    parts = tl.exp((scores - highest) * sharpness)
    total = _sum(parts, there) + share
    log_sum = highest * sharpness + tl.log(total)
    log_sum -= tl.where(tl.load(settings + 2) != 0.0, tl.log(count), 0.0)
    scale = tl.load(settings + 4)
    gradients = parts * (scale * (exponent * sharpness / total))
    gradient = scale * (sharpness * (exponent * share / total - 1.0))
    return scale * (exponent * log_sum - positive * sharpness), gradient, gradients


@triton.jit
def _tanh(x):
    """tanh by exp(-2 |x|), which does not overflow."""
    part = tl.exp(-2.0 * tl.abs(x))
    return tl.where(x < 0.0, -1.0, 1.0) * (1.0 - part) / (1.0 + part)


@triton.jit
def _pair_softmax(settings, positive, scores, there):
    sharpness = 1.0 / tl.load(settings)
    activation = tl.load(settings + 1)
    gaps = 0.5 * (scores - positive)
    squashed = _tanh(gaps)
    arc = _atan(gaps)
    base = tl.where(activation == 0.0, 1.0 + squashed, tl.where(activation == 1.0, 1.0 + gaps, 1.0 + arc))
    slope = tl.where(activation == 1.0, 1.0, 1.0 / (1.0 + gaps * gaps))
    low = base < SMALLEST_BASE  # false for NaN, which must reach the loss
    base = tl.where(low, SMALLEST_BASE, base)
    steepness = tl.where(activation == 0.0, 1.0 - squashed, tl.where(low, 0.0, slope / base))
    # log(1 + tanh(d)) = log 2 - log(1 + exp(-2 d)), finite for any d
    log_base = tl.where(activation == 0.0, LOG_TWO - _softplus(-2.0 * gaps), tl.log(base))
    highest = tl.max(tl.where(there, log_base, -float("inf")), 0)
    parts = tl.exp((log_base - highest) * sharpness)
    total = _sum(parts, there)
    gradients = parts * steepness * (0.5 * sharpness / total)
    return highest * sharpness + tl.log(total), -_sum(gradients, there), gradients


@triton.jit
def _atan(x):
    """Of |x| below 1.2: 4 atan(y) by its series to y^17, y = x after the half-angle formula twice; exact to 1e-8."""
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
def _pair_hinge(settings, count, positive, scores, there):
    factor = tl.load(settings + 1)
    heights = tl.load(settings) + factor * (scores - positive)
    open_ = _above(heights)
    gradients = tl.where(open_, factor / count, 0.0)
    return _sum(tl.where(open_, heights, 0.0), there) / count, -_sum(gradients, there), gradients


@triton.jit
def _pair_logistic(count, positive, scores, there):
    gradients = _sigmoid(scores - positive) / count
    return _sum(_softplus(scores - positive), there) / count, -_sum(gradients, there), gradients


@triton.jit
def _squares(positive, scores, there):
    gap = positive - 1.0
    return 0.5 * (gap * gap + _sum(scores * scores, there)), gap, scores


@triton.jit
def _logistic(positive, scores, there):
    return _softplus(-positive) + _sum(_softplus(scores), there), -_sigmoid(-positive), _sigmoid(scores)


@triton.jit
def _distances(settings, count, positive, scores, there):
    square = 2.0 - 2.0 * scores
    far = (square >= SMALLEST) | (square != square)  # nearer, a distance has no gradient
    distance = tl.where(far, tl.sqrt(tl.where(far, square, SMALLEST)), SHORTEST)
    gap = tl.load(settings) - distance
    gradients = tl.where(_above(gap) & far, 2.0 * gap / (distance * count), 0.0)
    loss = _sum(tl.where(_above(gap), gap * gap, 0.0), there) / count + 2.0 * (1.0 - positive)
    return loss, positive * 0.0 - 2.0, gradients


@triton.jit
def _nearest(settings, count, positive, scores, there):
    margin = tl.load(settings)
    violations = _sum(tl.where(_above(scores - (positive - 0.5 * margin)), 1.0, 0.0), there)
    known = tl.where(there, scores, -float("inf"))
    gap = margin + 2.0 * (tl.max(known, 0) - positive) + 0.0 * _sum(scores, there)  # a maximum may pass over NaN
    rank = tl.load(settings + 2) * violations / count
    weight = tl.where(tl.load(settings + 1) != 0.0, tl.log(1.0 + rank), 1.0)
    gradient = tl.where(_above(gap), 2.0 * weight, 0.0)
    nearest = tl.arange(0, scores.shape[0]) == tl.argmax(known, 0)
    return tl.where(_above(gap), weight * gap, 0.0), -gradient, tl.where(nearest, gradient, 0.0)
