"""Ranks of held-out items on the device: blocks of users against all items, seen items masked, ties as on the CPU."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
import triton
import triton.language as tl
from numpy.typing import NDArray
from torch import Tensor

from trainers.data import Interactions
from trainers.engines.triton_engine.step import ROUNDING
from trainers.metrics.ranking import tie_order

BLOCK_SCORES = 2**27  # scores of a block of users, 512 MiB
STRIP = 1024  # scores that are compared together


@triton.jit
def count_better(scores, users, items, tie_ranks, ranks, n_items, k, STRIP: tl.constexpr):
    """The rank of each pair's item: the number of items that rank above it; k at most, and k if its score is not finite.

    Grid (n_pairs,).
    """
    pair = tl.program_id(0)
    item = tl.load(items + pair)
    row = scores + tl.load(users + pair).to(tl.int64) * n_items
    item_score = tl.load(row + item)
    item_tie_rank = tl.load(tie_ranks + item)
    rank = tl.zeros([STRIP], tl.int32)
    for first in range(0, n_items, STRIP):
        j = first + tl.arange(0, STRIP)
        score = tl.load(row + j, mask=j < n_items, other=-float("inf"))
        above, equal = score > item_score, score == item_score
        better = above | (equal & (tl.load(tie_ranks + j, mask=j < n_items, other=0) < item_tie_rank))
        rank += (better & (j < n_items)).to(tl.int32)
    finite = tl.abs(item_score) < float("inf")
    tl.store(ranks + pair, tl.where(finite, tl.minimum(tl.sum(rank, 0), k), k))


class Block(NamedTuple):
    """Some users with held-out items, int64.

    Attributes:
        users: their ids (B,).
        seen_rows, seen_items: their seen pairs; a row is an index in `users`.
        pair_rows, pair_items: their held-out pairs.
    """

    users: Tensor
    seen_rows: Tensor
    seen_items: Tensor
    pair_rows: Tensor
    pair_items: Tensor


class Ranker:
    """Ranks the same held-out pairs for several models.

    Raises:
        torch.OutOfMemoryError: the pairs do not fit on the device.
    """

    def __init__(self, seen: Interactions, held_out: Interactions, device: str) -> None:
        self.n_items, self.device = seen.n_items, device
        self.tie_ranks = torch.from_numpy(tie_order(seen.n_items).astype(np.int32)).to(device)
        users = np.flatnonzero(held_out.per_user)
        size = max(1, BLOCK_SCORES // seen.n_items)
        self.blocks = [self._block(users[first : first + size], seen, held_out) for first in range(0, len(users), size)]

    def _block(self, users: NDArray[np.int64], seen: Interactions, held_out: Interactions) -> Block:
        arrays = users, *_of_users(users, seen), *_of_users(users, held_out)
        return Block(*(torch.from_numpy(array).to(self.device) for array in arrays))

    def ranks(self, user_vectors: Tensor, item_vectors: Tensor, k: int) -> Tensor:
        """Like `trainers.metrics.ranking.held_out_ranks`, int32 (n_pairs,), for vectors (n, d) on the device.

        Results differ only by rounding. The call does not wait for the device.
        """
        return torch.cat([self._ranks(block, user_vectors, item_vectors, k) for block in self.blocks])

    def _ranks(self, block: Block, user_vectors: Tensor, item_vectors: Tensor, k: int) -> Tensor:
        with _exact_products():
            scores = user_vectors[block.users] @ item_vectors.T
        scores[block.seen_rows, block.seen_items] = -torch.inf
        ranks = torch.empty(len(block.pair_rows), dtype=torch.int32, device=self.device)
        pairs = block.pair_rows, block.pair_items
        count_better[(len(ranks),)](scores, *pairs, self.tie_ranks, ranks, self.n_items, k, STRIP=STRIP, **ROUNDING)
        return ranks


@contextmanager
def _exact_products() -> Iterator[None]:
    """Within the block, matrix products are computed in float32, even if the process allows TF32."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def _of_users(users: NDArray[np.int64], pairs: Interactions) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The interactions of some users, in order: indices into `users`, and items."""
    counts = pairs.per_user[users]
    start = np.repeat(pairs.indptr[users] - np.concatenate([[0], np.cumsum(counts)[:-1]]), counts)
    return np.repeat(np.arange(len(users)), counts), pairs.items[start + np.arange(counts.sum())].astype(np.int64)
