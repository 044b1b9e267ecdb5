"""All-item ranking metrics: recall@k and NDCG@k, seen items masked, ties broken by a fixed permutation."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, overload

import numba
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from trainers import draws
from trainers.compiled import compiled
from trainers.data import Interactions
from trainers.draws import Purpose
from trainers.errors import InputError

TIE_SEED = 2024
TILE_USERS, TILE_ITEMS = 256, 1024  # 1 MiB of scores, which stay in the second-level cache
STRIP = 64  # scores looked at together


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


def check_held_out(seen: Interactions, held_out: Interactions) -> None:
    """Raise InputError unless both have the same ids and there is a held-out pair."""
    if (held_out.n_users, held_out.n_items) != (seen.n_users, seen.n_items):
        raise InputError(
            f"seen and held_out must have the same ids, got {seen.n_users} x {seen.n_items} and "
            f"{held_out.n_users} x {held_out.n_items} users x items"
        )
    if not len(held_out):
        raise InputError("there is nothing to evaluate on: held_out has no pairs")


def _check(
    user_vectors: NDArray[Any],
    item_vectors: NDArray[Any],
    seen: Interactions,
    held_out: Interactions,
    ks: Sequence[int],
) -> None:
    check_held_out(seen, held_out)
    dim = user_vectors.shape[-1]
    if user_vectors.shape != (seen.n_users, dim) or item_vectors.shape != (seen.n_items, dim):
        raise InputError(
            f"vectors must be ({seen.n_users}, d) and ({seen.n_items}, d), got {user_vectors.shape} and {item_vectors.shape}"
        )
    if not (np.isfinite(user_vectors).all() and np.isfinite(item_vectors).all()):
        raise InputError("vectors must be finite; training has diverged, or the file is damaged")
    if not ks or min(ks) < 1:
        raise InputError(f"cut-offs must be at least 1, got {list(ks)}")


def tie_order(n_items: int) -> NDArray[np.int64]:
    """Place of each item among items of equal score, (n_items,): a fixed permutation."""
    return draws.permuted(draws.key(TIE_SEED, Purpose.TIES), np.arange(n_items), n_items)


def held_out_ranks(
    user_vectors: NDArray[Any], item_vectors: NDArray[Any], seen: Interactions, held_out: Interactions, k: int
) -> NDArray[np.int64]:
    """Rank (from 0) of every held-out pair among its user's unseen items, (n_pairs,); k when not in the top k.

    Scores are float32, computed a tile of users and items at a time that stays in the cache; every tile has the same shape,
    so that equal vectors get equal scores wherever they stand. A pass over the tile keeps each user's best k items.
    """
    place = tie_order(seen.n_items).astype(np.int32)
    items = torch.zeros(-(-seen.n_items // TILE_ITEMS) * TILE_ITEMS, item_vectors.shape[1])
    items[: seen.n_items] = torch.from_numpy(item_vectors.astype(np.float32))
    users = np.flatnonzero(held_out.per_user)
    ranks = np.full(len(held_out), k, dtype=np.int64)

    def rank_block(start: int) -> None:
        chosen = users[start : start + TILE_USERS]
        block, scores = torch.zeros(TILE_USERS, items.shape[1]), torch.empty(TILE_USERS, TILE_ITEMS)
        block[: len(chosen)] = torch.from_numpy(user_vectors[chosen].astype(np.float32))
        best = np.full((len(chosen), min(k, seen.n_items)), -np.inf, np.float32)
        best_items = np.full(best.shape, -1, np.int32)
        cursor, seen_end = seen.indptr[chosen], seen.indptr[chosen + 1]
        for first in range(0, seen.n_items, TILE_ITEMS):
            torch.mm(block, items[first : first + TILE_ITEMS].T, out=scores)
            _keep_best(scores.numpy(), first, seen.n_items, seen.items, cursor, seen_end, place, best, best_items)
        _look_up(best, best_items, place, chosen, held_out.indptr, held_out.items, ranks)

    torch_threads = torch.get_num_threads()
    try:  # one task per block and thread: threads that share a tile would wait for one another twice a millisecond
        with ThreadPoolExecutor(numba.get_num_threads(), initializer=torch.set_num_threads, initargs=(1,)) as pool:
            deque(pool.map(rank_block, range(0, len(users), TILE_USERS)), maxlen=0)
    finally:
        torch.set_num_threads(torch_threads)
    return ranks


@compiled(nogil=True)
def _keep_best(tile, first, n_items, seen_items, cursor, seen_end, place, best, best_items):  # type: ignore[no-untyped-def]
    """Merge a tile of scores into each user's heap of the best unseen items; `cursor` walks over the user's seen items."""
    last = min(n_items, first + tile.shape[1])
    strips = tile.reshape(tile.shape[0], tile.shape[1] // STRIP, STRIP)
    for u in range(best.shape[0]):
        while cursor[u] < seen_end[u] and seen_items[cursor[u]] < last:
            tile[u, seen_items[cursor[u]] - first] = -np.inf
            cursor[u] += 1
        tile[u, last - first :] = -np.inf  # padding
        for s in range(strips.shape[1]):
            worst = best[u, 0]
            n_good = np.int32(0)
            for j in range(STRIP):  # without a branch and of fixed length, so that it is vectorised
                n_good = np.int32(n_good + np.int32(strips[u, s, j] >= worst))
            if n_good > 0:
                for j in range(STRIP):
                    score = strips[u, s, j]
                    if score >= best[u, 0] and score > -np.inf:
                        _push(score, first + s * STRIP + j, place, best, best_items, u)


@compiled(nogil=True)
def _below(score, item, other_score, other, place):  # type: ignore[no-untyped-def]
    """Whether an item ranks below another one; places in a heap that hold no item (-1) rank below all."""
    if score != other_score:
        return score < other_score
    if item < 0 or other < 0:
        return item < 0 and other >= 0
    return place[item] > place[other]


@compiled(nogil=True)
def _push(score, item, place, best, best_items, u):  # type: ignore[no-untyped-def]
    """Replace the worst item, at the root of the heap, if the new one ranks above it."""
    if not _below(best[u, 0], best_items[u, 0], score, item, place):
        return
    size = best.shape[1]
    at = 0
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and _below(
            best[u, child + 1], best_items[u, child + 1], best[u, child], best_items[u, child], place
        ):
            child += 1
        if not _below(best[u, child], best_items[u, child], score, item, place):
            break
        best[u, at], best_items[u, at] = best[u, child], best_items[u, child]
        at = child
    best[u, at], best_items[u, at] = score, item


@compiled(nogil=True)
def _look_up(best, best_items, place, users, indptr, items, ranks):  # type: ignore[no-untyped-def]
    """Write the ranks of the users' held-out items that are among their best."""
    for u in range(users.size):
        for pair in range(indptr[users[u]], indptr[users[u] + 1]):
            for found in range(best.shape[1]):
                if best_items[u, found] == items[pair] and np.isfinite(best[u, found]):
                    rank = 0
                    for j in range(best.shape[1]):
                        rank += _below(best[u, found], best_items[u, found], best[u, j], best_items[u, j], place)
                    ranks[pair] = rank


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
