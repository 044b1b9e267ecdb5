"""Beyond accuracy: values by hand, parts that add up to the metrics, and groups of about equal size."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from trainers import InputError, Interactions, evaluate, recommend
from trainers.metrics.beyond_accuracy import gini, popularity_groups, profile_lists, summarise

from ...held_out import apart

Vectors = NDArray[np.floating[Any]]
LOG3 = 1.0 / np.log2(3.0)


def interactions(n_users: int, n_items: int, pairs: list[tuple[int, int]]) -> Interactions:
    users, items = np.array(pairs, np.int64).reshape(-1, 2).T
    return Interactions.from_pairs(users, items, n_users, n_items)


def random_pairs(rng: np.random.Generator, n_users: int, n_items: int, n: int) -> Interactions:
    return Interactions.from_pairs(rng.integers(0, n_users, n), rng.integers(0, n_items, n), n_users, n_items)


def with_popularity(counts: list[int]) -> Interactions:
    """Interactions in which item i has counts[i] users."""
    pairs = [(user, item) for item, count in enumerate(counts) for user in range(count)]
    return interactions(max([1, *counts]), len(counts), pairs)


def profile_of(users: Vectors, items: Vectors, seen: Interactions, held_out: Interactions, k: int) -> pd.DataFrame:
    lists = recommend(users, items, seen=seen, users=np.flatnonzero(held_out.per_user), k=k)
    return profile_lists(lists, held_out=held_out)


def test_the_profile_agrees_with_values_by_hand() -> None:
    """All users rank the items 0 1 2 3. Users 0, 1 and 3 have held-out items, and user 1 has seen item 0."""
    items = np.array([[4.0], [3.0], [2.0], [1.0]])
    seen, held_out = interactions(4, 4, [(1, 0)]), interactions(4, 4, [(0, 1), (0, 3), (1, 1), (3, 2)])
    profile = profile_of(np.ones((4, 1)), items, seen, held_out, 2)  # lists: 0 1, 1 2, 0 1
    assert profile.index.tolist() == [0, 1, 2, 3]
    assert profile.index.name == "item"
    assert profile["recommended"].tolist() == [2, 3, 1, 0]
    assert profile["held_out"].tolist() == [0, 2, 1, 1]
    assert profile["recall"].tolist() == pytest.approx([0.0, (0.5 + 1.0) / 3, 0.0, 0.0])
    assert profile["ndcg"].tolist() == pytest.approx([0.0, (LOG3 / (1.0 + LOG3) + 1.0) / 3, 0.0, 0.0])


@settings(max_examples=40)
@given(
    n_users=st.integers(1, 40),
    n_items=st.integers(1, 60),
    levels=st.sampled_from([0, 1, 1000]),
    k=st.integers(1, 70),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_parts_add_up_to_the_metrics(n_users: int, n_items: int, levels: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    users = rng.integers(-levels, levels + 1, (n_users, 3)).astype(np.float32)
    items = rng.integers(-levels, levels + 1, (n_items, 3)).astype(np.float32)
    drawn = (random_pairs(rng, n_users, n_items, count * n_users) for count in (4, 2))
    seen, held_out = apart(*drawn)
    assume(len(held_out) > 0)
    metrics = evaluate(users, items, seen=seen, held_out=held_out, ks=(k,))
    profile = profile_of(users, items, seen, held_out, k)
    assert profile["recall"].sum() == pytest.approx(metrics[f"recall@{k}"])
    assert profile["ndcg"].sum() == pytest.approx(metrics[f"ndcg@{k}"])
    assert profile["held_out"].sum() == len(held_out)
    holders = np.flatnonzero(held_out.per_user)
    assert profile["recommended"].sum() == np.minimum(k, n_items - seen.per_user[holders]).sum()
    assert profile["recommended"].max() <= len(holders)
    groups = summarise(profile, seen)["groups"]
    assert sum(group["ndcg"] for group in groups) == pytest.approx(metrics[f"ndcg@{k}"])


def test_the_profile_does_not_depend_on_the_ids_of_users_and_items() -> None:
    rng = np.random.default_rng(1)
    users, items = rng.normal(size=(50, 4)), rng.normal(size=(80, 4))
    seen, held_out = random_pairs(rng, 50, 80, 400), random_pairs(rng, 50, 80, 200)
    profile = profile_of(users, items, seen, held_out, 10)
    user, item = rng.permutation(50), rng.permutation(80)  # the new ids

    def renamed(pairs: Interactions) -> Interactions:
        return Interactions.from_pairs(user[pairs.users], item[pairs.items], 50, 80)

    again = profile_of(users[np.argsort(user)], items[np.argsort(item)], renamed(seen), renamed(held_out), 10)
    pd.testing.assert_frame_equal(again.loc[item].set_axis(profile.index), profile)


@pytest.mark.parametrize(
    ("counts", "n_groups", "expected"),
    [
        ([2, 2, 2, 2, 2], 5, [0, 1, 2, 3, 4]),  # equal counts are ordered by id
        ([4, 1, 1, 1, 1], 2, [1, 0, 0, 0, 0]),
        ([1, 9, 1, 4, 4, 1], 2, [0, 1, 0, 0, 0, 0]),  # 1 1 1 4 4 | 9
        ([3, 0, 3, 0], 2, [0, 0, 1, 0]),
        ([0, 0, 0, 5, 4, 3], 4, [0, 0, 0, 3, 2, 1]),  # group 0 has the items without interactions
        ([1, 1, 1, 1, 96], 3, [0, 0, 0, 1, 2]),  # with a very popular item no group is empty
        ([1, 96, 96, 96], 4, [0, 1, 2, 3]),
        ([0, 7, 0], 3, [0, 2, 0]),  # too few items with interactions: a group is empty
        ([5, 6], 4, [2, 3]),
        ([0, 0], 2, [0, 0]),
        ([3, 1, 2], 1, [0, 0, 0]),
    ],
)
def test_popularity_groups_agree_with_values_by_hand(counts: list[int], n_groups: int, expected: list[int]) -> None:
    assert popularity_groups(with_popularity(counts), n_groups).tolist() == expected


@settings(max_examples=200)
@given(counts=st.lists(st.integers(0, 30), min_size=1, max_size=40), n_groups=st.integers(1, 6))
def test_popularity_groups_keep_order_and_balance(counts: list[int], n_groups: int) -> None:
    groups = popularity_groups(with_popularity(counts), n_groups)
    popularity = np.array(counts)
    assert groups.min() >= 0
    assert groups.max() < n_groups
    order = np.lexsort((np.arange(len(counts)), popularity))
    assert (np.diff(groups[order]) >= 0).all(), "a more popular item is in a lower group"
    assert not groups[popularity == 0].any()
    with_any = np.count_nonzero(popularity) + (0 in counts)
    if with_any >= n_groups:
        assert np.bincount(groups, minlength=n_groups).all(), "a group is empty"
    if n_groups * popularity.max() <= popularity.sum():  # a group may be off by half an item at each end
        sums = np.bincount(groups, weights=popularity, minlength=n_groups)
        assert abs(sums - popularity.sum() / n_groups).max() <= popularity.max()


def test_popularity_groups_need_at_least_one_group() -> None:
    with pytest.raises(InputError, match="n_groups must be at least 1, got 0"):
        popularity_groups(with_popularity([1]), 0)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [([3, 3, 3, 3], 0.0), ([0, 0, 8, 0], 0.75), ([1, 3], 0.25), ([2, 0, 1], 4 / 9), ([0, 0], 0.0), ([], 0.0)],
)
def test_gini_agrees_with_values_by_hand(counts: list[int], expected: float) -> None:
    assert gini(np.array(counts, np.int64)) == pytest.approx(expected, abs=1e-15)


@given(counts=st.lists(st.integers(0, 1000), min_size=1, max_size=30).filter(any), factor=st.integers(1, 9))
def test_gini_is_half_the_relative_mean_difference(counts: list[int], factor: int) -> None:
    values = np.array(counts)
    differences = np.abs(values[:, None] - values[None, :]).mean()
    assert gini(values) == pytest.approx(differences / (2 * values.mean()))
    assert gini(factor * values[::-1]) == pytest.approx(gini(values))
    assert gini(np.tile(values, 2)) == pytest.approx(gini(values))


def test_the_summary_agrees_with_values_by_hand() -> None:
    seen = with_popularity([1, 1, 2, 4])  # groups 0 0 0 | 1 with 4 interactions each
    profile = pd.DataFrame({"recommended": [0, 1, 0, 3], "held_out": [1, 1, 1, 1], "recall": [0.0, 0.1, 0, 0.2]})
    profile["ndcg"] = [0.0, 0.2, 0.0, 0.3]
    summary = summarise(profile, seen, n_groups=2)
    assert summary == {
        "coverage": 0.5,
        "mean_popularity": (1 + 3 * 4) / 4,
        "gini": pytest.approx((-3 * 0 - 1 * 0 + 1 * 1 + 3 * 3) / (4 * 4)),
        "groups": [
            {"items": 3, "share_of_interactions": 0.5, "share_of_recommendations": 0.25, "recall": 0.1, "ndcg": 0.2},
            {"items": 1, "share_of_interactions": 0.5, "share_of_recommendations": 0.75, "recall": 0.2, "ndcg": 0.3},
        ],
    }
    assert json.loads(json.dumps(summary)) == summary


def test_without_recommendations_the_figures_are_0() -> None:
    """The only user has seen all items. Shares and means are 0 and not NaN."""
    seen, held_out = interactions(1, 2, [(0, 0), (0, 1)]), interactions(1, 2, [(0, 0)])
    summary = summarise(profile_lists(np.array([[-1, -1]]), held_out=held_out), seen, n_groups=2)
    assert (summary["coverage"], summary["mean_popularity"], summary["gini"]) == (0.0, 0.0, 0.0)
    assert [group["share_of_recommendations"] for group in summary["groups"]] == [0.0, 0.0]


def test_a_profile_with_other_items_is_refused() -> None:
    profile = profile_lists(np.array([[0]]), held_out=interactions(1, 2, [(0, 0)]))
    with pytest.raises(InputError, match="a row for each of the 3 items of `seen`, got 2"):
        summarise(profile, interactions(1, 3, [(0, 0)]))
