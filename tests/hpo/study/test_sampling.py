"""The proposals of interrupted searches, and the pruners."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

import optuna
import pytest
from optuna.trial import TrialState

from hpo.search.claims import CLAIM_SECONDS, Reaper, ask_signed, requeue
from hpo.study.attributes import RETRY_OF, START_MARK
from hpo.study.plan import PrunerSpec
from hpo.study.sampling import make_pruner, make_sampler
from hpo.study.spec import StudySpec
from trainers import TrainConfig
from trainers.stopping import Stopped

from ..given_curves import GivenCurves, by_margin, scheduler, spec, states


def drawn(study: optuna.Study, of: StudySpec, count: int) -> list[dict[str, float]]:
    """The parameters of `count` further trials. The value of a trial is its margin."""
    found = []
    for _ in range(count):
        trial = study.ask(fixed_distributions=of.space.boxes())
        study.tell(trial, trial.params["margin"])
        found.append(trial.params)
    return found


def searched(of: StudySpec, study: optuna.Study) -> list[tuple[dict[str, float], float | None]]:
    """The parameters and values of finished trials. A retry counts, and its first attempt does not."""
    return [(trial.params, trial.value) for trial in study.trials if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)]


@pytest.mark.parametrize("name", ["tpe", "random", "qmc"])
def test_a_search_that_is_interrupted_within_trials_has_the_same_proposals(name: str):
    """Each run gets a signal after a number of epochs."""
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
def test_a_trial_with_a_killed_worker_is_sampled_again_to_the_same_parameters(
    name: str, sampled: int, monkeypatch: pytest.MonkeyPatch
):
    """None or one of its two parameters is stored."""
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


@pytest.mark.parametrize("name", ["tpe", "gp"])
def test_a_retry_that_samples_learns_from_all_others(name: str):
    """The worker of trial 5 was killed before it sampled. Trials 6 to 8 are complete. The retry is trial 9, and trial 10, whose
    rank is 9, is complete before the retry samples. It proposes what trial 5 would have proposed at that time."""
    for seed, best in product(range(3), (8, 10)):
        changes = {"search.seed": seed, "search.sampler.name": name, "search.sampler.n_startup_trials": 3}
        of = spec(1).override(changes)
        boxes, found = of.space.boxes(), []
        for killed in (False, True):
            study = optuna.create_study(direction="maximize", sampler=make_sampler(of.search))
            drawn(study, of, 5)
            late = ask_signed(study)
            for number in (6, 7, 8):
                study.tell(study.ask(fixed_distributions=boxes), 100.0 if number == best else 0.1)
            if killed:
                assert requeue(study, study.trials[5], count=True)
                late = ask_signed(study)
            study.tell(study.ask(fixed_distributions=boxes), 100.0 if best == 10 else 0.1)
            assert (late.number, study.trials[-1].number) == ((9, 10) if killed else (5, 9))
            found.append({box: late._suggest(box, boxes[box]) for box in boxes})
        assert found[0] == found[1]


@pytest.mark.parametrize("name", ["tpe", "gp"])
@pytest.mark.parametrize("lost", [0, 1, 3])
def test_a_start_that_is_interrupted_changes_no_later_proposal(name: str, lost: int):
    """Four starts wait in a queue, so the retry of one has a higher number. TPE weighs old trials less from 25 on."""
    of = spec(1).override({"search.sampler.name": name, "search.sampler.n_startup_trials": 3})
    starts = [{"margin": margin, "negative_weight": 10.0 + 50.0 * margin} for margin in (0.2, 0.9, 0.5, 0.7)]
    assert starts[0].keys() == of.space.boxes().keys()

    def search(interrupted: int | None) -> list[dict[str, float]]:
        study = optuna.create_study(sampler=make_sampler(of.search), direction="maximize")
        for number, params in enumerate(starts):
            study.enqueue_trial(params, user_attrs={START_MARK: str(number)})
        found: dict[int, dict[str, float]] = {}
        while len(found) < (60 if name == "tpe" else 9):
            trial = study.ask(fixed_distributions=of.space.boxes())
            first = trial.user_attrs.get(RETRY_OF, trial.number)
            if trial.number == interrupted:
                study.enqueue_trial(trial.params, user_attrs={**trial.user_attrs, RETRY_OF: trial.number})
                study.tell(trial, state=TrialState.FAIL)
                continue
            rank = first - (0 if interrupted is None or first <= len(starts) - 1 else 1)
            found[rank] = trial.params
            study.tell(trial, -abs(trial.params["margin"] - 0.6))
        return [found[rank] for rank in sorted(found)]

    assert search(interrupted=lost) == search(interrupted=None)


@pytest.mark.parametrize("name", ["tpe", "random", "qmc"])
def test_a_search_that_is_interrupted_between_trials_has_the_same_proposals(name: str):
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


def test_workers_that_ask_at_once_draw_different_points():
    of = spec(1)
    storage = optuna.storages.InMemoryStorage()
    optuna.create_study(study_name="s", storage=storage, direction="maximize")
    workers = [optuna.load_study(study_name="s", storage=storage, sampler=make_sampler(of.search)) for _ in range(3)]
    asked = [worker.ask(fixed_distributions=of.space.boxes()).params for worker in workers]
    assert len({tuple(params.values()) for params in asked}) == 3


@pytest.mark.parametrize("name", ["tpe", "random", "qmc", "gp"])
def test_the_seed_of_a_search_decides_its_proposals(name: str):
    """A repeat of a search has a seed that is 1000 higher. Trials 3 and 4 are no longer random with `tpe` and `gp`."""

    def proposals(seed: int) -> list[dict[str, float]]:
        of = spec(1).override({"search.seed": seed, "search.sampler.name": name, "search.sampler.n_startup_trials": 2})
        return drawn(optuna.create_study(sampler=make_sampler(of.search), direction="maximize"), of, 4)

    first, repeat = proposals(0), proposals(1000)
    assert proposals(0) == first
    assert all(one != other for one, other in zip(first, repeat, strict=True))


@pytest.mark.parametrize("name", ["tpe", "gp"])
@pytest.mark.parametrize(("startup", "lanes"), [(3, 1), (1, 3)])
def test_a_sampler_learns_after_the_random_trials_of_the_plan_and_of_each_lane(name: str, startup: int, lanes: int):
    """Three trials are random. Two starts in a queue are no random trials."""
    found = {}
    for sampler in (name, "random"):
        of = spec(1).override({"search.sampler.name": sampler, "search.sampler.n_startup_trials": startup})
        study = optuna.create_study(sampler=make_sampler(of.search, lanes), direction="maximize")
        for number, margin in enumerate((0.2, 0.9)):
            study.enqueue_trial({"margin": margin, "negative_weight": 50.0}, user_attrs={START_MARK: str(number)})
        found[sampler] = drawn(study, of, 2 + 3 + 1)
    assert found[name][:5] == found["random"][:5]
    assert found[name][5] != found["random"][5]


@pytest.mark.parametrize(("name", "lowest"), [("median", 3.0), ("percentile", 2.6), ("none", 0.0)])
def test_a_pruner_ends_trials_below_its_percentile(name: str, lowest: float):
    """The others have 1, 2, 3, 4 and 5. The best 60 percent of them begin at 1 + .4 * 4 = 2.6, the better half at 3."""
    pruner = make_pruner(PrunerSpec.model_validate({"name": name, "percentile": 60.0, "n_warmup_steps": 3}), 30)
    study = optuna.create_study(direction="maximize", pruner=pruner)
    for value in (2.0, 5.0, 1.0, 3.0, 4.0):
        study.add_trial(optuna.create_trial(value=value, intermediate_values={3: value}))
    for value in (0.5, 2.5, 2.7, 2.9, 3.1, 6.0):
        trial = study.ask()
        trial.report(value, 3)
        assert trial.should_prune() == (value < lowest), value


@pytest.mark.parametrize(("name", "n_min_trials"), [("median", 1), ("median", 2), ("percentile", 1), ("percentile", 2)])
@pytest.mark.parametrize(("warmup", "interval"), [(0, 1), (0, 4), (1, 1), (1, 3), (3, 4), (5, 2), (8, 4), (9, 1), (10, 2)])
def test_trials_are_evaluated_at_the_epochs_at_which_optuna_prunes(name: str, n_min_trials: int, warmup: int, interval: int):
    """Optuna would prune the worst trial at these epochs. It reports either only these or all epochs.

    Without a warm-up Optuna also prunes at the very first report. With too few other values at an epoch it prunes nothing.
    """
    epochs = 10
    when = {"n_warmup_steps": warmup, "interval_steps": interval}
    plan = spec(1, epochs, name=name, n_startup_trials=1, n_min_trials=n_min_trials, **when).search
    study = optuna.create_study(direction="maximize", pruner=make_pruner(plan.pruner, epochs))
    steps, looks = range(1, epochs), list(plan.evaluate_at)

    def pruned_at(reported: Iterable[int]) -> list[int]:
        trial, pruned = study.ask(), []
        for epoch in reported:
            trial.report(0.0, epoch)
            pruned += [epoch] if trial.should_prune() else []
        return pruned

    for others in range(1, n_min_trials + 1):
        study.add_trial(optuna.create_trial(value=1.0, intermediate_values=dict.fromkeys(steps, 1.0)))
        enough = others == n_min_trials
        assert pruned_at(looks) == (looks if enough else [])
        assert pruned_at(steps) == (sorted({*looks} | ({1} if warmup == 0 else set())) if enough else [])
