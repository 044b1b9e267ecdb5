"""The kernel's scratch memory for one batch."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trainers.engines.cpu.low import aligned

BLOCK = 32  # rows that one parallel task updates
USERS = 16  # rows of the batch that one parallel task scores


class Batch(NamedTuple):
    """Scratch for B rows with N negatives each. A row's slot N or earlier holds its positive item, after the negatives found.

    Attributes:
        users, positives: int32 (B,).
        items: int32 (B, stride); the row's negatives that do not lie below the cutoff, then its positive.
        slopes: (B, stride), d loss / d score of `items`.
        scores: (B, N).
        found: int32 (B,), how many negatives were found.
        losses: float64 (B,).
        pulls: (B,), the sum of a row's slopes, for score euclidean.
        vectors: (B, dim), the users' vectors as they are scored, after dropout.
        sizes: (B,), their norms.
        codes: int8 (B, dim), the users' vectors in multiples of `steps` (B,).
        zeros: int32 (B,), what a user's codes give with an item's codes that stand for zeros.
        gradients: (B, dim), of `vectors`.
        keep: (B, dim), dropout factors; (1, 1) without dropout.
        next_user, next_item: int32, linked lists of the rows of a user and of the slots of an item.
        work_users, work_items: int32, ids without repetition.
        sums: (blocks, dim), the item gradient that a task is summing.
    """

    users: NDArray[np.int32]
    positives: NDArray[np.int32]
    items: NDArray[np.int32]
    slopes: NDArray[np.float32]
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


def stride_bits(count: int) -> int:
    """Slots per row are a power of two, so that a slot's row is a shift away."""
    return count.bit_length()


def new_batch(size: int, count: int, dim: int, dropout: bool, n_items: int) -> Batch:
    """Scratch for batches of at most `size` rows."""
    stride = 1 << stride_bits(count)
    n_work = min(size * (count + 1), n_items)
    return Batch(
        users=np.zeros(size, np.int32),
        positives=np.zeros(size, np.int32),
        items=np.zeros((size, stride), np.int32),
        slopes=np.zeros((size, stride), np.float32),
        scores=np.zeros((size, count), np.float32),
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
        next_item=np.zeros(size * stride, np.int32),
        work_users=np.zeros(size, np.int32),
        work_items=np.zeros(n_work + 1, np.int32),
        sums=aligned((n_work // BLOCK + 1, dim)),
    )
