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

from ...loss_cases import CASES, ITEMS, USERS, B, sigmoid, square

Vectors = list[list[float]]

RAW_USERS = [[0.3, -1.2, 0.5], [1.0, 0.4, -0.2], [0.3, -1.2, 0.5]]  # rows 0 and 2 have the same user
RAW_ITEMS = [[0.9, -0.1, 0.8], [0.2, 0.7, 0.1], [-0.3, 1.2, -0.6]]  # the last one is nearly opposite to its user
THRESHOLDS = [0.2, 1.7, 0.9]  # sums of two margins


def margin_alignment(cosine: float, threshold: float) -> tuple[float, float]:
    """The angle with its margin is at most pi, where the cosine has no gradient."""
    angle = math.acos(cosine) + 1.0 - sigmoid(threshold)
    if angle > math.pi:
        return 1.0, 0.0
    return -math.cos(angle), -math.sin(angle) / math.sqrt(1.0 - cosine**2)


# For each loss: its alignment, as value and derivative by the cosine, and the weights of the two uniformities.
ByCosine = Callable[[float, float], tuple[float, float]]
BY_HAND: dict[str, tuple[ByCosine, Callable[[Any], tuple[float, float]]]] = {
    "directau": (lambda cosine, threshold: (square(cosine), -2.0), lambda loss: (loss.gamma / 2, loss.gamma / 2)),
    "mawu": (margin_alignment, lambda loss: (loss.gamma_user, loss.gamma_item)),
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


def by_hand(loss: Loss, thresholds: list[float]) -> tuple[float, Vectors, Vectors]:
    """The loss of the batch, and its gradients by RAW_USERS and RAW_ITEMS."""
    align, weights_of = BY_HAND[loss.name]
    users, items, weights = units(RAW_USERS), units(RAW_ITEMS), weights_of(loss)
    value, by_user, by_item = 0.0, [[0.0] * 3 for _ in range(B)], [[0.0] * 3 for _ in range(B)]
    for a in range(B):
        height, derivative = align(dot(users[a], items[a]), thresholds[a])
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


@pytest.mark.parametrize("thresholds", [None, THRESHOLDS], ids=["none", "given"])
@pytest.mark.parametrize("name", BY_HAND)
def test_value_and_gradient(name: str, thresholds: list[float] | None):
    """Without thresholds they count as 0. DirectAU has none."""
    raw = [torch.tensor(table, dtype=torch.float64, requires_grad=True) for table in (RAW_USERS, RAW_ITEMS)]
    vectors = [unit(table) for table in raw]
    positive, negative = (vectors[0] * vectors[1]).sum(1), torch.empty(B, 0)
    given = None if thresholds is None else torch.tensor(thresholds, dtype=torch.float64)
    got = built(name)(Scores(positive, negative, torch.tensor(USERS), torch.tensor(ITEMS), 0, given, *vectors))
    got.backward()
    value, *gradients = by_hand(built(name), thresholds or [0.0] * B)
    assert got.item() == pytest.approx(value, rel=1e-9)
    for table, expected in zip(raw, gradients, strict=True):
        assert table.grad is not None
        for row, by_row in zip(table.grad.tolist(), expected, strict=True):
            assert row == pytest.approx(by_row, rel=1e-9, abs=1e-12)


def test_mawu_descends_its_own_formula():
    """A higher margin of user and item lowers the loss: sigmoid takes more off the angle."""
    cosines, threshold = [0.8, 0.1, -0.97], torch.tensor(THRESHOLDS, dtype=torch.float64, requires_grad=True)
    scores, ids = torch.tensor(cosines, dtype=torch.float64), torch.arange(B)
    rows = built("mawu").threshold_rows(Scores(scores, scores[:, None], ids, ids, 0, threshold), scores[:, None][:, :0])
    rows.sum().backward()
    expected = []
    for cosine, one in zip(cosines, THRESHOLDS, strict=True):
        angle = math.acos(cosine) + 1.0 - sigmoid(one)
        expected.append(-math.sin(angle) * sigmoid(one) * (1.0 - sigmoid(one)) if angle < math.pi else 0.0)
    values = [margin_alignment(*row)[0] for row in zip(cosines, THRESHOLDS, strict=True)]
    assert rows.tolist() == pytest.approx(values, rel=1e-9)
    assert threshold.grad is not None
    assert threshold.grad.tolist() == pytest.approx(expected, rel=1e-9)
    assert expected[2] == 0.0, "this angle is above pi"
    assert max(expected[:2]) < 0.0


@pytest.mark.parametrize("cosine", [1.0, -1.0, 1.0 + 1e-6, 1.3])
def test_mawu_has_a_finite_gradient_at_every_cosine(cosine: float):
    """The gradient of the angle is infinite at 1 and -1. Rounding and dropout give cosines above 1."""
    positive, vectors = torch.tensor([cosine, 0.5], requires_grad=True), torch.eye(2)
    value = built("mawu")(Scores(positive, torch.empty(2, 0), torch.arange(2), torch.arange(2), 0, None, vectors, vectors))
    value.backward()
    assert value.isfinite()
    assert positive.grad is not None
    assert positive.grad.isfinite().all()


def test_uniformity_is_that_of_the_authors_program():
    """It is a mean over pairs x < y of rows, so a user in several rows counts several times."""
    drawn = torch.randn(9, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    vectors = unit(drawn)[[0, 1, 2, 2, 3, 4, 5, 8, 0]]
    expected = torch.pdist(vectors).square().mul(-2).exp().mean().log()
    assert uniformity(vectors).item() == pytest.approx(expected.item(), rel=1e-12)


def test_uniformity_is_highest_for_equal_vectors_and_lower_for_opposite_ones():
    one = torch.tensor([[0.6, 0.8]], dtype=torch.float64)
    assert uniformity(torch.cat([one, one])).item() == pytest.approx(0.0, abs=1e-12)
    assert uniformity(torch.cat([one, -one])).item() == pytest.approx(-8.0, rel=1e-12)


@pytest.mark.parametrize("seed", [5, 7])
def test_uniformity_has_the_same_bits_on_any_number_of_threads(seed: int):
    """With these seeds a sum over all pairs at once has other bits on two threads."""
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            vectors = unit(torch.randn(300, 16, generator=torch.Generator().manual_seed(seed))).requires_grad_()
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
