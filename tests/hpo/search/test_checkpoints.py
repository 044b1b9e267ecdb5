"""Interrupted trials continue. They get the same values as without the interruption, and train no epoch twice."""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from hpo.runtime.signals import Stopper
from hpo.search.checkpoints import TrialCheckpoints
from hpo.search.claims import ask_signed, reap, this_worker
from hpo.search.scheduler import Scheduler
from hpo.study.attributes import DUPLICATE, LOST, RESUMED_AFTER, RETRY_OF, WORKER
from hpo.study.spec import StudySpec
from trainers import Interactions, TrainConfig, hold_out
from trainers.engines import EngineChoice, make_engine
from trainers.stopping import Stopped

from ..given_curves import GivenCurves, Silent, by_margin, scheduler, spec, states

SEEN, HELD_OUT = hold_out(
    Interactions.from_pairs(*(np.random.default_rng(0).integers(0, n, 600) for n in (40, 50)), 40, 50), seed=1
)
STUDY = {
    "name": "s",
    "dataset": "demo",
    "space": {"name": "mml", "n_margins": 2},
    "config": {
        "encoder": {"name": "mf", "dim": 8},
        "negatives": {"name": "uniform", "count": 7},
        "learning_rate": 1e-2,
        "batch_size": 64,
    },
    "search": {
        "trials": 8,
        "epochs": 6,
        "sampler": {"name": "tpe", "n_startup_trials": 3},
        "pruner": {"name": "median", "n_startup_trials": 2, "n_warmup_steps": 2, "interval_steps": 2, "n_min_trials": 1},
    },
}


def searched(study: optuna.Study, folder: Path, stop_after: int = 10**9) -> list[tuple[str, int]]:
    """Search with the real engine until `stop_after` epochs are trained.

    Returns:
        Loss and epoch of each trained epoch.
    """
    of = StudySpec.model_validate(STUDY)
    trained: list[tuple[str, int]] = []
    engine = make_engine(
        EngineChoice("numba", "cpu", ""), SEEN, HELD_OUT, of.search.evaluate_at, should_stop=lambda: len(trained) >= stop_after
    )
    epoch = engine.epoch

    def noted_epoch() -> Any:
        results = epoch()
        trained.extend((str(engine.config.loss), result.epoch) for result in results)  # type: ignore[attr-defined]
        return results

    engine.epoch = noted_epoch  # type: ignore[method-assign]
    loop = scheduler(of, engine, study)  # type: ignore[arg-type]
    loop.checkpoints = TrialCheckpoints(folder / "checkpoints", {"seen": SEEN.checksum})
    with suppress(Stopped):
        loop.run()
    return trained


def outcome(study: optuna.Study) -> list[Any]:
    """All facts of the finished trials but times."""
    return [
        (trial.state, trial.params, trial.value, trial.intermediate_values, trial.user_attrs["recall@20"])
        for trial in study.trials
        if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)
    ]


@pytest.mark.parametrize("sittings", [[5, 3, 1, 7], [1] * 9])
def test_a_search_in_several_sittings_equals_an_unbroken_one_and_trains_no_epoch_twice(tmp_path: Path, sittings: list[int]):
    unbroken, broken = (optuna.create_study(direction="maximize") for _ in range(2))
    expected = searched(unbroken, tmp_path)
    trained: list[tuple[str, int]] = []
    for epochs in [*sittings, 10**9]:
        trained += searched(broken, tmp_path, epochs)
    assert outcome(broken) == outcome(unbroken)
    assert trained == expected
    assert {state for state, *_ in outcome(broken)} == {TrialState.COMPLETE, TrialState.PRUNED}
    assert not list((tmp_path / "checkpoints").glob("*")), "finished and pruned trials leave no checkpoint"


def killed(loop: Scheduler, rounds: int) -> None:
    """Run a search for some rounds, then leave it as a killed process does: no trial is ended or requeued."""
    going = loop.lanes.rounds(loop._next_trials)
    for _ in range(rounds):
        loop._report_prune_tell(next(going))
    next(going)  # one more epoch, which is not reported
    for trial in loop.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        gone = this_worker() | {"boot": "before"}
        loop.study._storage.set_trial_user_attr(trial._trial_id, WORKER, gone)


def given(study: optuna.Study, folder: Path, every: float = 0.0, curve: Any = by_margin) -> Scheduler:
    loop = scheduler(spec(2, epochs=6), GivenCurves(1, curve), study)
    loop.checkpoints = TrialCheckpoints(folder / "checkpoints", {}, every)
    return loop


def test_a_killed_trial_continues_from_its_last_checkpoint_with_all_its_reports(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    study = optuna.create_study(direction="maximize")
    killed(given(study, tmp_path), rounds=3)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["trial-0.npz"]
    assert reap(study) == [0]
    epochs: list[int] = []

    def curve(config: TrainConfig, epoch: int) -> float:
        epochs.append(epoch)
        return by_margin(config, epoch)

    with caplog.at_level(logging.INFO):
        given(study, tmp_path, curve=curve).run()
    assert "trial 1 continues trial 0 after epoch 3 of 6" in caplog.text
    assert epochs[:3] == [4, 5, 6]
    first, again = study.trials[0], study.trials[1]
    assert again.user_attrs[RETRY_OF] == 0
    assert first.intermediate_values == {epoch: first.params["margin"] * epoch for epoch in (1, 2, 3)}
    assert again.intermediate_values == {epoch: first.params["margin"] * epoch for epoch in range(1, 7)}
    assert again.user_attrs["train_seconds"] == 3.0, "the seconds of the first attempt count"
    assert states(study) == [TrialState.FAIL, TrialState.COMPLETE, TrialState.COMPLETE]
    assert not list((tmp_path / "checkpoints").glob("*"))


def test_a_trial_that_is_killed_again_before_its_first_epoch_continues(tmp_path: Path):
    """The second attempt has left no checkpoint, so the checkpoint of the first one is used."""
    study = optuna.create_study(direction="maximize")
    killed(given(study, tmp_path), rounds=3)
    reap(study)
    killed(given(study, tmp_path, every=1e9), rounds=0)
    reap(study)
    epochs: list[int] = []
    loop = given(study, tmp_path, curve=lambda config, epoch: epochs.append(epoch) or by_margin(config, epoch))  # type: ignore[func-returns-value]
    loop.run()
    assert epochs[:3] == [4, 5, 6]
    assert sorted(study.trials[2].intermediate_values) == [1, 2, 3, 4, 5, 6]


def test_a_trial_without_its_checkpoint_starts_again_with_a_message(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    study = optuna.create_study(direction="maximize")
    killed(given(study, tmp_path), rounds=3)
    reap(study)
    (tmp_path / "checkpoints" / "trial-0.npz").unlink()
    given(study, tmp_path).run()
    assert "trial 1 starts from its first epoch although 3 epochs were trained" in caplog.text
    assert study.trials[1].state == TrialState.COMPLETE


def test_without_the_folder_of_the_study_no_checkpoint_is_written(tmp_path: Path):
    study = optuna.create_study(direction="maximize")
    loop = given(study, tmp_path / "not here")
    loop.run()
    assert list(tmp_path.iterdir()) == []
    assert states(study) == [TrialState.COMPLETE] * 2


def test_checkpoints_that_no_trial_continues_from_are_removed(tmp_path: Path):
    study = optuna.create_study(direction="maximize")
    checkpoints = TrialCheckpoints(tmp_path)
    study.enqueue_trial({"x": 0.5})
    for number, (state, attributes) in enumerate(
        [
            (TrialState.FAIL, {}),  # 0, retried by 2
            (TrialState.FAIL, {}),  # 1, not retried
            (TrialState.WAITING, {RETRY_OF: 0}),
            (TrialState.RUNNING, {}),
            (TrialState.COMPLETE, {}),
        ]
    ):
        (tmp_path / f"trial-{number}.npz").write_bytes(b"x")
        if number:
            value = 1.0 if state == TrialState.COMPLETE else None
            study.add_trial(optuna.trial.create_trial(state=state, value=value, user_attrs=attributes))
    study.tell(study.ask().number, state=TrialState.FAIL)
    checkpoints.sweep(study)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["trial-0.npz", "trial-2.npz", "trial-3.npz"]


def test_a_trial_that_another_worker_took_over_keeps_its_checkpoint(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """While a worker sleeps, another one ends its trial and requeues it. The first worker notices at its next report."""
    study = optuna.create_study(direction="maximize")
    loop = given(study, tmp_path)
    going = loop.lanes.rounds(loop._next_trials)
    loop._report_prune_tell(next(going))
    results = next(going)
    loop.study._storage.set_trial_user_attr(0, WORKER, this_worker() | {"boot": "before"})
    assert reap(study) == [0]
    loop._report_prune_tell(results)
    assert loop.lanes.jobs == []
    assert "trial 0 was ended by another process" in caplog.text
    assert study.trials[0].intermediate_values == {1: study.trials[0].params["margin"]}
    assert (tmp_path / "checkpoints" / "trial-0.npz").exists()


def test_a_stale_after_below_an_epoch_gives_one_warning_and_signatures_are_renewed(caplog: pytest.LogCaptureFixture):
    study = optuna.create_study(direction="maximize")
    of = spec(1, epochs=3)
    plain = scheduler(of, GivenCurves(1, by_margin), study)
    loop = Scheduler(study, of, plain.lanes.engine, Silent(), Stopper(), stale_after=1e-9)
    signed: list[float] = []
    loop.progress.running = lambda epochs, its: signed.extend(  # type: ignore[method-assign]
        trial.user_attrs[WORKER]["signed"] for trial in study.get_trials(states=(TrialState.RUNNING,))
    )
    loop.run()
    assert len(set(signed)) > 1
    assert caplog.text.count("is shorter than an epoch of 1 s") == 1


class Away(Exception):
    """The storage cannot be reached."""


@pytest.mark.parametrize("state", [TrialState.COMPLETE, TrialState.PRUNED])
def test_no_checkpoint_includes_the_last_epoch_of_a_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: TrialState):
    """The storage cannot be reached when a trial ends. The next attempt ends in the same way."""
    unbroken, broken = (optuna.create_study(direction="maximize") for _ in range(2))
    searched(unbroken, tmp_path)
    number = next(trial.number for trial in unbroken.trials if trial.state == state)
    tell = optuna.Study.tell

    def failing(study: optuna.Study, trial: Any, *arguments: Any, **named: Any) -> Any:
        ends = named.get("state") == state and getattr(trial, "number", None) == number
        if study is broken and ends:
            monkeypatch.setattr(optuna.Study, "tell", tell)
            raise Away
        return tell(study, trial, *arguments, **named)

    monkeypatch.setattr(optuna.Study, "tell", failing)
    with pytest.raises(Away):
        searched(broken, tmp_path)
    assert states(broken)[-2:] == [TrialState.FAIL, TrialState.WAITING]
    searched(broken, tmp_path)
    assert outcome(broken) == outcome(unbroken)


def test_an_error_at_the_start_of_a_lane_is_raised_and_the_trial_waits(tmp_path: Path):
    study = optuna.create_study(direction="maximize")
    loop = given(study, tmp_path)

    def broken(lane: int, config: TrainConfig) -> None:
        raise ZeroDivisionError("of the engine")

    loop.lanes.engine.start = broken  # type: ignore[method-assign]
    with pytest.raises(ZeroDivisionError, match="of the engine"):
        loop.run()
    assert states(study) == [TrialState.FAIL, TrialState.WAITING]


def test_a_trial_that_this_process_made_and_does_not_train_is_requeued(tmp_path: Path):
    """Either the answer of the storage was lost and the trial was made twice, or the storage failed between two writes."""
    study = optuna.create_study(direction="maximize")
    ask_signed(study)
    given(study, tmp_path).run()
    assert states(study) == [TrialState.FAIL, TrialState.COMPLETE, TrialState.COMPLETE]
    assert study.trials[1].user_attrs[RETRY_OF] == 0
    loop = given(study, tmp_path)
    loop.spec = spec(3, epochs=6)
    loop._is_duplicate = raising(Away)  # type: ignore[method-assign]
    with pytest.raises(Away):
        loop.run()
    assert states(study)[3:] == [TrialState.FAIL, TrialState.WAITING]


def raising(error: type[Exception]) -> Any:
    def call(*arguments: Any) -> Any:
        raise error

    return call


def test_an_unreadable_folder_costs_only_the_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A network folder may be gone."""
    study = optuna.create_study(direction="maximize")
    loop = given(study, tmp_path)
    monkeypatch.setattr(Path, "is_file", raising(OSError))
    monkeypatch.setattr(Path, "exists", raising(OSError))
    loop.run()
    assert states(study) == [TrialState.COMPLETE] * 2


def test_an_attempt_that_continues_from_a_later_checkpoint_is_progress_without_a_report():
    study = optuna.create_study()
    for attempt in range(6):
        trial = ask_signed(study)
        trial.set_user_attr(RESUMED_AFTER, 3 * attempt)
        trial.set_user_attr(WORKER, this_worker() | {"boot": "before"})
        assert reap(study) == [trial.number], "such a trial is never given up"


def test_checkpoints_of_a_trial_that_is_not_yet_requeued_are_not_removed(tmp_path: Path):
    study = optuna.create_study()
    for number in range(2):
        (tmp_path / f"trial-{number}.npz").write_bytes(b"x")
        (tmp_path / f".7.trial-{number}.npz").write_bytes(b"half")
        trial = ask_signed(study)
        if number == 0:
            trial.set_user_attr(LOST, True)
        study.tell(trial, state=TrialState.FAIL)
    TrialCheckpoints(tmp_path).sweep(study)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".7.trial-0.npz", "trial-0.npz"]


def test_a_duplicate_whose_worker_is_killed_is_not_queued_again():
    study = optuna.create_study()
    trial = ask_signed(study)
    trial.set_user_attr(DUPLICATE, True)
    trial.set_user_attr(WORKER, this_worker() | {"boot": "before"})
    reap(study)
    assert states(study) == [TrialState.FAIL]
