"""The gradient shares, against values by hand, and for every loss and sampler."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from trainers import Interactions, TrainConfig
from trainers.losses import BPR
from trainers.losses.thresholds import ThresholdLoss
from trainers.metrics.gradient_share import _shares, gradient_shares, mean_shares
from trainers.negatives import NEGATIVES

N_USERS, N_ITEMS, DIM = 8, 40, 6


@pytest.fixture
def seen() -> Interactions:
    rng = np.random.default_rng(0)
    return Interactions.from_pairs(rng.integers(0, N_USERS, 90), rng.integers(0, N_ITEMS, 90), N_USERS, N_ITEMS)


def vectors(seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    users, items = (rng.normal(size=(n, DIM)).astype(np.float32) for n in (N_USERS, N_ITEMS))
    return users / np.linalg.norm(users, axis=1, keepdims=True), items / np.linalg.norm(items, axis=1, keepdims=True)


def config(loss: dict[str, Any], **fields: Any) -> TrainConfig:
    return TrainConfig.from_dict({"loss": loss, "batch_size": 30, "encoder": {"name": "mf", "dim": DIM}, **fields})


def test_shares_agree_with_values_by_hand() -> None:
    """Of 20 negatives, 1 % is one and 10 % are two. The second row has no gradient and does not count."""
    scores = torch.linspace(0, 1, 20).repeat(3, 1)
    gradients = torch.zeros(3, 20)
    gradients[0, -1], gradients[0, 0] = 3.0, 1.0
    gradients[2, -1], gradients[2, -2], gradients[2, -3] = 2.0, 2.0, 4.0
    found = _shares(scores, gradients)
    assert found == pytest.approx({"active": 5 / 60, "hardest 1 %": (3 / 4 + 2 / 8) / 2, "hardest 10 %": (3 / 4 + 4 / 8) / 2})


def test_without_gradients_the_shares_are_0() -> None:
    assert _shares(torch.rand(3, 10), torch.zeros(3, 10)) == {"active": 0.0, "hardest 1 %": 0.0, "hardest 10 %": 0.0}


def test_the_mean_over_runs_leaves_out_shares_of_no_gradient() -> None:
    """The third run has no gradient, so 0 of it is no share: the mean of 1 and .9 is .95."""
    shares = [(0.02, 0.6, 1.0), (0.01, 0.8, 0.9), (0.0, 0.0, 0.0)]
    runs = [dict(zip(("active", "hardest 1 %", "hardest 10 %"), each, strict=True)) for each in shares]
    assert mean_shares(runs) == pytest.approx({"active": 0.01, "hardest 1 %": 0.7, "hardest 10 %": 0.95})
    assert mean_shares(runs[2:]) == runs[2]
    assert mean_shares([runs[0], {}]) == {}, "a run without negatives"


def test_a_loss_that_ignores_its_negatives_has_no_shares(seen: Interactions, monkeypatch: pytest.MonkeyPatch) -> None:
    """An own loss may do so."""
    monkeypatch.setattr(BPR, "rows", lambda self, scores: 1 - scores.positive)
    found = gradient_shares(config({"name": "bpr"}), *vectors(), seen)
    assert found == {"active": 0.0, "hardest 1 %": 0.0, "hardest 10 %": 0.0}


def test_equal_gradients_give_the_hardest_negatives_their_proportion(seen: Interactions) -> None:
    found = gradient_shares(config({"name": "hinge", "margin": 50.0}), *vectors(), seen)
    assert found == pytest.approx({"active": 1.0, "hardest 1 %": 0.01, "hardest 10 %": 0.1})


def test_a_lower_temperature_gives_harder_negatives_more_gradient(seen: Interactions) -> None:
    shares = [
        gradient_shares(config({"name": "ssm", "temperature": t}), *vectors(), seen)["hardest 10 %"] for t in (0.05, 0.2, 5.0)
    ]
    assert shares[0] > 1.5 * shares[1] > 3 * shares[2]
    assert shares[2] == pytest.approx(0.1, abs=0.03)


@pytest.mark.parametrize("sampler", sorted({*NEGATIVES} - {"none"}))
def test_every_loss_and_sampler(loss_case: dict[str, Any], sampler: str, seen: Interactions) -> None:
    settings = config(loss_case, negatives={"name": sampler} | ({"candidates": 20} if sampler == "two_stage" else {}))
    found = gradient_shares(settings, *vectors(), seen)
    assert found == gradient_shares(settings, *vectors(), seen)
    if isinstance(settings.loss, ThresholdLoss) or not settings.loss.needs_negatives:  # thresholds are not in the vectors
        assert found == {}
        return
    assert 0 <= found["hardest 1 %"] <= found["hardest 10 %"] <= 1 + 1e-12
    assert 0 <= found["active"] <= 1


def test_a_lifted_vector_has_the_direction_of_its_first_part(seen: Interactions) -> None:
    """The score euclidean lifts vectors. 2-stage sampling needs the original directions of the items."""
    users, items = vectors()
    lifted = [np.concatenate([part, np.ones((len(part), 2), np.float32)], axis=1) for part in (users, items)]
    negatives = {"name": "two_stage", "candidates": 20}
    euclidean = gradient_shares(config({"name": "cml"}, score="euclidean", negatives=negatives), *lifted, seen)
    assert euclidean["active"] > 0
