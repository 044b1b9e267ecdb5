"""Losses without negatives: value and gradient against plain Python."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from trainers import TrainConfig
from trainers.losses import LOSSES, DirectAU, Loss, Scores
from trainers.losses.uniformity import uniformity
from trainers.scores import unit

from ...loss_cases import CASES, ITEMS, USERS, B, square

Vectors = list[list[float]]

RAW_USERS = [[0.3, -1.2, 0.5], [1.0, 0.4, -0.2], [0.3, -1.2, 0.5]]  # rows 0 and 2 have the same user
RAW_ITEMS = [[0.9, -0.1, 0.8], [0.2, 0.7, 0.1], [-0.6, 0.5, 1.4]]
# For each loss: its alignment, as value and derivative by the cosine, and the weights of the two uniformities.
ByCosine = Callable[[Any, float], tuple[float, float]]
BY_HAND: dict[str, tuple[ByCosine, Callable[[Any], tuple[float, float]]]] = {
    "directau": (lambda loss, cosine: (square(cosine), -2.0), lambda loss: (loss.gamma / 2, loss.gamma / 2)),
}


def built(name: str) -> Any:
    return TrainConfig.from_dict({"loss": CASES[name].settings}).loss


def units(raw: Vectors) -> Vectors:
    return [[x / math.sqrt(sum(y * y for y in row)) for x in row] for row in raw]


def dot(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def uniformity_by_hand(vectors: Vectors) -> tuple[float, Vectors]:
    """The value and its gradient, from distances between the vectors of all pairs of rows."""
    weights = {}
    for a in range(B):
        for b in range(a):
            distance = sum((x - y) ** 2 for x, y in zip(vectors[a], vectors[b], strict=True))
            weights[a, b] = weights[b, a] = math.exp(-2.0 * distance)
    total = sum(weights.values()) / 2
    gradients = [
        [sum(-4.0 * weights[a, b] * (vectors[a][k] - vectors[b][k]) for b in range(B) if b != a) / total for k in range(3)]
        for a in range(B)
    ]
    return math.log(total / (B * (B - 1) / 2)), gradients


def of_raw(raw: Vectors, gradients: Vectors) -> Vectors:
    """The gradients by the vectors before their normalisation."""
    found = []
    for row, x, gradient in zip(raw, units(raw), gradients, strict=True):
        length = math.sqrt(dot(row, row))
        found.append([(g - dot(gradient, x) * one) / length for g, one in zip(gradient, x, strict=True)])
    return found


def by_hand(loss: Loss) -> tuple[float, Vectors, Vectors]:
    """The loss of the batch, and its gradients by RAW_USERS and RAW_ITEMS."""
    align, weights_of = BY_HAND[loss.name]
    users, items, weights = units(RAW_USERS), units(RAW_ITEMS), weights_of(loss)
    value, by_user, by_item = 0.0, [[0.0] * 3 for _ in range(B)], [[0.0] * 3 for _ in range(B)]
    for a in range(B):
        height, derivative = align(loss, dot(users[a], items[a]))
        value += height / B
        for k in range(3):
            by_user[a][k] += derivative * items[a][k] / B
            by_item[a][k] += derivative * users[a][k] / B
    for vectors, gradients, weight in ((users, by_user, weights[0]), (items, by_item, weights[1])):
        spread, spread_gradients = uniformity_by_hand(vectors)
        value += weight * spread
        for a in range(B):
            for k in range(3):
                gradients[a][k] += weight * spread_gradients[a][k]
    return value, of_raw(RAW_USERS, by_user), of_raw(RAW_ITEMS, by_item)


def test_every_loss_without_negatives_is_tested_here():
    assert {name for name, loss in LOSSES.items() if not loss.needs_negatives} == {*BY_HAND}


@pytest.mark.parametrize("name", BY_HAND)
def test_value_and_gradient(name: str):
    raw = [torch.tensor(table, dtype=torch.float64, requires_grad=True) for table in (RAW_USERS, RAW_ITEMS)]
    vectors = [unit(table) for table in raw]
    positive, negative = (vectors[0] * vectors[1]).sum(1), torch.empty(B, 0)
    got = built(name)(Scores(positive, negative, torch.tensor(USERS), torch.tensor(ITEMS), 0, None, *vectors))
    got.backward()
    value, *gradients = by_hand(built(name))
    assert got.item() == pytest.approx(value, rel=1e-9)
    for table, expected in zip(raw, gradients, strict=True):
        assert table.grad is not None
        for row, by_row in zip(table.grad.tolist(), expected, strict=True):
            assert row == pytest.approx(by_row, rel=1e-9, abs=1e-12)


def test_uniformity_is_that_of_the_authors_program():
    """It is a mean over pairs x < y of rows, so a user in several rows counts several times."""
    vectors = unit(torch.randn(9, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1)))[[0, 1, 2, 2, 3, 4, 5, 8, 0]]
    expected = torch.pdist(vectors).square().mul(-2).exp().mean().log()
    assert uniformity(vectors).item() == pytest.approx(expected.item(), rel=1e-12)


def test_uniformity_is_highest_for_equal_vectors_and_lower_for_opposite_ones():
    one = torch.tensor([[0.6, 0.8]], dtype=torch.float64)
    assert uniformity(torch.cat([one, one])).item() == pytest.approx(0.0, abs=1e-12)
    assert uniformity(torch.cat([one, -one])).item() == pytest.approx(-8.0, rel=1e-12)


def test_uniformity_has_the_same_bits_on_any_number_of_threads():
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            vectors = unit(torch.randn(500, 16, generator=torch.Generator().manual_seed(3))).requires_grad_()
            value = uniformity(vectors)
            value.backward()  # type: ignore[no-untyped-call]
            assert vectors.grad is not None
            found.append((value.item(), vectors.grad.numpy().tobytes()))
    finally:
        torch.set_num_threads(before)
    assert found[0] == found[1]


def test_a_uniformity_needs_vectors():
    scores = torch.zeros(2)
    with pytest.raises(ValueError, match="give Scores its user_vectors and item_vectors"):
        DirectAU(gamma=1.0)(Scores(scores, scores[:, None], torch.arange(2), torch.arange(2)))
