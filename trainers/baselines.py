"""Baselines, which are not trained: what any trained model has to beat.

>>> import numpy as np
>>> from trainers import load_dataset, load_test
>>> from trainers.metrics.accuracy import evaluate_lists
>>> from trainers.baselines import ease
>>> train, test = load_dataset("demo").train, load_test("demo")
>>> lists = ease(train).recommend(np.flatnonzero(test.per_user), k=50)
>>> table = evaluate_lists(lists, held_out=test)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import scipy.sparse
import torch
from numpy.typing import NDArray

from trainers.data import Interactions
from trainers.errors import InputError
from trainers.metrics.ranking import Fill, Scorer, best_lists, inner_products, tie_order
from trainers.stopping import ShouldStop, check, never

L2 = 500.0  # a common choice; never tuned here
MAX_ITEMS = 8_000  # n^3 operations, half a minute on one core; 2 n^2 doubles while inverting, 1 GB
GRAM_ROWS = 1_024  # computed together


@dataclass(frozen=True, eq=False)
class Baseline:
    """What scores items for users without having been trained.

    Attributes:
        label: for tables.
        note: how it ranks, and what it leaves out.
        items: ids of the items that it can recommend, ascending, (n,).
        seen: the training interactions with these items; item j of it is `items[j]`.
        tie_ranks: order of these items where scores are equal, (n,).
        score: of these items.
    """

    label: str
    note: str
    items: NDArray[np.int64]
    seen: Interactions
    tie_ranks: NDArray[np.int64]
    score: Scorer

    def recommend(self, users: NDArray[Any], k: int) -> NDArray[np.int32]:
        """Each user's k best unseen items, in the form and order of `trainers.recommend`: int32 (len(users), k).

        Raises:
            InputError: user ids that do not exist, or k below 1.
        """
        lists = best_lists(self.score, self.seen, users, k, self.tie_ranks)
        return np.append(self.items, -1)[lists].astype(np.int32)  # -1 stays -1


def most_popular(seen: Interactions, should_stop: ShouldStop = never) -> Baseline:
    """Ranks items by their number of training interactions, the same for every user but for what the user has seen."""
    score = inner_products(np.ones((seen.n_users, 1)), seen.per_item[:, None])
    items = np.arange(seen.n_items)
    return Baseline("MostPop", "most training interactions first", items, seen, tie_order(seen.n_items), score)


def ease(seen: Interactions, l2: float = L2, max_items: int = MAX_ITEMS, should_stop: ShouldStop = never) -> Baseline:
    """EASE^R (Steck, WWW 2019, arXiv 1905.03375): the linear item-to-item model with zero diagonal, in closed form.

    With X (n_users, n_items) binary and P = (X'X + l2 I)^-1, the weights are B_ij = -P_ij / P_jj, B_jj = 0, and a user's scores
    are the user's row of X B. Inverted in float64, whose rounding may depend on the number of threads; scored in float32.

    Above `max_items` items it is the same model of the most popular ones only: interactions with others do not count and
    others are never recommended. The label says so, and it costs accuracy: on Gowalla's test split (40,981 items) recall@20 is
    .119, .137 and .152 with 4,000, 8,000 and 16,000 items.

    Args:
        seen: the training interactions.
        l2: of the weights, > 0.
        max_items: time grows with its cube, memory with its square.
        should_stop: asked between the steps of the computation, the longest of which takes about 15 seconds on one core.

    Raises:
        InputError: l2 not above 0, or max_items below 1.
        Stopped: see `should_stop`.
    """
    if not (l2 > 0.0 and math.isfinite(l2)):
        raise InputError(f"l2 must be a number above 0, got {l2}; {L2:g} is the default")
    if max_items < 1:
        raise InputError(f"max_items must be at least 1, got {max_items}")
    tie_ranks = tie_order(seen.n_items)
    items = np.sort(np.lexsort((tie_ranks, -seen.per_item))[:max_items])
    label, note = "EASE", f"closed form, l2 {l2:g}, untuned"
    if len(items) < seen.n_items:
        kept = _restricted(seen, items)
        label += f", {len(items):,} most popular items"
        note += f"; knows {len(kept) / max(len(seen), 1):.0%} of the training interactions, recommends no other items"
        seen = kept
    return Baseline(label, note, items, seen, tie_ranks[items], _linear(seen, _weights(seen, l2, should_stop)))


def _restricted(seen: Interactions, items: NDArray[np.int64]) -> Interactions:
    """The interactions with `items`, numbered by their index in it."""
    number = np.full(seen.n_items, -1)
    number[items] = np.arange(len(items))
    known = number[seen.items] >= 0
    return Interactions.from_pairs(seen.users[known], number[seen.items[known]], seen.n_users, len(items))


def _matrix(seen: Interactions) -> scipy.sparse.csr_array[Any]:
    """X, float32 (n_users, n_items)."""
    return scipy.sparse.csr_array((np.ones(len(seen), np.float32), seen.items, seen.indptr), (seen.n_users, seen.n_items))


def _weights(seen: Interactions, l2: float, should_stop: ShouldStop) -> NDArray[np.float32]:
    """B of EASE^R, (n_items, n_items)."""
    by_user, n_items = _matrix(seen), seen.n_items
    by_item = by_user.T.tocsr()
    gram = torch.empty(n_items, n_items, dtype=torch.float64)
    for first in range(0, n_items, GRAM_ROWS):  # whole and sparse, it could take more memory than dense
        check(should_stop)
        rows = (by_item[first : first + GRAM_ROWS] @ by_user).toarray()
        gram[first : first + GRAM_ROWS] = torch.from_numpy(rows)
    gram.diagonal().add_(l2)
    check(should_stop)
    gram = torch.linalg.cholesky(gram)  # in two steps, so that two matrices are held at a time
    check(should_stop)
    inverse = torch.cholesky_inverse(gram)
    del gram
    inverse /= -inverse.diagonal().clone()
    inverse.fill_diagonal_(0.0)
    check(should_stop)
    return inverse.to(torch.float32, memory_format=torch.contiguous_format).numpy()  # row by row, as a sparse product reads it


def _linear(seen: Interactions, weights: NDArray[np.float32]) -> Scorer:
    """Scores X B."""
    history = _matrix(seen)

    def score(users: NDArray[np.int64]) -> Fill:
        rows = torch.from_numpy(history[users] @ weights)

        def fill(first: int, tile: torch.Tensor) -> None:
            part = rows[:, first : first + tile.shape[1]]
            tile[: part.shape[0], : part.shape[1]] = part

        return fill

    return score


class MakeBaseline(Protocol):
    """A line of the table `BASELINES`."""

    def __call__(self, seen: Interactions, *, should_stop: ShouldStop = ...) -> Baseline: ...


BASELINES: dict[str, MakeBaseline] = {"most_popular": most_popular, "ease": ease}
