"""Which candidate wins."""

from __future__ import annotations

import pytest

from hpo.confirmation.results import Candidate, highest
from trainers.errors import InputError

from ..outcomes import CONFIG


def test_the_highest_mean_wins_and_diverged_candidates_lose():
    def candidate(trial: int, *values: float, failure: str = "") -> Candidate:
        return Candidate(trial, CONFIG, 0.0, {seed: {"ndcg@20": value} for seed, value in enumerate(values)}, failure)

    # trial 1 has the best single seed, trial 2 the best mean
    assert (
        highest([candidate(1, 0.5, 0.1), candidate(2, 0.4, 0.3), candidate(3, failure="diverged")], "ndcg@20", "s").trial == 2
    )
    with pytest.raises(InputError, match="every candidate diverged"):
        highest([candidate(3, failure="nan in epoch 2")], "ndcg@20", "s")
