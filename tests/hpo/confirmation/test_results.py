"""Which finalist wins."""

from __future__ import annotations

import pytest

from hpo.confirmation.results import Finalist, highest
from trainers.errors import InputError

from ..outcomes import CONFIG


def test_the_highest_mean_wins_and_diverged_candidates_lose():
    def finalist(trial: int, *values: float, failure: str = "") -> Finalist:
        return Finalist(trial, CONFIG, 0.0, {seed: {"ndcg@20": value} for seed, value in enumerate(values)}, failure)

    # trial 1 has the best single seed, trial 2 the best mean
    three = [finalist(1, 0.5, 0.1), finalist(2, 0.4, 0.3), finalist(3, failure="diverged")]
    assert highest(three, "ndcg@20", "s").trial == 2
    with pytest.raises(InputError, match="every finalist diverged"):
        highest([finalist(3, failure="nan in epoch 2")], "ndcg@20", "s")
