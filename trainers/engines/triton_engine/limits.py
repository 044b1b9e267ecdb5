"""What the Triton engine can train, and the units in which it sums gradients. Imports neither Triton nor CUDA."""

from __future__ import annotations

import importlib.metadata
import math
import os
import re
import shutil

import torch

from trainers.config import TrainConfig
from trainers.encoders import MF
from trainers.engines.row_losses import ROWS, Size, row_loss_of
from trainers.negatives import Popularity, Uniform

N_SETTINGS = 64  # of a loss
SUM_BITS = 61  # of a sum's 63, so that rounding cannot overflow it
LARGEST = 2.0**180  # so that the number of units is a float32

OLDEST = (3, 6)  # Triton that is tested
CAPABILITY = (8, 0)  # of the GPU, at least
# With more, the kernels take minutes to compile, and the batch's scratch takes gigabytes.
MOST_NEGATIVES, MOST_DIM = 4096, 1024


def why_not(config: TrainConfig) -> str:
    """Empty when this engine can run the config on a CUDA device, else the reason why it cannot."""
    if reason := _why_no_triton() or _why_not_here():
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
    """What Triton needs of the machine, where there is a device."""
    if not torch.cuda.is_available():
        return ""
    if (found := torch.cuda.get_device_capability()) < CAPABILITY:
        return f"the GPU has compute capability {found[0]}.{found[1]}, {CAPABILITY[0]}.{CAPABILITY[1]} is needed"
    if not (os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")):
        return "Triton needs a C compiler, and there is no gcc or clang; install one, or set CC"
    return ""


def gradient_scale(config: TrainConfig, n_items: int) -> float:
    """How many units a gradient of 1 has: a power of 2 with which no sum over a batch exceeds 2^SUM_BITS.

    With settings of a usual size the unit is far below Adam's epsilon, under which gradients do not count.
    """
    reach = 1.0 / (1.0 - config.encoder.dropout)
    largest = ROWS[type(config.loss)].steepest(config.loss, Size(config.negatives.count, n_items, reach)) * reach
    if config.loss.summed:
        largest *= config.batch_size
    largest = min(max(largest, 2.0), LARGEST)  # weights of 0, or a temperature that float32 rounds to 0
    return 2.0 ** (SUM_BITS - math.ceil(math.log2(largest)))
