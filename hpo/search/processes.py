"""Several workers on one search: processes of this machine, supervised. Each runs a scheduler of its own."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import connection, forkserver, resource_tracker
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType
from typing import Protocol

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from hpo.runtime.process import BAD_INPUT, FAILED, SearchFailed, StudyDeleted, reason_of, say_error, set_up_logging
from hpo.runtime.signals import SIGNALS, StoppedBySignal, Stopper
from hpo.search.checkpoints import FOLDER as CHECKPOINTS
from hpo.search.checkpoints import TrialCheckpoints
from hpo.search.claims import STALE_HOURS, reap
from hpo.search.limits import Failures
from hpo.search.progress import NoProgress, Progress
from hpo.search.scheduler import POLL_SECONDS, Scheduler
from hpo.storage.address import is_url
from hpo.storage.damage import DamagedJournal
from hpo.storage.open import open_storage
from hpo.storage.retrying import PATIENCE_SECONDS
from hpo.study.attributes import FINISHED, RESUMED_AFTER
from hpo.study.owner import is_claimed, while_it_exists
from hpo.study.plan import SearchPlan
from hpo.study.trials import has_failed
from hpo.study.workspace import Workspace
from search_spaces.own import OwnLossRecord, recorded
from trainers.checkpoints import EVERY_SECONDS, training_key
from trainers.engines import ENGINES, make_engine
from trainers.engines.resources import take_share
from trainers.errors import InputError, OutOfMemory

log = logging.getLogger(__name__)

STOP_SECONDS = 30.0  # for a worker to requeue its trials; see hpo.runtime.signals
MAX_DEATHS = 3  # restarts of each worker on average since the last finished trial


@dataclass(frozen=True)
class SearchJob:
    """A search, as a worker needs to know it; it opens the storage itself and brings the data with it.

    Attributes:
        storage: URL or journal path; a password in it is passed on between processes only.
        deadline: when the search ends in any case, as time.monotonic() tells it on this machine; None for no limit.
        checkpoint_every: seconds between two checkpoints of a trial.
        losses: its loss, where that is one of the user's own, which a worker process imports.
    """

    work: Workspace
    storage: str = field(repr=False)
    deadline: float | None = None
    stale_after: float = STALE_HOURS
    checkpoint_every: float = EVERY_SECONDS
    checkpoint_folder: Path = field(init=False)
    losses: tuple[OwnLossRecord, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "losses", recorded([self.work.spec.space.loss_name]))
        folder = Path(os.path.abspath(self.work.folder)) / CHECKPOINTS  # workers may stand elsewhere
        object.__setattr__(self, "checkpoint_folder", folder)

    @property
    def checkpoints(self) -> TrialCheckpoints:
        """Of the study's trials."""
        seen, validation = self.work.split
        choice, objective = self.work.choice, self.work.spec.measured
        key = training_key(self.work.spec.probe, seen, validation, choice) | {
            "measured_in": objective,
            "evaluation": self.work.spec.search.evaluation,
        }
        return TrialCheckpoints(self.checkpoint_folder, key, self.checkpoint_every)

    def run(self, stopper: Stopper, progress: Progress, study: optuna.Study | None = None) -> None:
        """Search in this process until the budget is met.

        Args:
            study: as the caller has it open, who searches alone; None for one of several workers, which opens it itself and
                leaves it to a `SearchMonitor` to count failures: others may finish some between five in a row of one worker.

        Raises:
            SearchFailed: too many trials failed, or the study was deleted.
            Stopped: see `hpo.runtime.signals`; the trials are requeued.
        """
        for loss in self.losses:
            loss.restore()
            loss.check_code()  # its file may have been edited since the parent has imported it
        alone = study is not None
        study = study or self.work.study(self._open_patiently(stopper))
        seen, validation = self.work.split
        work = self.work
        at, metrics = work.spec.search.evaluate_at, work.spec.measured
        engine = make_engine(work.choice, seen, validation, at, work.lanes, stopper.should_stop, metrics, work.sample)
        with while_it_exists(study, "searched"):
            Scheduler(
                study,
                work.spec,
                engine,
                progress,
                stopper,
                self.deadline,
                self.stale_after,
                stop_on_failures=alone,
                checkpoints=self.checkpoints,
            ).run()

    def _open_patiently(self, stopper: Stopper) -> BaseStorage:
        """The parent has opened it before: when that fails now, its server is away."""
        given_up = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return open_storage(self.storage, create=False)
            except InputError:
                if not is_url(self.storage) or time.monotonic() > given_up:
                    raise
                stopper.wait(POLL_SECONDS)


class SearchMonitor:
    """Sees over the storage what all workers do: passes on ended trials, and ends the run when too many fail."""

    def __init__(self, study: optuna.Study, plan: SearchPlan, progress: Progress) -> None:
        self.study = study
        self.progress = progress
        self.failures = Failures()
        self.resumed: set[int] = set()  # trials that are said to go on
        self.ended = {trial.number for trial in self._ended()}
        progress.begin(study, plan.trials)

    def poll(self) -> int:
        """Pass on what has ended since the last time, by itself and not with its worker; returns how many trials that are.

        Raises:
            SearchFailed: too many failed.
        """
        running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        for trial in running:
            if RESUMED_AFTER in trial.user_attrs and trial.number not in self.resumed:
                self.resumed.add(trial.number)
                log.info("trial %d goes on after epoch %d", trial.number, trial.user_attrs[RESUMED_AFTER])
        self.progress.running({trial.number: max(trial.intermediate_values, default=0) for trial in running}, self.study)
        new = [trial for trial in self._ended() if trial.number not in self.ended]
        for trial in sorted(new, key=lambda trial: (str(trial.datetime_complete), trial.number)):
            self.ended.add(trial.number)
            self.progress.finished(trial, self.study)
            self.failures.note(trial)
        return len(new)

    def _ended(self) -> list[FrozenTrial]:
        trials = self.study.get_trials(deepcopy=False)
        return [t for t in trials if t.state in FINISHED or has_failed(t)]


class WorkerPool:
    """Worker processes of this machine, each supervised: a killed one is replaced, and its trial requeued."""

    def __init__(self, job: SearchJob, count: int) -> None:
        self.job = job
        self.count = count
        self.context = multiprocessing.get_context("forkserver")
        self.processes: dict[int, BaseProcess] = {}
        self.deaths = 0

    def search(self, study: optuna.Study, progress: Progress, stopper: Stopper) -> None:
        """Search with all workers until the budget is met.

        Raises:
            SearchFailed: too many trials failed, a worker gave up, or they are killed again and again.
            Stopped: SIGINT or SIGTERM; the workers have requeued their trials.
        """
        monitor = SearchMonitor(study, self.job.work.spec.search, progress)
        with self._at_work():
            while self.processes:
                stopper.check()
                connection.wait([process.sentinel for process in self.processes.values()], timeout=POLL_SECONDS / 4)
                ended = {worker: process.exitcode for worker, process in self.processes.items()}
                if monitor.poll():  # after the look at the workers: a storage that ended one is to end this process, too
                    self.deaths = 0
                for worker, code in ended.items():
                    if code is not None:
                        self._ended(worker, code)
        monitor.poll()

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        self._start_server()
        try:
            for worker in range(self.count):
                self._start(worker)
            yield
        finally:
            for process in self.processes.values():
                process.terminate()
            for process in self.processes.values():
                process.join(STOP_SECONDS)
                process.kill()
                process.join()

    def _start_server(self) -> None:
        """A process that has loaded the libraries and nothing else; all workers are copies of it, and load none.

        This process cannot be copied: its open storages and threads would be, too.
        """
        choice = self.job.work.choice
        engine, _, _ = ENGINES[choice.name].engine.partition(":")
        self.context.set_forkserver_preload([__name__, *([engine] if choice.device == "cpu" else [])])
        resource_tracker.ensure_running()  # else the server would do it, which unblocks signals
        # It and the workers inherit what is blocked. What a terminal or Slurm sends to all must not end the server, which tells
        # how workers ended; workers wait for the parent's SIGTERM.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        forkserver.ensure_running()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    def _start(self, worker: int) -> None:
        process = self.context.Process(target=_worker_main, args=(self.job, worker, self.count), name=f"worker {worker}")
        with _without_main():
            process.start()
        self.processes[worker] = process

    def _ended(self, worker: int, code: int) -> None:
        del self.processes[worker]
        if code == BAD_INPUT:
            raise InputError(f"worker {worker} could not start; its message stands above")
        signum = -code if code < 0 else code - 128
        if code > 0 and signum != signal.SIGTERM:
            raise SearchFailed(f"worker {worker} gave up; what it said stands above, what is finished is kept")
        if code:
            self.deaths += 1
            name = signal.Signals(signum).name
            if self.deaths > MAX_DEATHS * self.count:
                raise SearchFailed(
                    f"workers are killed again and again ({name}) and finish no trial; "
                    f"when memory is short, fewer than {self.count} --workers help"
                )
            log.warning("worker %d was killed (%s): its trial is requeued, another worker takes its place", worker, name)
            self._start(worker)


@contextmanager
def _without_main() -> Iterator[None]:
    """Within the block a process that is started does not run the program that starts it again, a script of the user's without
    `if __name__ == "__main__"`: a worker needs nothing of that.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _worker_main(job: SearchJob, worker: int, workers: int) -> None:
    """What a worker process does."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    set_up_logging(logging.WARNING)
    take_share(worker, workers)
    parent = multiprocessing.parent_process()
    assert parent is not None
    try:
        with Stopper(deserted=lambda: not parent.is_alive(), end_on_second=False).catching([signal.SIGTERM]) as stopper:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
            job.run(stopper, NoProgress())
    except StoppedBySignal as stop:
        sys.exit(stop.exit_code)
    except (StudyDeleted, DamagedJournal):  # the parent finds it so too, and says it once
        sys.exit(FAILED)
    except InputError as error:
        say_error(error)
        sys.exit(BAD_INPUT)
    except StorageInternalError as error:
        if is_claimed(job.work.folder):  # else the parent says that it is gone, and the journal with it
            say_error(f"the storage failed: {reason_of(error)}")
        sys.exit(FAILED)
    except OutOfMemory as error:
        say_error(error)
        sys.exit(FAILED)


def search_with_processes(job: SearchJob, study: optuna.Study, progress: Progress, stopper: Stopper, workers: int = 1) -> None:
    """Search with so many workers on this machine; a single one works in this process.

    Raises:
        SearchFailed: see `WorkerPool.search`.
        Stopped: SIGINT or SIGTERM; unfinished trials are requeued.
    """
    if workers == 1:
        job.run(stopper, progress, study)
        return
    try:
        WorkerPool(job, workers).search(study, progress, stopper)
    finally:
        reap(study, job.stale_after)


class Backend(Protocol):
    """Searches a study until its budget is met."""

    def __call__(self, job: SearchJob, study: optuna.Study, progress: Progress, stopper: Stopper) -> None: ...
