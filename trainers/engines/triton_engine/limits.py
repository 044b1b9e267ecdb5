"""What the Triton engine can train, and the units of its gradient sums. This module imports neither Triton nor CUDA."""

from __future__ import annotations

import importlib.metadata
import math
import os
import re
import shutil

import torch

from trainers.config import TrainConfig
from trainers.encoders import MF
from trainers.engines.lazy_adam import why_not_lazy
from trainers.engines.row_losses import ROW_FUNCTIONS, RowSize, row_loss_of
from trainers.negatives import Popularity, Uniform

N_SETTINGS = 64  # largest number of settings of a loss
SUM_BITS = 61  # of the 63 bits of a sum, so that rounding cannot overflow it
LARGEST = 2.0**180  # of a gradient, so that the number of units is a float32

OLDEST = (3, 6)  # tested version of Triton
CAPABILITY = (8, 0)  # lowest compute capability of the GPU
# Beyond these limits kernels compile for minutes, and the scratch memory of a batch takes gigabytes.
MOST_NEGATIVES, MOST_DIM = 4096, 1024


def why_not(config: TrainConfig) -> str:
    """Why the engine cannot run a config on a CUDA device; empty if it can."""
    if reason := _why_no_triton() or _why_not_here() or why_not_lazy(config):
        return reason
    if not isinstance(config.encoder, MF):
        return f"encoder {config.encoder.name} is not matrix factorisation"
    if config.score not in ("cosine", "cosine_in_training"):
        return f"score {config.score} is not bounded, and gradients are summed as whole numbers"
    if type(config.loss) not in ROW_FUNCTIONS:
        return f"loss {config.loss.name} has no row function"
    if reason := ROW_FUNCTIONS[type(config.loss)].why_not(config.loss):
        return reason
    if not isinstance(config.negatives, Uniform | Popularity):
        return f"negatives {config.negatives.name} are not drawn within the step; uniform and popularity are"
    if config.negatives.count > MOST_NEGATIVES:
        return f"{config.negatives.count} negatives per positive, {MOST_NEGATIVES} at most"
    if config.encoder.dim > MOST_DIM:
        return f"encoder.dim {config.encoder.dim}, {MOST_DIM} at most"
    if (n_settings := len(row_loss_of(config.loss, 1).settings)) > N_SETTINGS:
        return f"loss {config.loss.name} has {n_settings} settings, {N_SETTINGS} fit"
    return ""


def _why_no_triton() -> str:
    try:
        version = importlib.metadata.version("triton")
    except importlib.metadata.PackageNotFoundError:
        return "triton is not installed (pip install 'mml-hpo[gpu]')"
    numbers = re.match(r"(\d+)\.(\d+)", version)
    if numbers and (int(numbers[1]), int(numbers[2])) < OLDEST:
        return f"triton {version} is installed, {'.'.join(map(str, OLDEST))} or newer is needed"
    return "it is not tested on ROCm" if torch.version.hip else ""


def _why_not_here() -> str:
    """Why Triton cannot run on this machine; empty if it can, or if there is no CUDA device."""
    if not torch.cuda.is_available():
        return ""
    if (found := torch.cuda.get_device_capability()) < CAPABILITY:
        return f"the GPU has compute capability {found[0]}.{found[1]}, {CAPABILITY[0]}.{CAPABILITY[1]} is needed"
    if not (os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")):
        return "Triton needs a C compiler, and there is no gcc or clang; install one, or set CC"
    return ""


def gradient_scale(config: TrainConfig, n_items: int) -> float:
    """The number of units of a gradient of 1: a power of 2 with which no sum over a batch exceeds 2^SUM_BITS.

    With usual settings the unit is far below Adam's epsilon, so its rounding has no effect.
    """
    max_score = 1.0 / (1.0 - config.encoder.dropout)
    size = RowSize(config.negatives.count, n_items, max_score)
    largest = ROW_FUNCTIONS[type(config.loss)].gradient_bound(config.loss, size) * max_score
    if config.loss.summed:
        largest *= config.batch_size
    largest = min(max(largest, 2.0), LARGEST)  # all weights are 0, or float32 rounds the temperature to 0
    return 2.0 ** (SUM_BITS - math.ceil(math.log2(largest)))
