"""The metrics that are measured in addition to the objective."""

from __future__ import annotations

import pytest

from hpo.study.objective import measured, measured_at_full_budget
from hpo.study.rivals import rivals_of
from hpo.study.spec import StudySpec
from trainers.errors import InputError


@pytest.mark.parametrize(
    ("objective", "search", "confirm"),
    [
        ("ndcg@20", ["ndcg@20", "recall@20"], ["ndcg@50", "recall@50"]),
        ("recall@20", ["recall@20", "ndcg@20"], ["ndcg@50", "recall@50"]),
        ("ndcg@50", ["ndcg@50", "recall@50"], ["ndcg@20", "recall@20"]),
        ("recall@10", ["recall@10", "ndcg@10"], ["ndcg@20", "recall@20", "ndcg@50", "recall@50"]),
        ("map@5", ["map@5", "recall@5"], ["ndcg@20", "recall@20", "ndcg@50", "recall@50"]),
    ],
)
def test_the_objective_comes_first_and_each_metric_once(objective: str, search: list[str], confirm: list[str]):
    assert list(measured(objective)) == search
    assert list(measured_at_full_budget(objective)) == search + confirm


def test_the_default_objective_is_ndcg_at_20():
    fields = {"name": "x", "dataset": "demo", "space": {"name": "mml"}}
    assert StudySpec.model_validate(fields).objective == "ndcg@20"
    assert StudySpec.model_validate(fields | {"objective": "mrr@1"}).measured == ("mrr@1", "recall@1")
    with pytest.raises(InputError, match="study x: objective: a metric must be one of"):
        StudySpec.model_validate(fields).override({"objective": "mrr"})


def test_rivals_have_the_objective_of_the_study():
    fields = {"name": "x", "dataset": "gowalla", "space": {"name": "mml"}, "objective": "map@5"}
    by_space, by_name = rivals_of(StudySpec.model_validate(fields | {"rivals": ["ccl", "gowalla_bsl"]})).specs
    assert (by_space.objective, by_name.objective) == ("map@5", "ndcg@20")
    ours = StudySpec.model_validate(fields)
    assert by_name.with_budget_of(ours).objective == "map@5"
