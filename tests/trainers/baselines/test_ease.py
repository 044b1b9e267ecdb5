"""EASE against the regressions that define it, its limit of items, and popularity."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from trainers import Interactions, evaluate, hold_out
from trainers.baselines import BASELINES, EASE, MostPopular, ease
from trainers.errors import InputError
from trainers.metrics import ranking
from trainers.metrics.accuracy import evaluate_lists
from trainers.stopping import Stopped
from trainers.validation import checked

from ...held_out import apart
from .cases import dense, interactions, random_pairs, scores


def regressions(x: NDArray[np.float64], l2: float) -> NDArray[np.float64]:
    """The regressions of EASE: the column of each item on those of all others, with a ridge penalty."""
    weights = np.zeros((x.shape[1], x.shape[1]))
    for item in range(x.shape[1]):
        others = np.delete(np.arange(x.shape[1]), item)
        rest = x[:, others]
        weights[others, item] = np.linalg.solve(rest.T @ rest + l2 * np.eye(len(others)), rest.T @ x[:, item])
    return weights


def lists_of(x: NDArray[np.float64], seen: Interactions, k: int) -> NDArray[np.int64]:
    """The k best unseen items of all users, from all scores."""
    masked = np.where(dense(seen) > 0, -np.inf, x)
    tie_ranks = np.broadcast_to(ranking.tie_order(seen.n_items), masked.shape)
    order = np.lexsort((tie_ranks, -masked), axis=1)[:, :k]
    return np.where(np.isfinite(np.take_along_axis(masked, order, axis=1)), order, -1)


def test_ease_by_hand() -> None:
    """Item 0 has the users 0 1 2, item 1 has 0 1 3. B_01 = B_10 = 2 / (3 + l2), which is 1/2 with l2 = 1."""
    rival = EASE(l2=1.0).fit(interactions(4, 2, [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (3, 1)]))
    assert scores(rival, [0, 2, 3]).tolist() == [[0.5, 0.5], [0.0, 0.5], [0.5, 0.0]]
    assert rival.recommend(np.array([3, 0, 2]), 2).tolist() == [[0, -1], [-1, -1], [1, -1]]
    assert (rival.label, rival.note) == ("EASE", "closed form, l2 1")


@settings(max_examples=30)
@given(
    n_users=st.integers(1, 30),
    n_items=st.integers(2, 25),
    l2=st.sampled_from([0.5, 20.0, 500.0]),
    seed=st.integers(0, 2**32 - 1),
)
def test_ease_solves_its_regressions(n_users: int, n_items: int, l2: float, seed: int) -> None:
    seen = random_pairs(np.random.default_rng(seed), n_users, n_items, 5 * n_users)
    expected = dense(seen) @ regressions(dense(seen), l2)
    found = scores(EASE(l2=l2).fit(seen), list(range(n_users)))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_ease_over_several_tiles() -> None:
    rng = np.random.default_rng(1)
    seen = random_pairs(rng, 600, 1500, 9_000)
    x = dense(seen)
    inverse = np.linalg.inv(x.T @ x + 500.0 * np.eye(1500))
    weights = np.eye(1500) - inverse / np.diag(inverse)
    users = rng.permutation(600)
    lists = EASE().fit(seen).recommend(users, 10)
    all_scores = x @ weights
    found = np.take_along_axis(all_scores[users], lists, axis=1)
    expected = np.take_along_axis(all_scores, lists_of(all_scores, seen, 10), axis=1)[users]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-9)  # scores are compared, because rounding may swap items
    assert not dense(seen)[users[:, None], lists].any(), "a seen item is recommended"
    assert lists.dtype == np.int32


def test_known_structure_is_found() -> None:
    """Even users take even items. The held-out items must come before all items of the other kind."""
    rng = np.random.default_rng(2)
    pairs = [(u, i) for u in range(60) for i in range(40) if (u + i) % 2 == 0 and rng.random() < 0.6]
    seen, held_out = hold_out(interactions(60, 40, pairs), seed=0)
    users = np.flatnonzero(held_out.per_user)
    lists = EASE().fit(seen).recommend(users, int(20 - seen.per_user[users].max()))
    assert ((lists + users[:, None]) % 2 == 0).all()
    popular = MostPopular().fit(seen).recommend(users, 5)
    recall = [evaluate_lists(found, held_out=held_out, ks=(5,))["recall@5"].mean() for found in (lists, popular)]
    assert recall[0] > recall[1], f"EASE {recall[0]:.3f}, popularity {recall[1]:.3f}"


def test_above_its_limit_ease_is_that_of_the_most_popular_items() -> None:
    rng = np.random.default_rng(3)
    pairs = random_pairs(rng, 50, 30, 500)
    seen = Interactions.from_pairs(pairs.users, pairs.items, 51, 30)  # the last user has no items
    tie_ranks = ranking.tie_order(30)
    kept = np.sort(np.lexsort((tie_ranks, -seen.per_item))[:12])
    rival, users = EASE(l2=5.0, max_items=12).fit(seen), np.arange(51)
    x = dense(seen)[:, kept]
    np.testing.assert_allclose(scores(rival, list(users)), x @ regressions(x, 5.0), rtol=1e-4, atol=1e-6)
    assert rival.items.tolist() == kept.tolist()
    assert rival.label == "EASE, 12 most popular items"
    share = len(rival.seen) / len(seen)
    assert rival.note == (f"closed form, l2 5; knows {share:.0%} of the training interactions, recommends no other items")
    lists = rival.recommend(users, 30)
    for user, found in zip(users, lists, strict=True):
        unseen = np.setdiff1d(kept, np.flatnonzero(dense(seen)[user]))
        assert sorted(found[found >= 0]) == unseen.tolist()
        assert (found[len(unseen) :] == -1).all()
    assert lists[50, :12].tolist() == kept[np.argsort(tie_ranks[kept])].tolist(), "equal scores are in another order"


def test_a_limit_that_all_items_meet_changes_nothing() -> None:
    seen = random_pairs(np.random.default_rng(4), 20, 15, 80)
    rival = EASE(max_items=15).fit(seen)
    assert rival.label == "EASE"
    assert np.array_equal(scores(rival, [3, 5]), scores(EASE().fit(seen), [3, 5]))


def test_most_popular_is_a_ranking_by_counts() -> None:
    rng = np.random.default_rng(5)
    seen, held_out = apart(random_pairs(rng, 40, 30, 200), random_pairs(rng, 40, 30, 100))
    lists = MostPopular().fit(seen).recommend(np.flatnonzero(held_out.per_user), 20)
    counts = seen.per_item[:, None].astype(np.float32)
    expected = evaluate(np.ones((40, 1)), counts, seen=seen, held_out=held_out, ks=(5, 20), per_user=True)
    assert evaluate_lists(lists, held_out=held_out, ks=(5, 20)).equals(expected)
    assert lists_of(np.broadcast_to(seen.per_item, (40, 30)), seen, 20)[held_out.users[0]].tolist() == lists[0].tolist()


@pytest.mark.parametrize("name", BASELINES)
def test_every_rival_ranks_all_items_once(name: str) -> None:
    seen = interactions(3, 6, [(0, 1), (0, 2), (1, 2)])  # user 2 has no items, and the items 0 3 4 5 have no users
    lists = BASELINES[name]().fit(seen).recommend(np.arange(3), 6)
    assert [sorted(found[found >= 0].tolist()) for found in lists] == [[0, 3, 4, 5], [0, 1, 3, 4, 5], [0, 1, 2, 3, 4, 5]]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("ease", {"l2": 0.0}, "baseline: l2: must be greater than 0"),
        ("ease", {"l2": float("nan")}, "baseline: l2: must be a finite number"),
        ("ease", {"max_items": 0}, "baseline: max_items: must be greater than or equal to 1"),
        ("rp3beta", {"k": 0}, "baseline: k: must be greater than or equal to 1"),
        ("rp3beta", {"alpha": -0.1}, "baseline: alpha: must be greater than or equal to 0"),
        ("item_knn", {"similarity": "jaccard"}, "baseline: similarity: must be 'cosine' or 'dot'"),
        ("ials", {"unobserved_weight": 0.0}, "baseline: unobserved_weight: must be greater than 0"),
    ],
)
def test_bad_settings(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        checked(BASELINES[name], options, "baseline")


def test_bad_users() -> None:
    with pytest.raises(InputError, match="users must be a list of ids between 0 and 0"):
        MostPopular().fit(interactions(1, 2, [(0, 0)])).recommend(np.array([1]), 2)


def test_the_most_items_that_a_memory_holds() -> None:
    for items in (100, 5_000, 38_048):
        assert EASE.items_within(EASE(max_items=10**6).memory(items)) == items
        assert EASE.items_within(EASE(max_items=10**6).memory(items) - 1) == items - 1
    assert EASE(max_items=8_000).memory(10**6) == EASE(max_items=8_000).memory(8_000)


def test_a_signal_waits_for_one_block() -> None:
    seen, asked = random_pairs(np.random.default_rng(6), 50, 2 * ease.ROWS + 1, 2000), list[int]()

    def on_the_twelfth() -> bool:
        asked.append(1)
        return len(asked) == 12

    with pytest.raises(Stopped):
        EASE().fit(seen, on_the_twelfth)
    assert len(asked) == 12


def test_too_small_an_l2_is_refused() -> None:
    """Items of the same users: without l2 the matrix is singular."""
    pairs = [(user, item) for user in range(50) for item in range(20)]
    with pytest.raises(InputError, match="l2 must be large enough for float32, got 1e-20 with 20 items; raise it"):
        EASE(l2=1e-20).fit(interactions(50, 20, pairs))
