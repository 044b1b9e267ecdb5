"""Workers on a Dask cluster, through joblib's Dask backend. Each task is one worker: it runs the one loop of hpo.scheduler."""

from __future__ import annotations

import os
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import joblib
import optuna

from hpo.liveness import reap
from hpo.scheduler import POLL_SECONDS, Progress, SearchFailed
from hpo.stopping import Stopped, Stopper
from hpo.workers import Job, Unseen, Watch
from trainers.engines.share import take_share
from trainers.errors import InputError

if TYPE_CHECKING:
    from distributed import Client

CONNECT_SECONDS = 15
STOP_SECONDS = 60.0
ASK_SECONDS = 1.0


def search_on_dask(
    job: Job, study: optuna.Study, progress: Progress, stopper: Stopper, scheduler: str, workers: int | None = None
) -> None:
    """Search on a Dask cluster until the budget is met, on all of its workers or on so many.

    A worker process that dies is replaced by Dask; its trial is queued again by the others.

    Raises:
        InputError: distributed is not installed, no cluster answers there, or its workers have several threads.
        SearchFailed: too many trials failed, or Dask gave up on a worker.
        Stopped: SIGINT or SIGTERM; unfinished trials are back in the queue.
    """
    if "://" not in job.storage:  # Dask's workers stand in other folders
        job = replace(job, storage=os.path.abspath(job.storage))
    with _client(scheduler) as client:
        neighbours = _neighbours(client)
        count = min(workers or len(neighbours), len(neighbours))
        stop = f"hpo-stop-{uuid4().hex}"
        watch = Watch(study, job.work.spec.search, progress)
        with ThreadPoolExecutor(1) as thread:
            done = thread.submit(_run_all, client, job, count, stop, neighbours)
            try:
                while not done.done():
                    with stopper.interruptible():
                        time.sleep(POLL_SECONDS / 4)
                    watch.look()
            finally:
                _end(client, stop, done)
                reap(study, job.stale_after)
        watch.look()
        _raise_error_of(done)


@contextmanager
def _client(scheduler: str) -> Iterator[Client]:
    try:
        from distributed import Client
    except ImportError:
        raise InputError("--backend dask needs the package distributed; pip install 'mml-hpo[dask]'") from None
    try:
        client = Client(scheduler, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:  # a timeout is an OSError
        raise InputError(f"no Dask scheduler answers at {scheduler}: {error}; start one with `dask scheduler`") from None
    with client:
        yield client


def _neighbours(client: Client) -> dict[str, int]:
    """For each worker's address, how many workers its machine has."""
    workers: dict[str, dict[str, Any]] = client.scheduler_info(n_workers=-1)["workers"]
    if not workers:
        raise InputError("the Dask cluster has no worker; start some with `dask worker ADDRESS --nthreads 1 --nworkers N`")
    for address, worker in workers.items():
        if worker["nthreads"] != 1:
            raise InputError(
                f"Dask worker {address} has {worker['nthreads']} threads, and each would search; an engine has threads of its "
                f"own: start workers with --nthreads 1"
            )
    hosts = Counter(worker["host"] for worker in workers.values())
    return {address: hosts[worker["host"]] for address, worker in workers.items()}


def _run_all(client: Client, job: Job, count: int, stop: str, neighbours: dict[str, int]) -> None:
    with joblib.parallel_config(backend="dask", client=client, scatter=[job]):  # the data travel once, not with each task
        joblib.Parallel(n_jobs=count, batch_size=1, pre_dispatch="all")(
            joblib.delayed(_task)(job, number, stop, neighbours) for number in range(count)
        )


def _task(job: Job, number: int, stop: str, neighbours: dict[str, int]) -> str:
    """One worker, in a thread of a Dask worker process; returns where it ran."""
    from distributed import Event, get_worker

    address = get_worker().address
    take_share(number, neighbours.get(address, len(neighbours)))  # a replaced worker process has another address
    stopper = Stopper(deserted=_at_most_every(ASK_SECONDS, Event(stop).is_set))
    with suppress(Stopped):
        job.run(stopper, Unseen())
    return f"{socket.gethostname()} {address}"


def _at_most_every(seconds: float, ask: Callable[[], bool]) -> Callable[[], bool]:
    """`ask`, or its last answer while that is fresh."""
    last = [float("-inf"), False]

    def asked() -> bool:
        now = time.monotonic()
        if now - last[0] >= seconds:
            last[:] = now, ask()
        return bool(last[1])

    return asked


def _end(client: Client, stop: str, done: Future[None]) -> None:
    """Tell the workers to stop, and wait until they have put their trials back."""
    from distributed import Event

    Event(stop, client=client).set()
    deadline = time.monotonic() + STOP_SECONDS
    while not done.done() and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS / 4)
    if not done.done():
        client.close()  # gives up on workers that do not answer


def _raise_error_of(done: Future[None]) -> None:
    error = done.exception(timeout=0)
    if isinstance(error, InputError | SearchFailed):
        raise error
    if error is not None and "No module named" in str(error):
        raise InputError(
            f"a Dask worker cannot run this program: {error}; install the same version in the workers' environment"
        )
    if error is not None:
        raise SearchFailed(f"a Dask worker gave up: {type(error).__name__}: {error}; what is finished is kept") from error
