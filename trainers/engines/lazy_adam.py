"""The optimiser, shared by all engines: Adam (Kingma and Ba, arXiv 1412.6980) as in torch.optim.Adam.

Fused engines take it row by row: a row is touched only in the steps that give it a gradient, and lands where dense Adam would
have put it. Without gradients for j steps since step t0, Adam's moments are b1^j m and b2^j v, so the row keeps moving along
`direction = m / (sqrt(v) + eps')` by lr_t sqrt(1 - b2^t) / (1 - b1^t) r^j in step t = t0 + j, r = b1 / sqrt(b2). With

    tail(t) = sum_{s > t} lr_s sqrt(1 - b2^s) / (1 - b1^s) r^(s - t)

its pending displacement after step t is r^(t - t0) tail(t), one number per row; flushing from step a to step b subtracts two
such numbers. The only approximation is that eps' = eps sqrt(1 - b2^t0) is kept until the row's next gradient; sqrt(v) is larger
by orders of magnitude.
"""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainers.config import TrainConfig

BETAS = (0.9, 0.999)
EPSILON = 1e-8
RATIO = BETAS[0] / BETAS[1] ** 0.5
HORIZON = 512  # r^512 = 5e-24: nothing moves later


def learning_rate_at(config: TrainConfig, step: Any, n_rows: int) -> Any:
    """The rate of step number `step` (from 0), or of each step of an array: constant, or falling linearly to zero over the
    config's epochs.
    """
    if config.schedule == "constant":
        return config.learning_rate
    n_steps = config.epochs * -(-n_rows // config.batch_size)
    return config.learning_rate * (1.0 - step / n_steps)


def powers(n: int) -> NDArray[np.float64]:
    """b1^k, b2^k and r^k for k < n, (3, n)."""
    return np.array([BETAS[0], BETAS[1], RATIO])[:, None] ** np.arange(n)


def rates(config: TrainConfig, n_rows: int, first: int, n_steps: int) -> NDArray[np.float64]:
    """What steps first + 1 ... first + n_steps (counted from 1) need, one line per step t, (n_steps, 4).

    Columns: lr_t / (1 - b1^t), 1 / sqrt(1 - b2^t), tail(t - 1), tail(t).
    """
    steps = np.arange(first + 1, first + n_steps + HORIZON + 1, dtype=np.float64)
    rate = np.maximum(0.0, learning_rate_at(config, steps - 1.0, n_rows))
    correction_1, correction_2 = 1.0 - BETAS[0] ** steps, np.sqrt(1.0 - BETAS[1] ** steps)
    way = rate * correction_2 / correction_1
    backwards = way[::-1].tolist()  # numbers of Python's, which it adds up three times as fast
    tail = np.array(list(accumulate(backwards, lambda later, step: RATIO * (step + later), initial=0.0)))[::-1]
    return np.stack([rate / correction_1, 1.0 / correction_2, tail[:-1], tail[1:]], axis=1)[:n_steps].copy()
