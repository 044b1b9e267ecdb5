"""iALS against its normal equations. No iteration may raise its objective."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from trainers import hold_out
from trainers.baselines import IALS, ItemKNN, MostPopular, RP3beta
from trainers.baselines.ials import ENTRIES
from trainers.errors import InputError
from trainers.metrics.accuracy import evaluate_lists

from .cases import dense, interactions, random_pairs, scores


def test_one_factor_by_hand() -> None:
    """One user has one of two items. Vectors have one number: h for items and w for the user.

    w solves (h_0^2 + a (h_0^2 + h_1^2) + l (1 + 2 a)) w = h_0. With h = (1, 2), a = 0.5 and l = 0.25: (1 + 2.5 + 0.5) w = 1.
    """
    model, users = IALS(factors=1, l2=0.25, unobserved_weight=0.5), torch.zeros(1, 1)
    model._solve(users, torch.tensor([[1.0], [2.0]]), np.array([0, 1]), np.array([0]), lambda: False)
    assert users.tolist() == [[0.25]]


def objective(model: IALS, epochs: int, x: np.ndarray, seen: object) -> float:
    """The part of the objective that depends on the scores.

    The vectors have the lengths of a solution, so their cost is left out.
    """
    ranking = IALS(factors=model.factors, l2=1e-6, unobserved_weight=model.unobserved_weight, epochs=epochs).fit(seen)  # type: ignore[arg-type]
    product = scores(ranking, list(range(len(x))))
    return float((x * (1 - product) ** 2).sum() + model.unobserved_weight * (product**2).sum())


def test_turns_lower_the_objective() -> None:
    seen = random_pairs(np.random.default_rng(1), 40, 30, 300)
    values = [objective(IALS(factors=8, unobserved_weight=0.2), epochs, dense(seen), seen) for epochs in (1, 2, 4, 8)]
    assert values == sorted(values, reverse=True)
    assert values[0] > values[-1]


@pytest.mark.parametrize("entries", [1, 200, ENTRIES])
def test_rows_of_any_length_solve_their_equations(monkeypatch: pytest.MonkeyPatch, entries: int) -> None:
    """Blocks have one row, about five rows, or all. A row without interactions is 0."""
    monkeypatch.setattr("trainers.baselines.ials.ENTRIES", entries)
    rng = np.random.default_rng(2)
    seen = random_pairs(rng, 50, 30, 400)
    x, other = dense(seen), rng.normal(size=(30, 6)).astype(np.float32)
    x[7] = 0.0
    users, items = np.nonzero(x)
    indptr = np.concatenate([[0], np.cumsum(x.sum(1).astype(int))])
    model, found = IALS(factors=6, l2=0.1, unobserved_weight=0.3), torch.full((50, 6), torch.nan)
    model._solve(found, torch.from_numpy(other), indptr, items, lambda: False)
    for user in range(50):
        own = other[items[users == user]]
        ridge = 0.1 * (len(own) + 0.3 * 30)
        left = own.T @ own + 0.3 * other.T @ other + ridge * np.eye(6)
        np.testing.assert_allclose(found[user].numpy(), np.linalg.solve(left, own.sum(0)), rtol=1e-4, atol=1e-6)
    assert found[7].tolist() == [0.0] * 6


def test_it_finds_a_known_structure() -> None:
    """Even users take even items, which popularity cannot show. The same seed gives the same lists."""
    rng = np.random.default_rng(2)
    pairs = [(u, i) for u in range(60) for i in range(40) if (u + i) % 2 == 0 and rng.random() < 0.6]
    seen, held_out = hold_out(interactions(60, 40, pairs), seed=0)
    users = np.flatnonzero(held_out.per_user)
    model = IALS(factors=4, l2=0.01)
    lists = model.fit(seen).recommend(users, 5)
    popular = MostPopular().fit(seen).recommend(users, 5)
    recall = [evaluate_lists(found, held_out=held_out, ks=(5,))["recall@5"].mean() for found in (lists, popular)]
    assert recall[0] > 1.5 * recall[1]
    assert model.fit(seen).recommend(users, 5).tolist() == lists.tolist()


def test_too_small_an_l2_is_refused_and_no_data_are_no_error() -> None:
    seen = random_pairs(np.random.default_rng(3), 5, 4, 12)
    with pytest.raises(InputError, match="l2 must be large enough for float32, got 1e-10 with 64 factors; raise it"):
        IALS(l2=1e-10).fit(seen)
    for n_users, n_items in ((0, 3), (3, 0)):
        empty = interactions(n_users, n_items, [])
        for baseline in (IALS(), RP3beta(), ItemKNN()):
            assert baseline.fit(empty).recommend(np.arange(n_users), 2).tolist() == [[-1, -1]] * n_users
