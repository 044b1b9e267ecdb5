"""All-item ranking metrics: recall@k and NDCG@k, from vectors or from lists of recommended items."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, overload

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trainers.data import Interactions
from trainers.errors import InputError
from trainers.metrics.ranking import check_vectors, held_out_ranks

Columns = dict[str, NDArray[np.float64]]


@overload
def evaluate(
    user_vectors: NDArray[Any],
    item_vectors: NDArray[Any],
    *,
    seen: Interactions,
    held_out: Interactions,
    ks: Sequence[int] = ...,
    per_user: Literal[False] = ...,
) -> dict[str, float]: ...


@overload
def evaluate(
    user_vectors: NDArray[Any],
    item_vectors: NDArray[Any],
    *,
    seen: Interactions,
    held_out: Interactions,
    ks: Sequence[int] = ...,
    per_user: Literal[True],
) -> pd.DataFrame: ...


def evaluate(
    user_vectors: NDArray[Any],
    item_vectors: NDArray[Any],
    *,
    seen: Interactions,
    held_out: Interactions,
    ks: Sequence[int] = (20, 50),
    per_user: bool = False,
) -> dict[str, float] | pd.DataFrame:
    """Rank all items by inner product for every user with a held-out item.

    recall@k = hits / |held out|; NDCG@k has binary gains and its ideal over min(|held out|, k). Items in `seen` are not
    recommended. Equal scores are ordered by one fixed permutation of the items: lowest id first would favour low ids.

    Args:
        user_vectors: (n_users, d).
        item_vectors: (n_items, d).
        seen, held_out: with the same ids.
        ks: cut-offs, each >= 1.
        per_user: return one row per user with a held-out item instead of means.

    Returns:
        `{"recall@20": ..., "ndcg@20": ..., ...}`, or a DataFrame with these columns, indexed by user id.

    Raises:
        InputError: shapes that do not fit, vectors that are not finite, no held-out pair, or a cut-off below 1.
    """
    check_held_out(seen, held_out)
    check_vectors(user_vectors, item_vectors, seen)
    _check_cut_offs(ks)
    ranks = held_out_ranks(user_vectors, item_vectors, seen, held_out, max(ks))
    return _by_user(_columns(ranks, held_out, ks), held_out) if per_user else metrics_of_ranks(ranks, held_out, ks)


def metrics_of_ranks(ranks: NDArray[np.int64], held_out: Interactions, ks: Sequence[int]) -> dict[str, float]:
    """Means over the users with a held-out item, given the rank of every held-out pair, (n_pairs,), max(ks) for a miss."""
    return {name: float(values.mean()) for name, values in _columns(ranks, held_out, ks).items()}


def evaluate_lists(lists: NDArray[Any], *, held_out: Interactions, ks: Sequence[int] = (20, 50)) -> pd.DataFrame:
    """As `evaluate(..., per_user=True)`, for lists made by any means: `recommend`, a baseline, another library.

    Args:
        lists: item ids (n, k), best first, one row per user with a held-out item, ascending; -1 for none. k >= max(ks).
        held_out, ks: as for `evaluate`. That no list holds a seen item is up to the caller.

    Returns:
        A row per user with a held-out item, columns as those of `evaluate`; its `.mean()` is what papers report.

    Raises:
        InputError: lists of another shape, unknown items, no held-out pair, or a cut-off below 1 or above k.
    """
    _check_cut_offs(ks)
    if lists.shape[-1] < max(ks):
        raise InputError(f"lists must be as long as the largest cut-off, {max(ks)}, got {lists.shape[-1]}")
    return _by_user(_columns(list_ranks(lists, held_out), held_out, ks), held_out)


def check_held_out(seen: Interactions, held_out: Interactions) -> None:
    """Raise InputError unless both have the same ids and there is a held-out pair."""
    if (held_out.n_users, held_out.n_items) != (seen.n_users, seen.n_items):
        raise InputError(
            f"seen and held_out must have the same ids, got {seen.n_users} x {seen.n_items} and "
            f"{held_out.n_users} x {held_out.n_items} users x items"
        )
    _check_not_empty(held_out)


def _check_not_empty(held_out: Interactions) -> None:
    if not len(held_out):
        raise InputError("there is nothing to evaluate on: held_out has no pairs")


def _check_cut_offs(ks: Sequence[int]) -> None:
    if not ks or min(ks) < 1:
        raise InputError(f"cut-offs must be at least 1, got {list(ks)}")


def list_ranks(lists: NDArray[Any], held_out: Interactions) -> NDArray[np.int64]:
    """Rank (from 0) of every held-out pair in its user's list, (n_pairs,); k when not in it.

    Args:
        lists: as for `evaluate_lists`.

    Raises:
        InputError: lists of another shape, unknown items, or no held-out pair.
    """
    _check_not_empty(held_out)
    users = np.flatnonzero(held_out.per_user)
    if lists.ndim != 2 or len(lists) != len(users) or lists.dtype.kind not in "iu":
        raise InputError(
            f"lists must hold whole numbers, ({len(users)}, k) with a row per user with a held-out item, "
            f"got {lists.dtype} {lists.shape}"
        )
    if lists.size and not -1 <= lists.min() <= lists.max() < held_out.n_items:
        raise InputError(
            f"item ids must lie between 0 and {held_out.n_items - 1}, or be -1, got {lists.min()} to {lists.max()}"
        )
    row, rank = np.nonzero(lists >= 0)
    index = held_out.indices_of(users[row], lists[row, rank])
    hit = index < len(held_out)
    ranks = np.full(len(held_out), lists.shape[1], np.int64)
    ranks[index[hit]] = rank[hit]
    return ranks


def discount(ranks: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
    """Gain of a hit at each rank (from 0): 1 / log2(rank + 2)."""
    return np.asarray(1.0 / np.log2(ranks + 2.0))


def ideal_dcg(n_held_out: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    """DCG@k of a list that begins with all the held-out items, for each number of them."""
    return np.concatenate([[0.0], np.cumsum(discount(np.arange(k)))])[np.minimum(n_held_out, k)]


def _columns(ranks: NDArray[np.int64], held_out: Interactions, ks: Sequence[int]) -> Columns:
    """All metrics of the users with a held-out item, each (n,)."""
    users = np.flatnonzero(held_out.per_user)
    return {name: values for k in ks for name, values in _metrics_at(k, ranks, held_out, users).items()}


def _by_user(columns: Columns, held_out: Interactions) -> pd.DataFrame:
    return pd.DataFrame(columns, index=pd.Index(np.flatnonzero(held_out.per_user), name="user"))


def _metrics_at(k: int, ranks: NDArray[np.int64], held_out: Interactions, users: NDArray[np.int64]) -> Columns:
    """Per-user recall@k and NDCG@k, each (len(users),)."""
    hit = ranks < k
    gains = np.where(hit, discount(np.minimum(ranks, k)), 0.0)
    n_held_out = held_out.per_user[users]
    starts = held_out.indptr[users]
    return {
        f"recall@{k}": np.add.reduceat(hit.astype(np.float64), starts) / n_held_out,
        f"ndcg@{k}": np.add.reduceat(gains, starts) / ideal_dcg(n_held_out, k),
    }
