"""The one loop: ask for a trial for each free lane, train every busy lane an epoch, report all, prune, tell; repeat."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState

from hpo.runtime.signals import Stopper
from hpo.search.claims import STALE_HOURS, Reaper, is_here, requeue, signature, this_worker
from hpo.search.limits import Failures
from hpo.search.progress import Progress
from hpo.study.attributes import FAILURE, NEAREST_MARK, PUBLISHED_MARK, RETRY_OF, SEARCHED_BY, WORKER, stands_for_published
from hpo.study.spec import SECONDARY_METRIC, StudySpec
from hpo.study.trials import searched_by, searched_fields, tally, trial_config, trial_value
from trainers.config import TrainConfig
from trainers.engines import Engine, EpochResult
from trainers.errors import OutOfMemory, TrainingDiverged
from trainers.train import check_finite

log = logging.getLogger(__name__)

POLL_SECONDS = 2.0


@dataclass
class LaneState:
    """A trial in a lane."""

    trial: optuna.Trial
    config: TrainConfig
    never_pruned: bool
    train_seconds: float = 0.0
    evaluate_seconds: float = 0.0
    epochs: int = 0
    metrics: dict[str, float] = field(default_factory=dict)


class Scheduler:
    """Searches a study on one engine until its budget of finished trials is met."""

    def __init__(
        self,
        study: optuna.Study,
        spec: StudySpec,
        engine: Engine,
        progress: Progress,
        stopper: Stopper,
        deadline: float | None = None,
        stale_after: float = STALE_HOURS,
        stop_on_failures: bool = True,
    ) -> None:
        """
        Args:
            stop_on_failures: false in a worker whose parent counts the failures of all workers.
        """
        self.study = study
        self.spec = spec
        self.engine = engine
        self.progress = progress
        self.stopper = stopper
        self.deadline = deadline
        self.lanes: dict[int, LaneState] = {}
        self.reaper = Reaper(study, stale_after)
        self.last_waiting_notice: list[str] = []
        self.failures = Failures(stop_on_failures)
        self.width = engine.lanes

    def run(self) -> None:
        """Search. Interrupted trials are requeued.

        Raises:
            SearchFailed: 10 trials failed in this run, or 5 in a row.
            Stopped: SIGINT or SIGTERM.
        """
        self.progress.begin(self.study, self.spec.search.trials)
        try:
            while not self._out_of_time():
                self._fill_lanes()
                self.progress.running({lane.trial.number: lane.epochs for lane in self.lanes.values()}, self.study)
                if self.lanes:
                    self._epoch()
                elif self._budget_met():
                    return
                else:  # the trials that are left run elsewhere, or their worker has just died
                    self._report_waiting()
                    with self.stopper.interruptible():
                        time.sleep(POLL_SECONDS)
        finally:
            self._requeue_all()

    def _epoch(self) -> None:
        lanes = self.engine.lanes
        try:
            with self.stopper.interruptible():
                results = self.engine.epoch()
        except OutOfMemory as error:
            self._make_room(error, lanes)
        else:
            self._report_prune_tell(results)

    def _make_room(self, error: OutOfMemory, lanes: int) -> None:
        """Half the lanes from now on, and the same trials again; a trial that is alone and still too large has failed.

        `lanes` are those that the engine had before: memory may go by them and not by the busy ones.
        """
        shrunk = self.engine.lanes < lanes
        if len(self.lanes) == 1 and not shrunk:
            lane = next(iter(self.lanes))
            self._unless_ended(lane, self._fail, lane, error.reason)
            return
        self.width = self.engine.lanes if shrunk else max(1, len(self.lanes) // 2)
        log.warning("%s with %d trials side by side: going on with %d", error.reason, len(self.lanes), self.width)
        self._requeue_all()

    def _out_of_time(self) -> bool:
        return self.deadline is not None and time.time() >= self.deadline

    def _budget_met(self) -> bool:
        trials = self.study.get_trials(deepcopy=False)
        unsigned = any(trial.state == TrialState.RUNNING and signature(trial) is None for trial in trials)
        return tally(trials).finished >= self.spec.search.trials and not unsigned  # an unsigned one is still to be reaped

    def _report_waiting(self) -> None:
        """Once per set of trials."""
        running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        holders = [(trial.number, signature(trial)) for trial in running]
        here, away = [], []  # one that is not signed yet will be, or is reaped in seconds
        for number, by in holders:
            if by is not None and is_here(by):
                here.append(f"{number} of process {by['pid']}")
            elif by is not None:
                away.append(f"{number} of {by['host']}")
        if here + away != self.last_waiting_notice:
            if here:
                log.info("waiting for trial %s", ", ".join(here))
            if away:
                remedy = "if its worker is gone, --stale-after HOURS (now %g) says when to give it up"
                log.warning(f"waiting for trial %s; {remedy}", ", ".join(away), self.reaper.stale_hours)
        self.last_waiting_notice = here + away

    def _fill_lanes(self) -> None:
        self.reaper.reap()
        for lane in range(self.engine.lanes):
            if lane not in self.lanes and lane < min(self.width, self.engine.lanes) and self._has_budget():
                self._start(lane)

    def _has_budget(self) -> bool:
        """Whether another trial may start: finished and running ones together are below the budget."""
        trials = tally(self.study.get_trials(deepcopy=False))
        return trials.finished + trials.running < self.spec.search.trials

    def _start(self, lane: int) -> None:
        try:
            trial = self.study.ask(fixed_distributions=self.spec.space.boxes())
            trial.set_user_attr(WORKER, this_worker())
            trial.set_user_attr(SEARCHED_BY, searched_by(self.spec.search))
            if self._is_duplicate(trial):
                self.study.tell(trial, state=TrialState.FAIL)
                return
            config = trial_config(trial, self.spec)
            for name, value in searched_fields(config, self.spec).items():
                trial.set_user_attr(name, value)
        except UpdateFinishedTrialError:  # the storage took so long that another worker thought this one dead
            log.warning("a trial was ended by another process before it could be started")
            return
        self.lanes[lane] = LaneState(trial, config, never_pruned=stands_for_published(trial))
        lanes = self.engine.lanes
        try:
            with self.stopper.interruptible():
                self.engine.start(lane, config)
        except OutOfMemory as error:
            self._make_room(error, lanes)

    def _is_duplicate(self, trial: optuna.Trial) -> bool:
        """Whether a queued trial runs already: two processes that start a study at once both queue the published config, and
        a storage that is away for a moment may queue a trial twice."""
        marks = {(key, trial.user_attrs[key]) for key in (PUBLISHED_MARK, NEAREST_MARK, RETRY_OF) if key in trial.user_attrs}
        others = self.study.get_trials(deepcopy=False)[: trial.number] if marks else []
        others = [other for other in others if other.number != trial.user_attrs.get(RETRY_OF)]  # it may be just about to end
        return any(
            other.user_attrs.get(key) == value and (key == RETRY_OF or other.state != TrialState.FAIL)  # one retry of each
            for other in others
            for key, value in marks
        )

    def _report_prune_tell(self, results: list[EpochResult]) -> None:
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
        if result.epoch == running.config.epochs:
            return TrialState.COMPLETE
        prune = result.metrics is not None and not running.never_pruned and running.trial.should_prune()
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
            return self._fail(result.lane, str(error))
        if result.metrics is not None:
            running.metrics = result.metrics
            running.trial.report(trial_value(result.metrics), step=result.epoch)
        return True

    def _finish(self, lane: int, state: TrialState) -> bool:
        running = self.lanes[lane]
        running.trial.set_user_attr(SECONDARY_METRIC, running.metrics[SECONDARY_METRIC])
        self._set_costs(running)
        # a pruned trial takes its last report as its value: the same number
        value = trial_value(running.metrics) if state == TrialState.COMPLETE else None
        told = self.study.tell(running.trial, value, state=state, skip_if_finished=True)
        self._free(lane)
        self.failures.note(told)
        self.progress.finished(told, self.study)
        return True

    def _free(self, lane: int) -> None:
        del self.lanes[lane]
        self.engine.stop(lane)

    def _fail(self, lane: int, reason: str) -> bool:
        running = self.lanes[lane]
        running.trial.set_user_attr(FAILURE, {"epoch": running.epochs, "reason": reason})
        self._set_costs(running)
        told = self.study.tell(running.trial, state=TrialState.FAIL, skip_if_finished=True)
        self._free(lane)
        self.progress.finished(told, self.study)
        self.failures.note(told)
        return False

    def _set_costs(self, running: LaneState) -> None:
        running.trial.set_user_attr("epochs_trained", running.epochs)
        running.trial.set_user_attr("train_seconds", round(running.train_seconds, 3))
        running.trial.set_user_attr("evaluate_seconds", round(running.evaluate_seconds, 3))

    def _requeue_all(self) -> None:
        by_number = {running.trial.number: lane for lane, running in self.lanes.items()}
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if trial.number in by_number:
                with suppress(UpdateFinishedTrialError):
                    self._set_costs(self.lanes[by_number[trial.number]])
                self.engine.stop(by_number[trial.number])
                requeue(self.study, trial, count=False)
        self.lanes.clear()
