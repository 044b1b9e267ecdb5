"""What the Triton engine can train, and the units in which it sums gradients. Imports neither Triton nor CUDA."""

from __future__ import annotations

import importlib.metadata
import math

import torch

from trainers.config import TrainConfig
from trainers.encoders import MF
from trainers.engines.row_losses import ROWS, Size, row_loss_of
from trainers.negatives import Popularity, Uniform

N_SETTINGS = 64  # of a loss
SUM_BITS = 61  # of a sum's 63, so that rounding cannot overflow it

OLDEST = (3, 6)  # Triton that is tested


def why_not(config: TrainConfig) -> str:
    """Empty when this engine can run the config on a CUDA device, else the reason why it cannot."""
    if reason := _why_no_triton():
        return reason
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


def _why_no_triton() -> str:
    try:
        version = importlib.metadata.version("triton")
    except importlib.metadata.PackageNotFoundError:
        return "triton is not installed (pip install 'mml-hpo[gpu]')"
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST:
        return f"triton {version} is installed, {'.'.join(map(str, OLDEST))} or newer is needed"
    return "it is not tested on ROCm" if torch.version.hip else ""


def gradient_scale(config: TrainConfig, n_items: int) -> float:
    """How many units a gradient of 1 has: a power of 2 with which no sum over a batch exceeds 2^SUM_BITS.

    The unit is far below Adam's epsilon, under which gradients do not count.
    """
    reach = 1.0 / (1.0 - config.encoder.dropout)
    largest = ROWS[type(config.loss)].steepest(config.loss, Size(config.negatives.count, n_items, reach)) * reach
    if config.loss.summed:
        largest *= config.batch_size
    return 2.0 ** (SUM_BITS - max(1, math.ceil(math.log2(largest))))
