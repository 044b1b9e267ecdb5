"""What is proposed when a search is interrupted, and the pruners."""

from __future__ import annotations

import optuna
import pytest
from optuna.trial import TrialState

from hpo.search.claims import CLAIM_SECONDS, Reaper
from hpo.study.plan import PrunerSpec
from hpo.study.sampling import make_pruner, make_sampler
from hpo.study.spec import StudySpec
from trainers import TrainConfig
from trainers.stopping import Stopped

from ..given_curves import GivenCurves, by_margin, scheduler, spec, states


def drawn(study: optuna.Study, of: StudySpec, count: int) -> list[dict[str, float]]:
    """The parameters of further trials, each worth the margin that it drew."""
    found = []
    for _ in range(count):
        trial = study.ask(fixed_distributions=of.space.boxes())
        study.tell(trial, trial.params["margin"])
        found.append(trial.params)
    return found


def searched(of: StudySpec, study: optuna.Study) -> list[tuple[dict[str, float], float | None]]:
    """What a study tried and found, repeats in the place of what they repeat."""
    return [(trial.params, trial.value) for trial in study.trials if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)]


@pytest.mark.parametrize("name", ["tpe", "random"])
def test_a_search_interrupted_within_trials_proposes_what_an_uninterrupted_one_does(name: str):
    """The signal comes after so many epochs of each run."""
    of = spec(9).override({"search.sampler.name": name, "search.sampler.n_startup_trials": 3})
    whole = scheduler(of, GivenCurves(1, by_margin))
    whole.run()
    storage, epochs_left = optuna.storages.InMemoryStorage(), [9, 14, 2, 100]
    optuna.create_study(study_name="s", storage=storage, direction="maximize")

    def until_signal(config: TrainConfig, epoch: int) -> float:
        epochs_left[0] -= 1
        if epochs_left[0] < 0:
            raise Stopped
        return by_margin(config, epoch)

    for _ in range(3):
        study = optuna.load_study(study_name="s", storage=storage)
        with pytest.raises(Stopped):
            scheduler(of, GivenCurves(1, until_signal), study).run()
        assert study.trials[-1].state == TrialState.WAITING
        epochs_left.pop(0)
    study = optuna.load_study(study_name="s", storage=storage)
    scheduler(of, GivenCurves(1, until_signal), study).run()
    assert states(study).count(TrialState.FAIL) == 3
    assert searched(of, study) == searched(of, whole.study)


@pytest.mark.parametrize("name", ["tpe", "random"])
@pytest.mark.parametrize("sampled", [0, 1])
def test_a_trial_whose_worker_was_killed_while_it_was_sampled(name: str, sampled: int, monkeypatch: pytest.MonkeyPatch):
    """Nothing or one of its two parameters is stored: the repeat proposes what it would have been."""
    of = spec(1).override({"search.sampler.name": name, "search.sampler.n_startup_trials": 3})
    whole = drawn(optuna.create_study(sampler=make_sampler(of.search), direction="maximize"), of, 7)
    study = optuna.create_study(direction="maximize", sampler=make_sampler(of.search))
    parts = drawn(study, of, 4)
    some = dict(list(of.space.boxes().items())[:sampled])
    study.ask(fixed_distributions=some)
    assert study.trials[4].params == {key: whole[4][key] for key in some}
    reaper, now = Reaper(study), [1000.0]
    monkeypatch.setattr("hpo.search.claims.time.monotonic", lambda: now[0])
    assert reaper.reap() == []
    now[0] += CLAIM_SECONDS + 1
    assert reaper.reap() == [4]
    study.sampler = make_sampler(of.search)
    assert parts + drawn(study, of, 3) == whole


@pytest.mark.parametrize("name", ["tpe", "random", "qmc"])
def test_a_search_interrupted_between_trials_proposes_what_an_uninterrupted_one_does(name: str):
    of = spec(1).override({"search.sampler.name": name, "search.sampler.n_startup_trials": 3})
    storage = optuna.storages.InMemoryStorage()
    whole = drawn(optuna.create_study(sampler=make_sampler(of.search), direction="maximize"), of, 8)
    optuna.create_study(study_name="s", storage=storage, direction="maximize")
    parts = []
    for count in (2, 3, 3):
        study = optuna.load_study(study_name="s", storage=storage, sampler=make_sampler(of.search))
        parts += drawn(study, of, count)
    assert parts == whole
    assert len({tuple(params.values()) for params in whole}) == 8


def test_two_workers_that_ask_at_once_draw_other_points():
    of = spec(1)
    storage = optuna.storages.InMemoryStorage()
    optuna.create_study(study_name="s", storage=storage, direction="maximize")
    workers = [optuna.load_study(study_name="s", storage=storage, sampler=make_sampler(of.search)) for _ in range(3)]
    asked = [worker.ask(fixed_distributions=of.space.boxes()).params for worker in workers]
    assert len({tuple(params.values()) for params in asked}) == 3


@pytest.mark.parametrize("name", ["median", "percentile", "none"])
def test_pruners(name: str):
    pruner = make_pruner(PrunerSpec.model_validate({"name": name, "percentile": 60.0}), 30)
    expected = {"median": 50.0, "percentile": 60.0, "none": None}[name]
    assert getattr(getattr(pruner, "_pruner", None), "_percentile", None) == expected


@pytest.mark.parametrize(("warmup", "interval"), [(0, 1), (0, 4), (1, 1), (1, 3), (3, 4), (5, 2), (8, 4), (9, 1), (10, 2)])
def test_trials_are_evaluated_where_optuna_prunes(warmup: int, interval: int):
    """A trial that is always the worst: the epochs at which Optuna would prune it, when only those are reported, and when all
    are. Without a warm-up Optuna also looks at the first report of all."""
    epochs = 10
    plan = spec(1, epochs, n_startup_trials=1, n_min_trials=1, n_warmup_steps=warmup, interval_steps=interval).search
    study = optuna.create_study(direction="maximize", pruner=make_pruner(plan.pruner, epochs))
    steps, looks = range(1, epochs), list(plan.evaluate_at)
    study.add_trial(optuna.create_trial(value=1.0, intermediate_values=dict.fromkeys(steps, 1.0)))
    found = []
    for reported in (looks, steps):
        trial, pruned = study.ask(), []
        for epoch in reported:
            trial.report(0.0, epoch)
            pruned += [epoch] if trial.should_prune() else []
        found.append(pruned)
    assert found == [looks, sorted({*looks} | ({1} if warmup == 0 else set()))]
