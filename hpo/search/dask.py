"""Search on a Dask cluster. Each task runs one `Scheduler` in a worker process."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import optuna
from optuna.trial import TrialState

from hpo.runtime.process import SearchFailed
from hpo.runtime.signals import Stopper
from hpo.search.claims import reap, signature
from hpo.search.job import SearchJob
from hpo.search.monitor import SearchMonitor
from hpo.search.progress import NoProgress, Progress
from hpo.search.scheduler import POLL_SECONDS
from hpo.storage.address import is_url
from trainers.engines.resources import take_share
from trainers.errors import InputError, first_line
from trainers.stopping import Stopped
from trainers.text import shown

if TYPE_CHECKING:
    from distributed import Client

CONNECT_SECONDS = 15
STOP_SECONDS = 60.0


def search_on_dask(
    job: SearchJob, study: optuna.Study, progress: Progress, stopper: Stopper, scheduler: str, workers: int | None = None
) -> None:
    """Search on a Dask cluster until the budget is met.

    Dask replaces a worker process that dies; the other workers requeue its trial.

    Args:
        scheduler: address of the cluster.
        workers: number of workers to use; None for all.

    Raises:
        InputError: distributed is not installed, no cluster answers at the address, its workers have several threads, or they
            cannot reach the storage.
        SearchFailed: too many trials failed, or a Dask worker failed.
        Stopped: SIGINT or SIGTERM; unfinished trials are requeued.
    """
    with _client(scheduler) as client:
        chosen = _chosen_workers(client, workers)
        job = replace(job, storage=_reachable(job.storage, client))
        monitor = SearchMonitor(study, job.work.spec.search, progress)
        data = client.scatter(replace(job, deadline=None), broadcast=True)  # the data travel once, not with each task
        tasks = [
            client.submit(_task, data, number, of_host, workers=[address], allow_other_workers=True, pure=False)
            for address, number, of_host in chosen
        ]
        try:
            while not all(task.done() for task in tasks) and not _out_of_time(job.deadline):
                stopper.wait(POLL_SECONDS / 4)
                monitor.poll()
                _raise_errors_of(tasks)
            _raise_errors_of(tasks)  # before `cancel`, which replaces them
        finally:
            client.cancel(tasks)  # the tasks notice it and requeue their trials
            _wait_for_requeue(client, study)
            reap(study, job.stale_after)
        monitor.poll()


def count_workers(scheduler: str, storage: str, wanted: int | None = None) -> int:
    """The number of workers of a Dask cluster that would search: all, or up to `wanted`. Nothing is written.

    Args:
        storage: URL or journal path.

    Raises:
        InputError: distributed is not installed, no cluster answers at the address, it has no worker or workers with several
            threads, or its workers cannot run this program or reach the storage.
    """
    with _client(scheduler) as client:
        chosen = _chosen_workers(client, wanted)
        _reachable(storage, client)
        return len(chosen)


@contextmanager
def _client(scheduler: str) -> Iterator[Client]:
    try:
        from distributed import Client
    except ImportError:
        raise InputError("a search on Dask needs the package distributed; run `pip install 'mml-hpo[dask]'`") from None
    _check_scheduler(scheduler)
    with Client(scheduler, timeout=CONNECT_SECONDS, set_as_default=False) as client:
        yield client


def _check_scheduler(scheduler: str) -> None:
    """Check the address, and connect once. A `Client` that fails to connect delays the exit by 30 s and prints a traceback.

    Raises:
        InputError: the address has no known scheme, no host or no port, or no scheduler answers there.
    """
    from distributed import Security
    from distributed.comm.addressing import parse_address, parse_host_port
    from distributed.comm.core import connect
    from distributed.comm.registry import get_backend

    try:
        scheme, rest = parse_address(scheduler)
        get_backend(scheme)
        host, port = parse_host_port(rest)
    except ValueError:
        host, port = "", 0
    if not host or not 0 < port < 2**16:
        raise InputError(
            f"--scheduler must be the address of a Dask scheduler with its port, such as tcp://host:8786, got "
            f"{shown(scheduler)}; give the address that `dask scheduler` prints"
        )

    async def reach() -> None:
        options = Security().get_connection_args("client")
        answer = connect(scheduler, timeout=CONNECT_SECONDS, **options)
        await (await asyncio.wait_for(answer, CONNECT_SECONDS + 1)).close()  # another program may accept, and never answer

    try:
        with ThreadPoolExecutor(1) as thread:  # a notebook has an event loop in its own thread
            thread.submit(asyncio.run, reach()).result()
    except Exception as error:  # Dask raises errors of many types about another program's answer, and about TLS
        raise InputError(
            f"no Dask scheduler answers at {scheduler}: {first_line(error)}; start one with `dask scheduler`"
        ) from None


def _chosen_workers(client: Client, wanted: int | None = None) -> list[tuple[str, int, int]]:
    """(address, index on its host, workers on that host) for up to `wanted` workers, round-robin over hosts."""
    workers: dict[str, dict[str, Any]] = client.scheduler_info(n_workers=-1)["workers"]
    if not workers:
        raise InputError("the Dask cluster has no worker; start some with `dask worker ADDRESS --nthreads 1 --nworkers N`")
    by_host = defaultdict(list)
    for address, worker in workers.items():
        if worker["nthreads"] != 1:
            raise InputError(
                f"a Dask worker must have one thread, since each engine starts its own threads, and {address} has "
                f"{worker['nthreads']}; start workers with --nthreads 1"
            )
        by_host[worker["host"]].append(address)
    in_turn = sorted((number, host, address) for host, those in by_host.items() for number, address in enumerate(sorted(those)))
    chosen = in_turn[:wanted]
    of_host = Counter(host for _, host, _ in chosen)
    return [(address, number, of_host[host]) for number, host, address in chosen]


def _reachable(storage: str, client: Client) -> str:
    """The storage address for the workers; a journal must be on the machine of all workers."""
    try:
        hosts = {host for host, _ in client.run(_host_and_pid).values()}
    except Exception as error:  # Dask may raise any error of a worker
        _raise_if_not_installed(error)
        raise
    if is_url(storage):
        return storage
    if elsewhere := hosts - {socket.gethostname()}:
        raise InputError(
            f"Dask workers on {', '.join(sorted(elsewhere))} cannot share the journal {storage} of this machine; give a "
            f"database that all of them can reach, --storage postgresql+psycopg://user@host/db"
        )
    return os.path.abspath(storage)  # workers have other current folders


def _raise_if_not_installed(error: BaseException) -> None:
    if "No module named" in str(error):
        raise InputError(
            f"a Dask worker cannot run this program: {error}; install the same version in the workers' environment"
        )


def _out_of_time(deadline: float | None) -> bool:
    """Whether the deadline has passed. Only this process checks it: other machines have other monotonic clocks."""
    return deadline is not None and time.monotonic() >= deadline


def _host_and_pid() -> tuple[str, int]:
    return socket.gethostname(), os.getpid()


def _task(job: SearchJob, number: int, of_host: int) -> None:
    """One worker, in a thread of a Dask worker process. It stops if Dask cancels it or its client is gone."""
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()

    def cancelled() -> bool:
        task = worker.state.tasks.get(key)
        return task is None or task.state != "executing"

    take_share(number, of_host)
    with suppress(Stopped):
        job.run(Stopper(deserted=cancelled), NoProgress())


def _wait_for_requeue(client: Client, study: optuna.Study) -> None:
    """Wait until the cluster's processes have no running trial, for at most STOP_SECONDS."""
    deadline = time.monotonic() + STOP_SECONDS
    ours = set(client.run(_host_and_pid).values())
    while time.monotonic() < deadline:
        running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        holders = [holder for holder in map(signature, running) if holder is not None]
        if not any((holder["host"], holder["pid"]) in ours for holder in holders):
            return
        time.sleep(POLL_SECONDS / 4)


def _raise_errors_of(tasks: list[Any]) -> None:
    errors = [task.exception() for task in tasks if task.status == "error"]
    for error in errors:
        if isinstance(error, InputError | SearchFailed):
            raise error
        _raise_if_not_installed(error)
    if any(task.status in ("cancelled", "lost") for task in tasks):  # the connection broke, or the cluster was restarted
        raise SearchFailed("the Dask cluster lost its workers; finished trials are kept, and the same command continues")
    if errors:
        raise SearchFailed(
            f"a Dask worker failed: {type(errors[0]).__name__}: {errors[0]}; finished trials are kept, and the same command "
            "continues"
        )
