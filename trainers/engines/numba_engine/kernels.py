"""The fused training step, compiled once per row width and cached on disk. A step is a sequence of parallel passes:

    draw       the batch's pairs, from the counter-based shuffle
    flush      their users and positive items
    filter     draw the negatives; drop those that certainly score below the loss's cutoff, see `prefilter`
    flush      the remaining negatives
    score      the batch: score gradients, the loss, the gradients of the users
    update     items and users with a gradient, each in one task, with sums in batch order

For losses in which every negative has a gradient, nothing is filtered, and the passes go item by item, see `dense`. That is a
kernel of its own, so that a study compiles only what its losses need.

Between the passes one thread links the entries of the same row in lists. So no task writes what another task of the same pass
reads, every sum has a fixed order, and the numbers do not depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from trainers.engines.lazy_adam import TAIL_BEFORE
from trainers.engines.numba_engine import step_passes
from trainers.engines.numba_engine.batch import SCORE_BLOCK, UPDATE_BLOCK, Batch
from trainers.engines.numba_engine.dense import gather_block, gradient_block, order_slots, score_items, update_bucket
from trainers.engines.numba_engine.fingerprint import fingerprint
from trainers.engines.numba_engine.intrinsics import KERNEL
from trainers.engines.numba_engine.prefilter import draw_and_filter, draw_block
from trainers.engines.numba_engine.step_passes import (
    add_losses,
    distinct,
    distinct_positives,
    draw_pair,
    flush_block,
    flush_task,
    link_items,
    link_users,
    score_block,
    update_task,
    update_users,
)
from trainers.engines.numba_engine.table import EmbeddingTable
from trainers.jit import announce, compiled


class StepArguments(NamedTuple):
    """The arguments that are the same for all steps of an epoch, or of a kernel call.

    Attributes:
        users, items: int32 (n_rows,), the training pairs.
        shuffle, half_bits, negatives, dropout: uint64; the keys of the epoch's draws, and the size of the shuffle's network.
        dropout_threshold: uint64, see `rng.keep_threshold`; 0 without dropout.
        dropout_factor: factor of the units that dropout keeps.
        n_negatives: negatives per row.
        alias_prob, alias: uint64, a result of `rng.alias_table` to draw negatives by weight; empty to draw uniformly.
        given_negatives: int32 (n, n_negatives), the negatives of n rows of the epoch, from row `first_given_row` on; empty if
            the kernel draws them.
        users_in_table: whether user vectors are rows of the table `users`. If not, `batch.vectors` holds them before the step,
            without dropout, and `batch.gradients` their gradients after it.
        batch_size: rows per step; the last step may have fewer.
        kind, settings, cutoff, summed: see `row_losses.RowLoss`.
        euclidean: whether the score is 1 - |u - v|^2 / 2; else it is an inner product of rows or of their unit vectors.
        l2: l2 * row is added to the gradients.
        rates: see `lazy_adam.rates`, a row per step of the epoch.
        powers: see `lazy_adam.powers`.
        steps_before: steps of earlier epochs.
    """

    users: NDArray[np.int32]
    items: NDArray[np.int32]
    shuffle: np.uint64
    half_bits: np.uint64
    negatives: np.uint64
    dropout: np.uint64
    dropout_threshold: np.uint64
    dropout_factor: float
    n_negatives: int
    alias_prob: NDArray[np.uint64]
    alias: NDArray[np.uint64]
    given_negatives: NDArray[np.int32]
    first_given_row: int
    users_in_table: bool
    batch_size: int
    kind: int
    settings: NDArray[np.float32]
    cutoff: np.float32
    summed: bool
    euclidean: bool
    l2: np.float32
    rates: NDArray[np.float64]
    powers: NDArray[np.float64]
    steps_before: int


# (arguments, users, items, batch, first step, last step, totals float64 [loss], counts int64 [rows written]) -> steps done
Kernel = Callable[[StepArguments, EmbeddingTable, EmbeddingTable, Batch, int, int, NDArray[np.float64], NDArray[np.int64]], int]


@cache
def kernel_for(width: int, dense: bool) -> Kernel:
    """The training kernel for rows of `width` floats, compiled or read from numba's cache on disk.

    Args:
        dense: for losses in which every negative has a gradient.
    """
    kernel: Kernel = _build_dense(width, _DENSE) if dense else _build_sparse(width, _SPARSE)
    kind = "dense" if dense else "sparse"
    announce(kernel, f"compiling the {kind} training step for vectors of {width} floats: once on this machine, up to a minute")
    return kernel


# Numbers in the closures are compile-time constants and part of the cache's key; functions in them would break the cache. A
# task's number is converted to int64: in a pass it is uint64, and all functions that a task calls would be compiled twice.


def _build_sparse(width: int, version: int) -> Any:  # noqa: C901 - one kernel, read from top to bottom
    """The kernel of losses with a cutoff."""

    @compiled(version, width, (StepArguments, EmbeddingTable, Batch), **KERNEL)
    def sparse_steps(arguments, users, items, batch, first, last, totals, counts):  # type: ignore[no-untyped-def]
        if version == 0:  # never true: this makes the version part of the cache's key
            return 0
        n_rows, n_items, shift = arguments.items.size, np.uint64(items.last_step.size), step_passes.shift_of(batch)
        for t in range(first, last):
            first_row, step, tail = t * arguments.batch_size, arguments.steps_before + t + 1, arguments.rates[t, TAIL_BEFORE]
            size = min(arguments.batch_size, n_rows - first_row)
            loss_weight, rate = np.float32(1.0 if arguments.summed else 1.0 / size), arguments.rates[t]

            for b in prange(size):
                draw_pair(batch, np.int64(b), arguments, np.uint64(first_row + b))

            n_users = link_users(batch, size, users.head) if arguments.users_in_table else 0
            n_work = distinct_positives(batch, size, items.head)
            user_blocks, item_blocks = -(-n_users // UPDATE_BLOCK), -(-n_work // UPDATE_BLOCK)
            for number in prange(user_blocks + item_blocks):
                task = np.int64(number)
                flush_task(batch, task, user_blocks, n_users, n_work, users, items, step - 1, tail, arguments.powers, width)
            counts[0] += n_users + n_work

            for block in prange(-(-size // SCORE_BLOCK)):
                draw_and_filter(batch, np.int64(block), size, np.uint64(first_row), arguments, users, items, n_items, width)

            n_work = distinct(batch.items, batch.n_passed, size, items.head, batch.work_items)
            for block in prange(-(-n_work // UPDATE_BLOCK)):
                flush_block(items, batch.work_items, n_work, np.int64(block), step - 1, tail, arguments.powers, width)
            for block in prange(-(-size // SCORE_BLOCK)):
                score_block(batch, np.int64(block), size, arguments, items, loss_weight, width)
            counts[0] += n_work
            if not add_losses(batch, size, totals, users.head):
                return t - first + 1

            n_work = link_items(batch, size, shift, items.head)
            item_blocks = -(-n_work // UPDATE_BLOCK)
            for number in prange(user_blocks + item_blocks):
                task = np.int64(number)
                update_task(batch, task, user_blocks, n_users, n_work, users, items, shift, step, rate, arguments, width)
            counts[0] += n_users + n_work
        return last - first

    return sparse_steps


def _build_dense(width: int, version: int) -> Any:  # noqa: C901 - one kernel, read from top to bottom
    """The kernel of losses in which every negative has a gradient: without a filter, item by item."""

    @compiled(version, width, (StepArguments, EmbeddingTable, Batch), **KERNEL)
    def dense_steps(arguments, users, items, batch, first, last, totals, counts):  # type: ignore[no-untyped-def]  # noqa: C901
        if version == 0:
            return 0
        n_rows, n_items, shift = arguments.items.size, np.uint64(items.last_step.size), step_passes.shift_of(batch)
        for t in range(first, last):
            first_row, step, tail = t * arguments.batch_size, arguments.steps_before + t + 1, arguments.rates[t, TAIL_BEFORE]
            size = min(arguments.batch_size, n_rows - first_row)
            loss_weight, rate = np.float32(1.0 if arguments.summed else 1.0 / size), arguments.rates[t]

            for b in prange(size):
                draw_pair(batch, np.int64(b), arguments, np.uint64(first_row + b))

            n_users = link_users(batch, size, users.head) if arguments.users_in_table else 0
            user_blocks = -(-n_users // UPDATE_BLOCK)
            for block in prange(user_blocks):
                flush_block(users, batch.work_users, n_users, np.int64(block), step - 1, tail, arguments.powers, width)
            for block in prange(-(-size // SCORE_BLOCK)):
                draw_block(batch, np.int64(block), size, np.uint64(first_row), arguments, users, n_items, width)

            n_work = order_slots(batch, size, arguments.n_negatives, shift, items.head)
            for block in prange(-(-n_work // UPDATE_BLOCK)):
                score_items(batch, np.int64(block), n_work, arguments, items, shift, step - 1, tail, width)
            for block in prange(-(-size // SCORE_BLOCK)):
                gradient_block(batch, np.int64(block), size, arguments, loss_weight)
            counts[0] += n_users + n_work
            if not add_losses(batch, size, totals, users.head):
                return t - first + 1

            for bucket in prange(batch.user_gradient_parts.shape[0] // batch.users.size):
                update_bucket(batch, np.int64(bucket), size, n_work, arguments, items, shift, step, rate, width)
            for block in prange(-(-size // SCORE_BLOCK)):
                gather_block(batch, np.int64(block), size, arguments, width)
            for block in prange(user_blocks):
                update_users(batch, users, n_users, np.int64(block), step, rate, arguments, width)
            counts[0] += n_users + n_work
        return last - first

    return dense_steps


# Computed when the module is imported, from the text that is imported: the files may be edited later.
_SPARSE, _DENSE = fingerprint(_build_sparse), fingerprint(_build_dense)
