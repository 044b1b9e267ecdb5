"""The search loop over lanes: ask for a trial for each free lane; after each epoch report, prune and tell."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState

from hpo.runtime.signals import Stopper
from hpo.search.checkpoints import TrialCheckpoints
from hpo.search.claims import CLAIM_SECONDS, STALE_HOURS, Reaper, ask_signed, is_here, is_own, requeue, signature, this_worker
from hpo.search.lane_state import LaneState
from hpo.search.limits import Failures
from hpo.search.progress import Progress
from hpo.study.attributes import (
    DUPLICATE,
    FAILURE,
    RETRY_OF,
    SAMPLED,
    START_MARKS,
    WORKER,
    stands_for_published,
)
from hpo.study.spec import StudySpec
from hpo.study.trials import searched_fields, tally, trial_config, trial_value
from trainers.config import TrainConfig
from trainers.engines import Engine, EpochResult
from trainers.errors import OutOfMemory, TrainingDiverged, first_line
from trainers.lanes import LaneRunner
from trainers.train import check_finite

log = logging.getLogger(__name__)

POLL_SECONDS = 2.0
FIRST_PAUSE = 0.125  # seconds; the others often need less than a second for the last trials. Each pause is twice as long
SIGN_AGAIN = 0.1  # a signature is renewed after this share of the time after which a trial counts as dead


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
        checkpoints: TrialCheckpoints | None = None,
    ) -> None:
        """
        Args:
            deadline: the time.monotonic() at which the search ends; None for no limit.
            stale_after: hours without a sign of life after which a trial of another machine counts as dead.
            stop_on_failures: False in a worker whose parent counts the failures of all workers.
            checkpoints: the checkpoints of the study's trials; None for no checkpoints.
        """
        self.study = study
        self.spec = spec
        self.lanes = LaneRunner[LaneState](engine, self._too_large)
        self.progress = progress
        self.stopper = stopper
        self.deadline = deadline
        self.checkpoints = checkpoints
        self.has_warned = False
        self.looked = -math.inf  # time.monotonic() of the last look for trials of dead workers
        self.reaper = Reaper(study, stale_after, lambda: {running.trial.number for running in self.lanes.jobs})
        self.last_waiting_notice: list[str] = []
        self.failures = Failures(study.study_name, stop_on_failures)

    def run(self) -> None:
        """Search until the budget is met or the deadline has passed. Interrupted trials are requeued.

        Raises:
            SearchFailed: 10 trials failed in this run, or 5 in a row.
            Stopped: SIGINT or SIGTERM.
        """
        self.progress.begin(self.study, self.spec.search.trials)
        rounds, pause = self.lanes.rounds(self._next_trials), FIRST_PAUSE
        try:
            while not self._out_of_time():
                results = next(rounds)
                if results:
                    self._report_prune_tell(results)
                    pause = FIRST_PAUSE
                elif self._budget_met():
                    return
                else:  # the last trials run in other processes, or their worker has just died
                    self._report_waiting()
                    self.stopper.wait(CLAIM_SECONDS / 20.0 if self.reaper.awaits else pause)
                    pause = min(2.0 * pause, POLL_SECONDS)
        finally:
            self._requeue_all()

    def _too_large(self, running: LaneState, error: OutOfMemory) -> None:
        self._unless_ended(running, self._fail, running, error.reason)

    def _out_of_time(self) -> bool:
        return self.deadline is not None and time.monotonic() >= self.deadline

    def _budget_met(self) -> bool:
        trials = self.study.get_trials(deepcopy=False)
        unsigned = any(trial.state == TrialState.RUNNING and signature(trial) is None for trial in trials)
        return tally(trials).finished >= self.spec.search.trials and not unsigned  # an unsigned one may have to be reaped

    def _report_waiting(self) -> None:
        """Log which trials of other processes this search waits for; once per set of trials."""
        running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        holders = [(trial.number, signature(trial)) for trial in running]
        here, away = [], []  # unsigned trials are left out: they are signed or reaped within seconds
        for number, by in holders:
            if by is not None and is_here(by):
                here.append(f"{number} of process {by['pid']}")
            elif by is not None:
                away.append(f"{number} of {by['host']}")
        if here + away != self.last_waiting_notice:
            if here:
                log.info("waiting for trial %s", ", ".join(here))
            if away:
                remedy = "if its worker is gone, lower --stale-after (now %g hours), after which the trial is requeued"
                log.warning(f"waiting for trial %s; {remedy}", ", ".join(away), self.reaper.stale_hours)
        self.last_waiting_notice = here + away

    def _next_trials(self, free: int) -> Iterator[LaneState]:
        """Yield a trial for each free lane, while the budget lasts."""
        if free or time.monotonic() - self.looked > POLL_SECONDS:
            self.looked = time.monotonic()
            self.reaper.reap()
        for _ in range(0 if self.reaper.awaits else free):
            running = self._ask() if self._has_budget() else None
            if running is not None:
                yield running
        self.progress.running({running.trial.number: running.trained for running in self.lanes.jobs}, self.study)

    def _has_budget(self) -> bool:
        """Whether another trial may start: there are fewer finished and running trials than the budget."""
        trials = tally(self.study.get_trials(deepcopy=False))
        return trials.finished + trials.running < self.spec.search.trials

    def _ask(self) -> LaneState | None:
        """A new, signed trial that is no duplicate and that its loss allows; None if it was ended by another process, or if the
        search ends."""
        try:
            while True:
                trial = self._sampled()
                if self._is_duplicate(trial):
                    trial.set_user_attr(DUPLICATE, True)
                    self.study.tell(trial, state=TrialState.FAIL)
                elif (config := self._config_of(trial)) is not None:
                    break
                if self.stopper.should_stop() or self._out_of_time() or not self._has_budget():
                    return None
        except UpdateFinishedTrialError:  # the storage was so slow that another worker assumed that this process was dead
            log.warning("a trial was ended by another process before it could be started")
            return None
        checkpoint = self.checkpoints.of(trial, config) if self.checkpoints else None
        return LaneState(trial, config, never_pruned=stands_for_published(trial), checkpoint=checkpoint)

    def _config_of(self, trial: optuna.Trial) -> TrainConfig | None:
        """The config of a trial. If a loss refuses its settings, the trial fails, and there is none."""
        try:
            config = trial_config(trial, self.spec)
        except ValueError as error:
            trial.set_user_attr(FAILURE, {"epoch": 0, "reason": first_line(error)})
            told = self.study.tell(trial, state=TrialState.FAIL)
            self.progress.finished(told, self.study)
            self.failures.note(told)
            return None
        for name, value in searched_fields(config, self.spec).items():
            trial.set_user_attr(name, value)
        return config

    def _sampled(self) -> optuna.Trial:
        """A new, signed trial with all its parameters."""
        trial = ask_signed(self.study)
        for name, box in self.spec.space.boxes().items():
            trial._suggest(name, box)
        trial.set_user_attr(SAMPLED, True)
        return trial

    def _is_duplicate(self, trial: optuna.Trial) -> bool:
        """Whether a queued trial exists twice: two processes that start a study at once both queue its starts, and a retry
        after a storage outage may queue a trial again."""
        marks = {(key, trial.user_attrs[key]) for key in (*START_MARKS, RETRY_OF) if key in trial.user_attrs}
        others = self.study.get_trials(deepcopy=False)[: trial.number] if marks else []
        others = [other for other in others if other.number != trial.user_attrs.get(RETRY_OF)]  # it may not have ended yet
        return any(
            other.user_attrs.get(key) == value and (key == RETRY_OF or other.state != TrialState.FAIL)  # one retry of each
            for other in others
            for key, value in marks
        )

    def _report_prune_tell(self, results: list[tuple[LaneState, EpochResult]]) -> None:
        """Report all trials, then decide for all, then tell all: the result must not depend on the order of lanes."""
        alive = [(running, result) for running, result in results if self._unless_ended(running, self._record, running, result)]
        verdicts = [(running, self._verdict(running, result)) for running, result in alive]
        for running, state in verdicts:
            if state is None:
                running.epochs = running.trained
        for running, state in verdicts:
            if state is not None:
                self._unless_ended(running, self._finish, running, state)

    def _unless_ended(self, running: LaneState, action: Callable[..., bool], *arguments: object) -> bool:
        """Run an action on a trial. If another process has ended the trial, free its lane and return False."""
        try:
            return action(*arguments)
        except UpdateFinishedTrialError:
            log.warning("trial %d was ended by another process, which assumed that this process was dead", running.trial.number)
            self.lanes.stop(running)
            return False

    def _verdict(self, running: LaneState, result: EpochResult) -> TrialState | None:
        """The final state of a trial after this epoch; None if it goes on. Epochs that are trained again are not pruned."""
        if result.epoch == running.config.epochs:
            return TrialState.COMPLETE
        is_due = result.metrics is not None and result.epoch > running.judged
        running.judged = max(running.judged, result.epoch)
        prune = is_due and not running.never_pruned and running.trial.should_prune()
        return TrialState.PRUNED if prune else None

    def _record(self, running: LaneState, result: EpochResult) -> bool:
        """Record and report an epoch; returns False if it diverged, which fails the trial."""
        running.trained = result.epoch
        running.train_seconds += result.train_seconds
        running.evaluate_seconds += result.evaluate_seconds
        try:
            check_finite(result)
        except TrainingDiverged as error:
            return self._fail(running, str(error))
        if result.metrics is not None:
            running.metrics = result.metrics
            running.values[result.epoch] = trial_value(result.metrics, self.spec)
        for epoch in sorted(running.values):
            if epoch > running.reported:  # epochs that are trained again after a lost lane have the same value
                running.trial.report(running.values[epoch], step=epoch)
                running.reported = epoch
        self._sign_again(running)
        return True

    def _sign_again(self, running: LaneState) -> None:
        """Renew the signature, the sign of life for other machines."""
        patience = self.reaper.stale_hours * 3600.0
        if time.monotonic() - running.signed >= SIGN_AGAIN * patience:
            running.trial.set_user_attr(WORKER, this_worker())
            running.signed = time.monotonic()
        if self.lanes.longest_epoch > patience and not self.has_warned:
            self.has_warned = True
            log.warning(
                "--stale-after %g hours is shorter than an epoch of %.0f s: workers on other machines will requeue trials that "
                "still run here; give a longer time",
                self.reaper.stale_hours,
                self.lanes.longest_epoch,
            )

    def _finish(self, running: LaneState, state: TrialState) -> bool:
        secondary = self.spec.measured[1]
        running.trial.set_user_attr(secondary, running.metrics[secondary])
        # Optuna sets the value of a pruned trial to its last report, which is the same number
        self._end(running, state, trial_value(running.metrics, self.spec) if state == TrialState.COMPLETE else None)
        return True

    def _fail(self, running: LaneState, reason: str) -> bool:
        running.trial.set_user_attr(FAILURE, {"epoch": running.trained, "reason": reason})
        self._end(running, TrialState.FAIL)
        return False

    def _end(self, running: LaneState, state: TrialState, value: float | None = None) -> None:
        self._set_costs(running)
        told = self.study.tell(running.trial, value, state=state, skip_if_finished=True)
        self.lanes.stop(running)
        if running.checkpoint is not None and told.state == state:  # else another worker took it and may need the checkpoint
            running.checkpoint.delete()
        self.progress.finished(told, self.study)
        self.failures.note(told)

    def _set_costs(self, running: LaneState) -> None:
        running.trial.set_user_attr("epochs_trained", running.trained)
        running.trial.set_user_attr("train_seconds", round(running.train_seconds, 3))
        running.trial.set_user_attr("evaluate_seconds", round(running.evaluate_seconds, 3))

    def _requeue_all(self) -> None:
        """Free all lanes, and requeue their trials except those that another process has ended."""
        mine = {running.trial.number: running for running in self.lanes.stop_all()}
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if trial.number in mine:
                with suppress(UpdateFinishedTrialError):
                    self._set_costs(mine[trial.number])
            if trial.number in mine or is_own(trial):  # a trial that was just asked for when an error came is in no lane yet
                requeue(self.study, trial, count=False)
