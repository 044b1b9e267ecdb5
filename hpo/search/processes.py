"""Worker processes of this machine on one search, supervised. Each runs its own `Scheduler`."""

from __future__ import annotations

import logging
import multiprocessing
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import connection, forkserver, resource_tracker
from multiprocessing.process import BaseProcess
from types import ModuleType

import optuna
from optuna.exceptions import StorageInternalError

from hpo.runtime.process import BAD_INPUT, FAILED, SearchFailed, StudyDeleted, reason_of, say_error, set_up_logging
from hpo.runtime.signals import SIGNALS, StoppedBySignal, Stopper, signal_name
from hpo.search.claims import reap
from hpo.search.job import SearchJob
from hpo.search.monitor import SearchMonitor
from hpo.search.progress import NoProgress, Progress
from hpo.search.scheduler import POLL_SECONDS
from hpo.storage.damage import DamagedJournal
from hpo.study.owner import is_claimed
from trainers.engines import ENGINES
from trainers.engines.resources import take_share
from trainers.errors import InputError, OutOfMemory

log = logging.getLogger(__name__)

STOP_SECONDS = 30.0  # time for a worker to requeue its trials; see hpo.runtime.signals
MAX_DEATHS = 3  # restarts allowed per worker since the last finished trial


class WorkerPool:
    """Supervised worker processes of this machine. A killed worker is replaced, and its trial is requeued."""

    def __init__(self, job: SearchJob, count: int, first: int = 0, of: int | None = None) -> None:
        """
        Args:
            count: number of workers.
            first: number of the first worker among all workers on this machine, whose other workers search other studies.
            of: number of all workers on this machine; None for `count`.
        """
        self.job = job
        self.count, self.first, self.of = count, first, of or count
        self.context = multiprocessing.get_context("forkserver")
        self.processes: dict[int, BaseProcess] = {}
        self.deaths = 0

    def search(self, study: optuna.Study, progress: Progress, stopper: Stopper) -> None:
        """Search with all workers until the budget is met.

        Raises:
            SearchFailed: too many trials failed, a worker failed, or workers are killed again and again.
            Stopped: SIGINT or SIGTERM; the workers have requeued their trials.
        """
        with self.at_work(study, progress):
            while self.processes:
                stopper.check()
                connection.wait(self.sentinels, timeout=POLL_SECONDS / 4)
                self.look()

    @property
    def sentinels(self) -> list[int]:
        """What `multiprocessing.connection.wait` needs to wait for the end of a worker."""
        return [process.sentinel for process in self.processes.values()]

    def look(self) -> None:
        """Report the trials that have ended, and replace workers that were killed. Without workers the budget is met.

        Raises:
            SearchFailed: see `search`.
        """
        ended = {worker: process.exitcode for worker, process in self.processes.items()}
        if self.monitor.poll():  # after the exit codes are read: a storage error that ended a worker must end this process
            self.deaths = 0
        for worker, code in ended.items():
            if code is not None:
                self._ended(worker, code)
        if not self.processes:
            self.monitor.poll()

    @contextmanager
    def at_work(self, study: optuna.Study, progress: Progress) -> Iterator[None]:
        """Within the block, the workers search. At its end they are stopped, and have requeued their trials."""
        self.monitor = SearchMonitor(study, self.job.work.spec.search, progress)
        self._start_server()
        try:
            for worker in range(self.first, self.first + self.count):
                self._start(worker)
            yield
        finally:
            self.terminate()
            for process in self.processes.values():
                process.join(STOP_SECONDS)
                process.kill()
                process.join()

    def terminate(self) -> None:
        """Ask the workers to stop, without waiting for them."""
        for process in self.processes.values():
            process.terminate()

    def _start_server(self) -> None:
        """Start a fork server that has loaded the libraries, so that workers need not load them.

        This process cannot be forked itself: it has open storages and threads.
        """
        choice = self.job.work.choice
        engine, _, _ = ENGINES[choice.name].engine.partition(":")
        self.context.set_forkserver_preload([__name__, *([engine] if choice.device == "cpu" else [])])
        resource_tracker.ensure_running()  # else the server starts it, which unblocks signals
        # The server and the workers inherit the blocked signals. A signal that a terminal or Slurm sends to all must not end
        # the server, which reports how workers ended. Workers react to the parent's SIGTERM.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        forkserver.ensure_running()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    def _start(self, worker: int) -> None:
        process = self.context.Process(target=_worker_main, args=(self.job, worker, self.of), name=f"worker {worker}")
        with _without_main():
            process.start()
        self.processes[worker] = process

    def _ended(self, worker: int, code: int) -> None:
        del self.processes[worker]
        if code == BAD_INPUT:
            raise InputError(f"worker {worker} could not start; see its message above")
        signum = -code if code < 0 else code - 128
        if code > 0 and signum != signal.SIGTERM:
            raise SearchFailed(f"worker {worker} failed; see its message above; finished trials are kept")
        if code:
            self.deaths += 1
            name = signal_name(signum)
            if self.deaths > MAX_DEATHS * self.count:
                raise SearchFailed(
                    f"workers are killed again and again ({name}) and finish no trial; finished trials are kept; if memory is "
                    f"short, give fewer than {self.of} --workers"
                )
            log.warning("worker %d was killed (%s): its trial is requeued, and a new worker replaces it", worker, name)
            self._start(worker)


@contextmanager
def _without_main() -> Iterator[None]:
    """Within the block, started processes do not import the main program, which may be a script without
    `if __name__ == "__main__"`.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _worker_main(job: SearchJob, worker: int, workers: int) -> None:
    """The main function of a worker process."""
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
    except (StudyDeleted, DamagedJournal):  # the parent finds the same error and reports it once
        sys.exit(FAILED)
    except InputError as error:
        say_error(error)
        sys.exit(BAD_INPUT)
    except StorageInternalError as error:
        if is_claimed(job.work.folder):  # else the parent reports that the folder is gone
            say_error(f"the storage failed: {reason_of(error)}")
        sys.exit(FAILED)
    except OutOfMemory as error:
        say_error(error)
        sys.exit(FAILED)


def search_with_processes(job: SearchJob, study: optuna.Study, progress: Progress, stopper: Stopper, workers: int = 1) -> None:
    """Search on this machine with `workers` worker processes; a single worker runs in this process.

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
