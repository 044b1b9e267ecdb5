"""Losses with a threshold for each user: value, gradient and the updates of thresholds against plain Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from trainers import TrainConfig
from trainers.losses import DrRL, Scores, SLatK, Talos
from trainers.losses.thresholds import ThresholdLoss

from ...loss_cases import CASES, NEGATIVE, POSITIVE, B, Row, drrl_row, slatk_row, talos_row

THRESHOLDS = [0.25, -0.4, 0.7]  # above some scores of a row, below others, equal to none
N_ITEMS = 40
OWN = [[0.3, 0.5, -0.2], [1.2, float("-inf"), float("-inf")], [-0.4, 0.8, float("-inf")]]
ROWS: dict[str, Callable[..., Row]] = {"slatk": slatk_row, "talos": talos_row, "drrl": drrl_row}


def batch(thresholds: list[float] | None = THRESHOLDS) -> Scores:
    positive, negative = (torch.tensor(scores, dtype=torch.float64).requires_grad_() for scores in (POSITIVE, NEGATIVE))
    threshold = None if thresholds is None else torch.tensor(thresholds, dtype=torch.float64).requires_grad_()
    return Scores(positive, negative, torch.arange(B), torch.arange(B), N_ITEMS, threshold)


def built(name: str) -> Any:
    return TrainConfig.from_dict({"loss": CASES[name].settings}).loss


def own() -> torch.Tensor:
    return torch.tensor(OWN, dtype=torch.float64)


def test_every_loss_with_thresholds_is_tested_here():
    """`test_uniformity` has MAWU, which needs no negatives."""
    assert {name for name in CASES if isinstance(built(name), ThresholdLoss)} == {*ROWS, "mawu"}


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("thresholds", [None, [0.0] * B, THRESHOLDS], ids=["none", "zero", "given"])
def test_value_and_gradient(name: str, thresholds: list[float] | None):
    """None counts as 0."""
    scores, loss = batch(thresholds), built(name)
    loss(scores).backward()
    rows = [ROWS[name](loss, *row) for row in zip(POSITIVE, NEGATIVE, thresholds or [0.0] * B, strict=True)]
    assert loss(scores).item() == pytest.approx(sum(value for value, _, _ in rows) / B, rel=1e-9)
    assert scores.positive.grad is not None
    assert scores.negative.grad is not None
    assert scores.positive.grad.tolist() == pytest.approx([gradient / B for _, gradient, _ in rows], rel=1e-9)
    for got, (_, _, gradients) in zip(scores.negative.grad.tolist(), rows, strict=True):
        assert got == pytest.approx([gradient / B for gradient in gradients], rel=1e-9, abs=1e-15)


@pytest.mark.parametrize("k", [1, 2, 5, 6, 100])
def test_slatk_takes_the_kth_best_of_own_items_and_negatives(k: int):
    ranked = [
        sorted([score for score in [*seen, *row] if score > float("-inf")], reverse=True)
        for seen, row in zip(OWN, NEGATIVE, strict=True)
    ]
    loss = SLatK(temperature=0.1, k=k)
    assert loss.renewed(batch(), own()).tolist() == [scores[min(k, len(scores)) - 1] for scores in ranked]


def test_slatk_renews_every_few_epochs():
    loss = SLatK(temperature=0.1, refresh=3)
    assert [epoch for epoch in range(1, 10) if loss.is_due(epoch - 1)] == [3, 6, 9]


def test_talos_descends_a_quantile_of_all_items():
    """Each negative counts for several unseen items of the user."""
    k, scores = 4, batch()
    got = Talos(temperature=0.1, k=k).threshold_rows(scores, own())
    got.sum().backward()
    values, gradients = [], []
    for seen, row, threshold in zip(OWN, NEGATIVE, THRESHOLDS, strict=True):
        known = [score for score in seen if score > float("-inf")]
        weighted = [(score, 1.0) for score in known] + [(score, (N_ITEMS - len(known)) / len(row)) for score in row]
        over, under = 1.0 - k / N_ITEMS, k / N_ITEMS
        values.append(sum(w * max(over * (s - threshold), under * (threshold - s)) for s, w in weighted) / N_ITEMS)
        gradients.append(sum(w * (-over if s > threshold else under) for s, w in weighted) / N_ITEMS)
    assert scores.threshold is not None
    assert scores.threshold.grad is not None
    assert got.tolist() == pytest.approx(values, rel=1e-9)
    assert scores.threshold.grad.tolist() == pytest.approx(gradients, rel=1e-9)


def test_talos_threshold_comes_to_the_kth_best_score():
    """10 of 40 items are seen, and all others are negatives. So nothing is estimated."""
    scores = torch.linspace(-1.0, 1.0, N_ITEMS, dtype=torch.float64)[None]
    ids, threshold = torch.zeros(1, dtype=torch.int64), torch.zeros(1, dtype=torch.float64).requires_grad_()
    row = Scores(scores[:, 0], scores[:, 10:], ids, ids, N_ITEMS, threshold)
    for _ in range(3000):
        (gradient,) = torch.autograd.grad(Talos(temperature=0.1, k=5).threshold_rows(row, scores[:, :10]).sum(), threshold)
        threshold.data -= 1e-2 * gradient
    fifth = scores[0].sort(descending=True).values
    assert fifth[5] - 1e-2 <= threshold.item() <= fifth[4] + 1e-2


def test_drrl_descends_its_own_formula():
    """The gradient is 1 minus the gradients of the negatives."""
    loss, scores = DrRL(omega=2.0, negative_weight=3.0), batch()
    got = loss.threshold_rows(scores, own()[:, :0])
    got.sum().backward()
    rows = [drrl_row(loss, *row) for row in zip(POSITIVE, NEGATIVE, THRESHOLDS, strict=True)]
    assert scores.threshold is not None
    assert scores.threshold.grad is not None
    assert got.tolist() == pytest.approx([value for value, _, _ in rows], rel=1e-9)
    assert scores.threshold.grad.tolist() == pytest.approx([1.0 - sum(gradients) for _, _, gradients in rows], rel=1e-9)


@pytest.mark.parametrize("omega", [1.001, 1.05, 2.0, 1e6])
def test_drrl_with_a_high_power_stays_finite(omega: float):
    """In float32, 0.1 to the power of 1,001 is 0, and 500 to that power is infinite."""
    positive, negative = torch.zeros(2, requires_grad=True), torch.tensor([[1.0, -1.0], [-1.0, -1.0]], requires_grad=True)
    ids = torch.zeros(2, dtype=torch.int64)
    value = DrRL(omega=omega, negative_weight=500.0)(Scores(positive, negative, ids, ids))
    value.backward()
    assert value.isfinite()
    assert negative.grad is not None
    assert negative.grad.isfinite().all()


@pytest.mark.parametrize("omega", [1.1, 1.001, 1.00001, 1.0000001])
def test_drrl_shares_its_gradient_among_equal_negatives(omega: float):
    """They add up to the weight, 100. A high power has a large logarithm, which is rounded in float32."""
    negative = torch.full((1, 100), 0.9, requires_grad=True)
    ids = torch.zeros(1, dtype=torch.int64)
    DrRL(omega=omega, negative_weight=100.0)(Scores(torch.tensor([0.5]), negative, ids, ids)).backward()
    assert negative.grad is not None
    assert float(negative.grad.sum()) == pytest.approx(100.0, rel=1e-5)
    assert float(negative.grad.max()) == pytest.approx(1.0, rel=1e-5)


def test_drrl_without_a_power_is_ccl_with_the_threshold_as_margin():
    scores, loss = batch([0.3] * B), DrRL(omega=1e6, negative_weight=5.0)
    ccl = TrainConfig.from_dict({"loss": {"name": "ccl", "margin": 0.3, "negative_weight": 5.0}}).loss
    assert loss(scores).item() == pytest.approx(ccl(scores).item() + 0.1 + 0.3, rel=1e-5)
