"""Several studies side by side on this machine. Each is searched as a whole by workers of its own.

With one worker for each study, a study's trials do not depend on the number of workers, nor on the other studies.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from multiprocessing import connection

import optuna

from hpo.runtime.process import TooManyFailedTrials
from hpo.runtime.signals import Stopper
from hpo.search.claims import reap
from hpo.search.job import SearchJob
from hpo.search.processes import WorkerPool
from hpo.search.progress import Progress
from hpo.search.scheduler import POLL_SECONDS
from hpo.study.owner import while_it_exists


@dataclass(frozen=True)
class Side:
    """A study to search, and the display of its progress.

    Attributes:
        ends_all: whether the other searches end, too, if too many of its trials fail.
    """

    job: SearchJob
    study: optuna.Study
    progress: Progress
    ends_all: bool


@dataclass
class _AtWork:
    side: Side
    pool: WorkerPool
    ending: ExitStack


def shares(workers: int, studies: int) -> list[tuple[int, int]]:
    """For each study that is searched at a time: the number of its first worker, and how many workers it has. All have as many,
    since several workers propose with less knowledge than one.

    >>> shares(2, 20), shares(7, 3)
    ([(0, 1), (1, 1)], [(0, 2), (2, 2), (4, 2)])
    """
    at_once = min(workers, studies)
    each = workers // at_once
    return [(place * each, each) for place in range(at_once)]


def search_side_by_side(sides: Iterator[Side], studies: int, workers: int, stopper: Stopper) -> Iterator[tuple[Side, str]]:
    """Search studies until their budgets are met. Yields each study when its search has ended, with the reason if too many of
    its trials failed.

    Args:
        sides: each is taken when workers are free for it.
        studies: how many there are.
        workers: worker processes of this machine, for all studies together.

    Raises:
        SearchFailed: see `WorkerPool.search`; the other studies are stopped. Failed trials of a study without
            `ends_all` end only its own search.
        Stopped: SIGINT or SIGTERM; unfinished trials are requeued.
    """
    at_work: dict[tuple[int, int], _AtWork] = {}
    places = shares(workers, studies)
    busy = sum(count for _, count in places)  # other workers would be idle
    try:
        while True:
            for place in places:
                if place not in at_work and (side := next(sides, None)):
                    at_work[place] = _begun(side, *place, busy)
            if not at_work:
                return
            stopper.check()
            connection.wait([sentinel for one in at_work.values() for sentinel in one.pool.sentinels], POLL_SECONDS / 4)
            for place, one in [*at_work.items()]:
                failure = _look(one)
                if failure or not one.pool.processes:
                    del at_work[place]
                    _end(one)
                    yield one.side, failure
    finally:
        for one in at_work.values():
            one.pool.terminate()  # all at once, so that they stop side by side, too
        with ExitStack() as ends:  # each, also if another one's study was deleted
            for one in at_work.values():
                ends.callback(_end, one)


def _begun(side: Side, first: int, count: int, of: int) -> _AtWork:
    pool, ending = WorkerPool(side.job, count, first, of), ExitStack()
    with _while_searched(side):
        ending.enter_context(pool.at_work(side.study, side.progress))
    return _AtWork(side, pool, ending)


def _look(one: _AtWork) -> str:
    """Look at a study's workers. Returns why its search ends early, if it does and the others go on."""
    try:
        with _while_searched(one.side):
            one.pool.look()
    except TooManyFailedTrials as error:
        if one.side.ends_all:
            raise
        return str(error)
    return ""


def _end(one: _AtWork) -> None:
    one.ending.close()
    with _while_searched(one.side):
        reap(one.side.study, one.side.job.stale_after)


def _while_searched(side: Side) -> AbstractContextManager[None]:
    return while_it_exists(side.study, "searched", side.job.work.folder)
