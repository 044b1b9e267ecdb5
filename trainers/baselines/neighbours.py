"""Baselines from neighbouring items: item kNN and RP3beta. Both score X W with sparse item-to-item weights W."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from trainers.baselines.base import Baseline, Ranking, Sparse, item_to_item, matrix
from trainers.data import Interactions
from trainers.stopping import ShouldStop, check, never
from trainers.validation import SETTINGS, Count, NonNegative, Switch

ENTRIES = 4_000_000  # of the item-to-item matrix that are computed together, about 35 bytes each


@dataclasses.dataclass(frozen=True)
class Entries:
    """Entries of a sparse matrix, three arrays (n,)."""

    rows: NDArray[np.int64]
    columns: NDArray[np.int32]
    values: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class RP3beta(Baseline):
    """A random walk from user to item to user to item, with less weight on popular items (Paudel et al., ACM TiiS 7(1), 2017).

    With P_ui and P_iu the transition probabilities from users to items and back, each raised to the power alpha, and n_j the
    number of users of item j, the weight of j for i is W_ij = sum_u P_iu[i, u] P_ui[u, j] / n_j^beta. Each item i
    keeps its k largest weights, without W_ii. The scores of a user are the user's row of X W. The program of Ferrari Dacrema
    et al. (RecSys 2019) also keeps only the k largest weights of each column. This matters for given settings, and hardly after
    tuning.

    Attributes:
        k: number of neighbours of an item.
        alpha: exponent of the probabilities.
        beta: exponent of popularity.
        normalise: whether each row of W is divided by its sum.
    """

    name: Literal["rp3beta"] = "rp3beta"
    k: Count = 100
    alpha: NonNegative = 1.0
    beta: NonNegative = 0.6
    normalise: Switch = False

    def fit(self, seen: Interactions, should_stop: ShouldStop = never) -> Ranking:
        by_user = matrix(seen)
        to_items = _scaled_rows(by_user, _power(seen.per_user, -self.alpha))
        to_users = _scaled_rows(scipy.sparse.csr_array(by_user.T), _power(seen.per_item, -self.alpha))
        penalty = _power(seen.per_item, -self.beta)
        weights = _neighbours(to_users, to_items, self.k, lambda each: each.values * penalty[each.columns], should_stop)
        if self.normalise:
            sums = weights.sum(axis=1)
            weights = _scaled_rows(weights, np.divide(1.0, sums, out=np.zeros_like(sums), where=sums > 0))
        rows = ", rows of sum 1" if self.normalise else ""
        note = f"random walk of three steps, k {self.k}, alpha {self.alpha:.3g}, beta {self.beta:.3g}{rows}"
        return Ranking.of_all_items("RP3beta", note, seen, item_to_item(seen, weights))


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class ItemKNN(Baseline):
    """An item's score is the sum of its similarities to the items of the user (Sarwar et al., WWW 2001).

    Only the k most similar items count. If items i and j have n_i and n_j users, c_ij of them in common, the similarity is
    c_ij / (sqrt(n_i n_j) + shrinkage) for `cosine`, and c_ij / (1 + shrinkage) for `dot`; for `dot`, shrinkage does not change
    the ranking.

    Attributes:
        k: number of neighbours of an item.
        shrinkage: reduces the similarity of rare items.
    """

    name: Literal["item_knn"] = "item_knn"
    k: Count = 100
    similarity: Literal["cosine", "dot"] = "cosine"
    shrinkage: NonNegative = 0.0

    def fit(self, seen: Interactions, should_stop: ShouldStop = never) -> Ranking:
        by_user = matrix(seen)
        by_item = scipy.sparse.csr_array(by_user.T)
        roots = np.sqrt(seen.per_item).astype(np.float32)
        shrinkage = np.float32(self.shrinkage)

        def similar(entries: Entries) -> NDArray[np.float32]:
            own = roots[entries.rows] * roots[entries.columns] if self.similarity == "cosine" else np.float32(1.0)
            return entries.values / (own + shrinkage)

        neighbours = _neighbours(by_item, by_user, self.k, similar, should_stop)  # row j: the neighbours of item j
        weights = scipy.sparse.csr_array(neighbours.T)
        note = f"{self.similarity}, k {self.k}, shrinkage {self.shrinkage:.3g}"
        return Ranking.of_all_items("ItemKNN", note, seen, item_to_item(seen, weights))


def _neighbours(
    left: Sparse[Any], right: Sparse[Any], k: int, change: Callable[[Entries], NDArray[np.float32]], should_stop: ShouldStop
) -> Sparse[Any]:
    """The k largest positive entries of each row of change(left @ right), without the diagonal.

    Args:
        change: the new value of each entry (n,).
    """
    counts, columns, values = [0], list[NDArray[np.int32]](), list[NDArray[np.float32]]()
    for first, last in _blocks(left, right):
        check(should_stop)
        product = scipy.sparse.csr_array(left[first:last] @ right)
        product.sort_indices()
        rows = first + np.repeat(np.arange(product.shape[0]), np.diff(product.indptr))
        changed = change(Entries(rows, product.indices, product.data))
        changed[rows == product.indices] = 0.0
        for start, end in pairwise(product.indptr):
            kept = start + _largest(changed[start:end], k)
            counts.append(len(kept))
            columns.append(product.indices[kept])
            values.append(changed[kept])
    if not values:
        return scipy.sparse.csr_array(np.zeros((left.shape[0], right.shape[1]), np.float32))
    parts = np.concatenate(values), np.concatenate(columns), np.cumsum(counts)
    return scipy.sparse.csr_array(parts, (left.shape[0], right.shape[1]))


def _blocks(left: Sparse[Any], right: Sparse[Any]) -> Iterator[tuple[int, int]]:
    """Ranges of rows of left @ right with at most ENTRIES entries, or with a single row."""
    per_row = left.astype(bool).astype(np.int64) @ np.diff(right.indptr).astype(np.int64)  # without entries at the same place
    until = np.cumsum(np.minimum(per_row, right.shape[1]))
    first = 0
    while first < len(until):
        before = until[first - 1] if first else 0
        last = max(first + 1, int(np.searchsorted(until, before + ENTRIES, side="right")))
        yield first, last
        first = last


def _largest(values: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """The indices of the k largest positive values, ascending; among equal values the first ones."""
    kept = np.flatnonzero(values > 0)
    if len(kept) > k:
        lowest = np.partition(values[kept], len(kept) - k)[len(kept) - k]
        above, equal = kept[values[kept] > lowest], kept[values[kept] == lowest]
        kept = np.sort(np.concatenate([above, equal[: k - len(above)]]))
    return kept


def _scaled_rows(rows: Sparse[Any], factors: NDArray[Any]) -> Sparse[Any]:
    """A matrix with each row multiplied by its factor."""
    data = rows.data * np.repeat(factors, np.diff(rows.indptr)).astype(np.float32)
    return scipy.sparse.csr_array((data, rows.indices, rows.indptr), rows.shape)


def _power(counts: NDArray[np.int64], exponent: float) -> NDArray[np.float32]:
    """counts ** exponent; 0 for a count of 0."""
    return np.where(counts > 0, np.maximum(counts, 1).astype(np.float64) ** exponent, 0.0).astype(np.float32)
