"""Row functions with a threshold, see `numba_engine.row_functions`. They are apart so that other losses do not compile them.

A row function is called as `(settings, threshold, positive, scores, b, n, gradients)`. The threshold is that of the row's user
before the step, a constant. `n` is the number of the row's negatives, since none is left out.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np

from trainers.engines.numba_engine.intrinsics import inlined
from trainers.engines.row_losses import (
    DRRL_EPSILON,
    DRRL_NEGATIVE_WEIGHT,
    DRRL_POWER,
    SLATK,
    SLATK_TEMPERATURE,
    SLATK_WEIGHT_TEMPERATURE,
    TALOS,
    TALOS_TEMPERATURE,
)


@inlined
def threshold_row(kind, settings, threshold, positive, scores, b, n, gradients):
    """Dispatch on the kind; returns the row's (loss, dL/dpositive)."""
    if kind == SLATK:
        return _slatk(settings, threshold, positive, scores, b, n, gradients)
    if kind == TALOS:
        return _talos(settings, threshold, positive, scores, b, n, gradients)
    return _drrl(settings, threshold, positive, scores, b, n, gradients)


@inlined
def _slatk(settings, threshold, positive, scores, b, n, gradients):
    """SL@K: weight * log-sum-exp of (s_uj - s_ui) / temperature, weight = sigmoid((s_ui - threshold) / weight_temperature)."""
    inverse_temperature = np.float32(1.0) / settings[SLATK_TEMPERATURE]
    inverse_weight_temperature = np.float32(1.0) / settings[SLATK_WEIGHT_TEMPERATURE]
    weight = np.float32(1.0) / (np.float32(1.0) + np.exp((threshold - positive) * inverse_weight_temperature))
    highest = np.float32(-np.inf)
    for j in range(n):
        highest = max(highest, scores[b, j])
    total = np.float32(0.0)
    for j in range(n):
        gradients[b, j] = np.exp((scores[b, j] - highest) * inverse_temperature)
        total += gradients[b, j]
    for j in range(n):
        gradients[b, j] *= weight * inverse_temperature / total
    log_sum = (highest - positive) * inverse_temperature + np.log(total)
    slope = weight * (np.float32(1.0) - weight) * inverse_weight_temperature  # of the weight
    return float(weight * log_sum), slope * log_sum - weight * inverse_temperature


@inlined
def _talos(settings, threshold, positive, scores, b, n, gradients):
    """Talos: log-sum-exp of log sigmoid(s_uj - threshold) / temperature, minus the positive's log sigmoid / temperature."""
    inverse_temperature = np.float32(1.0) / settings[TALOS_TEMPERATURE]
    highest = np.float32(-np.inf)
    for j in range(n):
        highest = max(highest, scores[b, j])
    log_highest, _ = _log_sigmoid(highest - threshold)
    total = np.float32(0.0)
    for j in range(n):
        log_part, derivative = _log_sigmoid(scores[b, j] - threshold)
        part = np.exp((log_part - log_highest) * inverse_temperature)
        total += part
        gradients[b, j] = part * derivative
    for j in range(n):
        gradients[b, j] *= inverse_temperature / total
    log_positive, derivative = _log_sigmoid(positive - threshold)
    return float((log_highest - log_positive) * inverse_temperature + np.log(total)), -derivative * inverse_temperature


@inlined
def _log_sigmoid(x):
    """log sigmoid(x) and its derivative sigmoid(-x), finite for any finite x."""
    small = np.exp(-abs(x))
    upper = small if x > np.float32(0.0) else np.float32(1.0)
    return min(x, np.float32(0.0)) - np.log1p(small), upper / (np.float32(1.0) + small)


@inlined
def _drrl(settings, threshold, positive, scores, b, n, gradients):
    """DrRL: a hinge, plus the power mean of the negatives' costs, plus the threshold. Powers are taken of logarithms, as in the
    torch form. All negatives below the threshold have the cost epsilon.
    """
    power, weight, epsilon = settings[DRRL_POWER], settings[DRRL_NEGATIVE_WEIGHT], settings[DRRL_EPSILON]
    highest = threshold
    for j in range(n):
        highest = max(highest, scores[b, j])
    log_highest = np.log(epsilon + weight * (highest - threshold))
    lowest_part = np.exp(power * (np.log(epsilon) - log_highest))
    total = np.float32(0.0)
    for j in range(n):
        excess = scores[b, j] - threshold
        part = lowest_part
        gradients[b, j] = np.float32(0.0)
        if not excess <= np.float32(0.0):  # true for NaN
            cost = epsilon + weight * excess
            part = np.exp(power * (np.log(cost) - log_highest))
            gradients[b, j] = part / cost
        total += part
    mean = np.exp(log_highest + np.log(total / np.float32(n)) / power)
    for j in range(n):
        gradients[b, j] *= mean * weight / total
    shortfall = np.float32(1.0) - positive
    if shortfall <= np.float32(0.0):
        return float(mean + threshold), np.float32(0.0)
    return float(shortfall + mean + threshold), np.float32(-1.0)
