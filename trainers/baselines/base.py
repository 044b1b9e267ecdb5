"""Base class of baselines: settings that are fitted to interactions, and the resulting ranking."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse
import torch
from numpy.typing import NDArray

from trainers.data import Interactions
from trainers.metrics.ranking import Fill, Scorer, best_lists, tie_order
from trainers.stopping import ShouldStop, never

Sparse = scipy.sparse.csr_array
Weights = NDArray[np.float32] | Sparse[Any]


@dataclass(frozen=True, eq=False)
class Ranking:
    """Scores of items for users.

    Attributes:
        label: its name in tables.
        note: its method and limits, in words.
        items: ids of the items that it can recommend, ascending, (n,).
        seen: the training interactions with these items; its item j is `items[j]`.
        tie_ranks: order of these items if scores are equal, (n,).
        score: the scores of these items.
    """

    label: str
    note: str
    items: NDArray[np.int64]
    seen: Interactions
    tie_ranks: NDArray[np.int64]
    score: Scorer

    @classmethod
    def of_all_items(cls, label: str, note: str, seen: Interactions, score: Scorer) -> Ranking:
        """A ranking that can recommend every item."""
        return cls(label, note, np.arange(seen.n_items), seen, tie_order(seen.n_items), score)

    def recommend(self, users: NDArray[Any], k: int) -> NDArray[np.int32]:
        """Each user's k best unseen items, in the form and order of `trainers.recommend`: int32 (len(users), k).

        Raises:
            InputError: user ids that do not exist, or k below 1.
        """
        lists = best_lists(self.score, self.seen, users, k, self.tie_ranks)
        return np.append(self.items, -1)[lists].astype(np.int32)  # -1 stays -1


class Baseline(ABC):
    """A method without gradient descent, as frozen settings.

    Attributes:
        name: its key in `BASELINES` and in files.
    """

    name: str

    @abstractmethod
    def fit(self, seen: Interactions, should_stop: ShouldStop = never) -> Ranking:
        """Fit to training interactions; returns the ranking of unseen items.

        Args:
            seen: the training interactions.
            should_stop: checked between steps of the computation.

        Raises:
            Stopped: `should_stop` returned true.
        """

    def memory(self, n_items: int) -> float:
        """The bytes that `fit` needs in addition to the data, for `n_items` items; 0 if they are few."""
        return 0.0


def matrix(seen: Interactions) -> Sparse[Any]:
    """X, float32 (n_users, n_items): 1 for each training interaction."""
    return scipy.sparse.csr_array((np.ones(len(seen), np.float32), seen.items, seen.indptr), (seen.n_users, seen.n_items))


def item_to_item(seen: Interactions, weights: Weights) -> Scorer:
    """Scores X B, for weights B (n_items, n_items), dense or sparse."""
    history = matrix(seen)

    def score(users: NDArray[np.int64]) -> Fill:
        product = history[users] @ weights
        rows = torch.from_numpy(product.toarray() if scipy.sparse.issparse(product) else product)

        def fill(first: int, tile: torch.Tensor) -> None:
            part = rows[:, first : first + tile.shape[1]]
            tile[: part.shape[0], : part.shape[1]] = part

        return fill

    return score
