"""The best unseen items of each user: scores in tiles, seen items masked, equal scores in one fixed order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray

from trainers import rng
from trainers.data import Interactions
from trainers.errors import InputError
from trainers.jit import compiled
from trainers.rng import Purpose
from trainers.validation import whole
from trainers.vectors import check_vectors

TIE_SEED = 2024
TILE_USERS, TILE_ITEMS = 256, 1024  # 1 MiB of scores, which fits into the second-level cache
STRIP = 64  # scores that are compared together

Fill = Callable[[int, torch.Tensor], object]
"""Writes the scores of items first, first + 1, ... into a tile (TILE_USERS, TILE_ITEMS); the rest of the tile is arbitrary."""

Scorer = Callable[[NDArray[np.int64]], Fill]
"""Takes up to TILE_USERS users; called from several threads."""

Receive = Callable[[int, NDArray[np.float32], NDArray[np.int32]], None]
"""Takes the position of a block's first user, and the unordered scores and items of its best; -inf and -1 for no item."""


def recommend(
    user_vectors: NDArray[Any], item_vectors: NDArray[Any], *, seen: Interactions, users: NDArray[Any], k: int
) -> NDArray[np.int32]:
    """Each user's k best unseen items by inner product, in the order of `evaluate`.

    Args:
        user_vectors: (n_users, d).
        item_vectors: (n_items, d).
        seen: pairs that are not recommended.
        users: ids of the users, (n,), in any order.
        k: length of the lists, >= 1.

    Returns:
        Item ids, int32 (n, k), best first; -1 for missing items, and for items whose score exceeds float32.

    Raises:
        InputError: shapes that do not fit, vectors that are not finite, user ids that do not exist, or a bad k.
    """
    check_vectors(user_vectors, item_vectors, seen)
    return best_lists(inner_products(user_vectors, item_vectors), seen, users, k, tie_order(seen.n_items))


def tie_order(n_items: int) -> NDArray[np.int64]:
    """The rank of each item among items of equal score, (n_items,): a fixed permutation."""
    return rng.permuted(rng.key(TIE_SEED, Purpose.TIES), np.arange(n_items), n_items)


def inner_products(user_vectors: NDArray[Any], item_vectors: NDArray[Any]) -> Scorer:
    """Scores in float32. Every tile has the same shape, so that equal vectors get equal scores in every position."""
    n_items, dim = item_vectors.shape
    items = torch.zeros(-(-n_items // TILE_ITEMS) * TILE_ITEMS, dim)
    items[:n_items] = torch.from_numpy(item_vectors.astype(np.float32))

    def score(users: NDArray[np.int64]) -> Fill:
        block = torch.zeros(TILE_USERS, dim)
        block[: len(users)] = torch.from_numpy(user_vectors[users].astype(np.float32))
        return lambda first, tile: torch.mm(block, items[first : first + TILE_ITEMS].T, out=tile)

    return score


def held_out_ranks(
    user_vectors: NDArray[Any], item_vectors: NDArray[Any], seen: Interactions, held_out: Interactions, k: int
) -> NDArray[np.int64]:
    """The rank (from 0) of every held-out pair among its user's unseen items, (n_pairs,); k if it is not in the top k."""
    tie_ranks = tie_order(seen.n_items).astype(np.int32)
    users = np.flatnonzero(held_out.per_user)
    ranks = np.full(len(held_out), k, dtype=np.int64)

    def look_up(start: int, best: NDArray[np.float32], best_items: NDArray[np.int32]) -> None:
        _look_up(best, best_items, tie_ranks, users[start : start + len(best)], held_out.indptr, held_out.items, ranks)

    _each_block(inner_products(user_vectors, item_vectors), seen, users, k, tie_ranks, look_up)
    return ranks


def best_lists(
    score: Scorer, seen: Interactions, users: NDArray[Any], k: int, tie_ranks: NDArray[np.int64]
) -> NDArray[np.int32]:
    """Like `recommend`, for any scores; `tie_ranks` (n_items,) orders items of equal score, lowest first.

    Raises:
        InputError: user ids that do not exist, or a bad k.
    """
    users = np.asarray(users)
    if users.ndim != 1 or users.dtype.kind not in "iu" or (len(users) and not 0 <= users.min() <= users.max() < seen.n_users):
        raise InputError(f"users must be a list of ids between 0 and {seen.n_users - 1}, got {users}")
    k = whole("k", k)
    try:
        lists = np.full((len(users), k), -1, np.int32)
    except (MemoryError, ValueError):  # too large for the memory, or for any array
        raise InputError(
            f"lists of k items must fit into the memory, got k {k:,} for {len(users):,} users; no list needs more than the "
            f"{seen.n_items:,} items"
        ) from None
    narrow = tie_ranks.astype(np.int32)

    def write(start: int, best: NDArray[np.float32], best_items: NDArray[np.int32]) -> None:
        order = np.lexsort((narrow[best_items], -best), axis=-1)
        found = np.where(np.isfinite(best), best_items, -1)
        lists[start : start + len(best), : best.shape[1]] = np.take_along_axis(found, order, axis=1)

    _each_block(score, seen, users.astype(np.int64), k, narrow, write)
    return lists


def _each_block(
    score: Scorer, seen: Interactions, users: NDArray[np.int64], k: int, tie_ranks: NDArray[np.int32], receive: Receive
) -> None:
    """Find the best min(k, n_items) unseen items of every user, one block of users at a time.

    Scores are computed in tiles of users and items that fit into the cache; each tile is merged into the users' best items.
    """

    def rank_block(start: int) -> None:
        chosen = users[start : start + TILE_USERS]
        fill, scores = score(chosen), torch.empty(TILE_USERS, TILE_ITEMS)
        best = np.full((len(chosen), min(k, seen.n_items)), -np.inf, np.float32)
        best_items = np.full(best.shape, -1, np.int32)
        cursor, seen_end = seen.indptr[chosen], seen.indptr[chosen + 1]
        for first in range(0, seen.n_items, TILE_ITEMS):
            fill(first, scores)
            _keep_best(scores.numpy(), first, seen.n_items, seen.items, cursor, seen_end, tie_ranks, best, best_items)
        receive(start, best, best_items)

    torch_threads = torch.get_num_threads()
    try:  # one thread per block: threads that share a tile would wait for one another twice a millisecond
        with ThreadPoolExecutor(numba.get_num_threads(), initializer=torch.set_num_threads, initargs=(1,)) as pool:
            deque(pool.map(rank_block, range(0, len(users), TILE_USERS)), maxlen=0)
    finally:
        torch.set_num_threads(torch_threads)


@compiled(nogil=True)
def _keep_best(tile, first, n_items, seen_items, cursor, seen_end, tie_ranks, best, best_items):  # type: ignore[no-untyped-def]
    """Merge a tile of scores into each user's heap of the best unseen items; `cursor` is the position in the seen items."""
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
            for j in range(STRIP):  # no branch and a fixed length, so that the compiler vectorises it
                n_good = np.int32(n_good + np.int32(strips[u, s, j] >= worst))
            if n_good > 0:
                for j in range(STRIP):
                    score = strips[u, s, j]
                    if score >= best[u, 0] and score > -np.inf:
                        _push(score, first + s * STRIP + j, tie_ranks, best, best_items, u)


@compiled(nogil=True)
def _below(score, item, other_score, other, tie_ranks):  # type: ignore[no-untyped-def]
    """Whether an item ranks below another one; empty slots of a heap (-1) rank below all items."""
    if score != other_score:
        return score < other_score
    if item < 0 or other < 0:
        return item < 0 and other >= 0
    return tie_ranks[item] > tie_ranks[other]


@compiled(nogil=True)
def _push(score, item, tie_ranks, best, best_items, u):  # type: ignore[no-untyped-def]
    """Replace the worst item, at the root of the heap, if the new one ranks above it."""
    if not _below(best[u, 0], best_items[u, 0], score, item, tie_ranks):
        return
    size = best.shape[1]
    slot = 0
    while True:
        child = 2 * slot + 1
        if child >= size:
            break
        if child + 1 < size and _below(
            best[u, child + 1], best_items[u, child + 1], best[u, child], best_items[u, child], tie_ranks
        ):
            child += 1
        if not _below(best[u, child], best_items[u, child], score, item, tie_ranks):
            break
        best[u, slot], best_items[u, slot] = best[u, child], best_items[u, child]
        slot = child
    best[u, slot], best_items[u, slot] = score, item


@compiled(nogil=True)
def _look_up(best, best_items, tie_ranks, users, indptr, items, ranks):  # type: ignore[no-untyped-def]
    """Write the ranks of held-out items that are among their users' best."""
    for u in range(users.size):
        for pair in range(indptr[users[u]], indptr[users[u] + 1]):
            for found in range(best.shape[1]):
                if best_items[u, found] == items[pair] and np.isfinite(best[u, found]):
                    rank = 0
                    for j in range(best.shape[1]):
                        rank += _below(best[u, found], best_items[u, found], best[u, j], best_items[u, j], tie_ranks)
                    ranks[pair] = rank
