"""The choice among finalists, and the figures of a method."""

from __future__ import annotations

import optuna
import pytest
from optuna.trial import TrialState

from hpo.confirmation.results import Finalist, Method, SearchCost, SearchWinner, highest, search_cost
from hpo.study.attributes import RESUMED_AFTER, RETRY_OF
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


def test_the_figures_of_several_searches_are_those_of_their_means():
    """Means 0.2, 0.3 and 0.7: mean 0.4, sd 0.07 ** 0.5."""
    by_seed = {seed: {"ndcg@20": value} for seed, value in ((1, 0.1), (2, 0.3), (11, 0.3), (12, 0.3), (21, 0.6), (22, 0.8))}
    searches = [SearchWinner(number, "s", 0, CONFIG, [first, first + 1]) for number, first in ((1, 1), (2, 11), (4, 21))]
    method = Method("A", CONFIG, by_seed, 1.0, searches=searches)
    assert method.values("ndcg@20") == [[0.1, 0.3], [0.3, 0.3], [0.6, 0.8]]
    assert (method.mean("ndcg@20"), method.sd("ndcg@20")) == pytest.approx((0.4, 0.07**0.5))
    assert list(method.of_search(4)) == [21, 22]
    one = Method("A", CONFIG, {1: by_seed[1], 2: by_seed[2]}, 1.0, searches=searches[:1])
    assert (one.mean("ndcg@20"), one.sd("ndcg@20")) == pytest.approx((0.2, 0.02**0.5)), "one search: those of its runs"


def test_epochs_of_an_attempt_that_was_resumed_count_once():
    """Trial 1 goes on from trial 0 and has its epochs. Trial 3 starts again, since trial 2 left no checkpoint."""
    study = optuna.create_study(direction="maximize")
    attempts = [(5, {}), (12, {RETRY_OF: 0, RESUMED_AFTER: 4}), (3, {}), (12, {RETRY_OF: 2})]
    for epochs, marks in attempts:
        spent = {"epochs_trained": epochs, "train_seconds": 2.0 * epochs, "evaluate_seconds": 1.0}
        state = TrialState.COMPLETE if marks else TrialState.FAIL
        value = 0.5 if marks else None
        study.add_trial(optuna.trial.create_trial(state=state, value=value, user_attrs={**spent, **marks}))
    assert search_cost(study) == SearchCost(2, 12 + 3 + 12, 2.0 * 27 + 3)
