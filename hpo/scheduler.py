"""The one loop: ask for a trial for each free lane, train every busy lane an epoch, report all, prune, tell; repeat."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from hpo.liveness import MAX_RETRIES, NEAREST, PUBLISHED, RETRIES, STALE_HOURS, WORKER, put_back, reap, this_worker
from hpo.spec import BESIDE, OBJECTIVE, PrunerSpec, SearchPlan, StudySpec
from hpo.stopping import Stopper
from trainers.config import TrainConfig
from trainers.engines import Engine, EpochResult
from trainers.errors import InputError, TrainingDiverged
from trainers.train import check_finite

log = logging.getLogger(__name__)

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
FAILURE = "failure"
MAX_FAILURES, MAX_FAILURES_IN_A_ROW = 10, 5
POLL_SECONDS = 2.0


class SearchFailed(RuntimeError):
    """Too many trials failed; the message lists the reasons."""


class Progress(Protocol):
    """What the loop tells the console."""

    def begin(self, study: optuna.Study, budget: int) -> None: ...

    def epoch(self, number: int, epoch: int, epochs: int, study: optuna.Study) -> None: ...

    def finished(self, trial: FrozenTrial, study: optuna.Study) -> None: ...


@dataclass
class _Running:
    """A trial in a lane."""

    trial: optuna.Trial
    config: TrainConfig
    published: bool
    train_seconds: float = 0.0
    evaluate_seconds: float = 0.0
    epochs: int = 0
    metrics: dict[str, float] = field(default_factory=dict)


def trial_value(metrics: dict[str, float]) -> float:
    """A trial's value: the objective at its last trained epoch, nothing smoothed, no best-so-far."""
    return metrics[OBJECTIVE]


def make_sampler(plan: SearchPlan, lanes: int, n_existing: int, worker: int = 0) -> optuna.samplers.BaseSampler:
    """The sampler; worker and number of existing trials go into its seed, or a resumed search would repeat its points."""
    seed = int(np.random.SeedSequence([plan.seed, worker, n_existing]).generate_state(1)[0])
    startup = max(plan.sampler.n_startup_trials, lanes)
    if plan.sampler.name == "tpe":
        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=startup)
    if plan.sampler.name == "gp":
        return optuna.samplers.GPSampler(seed=seed, n_startup_trials=startup)
    if plan.sampler.name == "qmc":
        return optuna.samplers.QMCSampler(seed=seed, scramble=True, warn_asynchronous_seeding=False)
    return optuna.samplers.RandomSampler(seed=seed)


def make_pruner(spec: PrunerSpec) -> optuna.pruners.BasePruner:
    """The pruner; `step` is the number of epochs trained."""
    if spec.name == "none":
        return optuna.pruners.NopPruner()
    when = (spec.n_startup_trials, spec.n_warmup_steps)
    if spec.name == "median":
        return optuna.pruners.MedianPruner(*when, n_min_trials=spec.n_min_trials)
    return optuna.pruners.PercentilePruner(spec.percentile, *when, n_min_trials=spec.n_min_trials)


def enqueue_published(study: optuna.Study, spec: StudySpec) -> str:
    """Queue the published config, first of all or because it was lost; returns why not, or an empty text.

    In place of one outside the space goes the nearest in it: a trial like any other, queued once.
    """
    published = spec.published(spec.search.epochs, spec.search.seed)
    if published is None:
        return f"no paper gives settings for loss {spec.space.loss_name}"
    config, source = published
    if any(PUBLISHED in trial.user_attrs and not _was_lost(trial) for trial in study.get_trials(deepcopy=False)):
        return ""
    try:
        params = spec.space.params(config)
    except InputError as error:
        why_not = f"the published config ({source}) is outside this study's space: {error}"
        return why_not + ("; the nearest config in it goes first" if _enqueue_nearest(study, spec, config, source) else "")
    study.enqueue_trial(params, user_attrs={PUBLISHED: source})
    return ""


def _enqueue_nearest(study: optuna.Study, spec: StudySpec, config: TrainConfig, source: str) -> bool:
    """Queue what the space holds nearest to a config outside of it, unless that has been done; false when it holds nothing."""
    params = spec.space.nearest(config)
    if params is not None and not any(NEAREST in trial.user_attrs for trial in study.get_trials(deepcopy=False)):
        study.enqueue_trial(params, user_attrs={NEAREST: source})
    return params is not None


def _was_lost(trial: FrozenTrial) -> bool:
    """Whether a trial ended through no fault of its config and may be tried again."""
    attributes = trial.user_attrs
    return trial.state == TrialState.FAIL and FAILURE not in attributes and attributes.get(RETRIES, 0) < MAX_RETRIES


class Scheduler:
    """Searches a study on one engine until its budget of finished trials is met."""

    def __init__(
        self,
        study: optuna.Study,
        spec: StudySpec,
        engine: Engine,
        progress: Progress,
        stopper: Stopper,
        timeout: float | None = None,
        stale_after: float = STALE_HOURS,
    ) -> None:
        self.study = study
        self.spec = spec
        self.engine = engine
        self.progress = progress
        self.stopper = stopper
        self.deadline = None if timeout is None else time.monotonic() + timeout
        self.lanes: dict[int, _Running] = {}
        self.worker = this_worker()
        self.stale_after = stale_after
        self.awaited: list[str] = []
        self.failures: list[str] = []
        self.failures_in_a_row = 0

    def run(self) -> None:
        """Search. Interrupted trials go back to the queue.

        Raises:
            SearchFailed: 10 trials failed in this run, or 5 in a row.
            Stopped: SIGINT or SIGTERM.
        """
        self.progress.begin(self.study, self.spec.search.trials)
        try:
            while not self._out_of_time():
                self._fill_lanes()
                if self.lanes:
                    with self.stopper.interruptible():
                        results = self.engine.epoch()
                    self._digest(results)
                elif self._budget_met():
                    return
                else:  # the trials that are left run elsewhere, or their worker has just died
                    self._say_what_is_awaited()
                    with self.stopper.interruptible():
                        time.sleep(POLL_SECONDS)
        finally:
            self._put_back_all()

    def _out_of_time(self) -> bool:
        return self.deadline is not None and time.monotonic() >= self.deadline

    def _budget_met(self) -> bool:
        trials = self.study.get_trials(deepcopy=False)
        finished = sum(trial.state in FINISHED for trial in trials)
        unsigned = any(trial.state == TrialState.RUNNING and WORKER not in trial.user_attrs for trial in trials)
        return finished >= self.spec.search.trials and not unsigned  # an unsigned one is still to be reaped

    def _say_what_is_awaited(self) -> None:
        """Once per set of trials."""
        running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        awaited = [
            f"{trial.number} of {trial.user_attrs.get(WORKER, {}).get('host', 'a worker not yet known')}" for trial in running
        ]
        if awaited and awaited != self.awaited:
            log.warning(
                "waiting for trial %s; if its worker is gone, --stale-after HOURS (now %g) says when to give it up",
                ", ".join(awaited),
                self.stale_after,
            )
        self.awaited = awaited

    def _fill_lanes(self) -> None:
        reap(self.study, self.stale_after)
        for lane in range(self.engine.lanes):
            if lane not in self.lanes and self._has_budget():
                self._start(lane)

    def _has_budget(self) -> bool:
        """Whether another trial may start: finished and running ones together are below the budget."""
        taken = (*FINISHED, TrialState.RUNNING)
        return sum(t.state in taken for t in self.study.get_trials(deepcopy=False)) < self.spec.search.trials

    def _start(self, lane: int) -> None:
        trial = self.study.ask(fixed_distributions=self.spec.space.boxes())
        trial.set_user_attr(WORKER, self.worker)
        config = self.spec.space.config(trial.params, self.spec.fields(self.spec.search.epochs, self.spec.search.seed))
        for name, value in searched_fields(config, self.spec).items():
            trial.set_user_attr(name, value)
        self.lanes[lane] = _Running(trial, config, PUBLISHED in trial.user_attrs)
        self.engine.start(lane, config)

    def _digest(self, results: list[EpochResult]) -> None:
        """Report all, then ask whether to prune for all, then tell: lanes must not depend on their order."""
        alive = [result for result in results if self._unless_ended(result.lane, self._record, result)]
        verdicts = [(result.lane, self._verdict(result)) for result in alive]
        for lane, state in verdicts:
            if state is not None:
                self._unless_ended(lane, self._finish, lane, state)

    def _unless_ended(self, lane: int, action: Callable[..., bool], *arguments: object) -> bool:
        """Do something with a lane's trial; false when another process has ended the trial, which frees the lane."""
        try:
            return action(*arguments)
        except UpdateFinishedTrialError:
            log.warning("trial %d was ended by another process, which took this one for dead", self.lanes[lane].trial.number)
            self._free(lane)
            return False

    def _verdict(self, result: EpochResult) -> TrialState | None:
        """What becomes of a trial after this epoch; None while it goes on."""
        running = self.lanes[result.lane]
        self.progress.epoch(running.trial.number, result.epoch, running.config.epochs, self.study)
        if result.epoch == running.config.epochs:
            return TrialState.COMPLETE
        prune = result.metrics is not None and not running.published and running.trial.should_prune()
        return TrialState.PRUNED if prune else None

    def _record(self, result: EpochResult) -> bool:
        """Note and report an epoch; false when it ended the trial as a failure."""
        running = self.lanes[result.lane]
        running.epochs = result.epoch
        running.train_seconds += result.train_seconds
        running.evaluate_seconds += result.evaluate_seconds
        try:
            check_finite(result)
        except TrainingDiverged as error:
            self._fail(result.lane, error)
            return False
        if result.metrics is not None:
            running.metrics = result.metrics
            running.trial.report(trial_value(result.metrics), step=result.epoch)
        return True

    def _finish(self, lane: int, state: TrialState) -> bool:
        running = self.lanes[lane]
        running.trial.set_user_attr(BESIDE, running.metrics[BESIDE])
        self._set_costs(running)
        # a pruned trial takes its last report as its value: the same number
        value = trial_value(running.metrics) if state == TrialState.COMPLETE else None
        told = self.study.tell(running.trial, value, state=state, skip_if_finished=True)
        self._free(lane)
        self.failures_in_a_row = 0
        self.progress.finished(told, self.study)
        return True

    def _free(self, lane: int) -> None:
        del self.lanes[lane]
        self.engine.stop(lane)

    def _fail(self, lane: int, error: TrainingDiverged) -> None:
        running = self.lanes[lane]
        running.trial.set_user_attr(FAILURE, {"epoch": error.epoch, "reason": error.reason})
        self._set_costs(running)
        told = self.study.tell(running.trial, state=TrialState.FAIL, skip_if_finished=True)
        self._free(lane)
        self.progress.finished(told, self.study)
        self.failures.append(f"trial {told.number}: {error}")
        self.failures_in_a_row += 1
        if len(self.failures) >= MAX_FAILURES or self.failures_in_a_row >= MAX_FAILURES_IN_A_ROW:
            raise SearchFailed("too many trials failed; the study is kept\n" + "\n".join(self.failures))

    def _set_costs(self, running: _Running) -> None:
        running.trial.set_user_attr("epochs_trained", running.epochs)
        running.trial.set_user_attr("train_seconds", round(running.train_seconds, 3))
        running.trial.set_user_attr("evaluate_seconds", round(running.evaluate_seconds, 3))

    def _put_back_all(self) -> None:
        by_number = {running.trial.number: lane for lane, running in self.lanes.items()}
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if trial.number in by_number:
                self._set_costs(self.lanes[by_number[trial.number]])
                self.engine.stop(by_number[trial.number])
                put_back(self.study, trial, count=False)
        self.lanes.clear()


def searched_fields(config: TrainConfig, spec: StudySpec) -> dict[str, Any]:
    """The effective values of what the space decides, as plain data: margins and weights rather than ratios."""
    plain = config.to_dict()
    fields = {key: value for key, value in plain["loss"].items() if key != "name"}
    inner = {"negatives": plain["negatives"]["count"], "dropout": plain["encoder"]["dropout"]}
    return fields | {name: inner.get(name, plain.get(name)) for name in spec.space.also}


def trial_config(trial: FrozenTrial, spec: StudySpec) -> TrainConfig:
    """The config that a trial trained."""
    return spec.space.config(trial.params, spec.fields(spec.search.epochs, spec.search.seed))


def best_trials(study: optuna.Study, count: int) -> list[FrozenTrial]:
    """The complete trials of highest value, best first, equal configs once."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    ranked = sorted(complete, key=lambda trial: (-(trial.value or 0.0), trial.number))
    by_params = {tuple(sorted(trial.params.items())): trial for trial in reversed(ranked)}
    return sorted(by_params.values(), key=lambda trial: (-(trial.value or 0.0), trial.number))[:count]
