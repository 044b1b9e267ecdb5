"""What the Triton engine can train, and the units in which it sums gradients. Imports neither Triton nor CUDA."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable
from typing import Any

from trainers.config import TrainConfig
from trainers.encoders import MF
from trainers.engines.row_losses import (
    DISTANCES,
    HINGES,
    LOGISTIC,
    NEAREST,
    PAIR_HINGE,
    PAIR_LOGISTIC,
    ROWS,
    SOFTMAX,
    SQUARES,
    row_loss_of,
)
from trainers.losses.distances import SMALLEST
from trainers.negatives import Popularity, Uniform

N_SETTINGS = 64  # of a loss
SUM_BITS = 61  # of a sum's 63, so that rounding cannot overflow it

# By kind, given settings and the number of negatives: the sum over a row of |d loss / d score|, at most.
STEEPEST: dict[int, Callable[[Any, int], float]] = {
    HINGES: lambda settings, count: settings[0] + settings[1],
    SOFTMAX: lambda settings, count: (2.0 * settings[1] + 1.0) / settings[0],
    PAIR_HINGE: lambda settings, count: 2.0 * settings[1],
    PAIR_LOGISTIC: lambda settings, count: 2.0,
    SQUARES: lambda settings, count: count + 2.0,
    LOGISTIC: lambda settings, count: count + 1.0,
    DISTANCES: lambda settings, count: 2.0 + 2.0 * settings[0] / math.sqrt(SMALLEST),
    NEAREST: lambda settings, count: 4.0 * max(1.0, math.log1p(settings[2])),
}


def why_not(config: TrainConfig) -> str:
    """Empty when this engine can run the config on a CUDA device, else the reason why it cannot."""
    if importlib.util.find_spec("triton") is None:
        return "triton is not installed (pip install 'mml-hpo[gpu]')"
    if not isinstance(config.encoder, MF):
        return f"encoder {config.encoder.name} is not matrix factorisation"
    if config.score not in ("cosine", "cosine_in_training"):
        return f"score {config.score} is not bounded, and gradients are summed as whole numbers"
    if type(config.loss) not in ROWS:
        return f"loss {config.loss.name} has no row function"
    if reason := ROWS[type(config.loss)].why_not(config.loss):
        return reason
    if not isinstance(config.negatives, Uniform | Popularity):
        return f"negatives {config.negatives.name} are not drawn within the step; uniform and popularity are"
    if (n_settings := len(row_loss_of(config.loss, 1).settings)) > N_SETTINGS:
        return f"loss {config.loss.name} has {n_settings} settings, {N_SETTINGS} fit"
    return ""


def gradient_scale(config: TrainConfig, n_items: int) -> float:
    """How many units a gradient of 1 has: a power of 2 with which no sum over a batch exceeds 2^SUM_BITS.

    The unit is far below Adam's epsilon, under which gradients do not count.
    """
    loss = row_loss_of(config.loss, n_items)
    largest = STEEPEST[loss.kind](loss.settings, config.negatives.count) / (1.0 - config.encoder.dropout)
    if loss.summed:
        largest *= config.batch_size
    return 2.0 ** (SUM_BITS - max(1, math.ceil(math.log2(largest))))
