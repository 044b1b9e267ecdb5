"""The epochs after which trials are evaluated, and the number of users."""

from __future__ import annotations

import pytest

from hpo.study.plan import PrunerSpec, SearchPlan

YELP = {"n_users": 31_668, "n_items": 38_048, "n_pairs": 1_100_000, "compared": 100}


def plan(epochs: int = 30, **pruner: object) -> SearchPlan:
    return SearchPlan.model_validate({"epochs": epochs, "pruner": pruner})


@pytest.mark.parametrize(
    ("pruner", "change", "users"),
    [
        ({"interval_steps": 1}, {}, 3 * 1_100_000 * 101 // 38_048),
        ({"interval_steps": 2}, {}, 2 * 3 * 1_100_000 * 101 // 38_048),
        ({"interval_steps": 4}, {}, 31_668),
        ({"interval_steps": 4, "n_warmup_steps": 1}, {}, 3 * 1_100_000 * 101 // 38_048),
        ({"interval_steps": 2, "n_warmup_steps": 0}, {}, 2 * 3 * 1_100_000 * 101 // 38_048),
        ({"interval_steps": 1}, {"n_items": 10_000_000}, 1000),
        ({"interval_steps": 1}, {"n_items": 10_000_000, "n_users": 900}, 900),
        ({"name": "none"}, {"n_items": 10_000_000}, 31_668),
        ({"n_warmup_steps": 30}, {"n_items": 10_000_000}, 31_668),
    ],
)
def test_an_evaluation_costs_a_quarter_of_the_training_before_it(pruner: dict[str, object], change: dict[str, int], users: int):
    assert plan(**pruner).sample_size(**{**YELP, **change}) == users


def test_the_identity_of_a_study_has_its_evaluations():
    assert plan().evaluation == {"first": 9, "interval": 4, "sample": 2}
    assert [PrunerSpec().warmup(epochs) for epochs in (1, 10, 20, 30)] == [1, 3, 6, 9], "30 % of a trial"
    assert plan(n_warmup_steps=0).evaluation == {"first": 4, "interval": 4, "sample": 2}
    assert plan(name="none").evaluation == plan(n_warmup_steps=30).evaluation == {}, "only the last epoch"
