"""Measures beyond accuracy: which items are recommended, and which items contribute to recall and NDCG."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trainers.data import Interactions
from trainers.errors import InputError
from trainers.metrics.accuracy import as_lists, list_ranks
from trainers.metrics.definitions import discount, ideal_dcg
from trainers.validation import whole

N_GROUPS = 5  # groups of items by popularity


def profile_lists(lists: NDArray[Any], *, held_out: Interactions) -> pd.DataFrame:
    """How often each item is recommended, and its contribution to recall@k and NDCG@k, where k is the length of the lists.

    A hit of item i for user u adds 1 / |held out of u| to i's recall and discount / (ideal DCG of u) to i's NDCG, both divided
    by the number of users with a held-out item (Wu et al., SGL, SIGIR 2021, arXiv 2010.10783).

    Args:
        lists: (n, k), see `trainers.metrics.accuracy.evaluate_lists`.

    Returns:
        A row per item, indexed by item id:
        recommended: number of lists that contain it;
        held_out: number of its held-out pairs;
        recall, ndcg: its contributions; they add up to recall@k and ndcg@k of `evaluate`.

    Raises:
        InputError: see `trainers.metrics.accuracy.list_ranks`.
    """
    lists = as_lists(lists)
    ranks = list_ranks(lists, held_out)
    n_items, k = held_out.n_items, lists.shape[1]
    n_held_out = held_out.per_user[held_out.users]
    n_users = np.count_nonzero(held_out.per_user)
    hit = ranks < k
    recall = hit / n_held_out / n_users
    ndcg = np.where(hit, discount(ranks), 0.0) / ideal_dcg(n_held_out, k) / n_users
    return pd.DataFrame(
        {
            "recommended": np.bincount(lists[lists >= 0], minlength=n_items),
            "held_out": held_out.per_item,
            "recall": np.bincount(held_out.items, weights=recall, minlength=n_items),
            "ndcg": np.bincount(held_out.items, weights=ndcg, minlength=n_items),
        },
        index=pd.RangeIndex(n_items, name="item"),
    )


def popularity_groups(seen: Interactions, n_groups: int = N_GROUPS) -> NDArray[np.int64]:
    """The popularity group of each item; groups have about equally many training interactions.

    Group 0 has the many unpopular items and all items without interactions, the last group the few most popular ones. Items
    are sorted by (interactions, id); the middle of an item's interactions in the running sum decides its group. If very popular
    items would leave groups empty, each of the last groups gets one item.

    Returns:
        int64 (n_items,), 0 .. n_groups - 1.

    Raises:
        InputError: n_groups below 1.
    """
    n_groups = whole("n_groups", n_groups)
    order = np.argsort(seen.per_item, kind="stable")
    popularity = seen.per_item[order]
    twice_middle = 2 * np.cumsum(popularity) - popularity
    group = np.arange(1, n_groups)
    start = np.searchsorted(n_groups * twice_middle, 2 * len(seen) * group)  # index of each group's first item
    start = np.minimum(start, seen.n_items - n_groups + group)  # leave an item for each group
    start = np.maximum(start, np.count_nonzero(popularity == 0))
    groups = np.empty(seen.n_items, np.int64)
    groups[order] = np.searchsorted(start, np.arange(seen.n_items), side="right")
    return groups


def gini(counts: NDArray[Any]) -> float:
    """Gini index of counts c_1 <= ... <= c_n: sum_i (2i - n - 1) c_i / (n sum_i c_i); 0 if all are equal or zero.

    It ranges from 0 (all equal) to 1 - 1/n (one has all). Shani and Gunawardana (Evaluating Recommendation Systems, 2011)
    divide by n - 1 instead of n, so that the maximum is 1.
    """
    n, total = len(counts), counts.sum()
    if not total:
        return 0.0
    return float((2 * np.arange(1, n + 1) - n - 1) @ np.sort(counts) / (n * total))


def summarise(profile: pd.DataFrame, seen: Interactions, n_groups: int = N_GROUPS) -> dict[str, Any]:
    """Coverage, popularity and concentration of the recommended items, and their contributions to recall and NDCG by group.

    With c_i the number of lists that contain item i and p_i its training interactions:
    coverage: share of all items with c_i > 0 (catalogue coverage: Ge et al., Beyond accuracy, RecSys 2010);
    mean_popularity: sum c_i p_i / sum c_i, in training interactions (average recommendation popularity: Yin et al., VLDB 2012);
    gini: see `gini`, over all items;
    groups: for each group of `popularity_groups`, least popular first: items (their number), share_of_interactions,
    share_of_recommendations, recall and ndcg (contributions, which add up to the metric over the groups).
    If there are no recommendations, shares and means are 0.

    Args:
        profile: a result of `profile_lists`.
        seen: the training interactions, with the same items.

    Returns:
        A dict of floats, ints and a list of dicts, which JSON can store.

    Raises:
        InputError: a profile with other items, or n_groups below 1.
    """
    if len(profile) != seen.n_items:
        raise InputError(f"the profile must have a row for each of the {seen.n_items} items of `seen`, got {len(profile)}")
    recommended, popularity = profile["recommended"].to_numpy(), seen.per_item
    groups = popularity_groups(seen, n_groups)
    columns = {
        "share_of_interactions": popularity / max(len(seen), 1),
        "share_of_recommendations": recommended / max(recommended.sum(), 1),
        "recall": profile["recall"].to_numpy(),
        "ndcg": profile["ndcg"].to_numpy(),
    }
    sums = {name: np.bincount(groups, weights=values, minlength=n_groups) for name, values in columns.items()}
    items = np.bincount(groups, minlength=n_groups)
    return {
        "coverage": float(np.mean(recommended > 0)),
        "mean_popularity": float(recommended @ popularity / max(recommended.sum(), 1)),
        "gini": gini(recommended),
        "groups": [
            {"items": int(items[group])} | {name: float(values[group]) for name, values in sums.items()}
            for group in range(n_groups)
        ],
    }
