"""The search loop on an engine with given curves: the order of report, prune and tell, and the ways in which trials end."""

from __future__ import annotations

import logging
import math
import signal
import threading
import time
from collections.abc import Mapping

import optuna
import pytest
from optuna.trial import TrialState

from hpo.confirmation.results import best_so_far
from hpo.runtime.process import SearchFailed
from hpo.runtime.signals import Stopper
from hpo.search.claims import CLAIM_SECONDS, reap, this_worker
from hpo.search.scheduler import Scheduler
from hpo.study.attributes import (
    FAILURE,
    MAX_RETRIES,
    NEAREST_MARK,
    PUBLISHED_MARK,
    RETRIES,
    RETRY_OF,
    WORKER,
    WORKER_DIED,
)
from hpo.study.spec import StudySpec
from hpo.study.starts import enqueue_starts
from hpo.study.trials import best_trials, finalist_trials, in_order_of_ranks
from trainers import TrainConfig
from trainers.engines import EpochResult
from trainers.errors import OutOfMemory
from trainers.stopping import Stopped

from ..given_curves import GivenCurves, Silent, by_margin, scheduler, spec, states


@pytest.mark.parametrize("lanes", [1, 3])
def test_the_budget_is_met_exactly_and_lanes_are_refilled(lanes: int):
    engine = GivenCurves(lanes, by_margin)
    loop = scheduler(spec(7), engine)
    loop.run()
    assert states(loop.study) == [TrialState.COMPLETE] * 7
    assert engine.busy == {}
    assert engine.most_busy == lanes
    for trial in loop.study.trials:
        assert trial.value == pytest.approx(4 * trial.params["margin"])
        assert trial.user_attrs["epochs_trained"] == 4
        assert (trial.user_attrs["train_seconds"], trial.user_attrs["evaluate_seconds"]) == (2.0, 1.0)


def test_trials_that_end_in_the_same_epoch_are_not_compared_with_each_other():
    """A trial that completes in lane 0 must not influence the pruner in lane 1 in the same epoch."""
    of = spec(2, epochs=2, name="median", n_startup_trials=1, n_warmup_steps=0, n_min_trials=1)
    study = optuna.create_study(direction="maximize")
    for margin in (0.9, 0.5, 0.3):  # the second fails at once, so the third is an epoch behind the first
        study.enqueue_trial({"margin": margin, "negative_weight": 100.0})

    def curve(config: TrainConfig, epoch: int) -> float:
        margin: float = config.loss.margin  # type: ignore[attr-defined]
        return math.nan if margin == 0.5 else margin

    scheduler(of, GivenCurves(2, curve), study).run()
    assert states(study) == [TrialState.COMPLETE, TrialState.FAIL, TrialState.COMPLETE], "no complete trial to compare with"


@pytest.mark.parametrize("kind", [PUBLISHED_MARK, NEAREST_MARK])
def test_weak_trials_are_pruned_and_published_ones_are_not(kind: str):
    of = spec(5, name="median", n_startup_trials=3, n_warmup_steps=1, n_min_trials=1)
    study = optuna.create_study(direction="maximize")
    for margin in (0.9, 0.85, 0.8):
        study.enqueue_trial({"margin": margin, "negative_weight": 100.0})
    study.enqueue_trial({"margin": 0.35, "negative_weight": 100.0})
    study.enqueue_trial({"margin": 0.3, "negative_weight": 100.0}, user_attrs={kind: "yelp2018"})
    scheduler(of, GivenCurves(1, by_margin), study).run()
    assert states(study)[3:] == [TrialState.PRUNED, TrialState.COMPLETE]
    assert study.trials[3].user_attrs["epochs_trained"] == 1
    assert study.trials[3].value == study.trials[3].intermediate_values[1], "the value of a pruned trial is its last report"


def test_the_value_of_a_trial_is_that_of_its_last_epoch():
    loop = scheduler(spec(1), GivenCurves(1, lambda config, epoch: {1: 0.1, 2: 0.9, 3: 0.5, 4: 0.4}[epoch]))
    loop.run()
    assert loop.study.best_value == 0.4


def test_a_time_limit_does_not_follow_the_wall_clock(monkeypatch: pytest.MonkeyPatch):
    loop = scheduler(spec(4), GivenCurves(1, by_margin))
    loop.deadline = time.monotonic() + 60.0
    monkeypatch.setattr(time, "time", lambda: 1e12)
    loop.run()
    assert states(loop.study) == [TrialState.COMPLETE] * 4
    loop = scheduler(spec(4), GivenCurves(1, by_margin))
    loop.deadline = time.monotonic() - 1.0
    loop.run()
    assert states(loop.study) == []


def test_failed_trials_do_not_count_for_the_budget():
    values = {0: math.nan}
    engine = GivenCurves(1, by_margin)
    started: list[TrainConfig] = []

    def curve(config: TrainConfig, epoch: int) -> float:
        if config not in started:
            started.append(config)
        return values.get(started.index(config), 0.5) if epoch == 2 else 0.5

    engine.curve = curve
    loop = scheduler(spec(3), engine)
    loop.run()
    assert states(loop.study) == [TrialState.FAIL, *[TrialState.COMPLETE] * 3]
    assert loop.study.trials[0].user_attrs[FAILURE]["epoch"] == 2


@pytest.mark.parametrize(("pattern", "expected"), [("f", 5), ("ffffc", 12)])
def test_five_failures_in_a_row_or_ten_in_all_stop_the_run(pattern: str, expected: int):
    seen: list[TrainConfig] = []

    def curve(config: TrainConfig, epoch: int) -> float:
        if config not in seen:
            seen.append(config)
        return math.nan if pattern[seen.index(config) % len(pattern)] == "f" else 0.5

    loop = scheduler(spec(100), GivenCurves(1, curve))
    with pytest.raises(SearchFailed, match="too many trials failed"):
        loop.run()
    assert len(loop.study.trials) == expected


def test_a_worker_does_not_stop_on_its_own_failures():
    """Other workers may have sound trials between five failures in a row of this one."""
    seen: list[TrainConfig] = []

    def curve(config: TrainConfig, epoch: int) -> float:
        if config not in seen:
            seen.append(config)
        return math.nan if len(seen) <= 12 else 0.5

    alone = scheduler(spec(1), GivenCurves(1, curve))
    loop = Scheduler(alone.study, alone.spec, alone.lanes.engine, Silent(), Stopper(), stop_on_failures=False)
    loop.run()
    assert states(loop.study) == [TrialState.FAIL] * 12 + [TrialState.COMPLETE]


@pytest.mark.parametrize("end", ["a signal", "the deadline"])
def test_a_worker_ends_although_every_trial_is_refused(monkeypatch: pytest.MonkeyPatch, end: str):
    """It does not count failures, since its parent does."""

    def refused(*arguments: object) -> TrainConfig:
        raise ValueError("too warm")

    monkeypatch.setattr("hpo.search.scheduler.trial_config", refused)
    alone, stopper = scheduler(spec(1), GivenCurves(1, lambda config, epoch: 0.5)), Stopper()
    deadline = None if end == "a signal" else time.monotonic() + 0.3
    loop = Scheduler(alone.study, alone.spec, alone.lanes.engine, Silent(), stopper, deadline, stop_on_failures=False)
    if end == "a signal":
        threading.Timer(0.3, lambda: setattr(stopper, "received", signal.SIGTERM)).start()
        with pytest.raises(Stopped):
            loop.run()
    else:
        loop.run()
    assert set(states(loop.study)) == {TrialState.FAIL}


def test_the_progress_gets_all_running_trials():
    """A lost trial is not among them."""
    calls = []

    class Recorded(Silent):
        def running(self, epochs: Mapping[int, int], study: optuna.Study) -> None:
            calls.append(dict(epochs))

    loop = scheduler(spec(2, epochs=2), GivenCurves(1, by_margin))
    loop.progress = Recorded()
    loop.run()
    assert calls == [{0: 0}, {0: 1}, {1: 0}, {1: 1}, {}]


def test_a_trial_ended_by_another_process_frees_its_lane(caplog: pytest.LogCaptureFixture):
    engine = GivenCurves(1, by_margin)
    loop = scheduler(spec(2), engine)
    ended = []

    def curve(config: TrainConfig, epoch: int) -> float:
        if not ended:
            ended.append(loop.study.trials[0].number)
            loop.study.tell(0, state=TrialState.FAIL)  # a reaper in another process
        return 0.5

    engine.curve = curve
    with caplog.at_level(logging.WARNING):
        loop.run()
    assert states(loop.study) == [TrialState.FAIL, TrialState.COMPLETE, TrialState.COMPLETE]
    assert "trial 0 was ended by another process" in caplog.text
    assert engine.busy == {}


def test_the_end_of_a_search_frees_the_lanes_of_trials_that_another_process_ended():
    engine = GivenCurves(2, by_margin)
    loop = scheduler(spec(4), engine)

    def curve(config: TrainConfig, epoch: int) -> float:
        if epoch == 2:
            loop.study.tell(1, state=TrialState.FAIL)  # a reaper in another process
            raise Stopped
        return 0.5

    engine.curve = curve
    with pytest.raises(Stopped):
        loop.run()
    assert engine.busy == {}
    assert states(loop.study) == [TrialState.FAIL, TrialState.FAIL, TrialState.WAITING]
    assert loop.study.trials[2].user_attrs[RETRY_OF] == 0, "the other trial is not requeued by this process"


def test_a_lost_published_config_is_requeued_and_a_diverged_one_is_not():
    of = spec(3)
    study = optuna.create_study(direction="maximize")
    assert enqueue_starts(study, of) == ""
    assert enqueue_starts(study, of) == "", "a waiting trial is not queued twice"
    assert len(study.trials) == 1
    study.tell(study.ask().number, state=TrialState.FAIL)  # the kill comes after the end and before the requeue
    enqueue_starts(study, of)
    assert states(study) == [TrialState.FAIL, TrialState.WAITING]
    trial = study.ask()
    trial.set_user_attr(FAILURE, {"epoch": 1, "reason": "x"})
    study.tell(trial.number, state=TrialState.FAIL)
    enqueue_starts(study, of)
    assert states(study) == [TrialState.FAIL, TrialState.FAIL]
    assert RETRIES not in study.trials[0].user_attrs


@pytest.mark.parametrize("values", ["by margin", "equal"])
@pytest.mark.parametrize("lanes", [1, 2])
def test_an_interrupted_start_goes_on_before_those_that_wait(values: str, lanes: int):
    """Then a pruner that prunes from the first trial on judges as without the interruption, of equal values the same one is
    best, and as many trials have gone before each new best value."""
    of = spec(9, 10, name="median", n_startup_trials=0, n_warmup_steps=2, interval_steps=2)
    of = of.override({"search.starts": 4})
    found = []
    for signals in (0, 2):
        study, epochs = optuna.create_study(direction="maximize"), [1, 4][:signals]
        enqueue_starts(study, of)

        def curve(config: TrainConfig, epoch: int, epochs: list[int] = epochs) -> float:
            if epochs and epoch == epochs[0]:
                epochs.pop(0)
                raise Stopped
            return by_margin(config, epoch) if values == "by margin" else 0.1

        for _ in range(signals):
            with pytest.raises(Stopped):
                scheduler(of, GivenCurves(lanes, curve), study).run()
        scheduler(of, GivenCurves(lanes, curve), study).run()
        ended = [one for one in in_order_of_ranks(study.trials) if one.state != TrialState.FAIL]
        assert len(study.trials) == len(ended) + signals * lanes
        judged = [(one.params, one.state, one.value, one.intermediate_values) for one in ended]
        chosen = [one.params for one in finalist_trials(study, 3, of)]
        found.append((judged, [one.params for one in best_trials(study)], chosen, best_so_far(study)))
    assert found[0] == found[1]
    assert TrialState.PRUNED in {state for _, state, *_ in found[0][0]} or values == "equal"


@pytest.mark.parametrize("mark", [PUBLISHED_MARK, NEAREST_MARK])
def test_a_killed_reference_trial_is_queued_again_and_later_proposals_are_the_same(mark: str):
    shape = {"space": {"name": "mml_shape"}, "dataset": "yelp2018"}  # this space lacks the published config
    of = spec(6) if mark == PUBLISHED_MARK else StudySpec.model_validate(spec(6).model_dump() | shape)
    whole, killed = (optuna.create_study(direction="maximize") for _ in range(2))
    enqueue_starts(killed, of)
    for _ in range(MAX_RETRIES + 1):
        trial = killed.ask(fixed_distributions=of.space.boxes())
        trial.set_user_attr(WORKER, this_worker() | {"boot": "before"})
        reap(killed)
    assert killed.trials[-1].user_attrs[FAILURE][WORKER_DIED]
    assert states(killed) == [TrialState.FAIL] * (MAX_RETRIES + 1)
    for study in (whole, killed):
        enqueue_starts(study, of)
        enqueue_starts(study, of)
        scheduler(of, GivenCurves(1, lambda config, epoch: config.seed + epoch), study).run()
    finished = [[t.params for t in s.trials if t.state == TrialState.COMPLETE] for s in (whole, killed)]
    assert finished[0] == finished[1]
    assert mark in killed.trials[MAX_RETRIES + 1].user_attrs


def test_a_published_config_that_two_processes_queued_runs_once():
    of, study = spec(3), optuna.create_study(direction="maximize")
    for _ in range(2):
        study.enqueue_trial({"margin": 0.9, "negative_weight": 150.0}, user_attrs={PUBLISHED_MARK: "yelp2018"})
    scheduler(of, GivenCurves(2, by_margin), study).run()
    assert states(study)[:2] == [TrialState.COMPLETE, TrialState.FAIL]
    assert states(study).count(TrialState.COMPLETE) == 3


def test_a_search_ends_only_when_no_trial_is_unsigned(monkeypatch: pytest.MonkeyPatch):
    """The worker of a further trial was killed before it signed it. The search has its budget, and requeues it all the same."""
    of, study = spec(1), optuna.create_study(direction="maximize")
    scheduler(of, GivenCurves(1, by_margin), study).run()
    study.ask()
    loop, now = scheduler(of, GivenCurves(1, by_margin), study), [1000.0]

    def wait(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(loop.stopper, "wait", wait)
    loop.run()
    assert states(study) == [TrialState.COMPLETE, TrialState.FAIL, TrialState.WAITING]
    assert CLAIM_SECONDS < now[0] - 1000.0 < 2 * CLAIM_SECONDS


def test_waiting_for_another_machine_gives_one_message(caplog: pytest.LogCaptureFixture):
    of, study = spec(1), optuna.create_study(direction="maximize")
    study.ask().set_user_attr(WORKER, {**this_worker(), "host": "elsewhere"})
    loop = scheduler(of, GivenCurves(1, by_margin), study)
    with caplog.at_level(logging.WARNING):
        loop._report_waiting()
        loop._report_waiting()
    assert caplog.text.count("waiting for trial 0 of elsewhere") == 1
    assert "--stale-after" in caplog.text


class SmallDevice(GivenCurves):
    """An engine with memory for `fit` trials at once."""

    def __init__(self, lanes: int, fit: int, at_start: bool = False) -> None:
        super().__init__(lanes, by_margin)
        self.fit, self.at_start = fit, at_start

    def start(self, lane: int, config: TrainConfig) -> None:
        super().start(lane, config)
        if self.at_start and len(self.busy) > self.fit:
            raise OutOfMemory("out of memory on cuda")

    def epoch(self) -> list[EpochResult]:
        if len(self.busy) > self.fit:
            raise OutOfMemory("out of memory on cuda")
        return super().epoch()


@pytest.mark.parametrize("at_start", [False, True])
def test_out_of_memory_halves_the_lanes_and_trains_the_same_trials(caplog: pytest.LogCaptureFixture, at_start: bool):
    engine = SmallDevice(8, fit=3, at_start=at_start)
    loop = scheduler(spec(8), engine)
    with caplog.at_level(logging.WARNING):
        loop.run()
    assert states(loop.study) == [TrialState.COMPLETE] * 8, "the same trials and no retries"
    assert 1 <= engine.most_busy <= 3
    assert "continuing with" in caplog.text


def test_trials_that_lose_their_lanes_later_report_each_epoch_once(recwarn: pytest.WarningsRecorder):
    """They train again from the first epoch and get the same values.

    The pruner looks at epoch 2 only, when no trial is complete. Later the two best ones are: it must not look again.
    """
    of = spec(4, name="median", n_startup_trials=1, n_warmup_steps=2, interval_steps=4)
    engine = SmallDevice(4, fit=4)

    def curve(config: TrainConfig, epoch: int) -> float:
        if epoch == 3 and len(engine.busy) > 2:
            raise OutOfMemory("out of memory on cuda")
        return by_margin(config, epoch)

    engine.curve = curve
    with_loss, without = (optuna.create_study(direction="maximize") for _ in range(2))
    for study, one in ((with_loss, engine), (without, GivenCurves(4, by_margin))):
        for margin in (0.9, 0.8, 0.4, 0.3):
            study.enqueue_trial({"margin": margin, "negative_weight": 100.0})
        scheduler(of, one, study).run()
    assert states(with_loss) == states(without) == [TrialState.COMPLETE] * 4
    for trial in with_loss.trials:
        margin = trial.params["margin"]
        assert trial.intermediate_values == pytest.approx({epoch: margin * epoch for epoch in range(1, 5)})
        assert trial.user_attrs["epochs_trained"] == 4
    assert sum(trial.user_attrs["train_seconds"] for trial in with_loss.trials) == 4 * (4 + 2) * 0.5, "lost epochs count"
    assert not recwarn.list


def test_a_config_too_large_for_the_device_fails_with_the_reason_and_the_search_continues():
    class OnlySmall(GivenCurves):
        def epoch(self) -> list[EpochResult]:
            if self.busy[0][0].loss.margin > 0.9:  # type: ignore[attr-defined]
                raise OutOfMemory("out of memory on cuda")
            return super().epoch()

    study = optuna.create_study(direction="maximize")
    for margin in (0.95, 0.5):
        study.enqueue_trial({"margin": margin, "negative_weight": 100.0})
    scheduler(spec(1), OnlySmall(1, by_margin), study).run()
    assert states(study) == [TrialState.FAIL, TrialState.COMPLETE]
    assert study.trials[0].user_attrs[FAILURE] == {"epoch": 0, "reason": "out of memory on cuda"}


def test_a_trial_that_was_queued_twice_runs_once():
    of, study = spec(2), optuna.create_study(direction="maximize")
    for _ in range(2):
        study.enqueue_trial({"margin": 0.9, "negative_weight": 150.0}, user_attrs={RETRIES: 1, RETRY_OF: 7})
    scheduler(of, GivenCurves(1, by_margin), study).run()
    assert states(study) == [TrialState.COMPLETE, TrialState.FAIL, TrialState.COMPLETE]


def test_a_second_retry_of_a_trial_is_dropped_even_if_the_first_failed():
    of, study = spec(1), optuna.create_study(direction="maximize")
    for _ in range(2):
        study.enqueue_trial({"margin": 0.9, "negative_weight": 150.0}, user_attrs={RETRIES: 1, RETRY_OF: 7})
    study.tell(study.ask().number, state=TrialState.FAIL)
    scheduler(of, GivenCurves(1, by_margin), study).run()
    assert states(study) == [TrialState.FAIL, TrialState.FAIL, TrialState.COMPLETE]


def test_a_retry_of_a_published_config_is_no_duplicate_of_its_first_attempt():
    """A worker queues the retry before it ends the trial. Another worker may start the retry in between."""
    of, study = spec(2), optuna.create_study(direction="maximize")
    config = {"margin": 0.9, "negative_weight": 150.0}
    study.enqueue_trial(config, user_attrs={PUBLISHED_MARK: "yelp2018"})
    study.ask().set_user_attr(WORKER, this_worker())
    study.enqueue_trial(config, user_attrs={PUBLISHED_MARK: "yelp2018", RETRIES: 0, RETRY_OF: 0})
    loop = scheduler(of, GivenCurves(1, by_margin), study)
    (running,) = loop._next_trials(1)
    assert running.trial.number == 1
