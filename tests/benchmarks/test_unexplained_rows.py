"""The experiments are configs, and 2-stage sampling can compare candidates with the user."""

from __future__ import annotations

import numpy as np
import torch

from benchmarks.unexplained_rows import EXPERIMENTS, FromUser, FromUserSampler
from trainers import Interactions
from trainers.losses import Hinge
from trainers.negatives import ScoredStep, TwoStage


def test_every_experiment_changes_its_row():
    configs = {name: one.config() for name, one in EXPERIMENTS.items()}
    assert len({(config.digest(), type(config.negatives)) for config in configs.values()}) == len(configs)
    assert configs["hinge: 10 negatives, margin 0.9"].loss == Hinge(margin=0.9)


def test_the_candidate_near_the_user_is_drawn():
    """Items 1 and 2 are candidates besides the positive, item 0. Item 1 is near the positive, but turned away from the user."""
    seen = Interactions.from_pairs(np.array([0, 1, 1]), np.array([0, 1, 2]), 2, 3)
    vectors = np.array([[1.0, 0.0, 0.1], [0.9, -0.4, 0.1], [0.1, 1.0, 0.0]], np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    user = torch.tensor([[0.4, 4.0, 0.0]], requires_grad=True)
    table = torch.from_numpy(vectors)
    step = ScoredStep(
        *(0, 0, 0, np.array([0]), np.array([0]), np.array([0]), lambda: vectors),
        user_vectors=user,
        positive_vectors=table[:1],
        item_vectors=lambda ids: table[torch.from_numpy(ids)],
    )
    sampler = FromUser(count=50, candidates=3).sampler(seen)
    assert isinstance(sampler, FromUserSampler)
    torch.testing.assert_close(sampler._anchors(step), torch.tensor([[0.4, 4.0, 0.0]]) / 16.16**0.5)
    assert (sampler.draw(step) == 2).all()
    of_items = TwoStage(count=50, candidates=3).sampler(seen)
    assert {*of_items.draw(step).ravel().tolist()} == {1, 2}
