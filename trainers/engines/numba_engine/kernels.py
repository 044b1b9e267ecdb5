"""The fused training step, compiled once per row width and kept on disk. What happens in a step, a line per parallel pass:

    draw       the batch's pairs, from the counter-based shuffle
    catch up   their users and positive items
    screen     draw the negatives; drop those that certainly score below the loss's cutoff, judging by their stale rows
    catch up   the negatives that are left
    score      them: score gradients, the loss, the gradients of the users
    update     items and users that got a gradient, each by one task, summing in batch order

Where every negative has a gradient, nothing is screened, and the passes go item by item: see `dense`. That is a kernel of its
own, so that a study compiles what its losses need.

Between the passes one thread strings together what belongs to the same row, as linked lists. So no task writes what another
task of the same pass reads, every sum has one order, and the numbers do not depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from trainers.engines.numba_engine import step_passes
from trainers.engines.numba_engine.batch import BLOCK, USERS, Batch
from trainers.engines.numba_engine.dense import gather_block, gradient_block, order_slots, score_items, update_bucket
from trainers.engines.numba_engine.fingerprint import fingerprint
from trainers.engines.numba_engine.intrinsics import KERNEL
from trainers.engines.numba_engine.prefilter import draw_block, find
from trainers.engines.numba_engine.step_passes import (
    add_losses,
    catch_up_block,
    catch_up_task,
    distinct,
    distinct_positives,
    draw_pair,
    link_items,
    link_users,
    score_block,
    update_task,
    update_users,
)
from trainers.engines.numba_engine.table import EmbeddingTable
from trainers.jit import announce, compiled


class StepArguments(NamedTuple):
    """What stays the same over an epoch.

    Attributes:
        users, items: int32 (n_rows,), the training pairs.
        shuffle, half_bits, negatives, dropout: uint64, keys of the epoch's draws.
        dropout_threshold: uint64, 0 for no dropout.
        dropout_factor: what kept units are multiplied with.
        n_negatives: per row.
        keep, other: uint64, a table of `rng.alias_table` to draw them by weight; empty: uniformly.
        given: int32, those of some rows of the epoch, from number `given_first` on; empty: the kernel draws.
        own_users: whether users have rows in the table `users`; else their vectors, before dropout, stand in `batch.vectors`,
            and their gradients in `batch.gradients` afterwards.
        batch_size: rows per step; the last step may have fewer.
        kind, settings, cutoff, summed: see `row_losses.RowLoss`.
        euclidean: whether the score is 1 - |u - v|^2 / 2; else it is the inner product of what the tables are scored by.
        l2: added as l2 * row to the gradients.
        rates: see `lazy_adam.rates`, a line per step of the epoch.
        power: see `lazy_adam.powers`.
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
    keep: NDArray[np.uint64]
    other: NDArray[np.uint64]
    given: NDArray[np.int32]
    given_first: int
    own_users: bool
    batch_size: int
    kind: int
    settings: NDArray[np.float32]
    cutoff: np.float32
    summed: bool
    euclidean: bool
    l2: np.float32
    rates: NDArray[np.float64]
    power: NDArray[np.float64]
    steps_before: int


# (arguments, users, items, batch, first step, last step, totals float64 [loss], counts int64 [rows written]) -> steps done
Kernel = Callable[[StepArguments, EmbeddingTable, EmbeddingTable, Batch, int, int, NDArray[np.float64], NDArray[np.int64]], int]


@cache
def kernel_for(width: int, dense: bool) -> Kernel:
    """The training kernel for rows of `width` floats, `dense` for losses in which every negative has a gradient: compiled, or
    read from numba's cache on disk."""
    kernel: Kernel = _build_dense(width, _DENSE) if dense else _build_sparse(width, _SPARSE)
    kind = "dense" if dense else "sparse"
    announce(kernel, f"compiling the {kind} training step for vectors of {width} floats: once on this machine, up to a minute")
    return kernel


# Numbers in the closures are compile-time constants and part of the cache's key; functions there would break it. The number of
# a task is given on as int64: inside a pass it is a uint64, and all that a task calls would be compiled for both.


def _build_sparse(width: int, version: int) -> Any:  # noqa: C901 - one kernel, read from top to bottom
    """The kernel of losses with a cutoff."""

    @compiled(version, width, (StepArguments, EmbeddingTable, Batch), **KERNEL)
    def sparse_steps(arguments, users, items, batch, first, last, totals, counts):  # type: ignore[no-untyped-def]
        if version == 0:  # never: it is here to be part of the cache's key
            return 0
        n_rows, n_items, shift = arguments.items.size, np.uint64(items.last.size), step_passes.shift_of(batch)
        for at in range(first, last):
            start, step, tail = at * arguments.batch_size, arguments.steps_before + at + 1, arguments.rates[at, 2]
            size = min(arguments.batch_size, n_rows - start)
            share, rate = np.float32(1.0 if arguments.summed else 1.0 / size), arguments.rates[at]

            for b in prange(size):
                draw_pair(batch, np.int64(b), arguments, np.uint64(start + b))

            n_users = link_users(batch, size, users.head) if arguments.own_users else 0
            n_work = distinct_positives(batch, size, items.head)
            user_blocks, item_blocks = -(-n_users // BLOCK), -(-n_work // BLOCK)
            for number in prange(user_blocks + item_blocks):
                task = np.int64(number)
                catch_up_task(batch, task, user_blocks, n_users, n_work, users, items, step - 1, tail, arguments.power, width)
            counts[0] += n_users + n_work

            for block in prange(-(-size // USERS)):
                find(batch, np.int64(block), size, np.uint64(start), arguments, users, items, n_items, width)

            n_work = distinct(batch.items, batch.found, size, items.head, batch.work_items)
            for block in prange(-(-n_work // BLOCK)):
                catch_up_block(items, batch.work_items, n_work, np.int64(block), step - 1, tail, arguments.power, width)
            for block in prange(-(-size // USERS)):
                score_block(batch, np.int64(block), size, arguments, items, share, width)
            counts[0] += n_work
            if not add_losses(batch, size, totals, users.head):
                return at - first + 1

            n_work = link_items(batch, size, shift, items.head)
            item_blocks = -(-n_work // BLOCK)
            for number in prange(user_blocks + item_blocks):
                task = np.int64(number)
                update_task(batch, task, user_blocks, n_users, n_work, users, items, shift, step, rate, arguments, width)
            counts[0] += n_users + n_work
        return last - first

    return sparse_steps


def _build_dense(width: int, version: int) -> Any:  # noqa: C901 - one kernel, read from top to bottom
    """The kernel of losses in which every negative has a gradient: nothing is screened, and the passes go item by item."""

    @compiled(version, width, (StepArguments, EmbeddingTable, Batch), **KERNEL)
    def dense_steps(arguments, users, items, batch, first, last, totals, counts):  # type: ignore[no-untyped-def]  # noqa: C901
        if version == 0:
            return 0
        n_rows, n_items, shift = arguments.items.size, np.uint64(items.last.size), step_passes.shift_of(batch)
        for at in range(first, last):
            start, step, tail = at * arguments.batch_size, arguments.steps_before + at + 1, arguments.rates[at, 2]
            size = min(arguments.batch_size, n_rows - start)
            share, rate = np.float32(1.0 if arguments.summed else 1.0 / size), arguments.rates[at]

            for b in prange(size):
                draw_pair(batch, np.int64(b), arguments, np.uint64(start + b))

            n_users = link_users(batch, size, users.head) if arguments.own_users else 0
            user_blocks = -(-n_users // BLOCK)
            for block in prange(user_blocks):
                catch_up_block(users, batch.work_users, n_users, np.int64(block), step - 1, tail, arguments.power, width)
            for block in prange(-(-size // USERS)):
                draw_block(batch, np.int64(block), size, np.uint64(start), arguments, users, n_items, width)

            n_work = order_slots(batch, size, arguments.n_negatives, shift, items.head)
            for block in prange(-(-n_work // BLOCK)):
                score_items(batch, np.int64(block), n_work, arguments, items, shift, step - 1, tail, width)
            for block in prange(-(-size // USERS)):
                gradient_block(batch, np.int64(block), size, arguments, share)
            counts[0] += n_users + n_work
            if not add_losses(batch, size, totals, users.head):
                return at - first + 1

            for bucket in prange(batch.parts.shape[0] // batch.users.size):
                update_bucket(batch, np.int64(bucket), size, n_work, arguments, items, shift, step, rate, width)
            for block in prange(-(-size // USERS)):
                gather_block(batch, np.int64(block), size, arguments, width)
            for block in prange(user_blocks):
                update_users(batch, users, n_users, np.int64(block), step, rate, arguments, width)
            counts[0] += n_users + n_work
        return last - first

    return dense_steps


# Made when the module is read, from the same text: that of a later moment may be of other code than what is in memory.
_SPARSE, _DENSE = fingerprint(_build_sparse), fingerprint(_build_dense)
