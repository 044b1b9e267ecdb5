"""The torch engine's thresholds of users against a computation in plain NumPy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from trainers import Interactions, TrainConfig
from trainers.engines import ENGINES, EngineChoice, make_engine
from trainers.engines.thresholds import Thresholds, scores_of_seen
from trainers.engines.torch_engine import TorchEngine
from trainers.losses import MAWU, DrRL, Scores, SLatK, Talos
from trainers.negatives import ScoredStep

from ...loss_cases import LOSS_CASES
from .cases import config, data

NAMES = ("slatk", "talos", "drrl", "mawu")
SEEN = Interactions.from_pairs(np.array([0, 0, 0, 1, 3, 3]), np.array([0, 2, 4, 1, 3, 0]), 5, 6)
USERS, ITEMS = np.array([3, 0, 3]), np.array([3, 2, 0])  # user 3 has two rows
NEGATIVE = [[0.1, 0.7, -0.2], [0.4, 0.2, 0.9], [0.6, -0.5, 0.3]]


def a_step(epoch: int = 0) -> ScoredStep:
    """A step with user vectors (3, 2) for its rows, and item vectors (6, 2)."""
    generator = torch.Generator().manual_seed(1)
    users, items = (torch.randn(n, 2, generator=generator) for n in (3, 6))
    return ScoredStep(
        seed=0,
        epoch=epoch,
        number=0,
        rows=np.arange(3),
        users=USERS,
        items=ITEMS,
        directions=lambda: items.numpy(),
        user_vectors=users,
        positive_vectors=items[ITEMS],
        item_vectors=lambda ids: items[torch.from_numpy(ids.astype(np.int64))],
    )


def scores_of(kept: Thresholds, step: ScoredStep) -> Scores:
    positive, negative = (step.user_vectors * step.positive_vectors).sum(1), torch.tensor(NEGATIVE, requires_grad=True)
    return Scores(positive, negative, torch.from_numpy(USERS), torch.from_numpy(ITEMS), 6, kept.of(step, "cpu"))


def own_by_hand(step: ScoredStep) -> list[list[float]]:
    items = step.item_vectors(np.arange(6)).numpy()
    return [
        [float(step.user_vectors[row].numpy() @ items[item]) for item in SEEN.items[SEEN.indptr[user] : SEEN.indptr[user + 1]]]
        for row, user in enumerate(USERS)
    ]


def test_scores_of_what_each_rows_user_has_seen():
    step = a_step()
    got, by_hand = scores_of_seen(step, SEEN).tolist(), own_by_hand(step)
    assert [len(row) for row in by_hand] == [2, 3, 2]
    assert got == [pytest.approx([*row, *[float("-inf")] * (3 - len(row))], rel=1e-6) for row in by_hand]


def test_a_renewed_threshold_is_that_of_the_users_first_row():
    kept = Thresholds(SLatK(temperature=0.1, k=2, refresh=2), 5, 6)
    kept.update(a_step(0), scores_of(kept, a_step(0)), SEEN)
    assert kept.values.tolist() == [0.0] * 5, "they are renewed every second epoch"
    step = a_step(1)
    kept.update(step, scores_of(kept, step), SEEN)
    second = [sorted([*seen, *row])[-2] for seen, row in zip(own_by_hand(step), NEGATIVE, strict=True)]
    assert kept.values.tolist() == pytest.approx([second[1], 0.0, 0.0, second[0], 0.0], rel=1e-6)


def test_drrl_thresholds_descend_by_the_sum_of_a_users_rows():
    loss = DrRL(omega=2.0, negative_weight=3.0, margin=0.05, threshold_rate=0.01)
    kept, by_hand = Thresholds(loss, 5, 6), np.full(5, 0.05)
    for _ in range(3):
        kept.update(a_step(), scores_of(kept, a_step()), SEEN)
        gradients = np.zeros(5)
        for user, row in zip(USERS, np.array(NEGATIVE), strict=True):
            heights = 0.1 + 3.0 * np.maximum(0.0, row - by_hand[user])
            mean = np.sqrt(np.mean(heights**2))
            gradients[user] += 1.0 - 3.0 * np.mean(heights / mean * (row > by_hand[user]))
        by_hand -= 0.01 * gradients
    assert kept.values.tolist() == pytest.approx(by_hand.tolist(), abs=1e-7)
    assert by_hand[0] != 0.05
    assert by_hand[1] == 0.05, "user 1 has no row"


@pytest.mark.parametrize(("k", "moves"), [(1, [1, 0, 0, 1, 0]), (5, [0, 0, 0, -1, 0])])
def test_talos_thresholds_move_downhill_by_adam(k: int, moves: list[int]):
    """With the same slope twice, each step is about the rate. The thresholds of users without a row do not move.

    The slope is (k - 6) / 6 for each score above the threshold 0, and k / 6 for each one below: k of the six items shall be
    above. The three negatives stand for all items that the user has not seen. For user 0 five items are above.
    """
    step, slopes = a_step(), np.zeros(5, np.int64)
    for user, seen, row in zip(USERS, own_by_hand(step), NEGATIVE, strict=True):
        each = np.where(np.array([*seen, *row]) > 0.0, k - 6, k)
        slopes[user] += 3 * each[: len(seen)].sum() + (6 - len(seen)) * each[len(seen) :].sum()
    assert np.sign(-slopes).tolist() == moves
    kept = Thresholds(Talos(temperature=0.1, k=k, threshold_rate=1e-3), 5, 6)
    for _ in range(2):
        kept.update(step, scores_of(kept, step), SEEN)
    assert kept.values.tolist() == pytest.approx([2e-3 * move for move in moves], rel=1e-3, abs=1e-9)


def test_mawu_margins_of_users_and_items_move_together_up_to_1():
    """With nearly the same gradient each step of Adam is about the rate. A user's or item's number of rows has no effect."""
    kept = Thresholds(MAWU(gamma_user=1.0, gamma_item=1.0, threshold_rate=0.1), 5, 6)
    for n_steps in (1, 8):
        for _ in range(n_steps):
            step = a_step()
            scores = replace(scores_of(kept, step), positive=torch.tensor([0.5, 0.1, -0.2]))
            assert scores.threshold is not None
            assert scores.threshold.tolist() == [
                kept.values[user] + kept.item_values[item] for user, item in zip(USERS, ITEMS, strict=True)
            ]
            kept.update(step, scores, SEEN)
        moved = [kept.values[user].item() for user in (0, 3)] + [kept.item_values[item].item() for item in ITEMS]
        assert moved == pytest.approx([0.1 * n_steps if n_steps == 1 else 0.9] * 5, abs=0.03)
    for _ in range(8):
        kept.update(a_step(), replace(scores_of(kept, a_step()), positive=torch.tensor([0.5, 0.1, -0.2])), SEEN)
    assert [kept.values[user].item() for user in range(5)] == [1.0, 0.0, 0.0, 1.0, 0.0], "users 1, 2 and 4 have no row"
    assert [kept.item_values[item].item() for item in range(6)] == [1.0, 0.0, 1.0, 1.0, 0.0, 0.0]


def test_thresholds_reach_the_loss(monkeypatch: pytest.MonkeyPatch):
    """In the first step all thresholds are zero. In later steps they have moved."""
    found: list[np.ndarray] = []
    settings, seen = config(LOSS_CASES["talos"], epochs=1), data(20, 30, 200)
    rows = type(settings.loss).rows

    def looked_at(loss: Any, scores: Scores) -> torch.Tensor:
        assert scores.threshold is not None
        found.append(scores.threshold.numpy())
        return rows(loss, scores)

    monkeypatch.setattr(type(settings.loss), "rows", looked_at)
    engine = TorchEngine(seen, None)
    engine.start(0, settings)
    engine.epoch()
    assert not found[0].any()
    assert found[-1].any()


@pytest.mark.parametrize("name", NAMES)
def test_going_back_takes_the_thresholds_along(name: str, any_engine: str):
    settings = config(LOSS_CASES[name], learning_rate=1e-2)
    if ENGINES[any_engine].refuses(settings, "cpu"):
        pytest.skip(f"{any_engine} has no {name}")
    engine = make_engine(EngineChoice(any_engine, "cpu", "named"), data(20, 30, 200), None)
    engine.start(0, settings)
    for _ in range(2):
        engine.epoch()
    kept = engine.snapshot(0)
    names = [part for part in kept if part.endswith("thresholds")]
    assert names == ["thresholds", "item_thresholds"][: 2 if name == "mawu" else 1]
    assert all(kept[part].any() for part in names)
    engine.epoch(), engine.epoch()
    assert not any(np.array_equal(engine.state(0)[part], kept[part]) for part in names)
    engine.restore(0, kept, 1e-3)
    assert all(np.array_equal(engine.state(0)[part], kept[part]) for part in names)


@pytest.mark.parametrize(("name", "part"), [("drrl", "thresholds"), ("slatk", "thresholds"), ("talos", "thresholds.exp_avg")])
def test_a_state_without_thresholds_is_refused(name: str, part: str, any_engine: str):
    engine, settings = make_engine(EngineChoice(any_engine, "cpu", "named"), data(20, 30, 200), None), config(LOSS_CASES[name])
    engine.start(0, settings)
    engine.epoch()
    state = {name: array for name, array in engine.state(0).items() if name != part}
    with pytest.raises(ValueError, match="the state does not belong to this engine and config"):
        engine.resume(0, settings, state)


def test_other_losses_keep_none():
    engine = TorchEngine(data(20, 30, 200), None)
    engine.start(0, TrainConfig.from_dict({"loss": LOSS_CASES["mml"]}))
    assert "thresholds" not in engine.state(0)
