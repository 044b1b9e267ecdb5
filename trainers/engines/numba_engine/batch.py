"""The kernel's scratch memory for one batch."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trainers.engines.numba_engine.intrinsics import aligned

BLOCK = 32  # rows that one parallel task updates
USERS = 16  # rows of the batch that one parallel task scores


class Batch(NamedTuple):
    """Scratch for B rows with N negatives each. A row's slot N or earlier holds its positive item, after the negatives found.

    Attributes:
        users, positives: int32 (B,).
        items: int32 (B, stride); the row's negatives that do not lie below the cutoff, then its positive.
        score_gradients: (B, stride), d loss / d score of `items`.
        scores: (B, N + 1); after those of the negatives found, the positive's.
        found: int32 (B,), how many negatives were found.
        losses: float64 (B,).
        pulls: (B,), the sum of a row's score gradients, for score euclidean.
        vectors: (B, dim), the users' vectors as they are scored, after dropout.
        sizes: (B,), their norms, at least `prefilter.SHORTEST`.
        codes: int8 (B, dim), the users' vectors in multiples of `steps` (B,).
        zeros: int32 (B,), what a user's codes give with an item's codes that stand for zeros.
        gradients: (B, dim), of `vectors`.
        keep: (B, dim), dropout factors; (1, 1) without dropout.
        next_user, next_item: int32, linked lists of the rows of a user and of the slots of an item.
        work_users, work_items: int32, ids without repetition.
        sums: (blocks, dim), the item gradient that a task is summing.
        starts, slots: int32, of dense losses: the slots of work item i are `slots[starts[i]:starts[i + 1]]`.
        parts: (buckets * B, dim), of dense losses: what each bucket of items adds to `gradients`.
    """

    users: NDArray[np.int32]
    positives: NDArray[np.int32]
    items: NDArray[np.int32]
    score_gradients: NDArray[np.float32]
    scores: NDArray[np.float32]
    found: NDArray[np.int32]
    losses: NDArray[np.float64]
    pulls: NDArray[np.float32]
    vectors: NDArray[np.float32]
    sizes: NDArray[np.float32]
    codes: NDArray[np.int8]
    steps: NDArray[np.float32]
    zeros: NDArray[np.int32]
    gradients: NDArray[np.float32]
    keep: NDArray[np.float32]
    next_user: NDArray[np.int32]
    next_item: NDArray[np.int32]
    work_users: NDArray[np.int32]
    work_items: NDArray[np.int32]
    sums: NDArray[np.float32]
    starts: NDArray[np.int32]
    slots: NDArray[np.int32]
    parts: NDArray[np.float32]


def stride_bits(count: int) -> int:
    """Slots per row are a power of two, so that a slot's row is a shift away."""
    return count.bit_length()


def n_buckets(size: int) -> int:
    """How many tasks update the items of a dense loss: fewer of large batches, since each has gradients of its own."""
    return max(2, min(16, 65_536 // size))


def new_batch(size: int, count: int, dim: int, dropout: bool, n_items: int, dense: bool) -> Batch:
    """Scratch for batches of at most `size` rows; `dense` for losses in which every negative has a gradient."""
    stride = 1 << stride_bits(count)
    n_work = min(size * (count + 1), n_items)
    return Batch(
        users=np.zeros(size, np.int32),
        positives=np.zeros(size, np.int32),
        items=np.zeros((size, stride), np.int32),
        score_gradients=np.zeros((size, stride), np.float32),
        scores=np.zeros((size, count + 1), np.float32),
        found=np.zeros(size, np.int32),
        losses=np.zeros(size),
        pulls=np.zeros(size, np.float32),
        vectors=aligned((size, dim)),
        sizes=np.zeros(size, np.float32),
        codes=aligned((size, dim), np.int8),
        steps=np.zeros(size, np.float32),
        zeros=np.zeros(size, np.int32),
        gradients=aligned((size, dim)),
        keep=aligned((size, dim) if dropout else (1, 1)),
        next_user=np.zeros(size, np.int32),
        next_item=np.zeros(1 if dense else size * stride, np.int32),
        work_users=np.zeros(size, np.int32),
        work_items=np.zeros(n_work + 1, np.int32),
        sums=aligned((max(n_work // BLOCK + 1, n_buckets(size)), dim)),
        starts=np.zeros(n_work + 1 if dense else 1, np.int32),
        slots=np.zeros(size * (count + 1) if dense else 1, np.int32),
        parts=aligned((n_buckets(size) * size if dense else 1, dim)),
    )
