"""The optimiser of all engines: Adam (Kingma and Ba, arXiv 1412.6980) as in torch.optim.Adam.

Fused engines use a lazy form of it: they update a row of a table only in steps that give the row a gradient, and the row ends
up where dense Adam would have put it. Without gradients for j steps after step t0, Adam's moments are b1^j m and b2^j v. So in
step t = t0 + j the row still moves along `direction = m / (sqrt(v) + eps')`, by lr_t sqrt(1 - b2^t) / (1 - b1^t) r^j, where
r = b1 / sqrt(b2). With

    tail(t) = sum_{s > t} lr_s sqrt(1 - b2^s) / (1 - b1^s) r^(s - t)

the row's pending displacement after step t is r^(t - t0) tail(t) times its direction. This factor is one number per row.
Flushing a row from step a to step b subtracts the difference of two such numbers, times the direction. The only approximation
is that eps' = eps sqrt(1 - b2^t0) is used until the row's next gradient; sqrt(v) is larger by orders of magnitude.
"""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainers.config import TrainConfig

BETAS = (0.9, 0.999)
EPSILON = 1e-8
RATIO = BETAS[0] / BETAS[1] ** 0.5  # r above
HORIZON = 512  # r^512 = 5e-24: later displacements are below float32

STEP_SIZE, ROOT_FACTOR, TAIL_BEFORE, TAIL_AFTER, N_RATES = range(5)  # columns of `rates`, and their number
BETA_1_POWERS, BETA_2_POWERS, RATIO_POWERS = range(3)  # rows of `powers`


def learning_rate_at(config: TrainConfig, step: Any, n_rows: int) -> Any:
    """The learning rate of step number `step` (from 0), or of each step of an array: constant, or linear decay to zero over
    the config's epochs.

    Args:
        n_rows: training pairs per epoch.
    """
    if config.schedule == "constant":
        return config.learning_rate
    n_steps = config.epochs * -(-n_rows // config.batch_size)
    return config.learning_rate * (1.0 - step / n_steps)


def why_not_lazy(config: TrainConfig) -> str:
    """Why lazy Adam cannot train a config; empty if it can."""
    if config.weight_decay:
        return f"weight_decay {config.weight_decay:g} moves every row in every step, and lazy Adam only rows with a gradient"
    return ""


def powers(n: int) -> NDArray[np.float64]:
    """b1^k, b2^k and r^k for k < n, (3, n)."""
    return np.array([BETAS[0], BETAS[1], RATIO])[:, None] ** np.arange(n)


def rates(config: TrainConfig, n_rows: int, first: int, n_steps: int) -> NDArray[np.float64]:
    """The scalars of steps t = first + 1, ..., first + n_steps (steps count from 1), a row per step, (n_steps, N_RATES).

    STEP_SIZE: lr_t / (1 - b1^t).
    ROOT_FACTOR: 1 / sqrt(1 - b2^t), the bias correction of sqrt(v).
    TAIL_BEFORE, TAIL_AFTER: tail(t - 1) and tail(t).
    """
    steps = np.arange(first + 1, first + n_steps + HORIZON + 1, dtype=np.float64)
    rate = np.maximum(0.0, learning_rate_at(config, steps - 1.0, n_rows))
    correction_1, correction_2 = 1.0 - BETAS[0] ** steps, np.sqrt(1.0 - BETAS[1] ** steps)
    displacements = rate * correction_2 / correction_1  # of a row whose last gradient was in the same step
    backwards = displacements[::-1].tolist()  # Python adds its own floats three times as fast as NumPy's
    tail = np.array(list(accumulate(backwards, lambda later, step: RATIO * (step + later), initial=0.0)))[::-1]
    return np.stack([rate / correction_1, 1.0 / correction_2, tail[:-1], tail[1:]], axis=1)[:n_steps].copy()
