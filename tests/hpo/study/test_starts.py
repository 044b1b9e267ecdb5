"""The warm-start configs of a search."""

from __future__ import annotations

from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from hpo.study.attributes import FAILURE, NEAREST_MARK, PUBLISHED_MARK, RETRY_OF, START_MARK
from hpo.study.plan import PrunerSpec
from hpo.study.sampling import make_pruner, make_sampler
from hpo.study.spec import StudySpec
from hpo.study.starts import STARTS, count_queued, enqueue_starts, has_failed_as, starts_of
from trainers.losses import BSL, MML
from trainers.published import PUBLISHED


def spec(space: dict[str, Any], dataset: str = "yelp2018", **search: Any) -> StudySpec:
    return StudySpec.model_validate({"name": "x", "dataset": dataset, "space": space, "search": search})


def test_starts_are_the_published_config_then_those_for_other_data_then_moved_copies():
    starts, why_not = starts_of(spec({"name": "mml", "n_margins": 4}))
    assert why_not == ""
    marks = [(start.mark, start.label) for start in starts]
    assert marks == [
        (PUBLISHED_MARK, "published settings"),
        (START_MARK, "published settings of Gowalla"),
        *((START_MARK, f"published settings, moved {k}") for k in (1, 2, 3)),
    ]
    space = spec({"name": "mml", "n_margins": 4}).space
    assert space.loss(starts[0].params) == PUBLISHED["mml"]["yelp2018"]
    elsewhere = space.loss(starts[1].params)
    assert isinstance(elsewhere, MML)
    assert elsewhere.margins[1:] == (0.7, 0.8, 0.9)
    assert elsewhere.weights == (0.0, 0.1, 0.15, 0.75), "a fourth margin without an effect"


def test_moved_copies_are_near_inside_the_space_and_reproducible():
    of = spec({"name": "mml", "also": ["learning_rate", "batch_size", "schedule", "dim"]}, starts=20)
    starts, _ = starts_of(of)
    assert len(starts) == 21
    first, moved = starts[0].params, [start.params for start in starts[2:]]
    for params in moved:
        config = of.space.config(params, of.fields(1, 0))
        assert of.space.config(of.space.params(config), of.fields(1, 0)) == config
        assert params["dim"] == first["dim"], "a choice is not moved"
    rates = sorted(params["learning_rate"] for params in moved)
    assert rates[0] < first["learning_rate"] < rates[-1]
    assert rates[4] > first["learning_rate"] / 30, "most are within two standard deviations, .15 of four decades each"
    assert starts_of(of)[0] == starts
    assert starts_of(of.override({"search.seed": 1}))[0][2:] != starts[2:]


@pytest.mark.parametrize(
    ("space", "count"), [({"name": "softmax_ce", "also": ["dim"]}, 1), ({"name": "bpr", "also": ["l2"]}, 4)]
)
def test_no_start_is_tried_twice(space: dict[str, Any], count: int):
    """A choice is not moved, and a number at the end of its range may stay there."""
    starts, _ = starts_of(spec(space, "demo", starts=4))
    params = [start.params for start in starts]
    assert len(params) == len({str(each) for each in params})
    assert len(params) <= count


def test_a_rival_has_as_many_starts():
    ours = spec({"name": "mml"})
    for loss in ("ccl", "bsl", "sl"):
        assert len(starts_of(spec({"name": loss}).with_budget_of(ours))[0]) == 5
    assert starts_of(spec({"name": "contrastive"}))[0] == [], "no paper has settings for it"
    assert starts_of(spec({"name": "bsl"}, starts=0))[0][0].mark == PUBLISHED_MARK


def test_no_start_comes_from_data_that_share_interactions_with_the_study():
    labels = [start.label for start in starts_of(spec({"name": "bsl"}, "gowalla_random"))[0]]
    assert labels[:2] == ["published settings", "published settings of Yelp2018"]
    assert not any("Gowalla" in label for label in labels)
    of = spec({"name": "bsl"}, "health_random")
    starts = starts_of(of)[0]
    assert [start.label for start in starts[:3]] == [
        "published settings",
        "published settings of Yelp2018",
        "published settings of Gowalla",
    ]
    assert of.space.loss(starts[0].params) == BSL(temperature=0.2, exponent=1.0)
    assert of.space.loss(starts[2].params) == BSL(temperature=0.08, exponent=1.22)


def test_a_published_config_outside_the_space_is_replaced_by_the_nearest_one():
    of = spec({"name": "mml", "ranges": {"negative_ratio": [1, 100]}})
    starts, why_not = starts_of(of)
    assert starts[0].mark == NEAREST_MARK
    assert starts[0].params["negative_ratio"] == 100.0
    assert "negative_ratio must lie in [1, 100] in the space, got 400; the nearest config inside them is tried first" in why_not


def test_starts_are_queued_once_and_stored_in_the_study():
    of = spec({"name": "bsl"})
    study = optuna.create_study(direction="maximize")
    enqueue_starts(study, of)
    enqueue_starts(study, of)
    assert [trial.state for trial in study.trials] == [TrialState.WAITING] * 5
    kept = study.user_attrs[STARTS]
    assert [kept[0][:2], kept[1][:2]] == [[PUBLISHED_MARK, "published settings"], [START_MARK, "published settings of Gowalla"]]
    study.set_user_attr(STARTS, kept[:3])  # as another version of this program would store them
    lost = study.ask(fixed_distributions=of.space.boxes())
    study.tell(lost, state=TrialState.FAIL)
    enqueue_starts(study, of)
    assert len(study.trials) == 6
    assert study.trials[5].user_attrs == {PUBLISHED_MARK: "published settings", RETRY_OF: 0}


@pytest.mark.parametrize("proposed", [1, 2])
def test_starts_do_not_count_as_startup_trials_of_sampler_and_pruner(proposed: int):
    """After four starts and the random trials TPE proposes, and trials below the median are pruned."""
    of = spec({"name": "sl"}, starts=3, sampler={"name": "tpe", "n_startup_trials": proposed})
    pruner = make_pruner(PrunerSpec(n_startup_trials=proposed, n_warmup_steps=0, n_min_trials=1), 1)
    study = optuna.create_study(direction="maximize", sampler=make_sampler(of.search), pruner=pruner)
    enqueue_starts(study, of)
    by_tpe, below_median = [], []
    for number in range(4 + proposed + 1):
        trial = study.ask(fixed_distributions=of.space.boxes())
        by_tpe.append(trial.relative_params != {})
        trial.report(1.0 - 0.1 * number, step=1)
        below_median.append(trial.should_prune())
        study.tell(trial, 1.0 - 0.1 * number)
    assert by_tpe == below_median == [False] * (4 + proposed) + [True]


def test_starts_that_several_processes_have_queued_count_once():
    """Else the sampler would learn later."""
    of = spec({"name": "bsl"})
    study = optuna.create_study(direction="maximize")
    enqueue_starts(study, of)
    for mark, label, params in study.user_attrs[STARTS]:
        study.enqueue_trial(params, user_attrs={mark: label})
    assert len(study.trials) == 10
    assert count_queued(study.trials) == 5


def test_a_start_that_failed_because_of_its_config_is_known():
    study = optuna.create_study(direction="maximize")
    for reason in ({FAILURE: {"reason": "nan"}}, {}):
        trial = optuna.trial.create_trial(state=TrialState.FAIL, user_attrs={START_MARK: f"a{len(reason)}", **reason})
        study.add_trial(trial)
    assert has_failed_as(study.trials, START_MARK, "a1")
    assert not has_failed_as(study.trials, START_MARK, "a0"), "it was lost"
    study.add_trial(optuna.trial.create_trial(value=1.0, user_attrs={START_MARK: "a1"}))
    assert not has_failed_as(study.trials, START_MARK, "a1"), "another attempt succeeded"
