"""The training step of losses with a threshold for each user, see `numba_engine.kernels`: a dense step with two more passes.

draw, flush users, draw negatives, score items      as for dense losses
flush                                               the items that the users have seen, if thresholds need their scores
gradient                                            the losses and score gradients, with the thresholds before the step
thresholds                                          change those of the users, from the same scores
update                                              items and users, as for dense losses
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from trainers.engines.lazy_adam import TAIL_BEFORE
from trainers.engines.numba_engine.batch import SCORE_BLOCK, UPDATE_BLOCK, Batch
from trainers.engines.numba_engine.dense import gather_block, order_slots, score_items, update_bucket
from trainers.engines.numba_engine.fingerprint import fingerprint
from trainers.engines.numba_engine.intrinsics import KERNEL
from trainers.engines.numba_engine.kernels import StepArguments
from trainers.engines.numba_engine.prefilter import draw_block
from trainers.engines.numba_engine.step_passes import add_losses, draw_pair, flush_block, link_users, shift_of, update_users
from trainers.engines.numba_engine.table import EmbeddingTable
from trainers.engines.numba_engine.thresholds.passes import (
    ADAM_BLOCK,
    BY_ADAM,
    CONSTANT,
    UserThresholds,
    adam_block,
    change_thresholds,
    distinct_seen,
    threshold_gradients,
)
from trainers.jit import announce, compiled

# (thresholds, and then as `kernels.Kernel`) -> steps done
ThresholdKernel = Callable[
    [
        UserThresholds,
        StepArguments,
        EmbeddingTable,
        EmbeddingTable,
        Batch,
        int,
        int,
        NDArray[np.float64],
        NDArray[np.int64],
    ],
    int,
]


@cache
def threshold_kernel_for(width: int) -> ThresholdKernel:
    """The training kernel for rows of `width` floats, compiled or read from numba's cache on disk."""
    kernel: ThresholdKernel = _build(width, _VERSION)
    text = f"compiling the training step with thresholds for vectors of {width} floats: once on this machine, up to a minute"
    announce(kernel, text)
    return kernel


def _build(width: int, version: int) -> Any:  # noqa: C901 - one kernel, read from top to bottom
    """Numbers in the closure are part of the cache's key, see `kernels`."""

    @compiled(version, width, (StepArguments, EmbeddingTable, Batch, UserThresholds), **KERNEL)
    def threshold_steps(thresholds, arguments, users, items, batch, first, last, totals, counts):  # type: ignore[no-untyped-def]  # noqa: C901
        if version == 0:
            return 0
        n_rows, n_items, shift = arguments.items.size, np.uint64(items.last_step.size), shift_of(batch)
        for t in range(first, last):
            first_row, step, tail = t * arguments.batch_size, arguments.steps_before + t + 1, arguments.rates[t, TAIL_BEFORE]
            size = min(arguments.batch_size, n_rows - first_row)
            loss_weight, rate = np.float32(1.0 if arguments.summed else 1.0 / size), arguments.rates[t]

            for b in prange(size):
                draw_pair(batch, np.int64(b), arguments, np.uint64(first_row + b))

            n_users = link_users(batch, size, users.head)
            threshold_blocks = -(-n_users // UPDATE_BLOCK)
            user_blocks = threshold_blocks if arguments.users_in_table else 0
            for block in prange(user_blocks):
                flush_block(users, batch.work_users, n_users, np.int64(block), step - 1, tail, arguments.powers, width)
            for block in prange(-(-size // SCORE_BLOCK)):
                draw_block(batch, np.int64(block), size, np.uint64(first_row), arguments, users, n_items, width)

            n_work = order_slots(batch, size, arguments.n_negatives, shift, items.head)
            for block in prange(-(-n_work // UPDATE_BLOCK)):
                score_items(batch, np.int64(block), n_work, arguments, items, shift, step - 1, tail, width)
            for block in prange(-(-size // SCORE_BLOCK)):
                threshold_gradients(thresholds, batch, np.int64(block), size, arguments, loss_weight)
            counts[0] += n_users + n_work
            if not add_losses(batch, size, totals, users.head):
                return t - first + 1

            if thresholds.change != CONSTANT:
                n_seen = distinct_seen(thresholds, batch, n_users, items.head) if thresholds.needs_seen else 0
                for block in prange(-(-n_seen // UPDATE_BLOCK)):
                    flush_block(items, thresholds.work_items, n_seen, np.int64(block), step - 1, tail, arguments.powers, width)
                for block in prange(threshold_blocks):
                    change_thresholds(thresholds, batch, np.int64(block), n_users, users, items, arguments, loss_weight, width)
                counts[0] += n_seen
            if thresholds.change == BY_ADAM:
                for block in prange(-(-thresholds.values.size // ADAM_BLOCK)):
                    adam_block(thresholds, np.int64(block), step)

            for bucket in prange(batch.user_gradient_parts.shape[0] // batch.users.size):
                update_bucket(batch, np.int64(bucket), size, n_work, arguments, items, shift, step, rate, width)
            for block in prange(-(-size // SCORE_BLOCK)):
                gather_block(batch, np.int64(block), size, arguments, width)
            for block in prange(user_blocks):
                update_users(batch, users, n_users, np.int64(block), step, rate, arguments, width)
            if not arguments.users_in_table:  # else the update clears them
                for i in range(n_users):
                    users.head[batch.work_users[i]] = -1
            counts[0] += n_users + n_work
        return last - first

    return threshold_steps


_VERSION = fingerprint(_build)  # see `kernels`
