"""EASE^R: a linear item-to-item model in closed form."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from trainers.baselines.base import Baseline, Ranking, item_to_item, matrix
from trainers.data import Interactions
from trainers.metrics.ranking import tie_order
from trainers.stopping import ShouldStop, check, never
from trainers.validation import SETTINGS, Count, Positive

GRAM_ROWS = 1_024  # rows of X'X that are computed together


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class EASE(Baseline):
    """EASE^R (Steck, WWW 2019, arXiv 1905.03375): the linear item-to-item model with zero diagonal.

    With X (n_users, n_items) binary and P = (X'X + l2 I)^-1, the weights are B_ij = -P_ij / P_jj, B_jj = 0, and the
    scores of a user are the user's row of X B. P is computed in float64; its rounding may depend on the number of threads.
    Scores are float32.

    With more than `max_items` items, the model covers only the most popular ones: it ignores interactions with other items, and
    never recommends them. The label says so. This costs accuracy: on Gowalla's test split (40,981 items) recall@20 is
    .119, .137 and .152 with 4,000, 8,000 and 16,000 items.

    Attributes:
        l2: weight of the squared weights; 500 is common.
        max_items: largest number of items. Time grows with its cube, memory with its square; 8,000 items take half a minute on
            one core, and 1 GB.
    """

    name: Literal["ease"] = "ease"
    l2: Positive = 500.0
    max_items: Count = 8_000

    def fit(self, seen: Interactions, should_stop: ShouldStop = never) -> Ranking:
        tie_ranks = tie_order(seen.n_items)
        items = np.sort(np.lexsort((tie_ranks, -seen.per_item))[: self.max_items])
        label, note = "EASE", f"closed form, l2 {self.l2:g}, untuned"
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
    """B of EASE^R, (n_items, n_items)."""
    by_user, n_items = matrix(seen), seen.n_items
    by_item = by_user.T.tocsr()
    gram = torch.empty(n_items, n_items, dtype=torch.float64)
    for first in range(0, n_items, GRAM_ROWS):  # the whole sparse product may take more memory than a dense one
        check(should_stop)
        rows = (by_item[first : first + GRAM_ROWS] @ by_user).toarray()
        gram[first : first + GRAM_ROWS] = torch.from_numpy(rows)
    gram.diagonal().add_(l2)
    check(should_stop)
    gram = torch.linalg.cholesky(gram)  # in two steps, so that at most two matrices are in memory
    check(should_stop)
    inverse = torch.cholesky_inverse(gram)
    del gram
    inverse /= -inverse.diagonal().clone()
    inverse.fill_diagonal_(0.0)
    check(should_stop)
    return inverse.to(torch.float32, memory_format=torch.contiguous_format).numpy()  # row-major, for sparse products
