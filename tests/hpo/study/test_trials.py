"""The best trials and the finalists of a study."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import optuna
import pytest
from optuna.distributions import BaseDistribution
from optuna.trial import TrialState, create_trial

from hpo.study.attributes import NEAREST_MARK, PUBLISHED_MARK, RETRY_OF
from hpo.study.spec import StudySpec
from hpo.study.trials import best_trials, finalist_trials, first_of, in_order_of_ranks, ranks


def spec(space: str) -> StudySpec:
    return StudySpec.model_validate({"name": "s", "dataset": "demo", "space": {"name": space}})


def add(
    study: optuna.Study,
    value: float,
    marks: dict[str, str] | None = None,
    state: TrialState = TrialState.COMPLETE,
    spaces: Sequence[str] = ("ccl", "infonce"),
    **params: float,
) -> None:
    """Add a trial with these parameters, and the lowest values of all others, that is in all these spaces."""
    boxes, corner = dict[str, BaseDistribution](), dict[str, Any]()
    for name in spaces:
        boxes |= spec(name).space.boxes()
        corner |= spec(name).space.corner()
    given = {"params": corner | params, "distributions": boxes, "user_attrs": marks or {}}
    study.add_trial(create_trial(state=state, value=value, **given))


def test_best_trials_ranks_by_value_and_takes_equal_parameters_once():
    study = optuna.create_study(direction="maximize")
    box = {"margin": optuna.distributions.FloatDistribution(0.3, 0.98)}
    for margin, value in ((0.5, 0.2), (0.6, 0.4), (0.5, 0.2), (0.7, 0.3)):
        study.enqueue_trial({"margin": margin})
        study.tell(study.ask(box).number, value)
    study.ask(box)
    assert [trial.number for trial in best_trials(study, 3)] == [1, 3, 0]


@pytest.mark.parametrize("kind", [PUBLISHED_MARK, NEAREST_MARK])
def test_the_published_config_is_a_finalist_at_any_rank(kind: str):
    study = optuna.create_study(direction="maximize")
    for x, value in ((0.1, 0.1), (0.2, 0.4), (0.3, 0.3), (0.4, 0.2)):
        add(study, value, {kind: "published"} if x == 0.1 else {}, margin=x)
    assert [trial.number for trial in finalist_trials(study, 2, spec("ccl"))] == [1, 2, 0]
    assert [trial.number for trial in finalist_trials(study, 4, spec("ccl"))] == [1, 2, 3, 0], "it is there once"


@pytest.mark.parametrize(("mark", "finalists"), [("", [0, 2, 3]), (PUBLISHED_MARK, [0, 2, 1])])
def test_parameters_without_effect_make_no_second_finalist(mark: str, finalists: list[int]):
    """With one margin tau has no effect. The published config is a finalist all the same."""
    study = optuna.create_study(direction="maximize")
    for tau, margins, value in ((0.1, 1, 0.4), (0.2, 1, 0.4), (0.3, 2, 0.3), (0.4, 2, 0.2)):
        marks = {mark: "published"} if mark and tau == 0.2 else {}
        add(study, value, marks, spaces=("mml_shape",), n_margins=margins, tau=tau, margin_top=0.9, low_fraction=0.5)
    count = len(finalists) - bool(mark)
    assert [trial.number for trial in finalist_trials(study, count, spec("mml_shape"))] == finalists


def test_a_retry_has_the_place_of_its_first_attempt():
    """It is the first trial, and of equal values the best."""
    study = optuna.create_study(direction="maximize")
    add(study, 0.0, margin=0.1, temperature=0.1, state=TrialState.PRUNED)
    add(study, 0.2, margin=0.2, temperature=0.2)
    add(study, 0.2, {RETRY_OF: 0}, margin=0.1, temperature=0.1)
    add(study, 0.3, margin=0.3, temperature=0.3)
    assert ranks(study.trials) == [0, 1, 0, 2]
    assert [trial.number for trial in in_order_of_ranks(study.trials)] == [0, 2, 1, 3]
    assert [trial.number for trial in best_trials(study)] == [3, 2, 1]
    first = first_of(study, spec("infonce"))
    assert first is not None
    assert first.number == 2
    assert [trial.number for trial in finalist_trials(study, 1, spec("infonce"))] == [3, 2]


def test_without_published_settings_the_first_complete_trial_is_a_finalist():
    study = optuna.create_study(direction="maximize")
    add(study, 0.5, margin=0.5, temperature=0.5, state=TrialState.PRUNED)
    for x, value in ((0.1, 0.1), (0.2, 0.4), (0.3, 0.3), (0.4, 0.2)):
        add(study, value, margin=x, temperature=x)
    assert [trial.number for trial in finalist_trials(study, 2, spec("infonce"))] == [2, 3, 1]
    assert [trial.number for trial in finalist_trials(study, 2, spec("ccl"))] == [2, 3], "the published config was lost"


@pytest.mark.parametrize("kind", [PUBLISHED_MARK, NEAREST_MARK])
def test_a_search_is_measured_against_the_published_config_or_the_nearest_to_it(kind: str):
    study = optuna.create_study(direction="maximize")
    box = {"margin": optuna.distributions.FloatDistribution(0.3, 0.98)}
    for margin, marks in ((0.5, {}), (0.6, {kind: "published settings"}), (0.7, {})):
        study.enqueue_trial({"margin": margin}, user_attrs=marks)
        study.tell(study.ask(box).number, margin)
    first = first_of(study, spec("ccl"))
    assert first is not None
    assert first.number == 1
