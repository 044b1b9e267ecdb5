"""EASE^R: a linear item-to-item model in closed form."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from trainers.baselines.base import Baseline, Ranking, item_to_item, matrix
from trainers.data import Interactions
from trainers.errors import InputError
from trainers.metrics.ranking import tie_order
from trainers.stopping import ShouldStop, check, never
from trainers.validation import SETTINGS, Count, Positive

ROWS, GRAM_ROWS = 512, 128  # rows of X'X that are computed together
EXTRA = 6 * ROWS  # floats for each item beside the matrix, measured as the peak of a process with 8,000 and 12,000 items


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class EASE(Baseline):
    """EASE^R (Steck, WWW 2019, arXiv 1905.03375): the linear item-to-item model with zero diagonal.

    With X (n_users, n_items) binary and P = (X'X + l2 I)^-1, the weights are B_ij = -P_ij / P_jj, B_jj = 0, and the
    scores of a user are the user's row of X B. Computed in float32; the rounding may depend on the number of threads.

    With more than `max_items` items, the model covers only the most popular ones: it ignores interactions with other items, and
    never recommends them. The label says so. This costs accuracy: on Gowalla's test split (40,981 items) recall@20 is
    .119, .137 and .152 with 4,000, 8,000 and 16,000 items.

    Attributes:
        l2: weight of the squared weights; 500 is common.
        max_items: largest number of items. Time grows with its cube, memory with its square, see `memory`.

    `fit` raises InputError if the l2 is too small for the matrix to be inverted in float32.
    """

    name: Literal["ease"] = "ease"
    l2: Positive = 500.0
    max_items: Count = 8_000

    def memory(self, n_items: int) -> float:
        n = min(n_items, self.max_items)
        return 4.0 * n * (n + EXTRA)

    @staticmethod
    def items_within(memory: float) -> int:
        """The largest number of items for which `fit` needs at most `memory` bytes."""
        return int(math.sqrt(EXTRA**2 + memory) - EXTRA) // 2

    def fit(self, seen: Interactions, should_stop: ShouldStop = never) -> Ranking:
        tie_ranks = tie_order(seen.n_items)
        items = np.sort(np.lexsort((tie_ranks, -seen.per_item))[: self.max_items])
        label, note = "EASE", f"closed form, l2 {self.l2:.4g}"
        if len(items) < seen.n_items:
            kept = _restricted(seen, items)
            label += f", {len(items):,} most popular items"
            note += f"; knows {len(kept) / max(len(seen), 1):.0%} of the training interactions, recommends no other items"
            seen = kept
        return Ranking(label, note, items, seen, tie_ranks[items], item_to_item(seen, _weights(seen, self.l2, should_stop)))


def _restricted(seen: Interactions, items: NDArray[np.int64]) -> Interactions:
    """The interactions with `items`, numbered by their index in it."""
    number = np.full(seen.n_items, -1)
    number[items] = np.arange(len(items))
    known = number[seen.items] >= 0
    return Interactions.from_pairs(seen.users[known], number[seen.items[known]], seen.n_users, len(items))


def _weights(seen: Interactions, l2: float, should_stop: ShouldStop) -> NDArray[np.float32]:
    """B of EASE^R, (n_items, n_items).

    Raises:
        InputError: an l2 that is too small for float32.
    """
    by_user, n_items = matrix(seen), seen.n_items
    by_item = by_user.T.tocsr()
    weights = torch.empty(n_items, n_items)
    for first in range(0, n_items, GRAM_ROWS):  # whole and sparse, it could take more memory than dense
        check(should_stop)
        rows = (by_item[first : first + GRAM_ROWS] @ by_user).toarray()
        weights[first : first + GRAM_ROWS] = torch.from_numpy(rows)
    weights.diagonal().add_(l2)
    if not _invert(weights, should_stop):
        raise InputError(f"l2 must be large enough for float32, got {l2:g} with {n_items:,} items; raise it")
    weights /= -weights.diagonal().clone()
    weights.fill_diagonal_(0.0)
    return weights.numpy()


def _invert(m: torch.Tensor, should_stop: ShouldStop) -> bool:
    """Replace a symmetric positive definite matrix by minus its inverse; false if rounding makes it indefinite.

    It sweeps blocks of rows (Goodnight, The American Statistician 33(3), 1979): no second matrix is needed, and a signal waits
    for one block only. LAPACK's inversion through PyTorch needs a second matrix and cannot be stopped. At l2 1 no weight is off
    by more than 1e-5 of the largest one on the most popular 3,000 items of Last.fm and 10,000 of Gowalla, and no list of 20
    changes. On those 3,000 of ml-1m, whose users have more items, it is 4e-5, and 1 % of the lists have another order.
    """
    blocks = [slice(first, min(first + ROWS, len(m))) for first in range(0, len(m), ROWS)]
    for k in blocks:  # below the diagonal; what is above it is not looked at
        triangle, failed = torch.linalg.cholesky_ex(m[k, k].double())
        if failed:
            return False
        pivot = torch.cholesky_inverse(triangle).float()
        column = torch.cat([m[k, : k.stop].T, m[k.stop :, k]])
        product = column @ pivot
        for rows in blocks:
            check(should_stop)
            m[rows, : rows.stop].addmm_(product[rows], column[: rows.stop].T, alpha=-1.0)
        m[k, : k.stop] = product[: k.stop].T
        m[k.stop :, k] = product[k.stop :]
        m[k, k] = -pivot
    for rows in blocks:
        check(should_stop)
        m[rows, rows.stop :] = m[rows.stop :, rows].T
    return True
