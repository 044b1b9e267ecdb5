"""Evaluation: the tiled ranking against the definition, metrics against values by hand, and bad input."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from trainers import InputError, Interactions, evaluate
from trainers.metrics import ranking
from trainers.metrics.accuracy import evaluate_lists, list_ranks
from trainers.metrics.ranking import recommend

Floats = NDArray[np.float32]

LOG3 = 1.0 / np.log2(3.0)


def slow_ranks(users: Floats, items: Floats, seen: Interactions, held_out: Interactions, k: int) -> NDArray[np.int64]:
    """The definition, for one user at a time: the number of unseen items above the held-out one."""
    tie_ranks = ranking.tie_order(seen.n_items)
    ranks = np.full(len(held_out), k, dtype=np.int64)
    for user in np.flatnonzero(held_out.per_user):
        scores = items.astype(np.float32) @ users[user].astype(np.float32)
        scores[seen.items[seen.indptr[user] : seen.indptr[user + 1]]] = -np.inf
        for pair in range(held_out.indptr[user], held_out.indptr[user + 1]):
            item = held_out.items[pair]
            above = (scores > scores[item]) | ((scores == scores[item]) & (tie_ranks < tie_ranks[item]))
            ranks[pair] = above.sum() if np.isfinite(scores[item]) else k
    return ranks


def slow_lists(users: Floats, items: Floats, seen: Interactions, chosen: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """The definition of `recommend`, for one user at a time."""
    tie_ranks = ranking.tie_order(seen.n_items)
    lists = np.full((len(chosen), k), -1)
    for row, user in enumerate(chosen):
        unseen = np.setdiff1d(np.arange(seen.n_items), seen.items[seen.indptr[user] : seen.indptr[user + 1]])
        best_first = sorted(unseen, key=lambda item: (-float(items[item] @ users[user]), tie_ranks[item]))
        lists[row, : len(best_first[:k])] = best_first[:k]
    return lists


def interactions(n_users: int, n_items: int, pairs: list[tuple[int, int]]) -> Interactions:
    users, items = np.array(pairs, np.int64).reshape(-1, 2).T
    return Interactions.from_pairs(users, items, n_users, n_items)


def random_pairs(rng: np.random.Generator, n_users: int, n_items: int, n: int) -> Interactions:
    return Interactions.from_pairs(rng.integers(0, n_users, n), rng.integers(0, n_items, n), n_users, n_items)


def ranker(order: list[int], n_items: int) -> tuple[Floats, Floats]:
    """Vectors of one user that rank the items in this order. The other items come last."""
    scores = np.full(n_items, -1.0, np.float32)
    scores[order] = np.arange(len(order), 0, -1)
    return np.ones((1, 1), np.float32), scores[:, None]


@settings(max_examples=40)
@given(
    n_users=st.integers(1, 40),
    n_items=st.integers(1, 150),
    levels=st.sampled_from([0, 1, 2, 1000]),
    k=st.integers(1, 30),
    seed=st.integers(0, 2**32 - 1),
)
def test_ranks_agree_with_the_definition(n_users: int, n_items: int, levels: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    users = rng.integers(-levels, levels + 1, (n_users, 3)).astype(np.float32)  # exact sums, and many ties
    items = rng.integers(-levels, levels + 1, (n_items, 3)).astype(np.float32)
    seen = random_pairs(rng, n_users, n_items, 4 * n_users)
    held_out = random_pairs(rng, n_users, n_items, 2 * n_users)  # some of them are seen
    ranks = ranking.held_out_ranks(users, items, seen, held_out, k)
    expected = np.minimum(slow_ranks(users, items, seen, held_out, k), k)
    assert np.array_equal(ranks, expected), f"{(ranks != expected).sum()} of {len(ranks)} ranks differ"


@settings(max_examples=40)
@given(
    n_users=st.integers(1, 40),
    n_items=st.integers(1, 150),
    levels=st.sampled_from([0, 1, 2, 1000]),
    k=st.integers(1, 170),
    seed=st.integers(0, 2**32 - 1),
)
def test_lists_agree_with_the_definition(n_users: int, n_items: int, levels: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    users = rng.integers(-levels, levels + 1, (n_users, 3)).astype(np.float32)
    items = rng.integers(-levels, levels + 1, (n_items, 3)).astype(np.float32)
    seen = random_pairs(rng, n_users, n_items, n_users * n_items // 2)
    chosen = rng.integers(0, n_users, n_users)  # in any order, and some twice
    lists = recommend(users, items, seen=seen, users=chosen, k=k)
    assert lists.dtype == np.int32
    assert np.array_equal(lists, slow_lists(users, items, seen, chosen, k))


@pytest.mark.parametrize("tied", [False, True])
def test_ranks_do_not_depend_on_the_tiles(tied: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    n_users, n_items = 700, 2500
    users = rng.normal(size=(n_users, 16)).astype(np.float32)
    items = rng.normal(size=(n_items, 16)).astype(np.float32)
    if tied:
        users, items = np.round(users), np.round(items)
    seen, held_out = random_pairs(rng, n_users, n_items, 20_000), random_pairs(rng, n_users, n_items, 3_000)
    expected = np.minimum(slow_ranks(users, items, seen, held_out, 50), 50)
    holders = np.flatnonzero(held_out.per_user)
    for tile in [(512, 2048), (96, 192)]:
        monkeypatch.setattr(ranking, "TILE_USERS", tile[0])
        monkeypatch.setattr(ranking, "TILE_ITEMS", tile[1])
        ranks = ranking.held_out_ranks(users, items, seen, held_out, 50)
        assert np.array_equal(ranks, expected), f"tile {tile}: {(ranks != expected).sum()} of {len(ranks)} ranks differ"
        lists = recommend(users, items, seen=seen, users=holders, k=50)
        assert np.array_equal(list_ranks(lists, held_out), expected)


def test_items_with_equal_vectors_are_tied() -> None:
    rng = np.random.default_rng(4)
    users = rng.normal(size=(600, 33)).astype(np.float32)
    items = np.tile(rng.normal(size=33).astype(np.float32), (2100, 1))
    held_out = random_pairs(rng, 600, 2100, 5_000)
    ranks = ranking.held_out_ranks(users, items, interactions(600, 2100, [(0, 0)]), held_out, 2100)
    tie_ranks = ranking.tie_order(2100)[held_out.items]
    unseen = held_out.users != 0
    assert np.array_equal(ranks[unseen], tie_ranks[unseen])


def test_threads_do_not_change_the_ranks(all_threads: int) -> None:
    rng = np.random.default_rng(5)
    users, items = rng.normal(size=(300, 8)), np.round(rng.normal(size=(900, 8)))
    seen, held_out = random_pairs(rng, 300, 900, 5_000), random_pairs(rng, 300, 900, 900)
    try:
        results = []
        for n in (1, all_threads):
            numba.set_num_threads(n)
            results.append(ranking.held_out_ranks(users, items, seen, held_out, 20))
    finally:
        numba.set_num_threads(all_threads)
    assert all(np.array_equal(one, results[0]) for one in results)


def test_metrics_agree_with_values_by_hand() -> None:
    """The ranking is 5 3 1 0 2 4. Item 5 is seen, so the list is 3 1 0 2 4. Items 3 and 4 are held out."""
    users, items = ranker([5, 3, 1, 0, 2, 4], 6)
    seen, held_out = interactions(1, 6, [(0, 5)]), interactions(1, 6, [(0, 3), (0, 4)])
    metrics = evaluate(users, items, seen=seen, held_out=held_out, ks=(1, 2, 5))
    last = 1.0 / np.log2(6.0)
    assert metrics == pytest.approx(
        {"recall@1": 0.5, "ndcg@1": 1.0, "recall@2": 0.5, "ndcg@2": 1.0 / (1.0 + LOG3), "recall@5": 1.0}
        | {"ndcg@5": (1.0 + last) / (1.0 + LOG3)}
    )


def test_a_held_out_pair_that_is_seen_is_refused() -> None:
    """Seen items are not ranked, so it would be a miss of every model."""
    users, items = ranker([0, 1, 2], 3)
    with pytest.raises(InputError, match="1 of 2 held-out pairs are seen; leave them out of seen"):
        evaluate(users, items, seen=interactions(1, 3, [(0, 0)]), held_out=interactions(1, 3, [(0, 0), (0, 1)]), ks=(3,))


def test_cut_offs_may_be_numbers_of_numpy() -> None:
    users, items = ranker([1, 0], 2)
    given = {"seen": interactions(1, 2, []), "held_out": interactions(1, 2, [(0, 0)])}
    assert evaluate(users, items, **given, ks=np.array([1, 2])) == evaluate(users, items, **given, ks=(1, 2))  # type: ignore[arg-type]


def test_there_may_be_fewer_items_than_k() -> None:
    users, items = ranker([1, 0], 2)
    metrics = evaluate(users, items, seen=interactions(1, 2, []), held_out=interactions(1, 2, [(0, 0)]), ks=(20,))
    assert metrics == pytest.approx({"recall@20": 1.0, "ndcg@20": LOG3})


def test_users_without_held_out_items_are_left_out() -> None:
    _, items = ranker([0, 1, 2], 3)
    users = np.ones((4, 1), np.float32)
    seen, held_out = interactions(4, 3, [(0, 0), (1, 0)]), interactions(4, 3, [(1, 1), (3, 2)])
    table = evaluate(users, items, seen=seen, held_out=held_out, ks=(1,), per_user=True)
    assert table.index.tolist() == [1, 3]
    assert table.index.name == "user"
    assert table.columns.tolist() == ["recall@1", "ndcg@1"]
    assert table["recall@1"].tolist() == [1.0, 0.0]
    assert evaluate(users, items, seen=seen, held_out=held_out, ks=(1,)) == {"recall@1": 0.5, "ndcg@1": 0.5}


def test_ties_are_broken_by_the_fixed_order() -> None:
    n_items = 50
    users, items = np.ones((1, 1), np.float32), np.zeros((n_items, 1), np.float32)
    order = np.argsort(ranking.tie_order(n_items))
    for index, item in enumerate(order[:5]):
        held_out = interactions(1, n_items, [(0, int(item))])
        metrics = evaluate(users, items, seen=interactions(1, n_items, []), held_out=held_out, ks=(5,))
        assert metrics["ndcg@5"] == pytest.approx(1.0 / np.log2(index + 2.0))


def test_a_constant_scorer_is_near_chance() -> None:
    """The held-out items have low ids, like popular items in public files. Chance gives k / n_items."""
    rng = np.random.default_rng(6)
    n_users, n_items = 4_000, 2_000
    low = np.minimum(rng.geometric(1.0 / 200.0, 20_000), n_items) - 1
    held_out = Interactions.from_pairs(rng.integers(0, n_users, 20_000), low, n_users, n_items)
    constant = np.ones((n_users, 2)), np.ones((n_items, 2))
    recall = evaluate(*constant, seen=interactions(n_users, n_items, []), held_out=held_out, ks=(20,))["recall@20"]
    assert recall < 3 * 20 / n_items, f"recall@20 {recall:.4f}, chance {20 / n_items:.4f}"


def test_scores_that_overflow_are_misses() -> None:
    users, items = np.full((1, 1), 3e38, np.float32), np.array([[3e38], [1e-3], [-3e38]], np.float32)
    held_out = interactions(1, 3, [(0, 0), (0, 1), (0, 2)])
    ranks = ranking.held_out_ranks(users, items, interactions(1, 3, []), held_out, 3)
    assert ranks.tolist() == [3, 1, 3]
    lists = recommend(users, items, seen=interactions(1, 3, []), users=np.array([0]), k=3)
    assert lists.tolist() == [[-1, 1, -1]]


@pytest.mark.parametrize("levels", [1, 1000])
def test_metrics_of_lists_equal_those_of_vectors(levels: int) -> None:
    rng = np.random.default_rng(7)
    users, items = rng.integers(-levels, levels + 1, (90, 4)), rng.integers(-levels, levels + 1, (70, 4))
    seen, held_out = random_pairs(rng, 90, 70, 3_000), random_pairs(rng, 90, 70, 150)  # users have seen 70 % of the items
    held_out = held_out.where((held_out.users != 40) & ~seen.contains(held_out.users, held_out.items))
    lists = recommend(users, items, seen=seen, users=np.flatnonzero(held_out.per_user), k=60)
    expected = evaluate(users, items, seen=seen, held_out=held_out, ks=(5, 20), per_user=True)
    assert (lists == -1).any()
    assert evaluate_lists(lists, held_out=held_out, ks=(5, 20)).equals(expected)


def test_ranks_in_lists_agree_with_values_by_hand() -> None:
    """The -1 of user 1 must not count as item 3 of user 0, and the list of user 2 must not count for user 1."""
    held_out = interactions(3, 4, [(0, 1), (0, 3), (2, 0), (2, 2)])
    assert list_ranks(np.array([[2, 1], [-1, 2]]), held_out).tolist() == [1, 2, 2, 1]
    assert list_ranks(np.array([[3, -1], [-1, -1]]), held_out).tolist() == [2, 0, 2, 2]
    assert list_ranks(np.array([[0, 3], [0, 2]], np.uint64), held_out).tolist() == [2, 1, 0, 1]


GOOD: dict[str, Any] = {
    "user_vectors": np.ones((2, 3)),
    "item_vectors": np.ones((4, 3)),
    "seen": interactions(2, 4, [(0, 0)]),
    "held_out": interactions(2, 4, [(0, 1)]),
    "ks": (20,),
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"user_vectors": np.ones((3, 3))}, r"vectors must be \(2, d\) and \(4, d\)"),
        ({"item_vectors": np.ones((4, 2))}, "vectors must be"),
        ({"user_vectors": np.full((2, 3), np.nan)}, "must be finite"),
        ({"item_vectors": np.full((4, 3), np.inf)}, "must be finite"),
        ({"item_vectors": np.full((4, 3), 1e300)}, "must be finite in float32"),
        ({"user_vectors": [[1.0] * 3] * 2}, "vectors must be NumPy arrays of numbers, got a list; convert"),
        ({"item_vectors": np.ones((4, 3), object)}, "got one of dtype object; convert"),
        ({"user_vectors": np.array(1.0)}, r"vectors must be \(2, d\) and \(4, d\), got \(\)"),
        ({"held_out": interactions(2, 5, [(0, 1)])}, "must have the same ids"),
        ({"held_out": interactions(2, 4, [])}, "held_out must have pairs to evaluate on"),
        ({"ks": ()}, "a metric needs a cut-off, got recall, ndcg; write recall@20"),
        ({"ks": 20}, r"ks, the cut-offs, must be a list, got 20; write \[20, 50\]"),
        ({"ks": (2.5,)}, "at a whole cut-off from 1 to .*, got 'recall@2.5'"),
        ({"metrics": "ndcg@20"}, r"metrics must be a list, got 'ndcg@20'; write \[ndcg@20\]"),
        ({"ks": (20, 0)}, r"cut-offs must be at least 1, got \[20, 0\]"),
    ],
)
def test_bad_input_is_refused(change: dict[str, Any], message: str) -> None:
    arguments = GOOD | change
    users, items = arguments.pop("user_vectors"), arguments.pop("item_vectors")
    with pytest.raises(InputError, match=message):
        evaluate(users, items, **arguments)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"user_vectors": np.ones((3, 3))}, r"vectors must be \(2, d\) and \(4, d\)"),
        ({"item_vectors": np.full((4, 3), np.nan)}, "must be finite"),
        ({"user_vectors": np.full((2, 3), -1e300)}, "must be finite in float32"),
        ({"users": [0, 2]}, r"users must be a list of ids between 0 and 1, got \[0 2\]"),
        ({"users": np.array([0, 2])}, r"users must be a list of ids between 0 and 1, got \[0 2\]"),
        ({"users": np.array([-1])}, "users must be a list of ids"),
        ({"users": np.array([True, False])}, "users must be a list of ids"),
        ({"users": np.array([[0]])}, "users must be a list of ids"),
        ({"k": 0}, "k must be at least 1, got 0"),
        ({"k": 2.5}, "k must be a whole number, got 2.5; give one of at least 1"),
        (
            {"k": 10**15},
            "must fit into the memory, got k 1,000,000,000,000,000 for 2 users; no list needs more than the 4 items",
        ),
    ],
)
def test_bad_input_of_recommend_is_refused(change: dict[str, Any], message: str) -> None:
    arguments = {name: GOOD[name] for name in ("user_vectors", "item_vectors", "seen")}
    arguments |= {"users": np.array([0, 1]), "k": 2} | change
    users, items = arguments.pop("user_vectors"), arguments.pop("item_vectors")
    with pytest.raises(InputError, match=message):
        recommend(users, items, **arguments)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lists": np.zeros((2, 3), int)}, r"\(1, k\) with a row per user with a held-out item, got int64 \(2, 3\)"),
        ({"lists": np.zeros((1, 3))}, "must hold whole numbers"),
        ({"lists": np.zeros(3, int)}, "must hold whole numbers"),
        ({"lists": np.array(5)}, r"must hold whole numbers, \(n, k\), got int64 \(\)"),
        ({"lists": [[0, 1, 2], [3]]}, "lists must have one length, got different ones"),
        ({"lists": np.array([[0, 1, 4]])}, "item ids must be between 0 and 3, or -1, got 0 to 4"),
        ({"lists": np.array([[0, 1, -2]])}, "item ids must be between"),
        ({"lists": [[3, 1, 3]]}, "a list must hold each item once, got item 3 twice in row 0"),
        ({"ks": (4,)}, "lists must be as long as the largest cut-off, 4, got 3"),
        ({"ks": (0,)}, "cut-offs must be at least 1"),
        ({"held_out": interactions(2, 4, [])}, "held_out must have pairs to evaluate on"),
    ],
)
def test_bad_lists_are_refused(change: dict[str, Any], message: str) -> None:
    arguments = {"lists": np.array([[0, 1, 2]]), "held_out": GOOD["held_out"], "ks": (3,)} | change
    with pytest.raises(InputError, match=message):
        evaluate_lists(arguments.pop("lists"), **arguments)
