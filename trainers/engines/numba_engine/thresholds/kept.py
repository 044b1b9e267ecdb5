"""The thresholds of a run on the numba engine, and the kernel with them."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainers.data import Interactions
from trainers.engines.numba_engine.batch import UPDATE_BLOCK
from trainers.engines.numba_engine.kernels import Kernel
from trainers.engines.numba_engine.thresholds.kernel import threshold_kernel_for
from trainers.engines.numba_engine.thresholds.passes import BY_ADAM, BY_DESCENT, CONSTANT, RENEWED, UserThresholds
from trainers.losses import SLatK
from trainers.losses.thresholds import LearnedThreshold, RenewedThreshold, ThresholdLoss


class KeptThresholds:
    """A threshold per user, for the losses of `row_losses.THRESHOLD_ROWS`.

    It works with all encoders, negatives and scores of the numba engine but euclidean, which the losses themselves exclude.
    Scores are those of the step, so after dropout. Thresholds of items and limits (MAWU) are on the torch engine only.

    Attributes:
        arrays: the thresholds, as the kernel takes them.
    """

    def __init__(self, loss: ThresholdLoss, seen: Interactions, batch_size: int, count: int, width: int) -> None:
        self.loss, self.step = loss, threshold_kernel_for(width)
        self.has_moments = isinstance(loss, LearnedThreshold) and loss.threshold_optimizer == "adam"
        n_moments = seen.n_users if self.has_moments else 1
        n_best = min(loss.k, int(seen.per_user.max()) + count) if isinstance(loss, SLatK) else 1
        self.arrays = UserThresholds(
            values=np.full(seen.n_users, loss.start, np.float32),
            change=CONSTANT,
            needs_seen=loss.needs_seen_scores,
            indptr=seen.indptr,
            seen=seen.items,
            work_items=np.zeros(seen.n_items + 1, np.int32),
            rate=loss.threshold_rate if isinstance(loss, LearnedThreshold) else 0.0,
            gradients=np.zeros(n_moments, np.float32),
            means=np.zeros(n_moments, np.float32),
            squares=np.zeros(n_moments, np.float32),
            best=np.zeros((-(-batch_size // UPDATE_BLOCK), n_best), np.float32),
        )

    def kernel(self, epoch: int) -> Kernel:
        """The training kernel for an epoch (from 0)."""
        return partial(self.step, self.arrays._replace(change=self._change(epoch)))

    def _change(self, epoch: int) -> int:
        if isinstance(self.loss, RenewedThreshold):
            return RENEWED if self.loss.is_due(epoch) else CONSTANT
        return BY_ADAM if self.has_moments else BY_DESCENT

    def parameters(self) -> dict[str, NDArray[Any]]:
        """The thresholds by name, without copying them."""
        return {"thresholds": self.arrays.values}

    def state(self) -> dict[str, NDArray[Any]]:
        """The arrays that training changes, by name, without copying them."""
        moments = {"thresholds.exp_avg": self.arrays.means, "thresholds.exp_avg_sq": self.arrays.squares}
        return self.parameters() | (moments if self.has_moments else {})
