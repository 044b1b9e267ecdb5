"""Ranking metrics over all items (`trainers.metrics.definitions`), of vectors or of recommendation lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, overload

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trainers.data import Interactions
from trainers.errors import InputError
from trainers.metrics.definitions import Found, Metric, largest_cut_off, metrics_at
from trainers.vectors import check_vectors

Columns = dict[str, NDArray[np.float64]]
DEFAULTS = ("recall", "ndcg")


@overload
def evaluate(
    user_vectors: NDArray[Any],
    item_vectors: NDArray[Any],
    *,
    seen: Interactions,
    held_out: Interactions,
    ks: Sequence[int] = ...,
    metrics: Sequence[str | Metric] = ...,
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
    metrics: Sequence[str | Metric] = ...,
    per_user: Literal[True],
) -> pd.DataFrame: ...


def evaluate(
    user_vectors: NDArray[Any],
    item_vectors: NDArray[Any],
    *,
    seen: Interactions,
    held_out: Interactions,
    ks: Sequence[int] = (20, 50),
    metrics: Sequence[str | Metric] = DEFAULTS,
    per_user: bool = False,
) -> dict[str, float] | pd.DataFrame:
    """Rank all items by inner product for every user with a held-out item.

    Items in `seen` are not recommended. Equal scores are ordered by one fixed permutation of the items, which favours no ids.
    A list ends if a user has no more unseen items. The formulas still use k then, even if it exceeds the number of items.

    Args:
        user_vectors: (n_users, d).
        item_vectors: (n_items, d).
        seen, held_out: training and held-out pairs, with the same ids.
        ks: cut-offs, each >= 1.
        metrics: names in `trainers.metrics.definitions.METRICS`, which has formulas and sources: `map` is measured at each of
            `ks`, `map@5` only at 5.
        per_user: return one row per user with a held-out item instead of means.

    Returns:
        `{"recall@20": ..., "ndcg@20": ..., ...}`, or a DataFrame with these columns, indexed by user id.

    Raises:
        InputError: shapes that do not fit, vectors that are not finite, no held-out pair, no metric or an unknown one, or a
            cut-off below 1.
    """
    from trainers.metrics.ranking import held_out_ranks  # loads numba and torch, which takes seconds

    check_unseen(seen, held_out)
    check_vectors(user_vectors, item_vectors, seen)
    requested = metrics_at(metrics, ks)
    ranks = held_out_ranks(user_vectors, item_vectors, seen, held_out, largest_cut_off(requested))
    return (
        _by_user(_columns(ranks, held_out, requested), held_out) if per_user else metrics_of_ranks(ranks, held_out, requested)
    )


def metrics_of_ranks(ranks: NDArray[np.int64], held_out: Interactions, metrics: Sequence[Metric]) -> dict[str, float]:
    """Means over the users with a held-out item.

    Args:
        ranks: the rank of every held-out pair, from 0, (n_pairs,); a miss has a rank of at least the largest k.
    """
    return {name: float(values.mean()) for name, values in _columns(ranks, held_out, metrics).items()}


def evaluate_lists(
    lists: NDArray[Any],
    *,
    held_out: Interactions,
    ks: Sequence[int] = (20, 50),
    metrics: Sequence[str | Metric] = DEFAULTS,
) -> pd.DataFrame:
    """Like `evaluate(..., per_user=True)`, for given lists: of `recommend`, a baseline, or another library.

    Args:
        lists: item ids (n, k), best first, one row per user with a held-out item, in ascending order of users; -1 for no item.
            k is at least the largest cut-off. The caller must leave out seen items.
        held_out, ks, metrics: see `evaluate`.

    Returns:
        A row per user with a held-out item, with the columns of `evaluate`; `.mean()` gives the usual metrics.

    Raises:
        InputError: lists of another shape, unknown or repeated items, no held-out pair, no metric or an unknown one, or a
            cut-off below 1 or above k.
    """
    requested, lists = metrics_at(metrics, ks), as_lists(lists)
    if lists.shape[-1] < largest_cut_off(requested):
        raise InputError(f"lists must be as long as the largest cut-off, {largest_cut_off(requested)}, got {lists.shape[-1]}")
    return _by_user(_columns(list_ranks(lists, held_out), held_out, requested), held_out)


def check_held_out(seen: Interactions, held_out: Interactions) -> None:
    """Raise InputError unless both have the same ids and there is a held-out pair."""
    if (held_out.n_users, held_out.n_items) != (seen.n_users, seen.n_items):
        raise InputError(
            f"seen and held_out must have the same ids, got {seen.n_users} x {seen.n_items} and "
            f"{held_out.n_users} x {held_out.n_items} users x items"
        )
    _check_not_empty(held_out)


def check_unseen(seen: Interactions, held_out: Interactions) -> None:
    """As `check_held_out`; and raise InputError if a held-out pair is seen: seen items are not ranked, so it would be a miss of
    every model."""
    check_held_out(seen, held_out)
    both = int(seen.contains(held_out.users, held_out.items).sum())
    if both:
        raise InputError(
            f"seen and held_out must share no pair, since seen items are not ranked, and {both:,} of {len(held_out):,} "
            "held-out pairs are seen; leave them out of seen, and of the training"
        )


def _check_not_empty(held_out: Interactions) -> None:
    if not len(held_out):
        raise InputError("held_out must have pairs to evaluate on, got none")


def as_lists(lists: Any) -> NDArray[Any]:
    """Lists as an array (n, k).

    Raises:
        InputError: they have other dimensions or different lengths.
    """
    try:
        array = np.asarray(lists)
    except ValueError:
        raise InputError("lists must have one length, got different ones; fill the shorter ones up with -1") from None
    if array.ndim != 2:
        raise InputError(f"lists must hold whole numbers, (n, k), got {array.dtype} {array.shape}; give a list for each user")
    return array


def list_ranks(lists: NDArray[Any], held_out: Interactions) -> NDArray[np.int64]:
    """The rank (from 0) of every held-out pair in its user's list, (n_pairs,); k if it is not in the list.

    Args:
        lists: see `evaluate_lists`.

    Raises:
        InputError: lists of another shape, unknown or repeated items, or no held-out pair.
    """
    _check_not_empty(held_out)
    users = np.flatnonzero(held_out.per_user)
    if lists.ndim != 2 or len(lists) != len(users) or lists.dtype.kind not in "iu":
        raise InputError(
            f"lists must hold whole numbers, ({len(users)}, k) with a row per user with a held-out item, "
            f"got {lists.dtype} {lists.shape}"
        )
    if lists.size and not -1 <= lists.min() <= lists.max() < held_out.n_items:
        raise InputError(f"item ids must be between 0 and {held_out.n_items - 1}, or -1, got {lists.min()} to {lists.max()}")
    in_order = np.sort(lists, axis=1)
    twice = (in_order[:, 1:] == in_order[:, :-1]) & (in_order[:, 1:] >= 0)
    if twice.any():
        first = int(np.argmax(twice.any(axis=1)))
        item = int(in_order[first, 1:][twice[first]][0])
        raise InputError(f"a list must hold each item once, got item {item} twice in row {first}; drop repeated items")
    row, rank = np.nonzero(lists >= 0)
    index = held_out.indices_of(users[row], lists[row, rank])
    hit = index < len(held_out)
    ranks = np.full(len(held_out), lists.shape[1], np.int64)
    ranks[index[hit]] = rank[hit]
    return ranks


def _columns(ranks: NDArray[np.int64], held_out: Interactions, metrics: Sequence[Metric]) -> Columns:
    """The metrics of users with a held-out item, each (n,)."""
    found = Found(ranks, held_out.per_user[held_out.per_user > 0])
    return {str(metric): metric.by_user(found) for metric in metrics}


def _by_user(columns: Columns, held_out: Interactions) -> pd.DataFrame:
    return pd.DataFrame(columns, index=pd.Index(np.flatnonzero(held_out.per_user), name="user"))
