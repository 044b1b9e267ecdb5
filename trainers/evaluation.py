"""All-item ranking metrics: recall@k and NDCG@k, seen items masked, ties broken by a fixed permutation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, overload

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trainers import draws
from trainers.data import Interactions
from trainers.draws import Purpose
from trainers.errors import InputError

TIE_SEED = 0


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
    _check(user_vectors, item_vectors, seen, held_out, ks)
    users = np.flatnonzero(held_out.per_user)
    ranks = held_out_ranks(user_vectors, item_vectors, seen, held_out, max(ks))
    columns = {name: values for k in ks for name, values in _metrics_at(k, ranks, held_out, users).items()}
    if per_user:
        return pd.DataFrame(columns, index=pd.Index(users, name="user"))
    return {name: float(values.mean()) for name, values in columns.items()}


def _check(
    user_vectors: NDArray[Any],
    item_vectors: NDArray[Any],
    seen: Interactions,
    held_out: Interactions,
    ks: Sequence[int],
) -> None:
    if (held_out.n_users, held_out.n_items) != (seen.n_users, seen.n_items):
        raise InputError(
            f"seen and held_out must have the same ids, got {seen.n_users} x {seen.n_items} and "
            f"{held_out.n_users} x {held_out.n_items} users x items"
        )
    dim = user_vectors.shape[-1]
    if user_vectors.shape != (seen.n_users, dim) or item_vectors.shape != (seen.n_items, dim):
        raise InputError(
            f"vectors must be ({seen.n_users}, d) and ({seen.n_items}, d), got {user_vectors.shape} and {item_vectors.shape}"
        )
    if not (np.isfinite(user_vectors).all() and np.isfinite(item_vectors).all()):
        raise InputError("vectors must be finite; training has diverged, or the file is damaged")
    if not len(held_out):
        raise InputError("there is nothing to evaluate on: held_out has no pairs")
    if not ks or min(ks) < 1:
        raise InputError(f"cut-offs must be at least 1, got {list(ks)}")


def tie_order(n_items: int) -> NDArray[np.int64]:
    """Place of each item among items of equal score, (n_items,): a fixed permutation."""
    return draws.permuted(draws.key(TIE_SEED, Purpose.TIES), np.arange(n_items), n_items)


def held_out_ranks(
    user_vectors: NDArray[Any], item_vectors: NDArray[Any], seen: Interactions, held_out: Interactions, k: int
) -> NDArray[np.int64]:
    """Rank (from 0) of every held-out pair among its user's unseen items, (n_pairs,); at least k when not in the top k."""
    place = tie_order(seen.n_items)
    ranks = np.full(len(held_out), k, dtype=np.int64)
    for user in np.flatnonzero(held_out.per_user):
        scores = item_vectors.astype(np.float32) @ user_vectors[user].astype(np.float32)
        scores[seen.items[seen.indptr[user] : seen.indptr[user + 1]]] = -np.inf
        pairs = slice(held_out.indptr[user], held_out.indptr[user + 1])
        for number, item in zip(range(pairs.start, pairs.stop), held_out.items[pairs], strict=True):
            above = (scores > scores[item]) | ((scores == scores[item]) & (place < place[item]))
            ranks[number] = above.sum() if np.isfinite(scores[item]) else k
    return ranks


def _metrics_at(
    k: int, ranks: NDArray[np.int64], held_out: Interactions, users: NDArray[np.int64]
) -> dict[str, NDArray[np.float64]]:
    """Per-user recall@k and NDCG@k, each (len(users),)."""
    hit = ranks < k
    gains = np.where(hit, 1.0 / np.log2(np.minimum(ranks, k) + 2.0), 0.0)
    n_held_out = held_out.per_user[users]
    ideal = np.concatenate([[0.0], np.cumsum(1.0 / np.log2(np.arange(k) + 2.0))])[np.minimum(n_held_out, k)]
    starts = held_out.indptr[users]
    return {
        f"recall@{k}": np.add.reduceat(hit.astype(np.float64), starts) / n_held_out,
        f"ndcg@{k}": np.add.reduceat(gains, starts) / ideal,
    }
