"""The best trials and the finalists of a study."""

from __future__ import annotations

import optuna
import pytest
from optuna.trial import TrialState

from hpo.study.attributes import NEAREST_MARK, PUBLISHED_MARK
from hpo.study.spec import StudySpec
from hpo.study.trials import best_trials, finalist_trials, first_of


def spec(space: str) -> StudySpec:
    return StudySpec.model_validate({"name": "s", "dataset": "demo", "space": {"name": space}})


def test_best_trials_ranks_by_value_and_takes_equal_configs_once():
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
    box = {"x": optuna.distributions.FloatDistribution(0.0, 1.0)}
    for x, value in ((0.1, 0.1), (0.2, 0.4), (0.3, 0.3), (0.4, 0.2)):
        mark = {kind: "published"} if x == 0.1 else {}
        study.add_trial(optuna.trial.create_trial(params={"x": x}, distributions=box, value=value, user_attrs=mark))
    assert [trial.number for trial in finalist_trials(study, 2, spec("ccl"))] == [1, 2, 0]
    assert [trial.number for trial in finalist_trials(study, 4, spec("ccl"))] == [1, 2, 3, 0], "it is there once"


def test_without_published_settings_the_first_complete_trial_is_a_finalist():
    study = optuna.create_study(direction="maximize")
    box = {"x": optuna.distributions.FloatDistribution(0.0, 1.0)}
    study.add_trial(optuna.trial.create_trial(params={"x": 0.5}, distributions=box, state=TrialState.PRUNED))
    for x, value in ((0.1, 0.1), (0.2, 0.4), (0.3, 0.3), (0.4, 0.2)):
        study.add_trial(optuna.trial.create_trial(params={"x": x}, distributions=box, value=value))
    assert [trial.number for trial in finalist_trials(study, 2, spec("infonce"))] == [2, 3, 1]
    assert [trial.number for trial in finalist_trials(study, 2, spec("ccl"))] == [2, 3], "the published config was lost"


@pytest.mark.parametrize("kind", [PUBLISHED_MARK, NEAREST_MARK])
def test_a_search_is_measured_against_the_published_config_or_the_nearest_to_it(kind: str):
    study = optuna.create_study(direction="maximize")
    box = {"margin": optuna.distributions.FloatDistribution(0.3, 0.98)}
    for margin, marks in ((0.5, {}), (0.6, {kind: "published settings"}), (0.7, {})):
        study.enqueue_trial({"margin": margin}, user_attrs=marks)
        study.tell(study.ask(box).number, margin)
    first = first_of(best_trials(study), spec("ccl"))
    assert first is not None
    assert first.number == 1
