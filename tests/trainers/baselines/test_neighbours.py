"""Item kNN and RP3beta against values by hand, and against their formulas with dense matrices."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from trainers.baselines import ItemKNN, RP3beta, neighbours

from .cases import dense, interactions, random_pairs, scores

# Items 0 and 1 share user 0. Items 1 and 2 share user 1.
CHAIN = interactions(2, 3, [(0, 0), (0, 1), (1, 1), (1, 2)])


def test_rp3beta_by_hand() -> None:
    """A walk from item 0 goes to user 0 and then to item 1 with probability 1/2.

    A walk from item 1 goes to each of two users with 1/2, and then to item 0 or 2 with 1/4 each. The probabilities are divided
    by the number of users of the target: W_01 = W_10 = W_12 = W_21 = 1/4. User 0 has items 0 and 1.
    """
    ranking = RP3beta(k=3, alpha=1.0, beta=1.0).fit(CHAIN)
    assert scores(ranking, [0, 1]).tolist() == [[0.25, 0.25, 0.25], [0.25, 0.25, 0.25]]
    assert ranking.recommend(np.array([1, 0]), 2).tolist() == [[0, -1], [2, -1]]
    assert ranking.note == "random walk of three steps, k 3, alpha 1, beta 1"
    normalised = RP3beta(k=3, alpha=1.0, beta=1.0, normalise=True).fit(CHAIN)  # W_01 = W_21 = 1, W_10 = W_12 = 1/2
    assert scores(normalised, [0]).tolist() == [[0.5, 1.0, 0.5]]
    assert normalised.note.endswith("beta 1, rows of sum 1")


def test_item_knn_by_hand() -> None:
    """The cosine of items 0 and 1 is 1 / sqrt(1 * 2), and with a shrinkage of 1 it is 1 / (sqrt(2) + 1).

    The dot product is 1.
    """
    near = 2**-0.5
    np.testing.assert_allclose(scores(ItemKNN(k=3).fit(CHAIN), [0]), [[near, near, near]], rtol=1e-6)
    shrunk = 1 / (2**0.5 + 1)
    np.testing.assert_allclose(scores(ItemKNN(k=3, shrinkage=1.0).fit(CHAIN), [0]), [[shrunk, shrunk, shrunk]], rtol=1e-6)
    assert scores(ItemKNN(k=3, similarity="dot").fit(CHAIN), [0]).tolist() == [[1.0, 1.0, 1.0]]


def test_k_limits_the_neighbours() -> None:
    """Item 1 shares one user with item 0 and two with item 2.

    In item kNN only item 2 counts for the score of item 1. In RP3beta a walk from item 1 is most likely at item 2, which is
    kept.
    """
    seen = interactions(4, 3, [(0, 0), (0, 1), (1, 1), (1, 2), (2, 1), (2, 2), (3, 0)])
    assert scores(ItemKNN(k=1, similarity="dot").fit(seen), [3]).tolist() == [[0.0, 0.0, 0.0]]
    assert scores(ItemKNN(k=2, similarity="dot").fit(seen), [3]).tolist() == [[0.0, 1.0, 0.0]]
    users = interactions(5, 3, [(0, 0), (0, 1), (1, 1), (1, 2), (2, 1), (2, 2), (3, 0), (4, 1)])
    np.testing.assert_allclose(scores(RP3beta(k=1, beta=0.0).fit(users), [4]), [[0.0, 0.0, 0.25]], rtol=1e-6)


def largest_of_columns(weights: NDArray[np.float32], k: int) -> NDArray[np.float32]:
    """The k largest weights of each column. Of equal ones the first are kept."""
    np.fill_diagonal(weights, 0.0)
    kept = np.argsort(-weights, axis=0, kind="stable")[:k]
    chosen = np.zeros_like(weights)
    np.put_along_axis(chosen, kept, np.take_along_axis(weights, kept, axis=0), axis=0)
    return chosen


@settings(max_examples=30)
@given(
    n_users=st.integers(1, 30),
    n_items=st.integers(2, 25),
    alpha=st.sampled_from([0.4, 1.0, 1.7]),
    beta=st.sampled_from([0.0, 0.3, 1.0]),
    normalise=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_rp3beta_is_its_formula(n_users: int, n_items: int, alpha: float, beta: float, normalise: bool, seed: int) -> None:
    seen = random_pairs(np.random.default_rng(seed), n_users, n_items, 5 * n_users)
    x = dense(seen)
    per_user, per_item = np.maximum(x.sum(1), 1), np.maximum(x.sum(0), 1)
    weights = (x.T / per_item[:, None]) ** alpha @ (x / per_user[:, None]) ** alpha / per_item**beta
    np.fill_diagonal(weights, 0.0)
    if normalise:
        sums = weights.sum(1, keepdims=True)
        weights = np.divide(weights, sums, out=np.zeros_like(weights), where=sums > 0)
    model = RP3beta(k=n_items, alpha=alpha, beta=beta, normalise=normalise)
    found, expected = scores(model.fit(seen), list(range(n_users))), x @ weights
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("k", [1, 3, 100])
def test_item_knn_is_its_formula_over_several_blocks(k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "ENTRIES", 200)  # five rows with 40 entries each
    seen = random_pairs(np.random.default_rng(3), 300, 40, 3_000)
    x = dense(seen).astype(np.float32)
    roots = np.sqrt(x.sum(0))
    weights = largest_of_columns(x.T @ x / (roots[:, None] * roots + np.float32(2.0)), k)
    found = scores(ItemKNN(k=k, shrinkage=2.0).fit(seen), list(range(250)))
    np.testing.assert_allclose(found, (x @ weights)[:250], rtol=1e-4, atol=1e-6)


def test_blocks_have_limited_entries_and_all_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows 0 to 3 of the product have at most 3, 2, 3 and 0 entries; row 2 would have 4 of 3 columns."""
    left = scipy.sparse.csr_array(np.array([[1, 1, 0], [0, 1, 0], [1, 0, 1], [0, 0, 0]], np.float32))
    right = scipy.sparse.csr_array(np.array([[1, 0, 0], [0, 1, 1], [1, 1, 1]], np.float32))
    for entries, blocks in ((8, [(0, 4)]), (5, [(0, 2), (2, 4)]), (2, [(0, 1), (1, 2), (2, 3), (3, 4)])):
        monkeypatch.setattr(neighbours, "ENTRIES", entries)
        assert list(neighbours._blocks(left, right)) == blocks
