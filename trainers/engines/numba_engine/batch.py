"""The kernel's scratch memory for one batch."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trainers.engines.numba_engine.intrinsics import aligned

UPDATE_BLOCK = 32  # rows of a table that one parallel task updates
UPDATE_GROUP = 16  # items of a dense loss that are updated together, so that sums do not wait for Adam
SCORE_BLOCK = 16  # rows of the batch that one parallel task scores


class Batch(NamedTuple):
    """Scratch memory for B rows with N negatives each. Arrays are float32 unless noted.

    `stride` is a power of 2 above N: a row of `items` holds the row's negatives and then its positive. A slot is an entry of
    `items`; its number is b * stride + j.

    Attributes:
        users, positives: int32 (B,), the ids of each row's pair.
        items: int32 (B, stride); the row's negatives that pass the prefilter, then its positive.
        score_gradients: (B, stride), dL/dscore of `items`.
        scores: (B, N + 1), the scores of `items`.
        n_passed: int32 (B,), the number of negatives that pass the prefilter.
        losses: float64 (B,).
        score_gradient_sums: (B,), the sum of a row's score gradients; only for score euclidean.
        vectors: (B, dim), the user vectors for scoring, after dropout.
        norms: (B,), their norms, at least `prefilter.MIN_USER_NORM`.
        codes: int8 (B, dim), the user vectors in multiples of `code_units` (B,).
        zero_offsets: int32 (B,), CODE_ZERO times the sum of a user's codes: item codes are unsigned and have this zero point.
        gradients: (B, dim), dL/d(user vector).
        dropout_factors: (B, dim); (1, 1) without dropout.
        next_user, next_item: int32, linked lists of the rows of a user and of the slots of an item; -1 ends a list.
        work_users, work_items: int32, the distinct ids of a pass.
        item_gradients: (blocks, dim), the item gradient that a task is summing; for dense losses UPDATE_GROUP rows per bucket.
        item_sums: (buckets * UPDATE_GROUP, 2), for dense losses: the sum of the item's score gradients, and 1 if any is not 0.
        starts, slots: int32, for dense losses: the slots of work item i are `slots[starts[i]:starts[i + 1]]`.
        user_gradient_parts: (buckets * B, dim), for dense losses: the contribution of each bucket of items to `gradients`.
    """

    users: NDArray[np.int32]
    positives: NDArray[np.int32]
    items: NDArray[np.int32]
    score_gradients: NDArray[np.float32]
    scores: NDArray[np.float32]
    n_passed: NDArray[np.int32]
    losses: NDArray[np.float64]
    score_gradient_sums: NDArray[np.float32]
    vectors: NDArray[np.float32]
    norms: NDArray[np.float32]
    codes: NDArray[np.int8]
    code_units: NDArray[np.float32]
    zero_offsets: NDArray[np.int32]
    gradients: NDArray[np.float32]
    dropout_factors: NDArray[np.float32]
    next_user: NDArray[np.int32]
    next_item: NDArray[np.int32]
    work_users: NDArray[np.int32]
    work_items: NDArray[np.int32]
    item_gradients: NDArray[np.float32]
    item_sums: NDArray[np.float32]
    starts: NDArray[np.int32]
    slots: NDArray[np.int32]
    user_gradient_parts: NDArray[np.float32]


def stride_bits(count: int) -> int:
    """log2 of the slots per row. They are a power of two, so that a shift gives a slot's row."""
    return count.bit_length()


def n_buckets(size: int) -> int:
    """The number of tasks that update the items of a dense loss: fewer for large batches, since each needs (B, dim) memory."""
    return max(2, min(16, 65_536 // size))


def new_batch(size: int, count: int, dim: int, dropout: bool, n_items: int, dense: bool) -> Batch:
    """Scratch memory for batches of at most `size` rows.

    Args:
        count: negatives per row.
        dense: for losses in which every negative has a gradient.
    """
    stride = 1 << stride_bits(count)
    n_work = min(size * (count + 1), n_items)
    n_grouped = n_buckets(size) * UPDATE_GROUP if dense else 1
    return Batch(
        users=np.zeros(size, np.int32),
        positives=np.zeros(size, np.int32),
        items=np.zeros((size, stride), np.int32),
        score_gradients=np.zeros((size, stride), np.float32),
        scores=np.zeros((size, count + 1), np.float32),
        n_passed=np.zeros(size, np.int32),
        losses=np.zeros(size),
        score_gradient_sums=np.zeros(size, np.float32),
        vectors=aligned((size, dim)),
        norms=np.zeros(size, np.float32),
        codes=aligned((size, dim), np.int8),
        code_units=np.zeros(size, np.float32),
        zero_offsets=np.zeros(size, np.int32),
        gradients=aligned((size, dim)),
        dropout_factors=aligned((size, dim) if dropout else (1, 1)),
        next_user=np.zeros(size, np.int32),
        next_item=np.zeros(1 if dense else size * stride, np.int32),
        work_users=np.zeros(size, np.int32),
        work_items=np.zeros(n_work + 1, np.int32),
        item_gradients=aligned((max(n_work // UPDATE_BLOCK + 1, n_grouped), dim)),
        item_sums=np.zeros((n_grouped, 2), np.float32),
        starts=np.zeros(n_work + 1 if dense else 1, np.int32),
        slots=np.zeros(size * (count + 1) if dense else 1, np.int32),
        user_gradient_parts=aligned((n_buckets(size) * size if dense else 1, dim)),
    )
