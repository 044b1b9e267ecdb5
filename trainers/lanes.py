"""The one loop over an engine's lanes: search, confirm, replicate and `train()` all train with it."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, Protocol, TypeVar

from trainers.config import TrainConfig
from trainers.engines.protocol import Engine, EpochResult, Vectors
from trainers.errors import OutOfMemory

log = logging.getLogger(__name__)


class HasConfig(Protocol):
    """What a lane can train."""

    @property
    def config(self) -> TrainConfig: ...


Job = TypeVar("Job", bound=HasConfig)
Answer = TypeVar("Answer")


def _refuse(job: object, error: OutOfMemory) -> None:
    raise error


class LaneRunner(Generic[Job]):
    """Trains jobs side by side in the lanes of an engine. The owner says what comes next and when a job has ended.

    When the device runs out of memory, the same jobs are trained again from their first epoch, in fewer lanes: to the same
    numbers, since a config's history does not depend on its lane.

    Attributes:
        busy: the jobs that train, by lane.
        waiting: jobs that have lost their lane and get the next ones.
    """

    def __init__(self, engine: Engine, too_large: Callable[[Job, OutOfMemory], None] = _refuse) -> None:
        """
        Args:
            too_large: told of a job that the device cannot even hold alone; it has no lane any more. By default the error is
                raised.
        """
        self.engine = engine
        self.busy: dict[int, Job] = {}
        self.waiting: deque[Job] = deque()
        self._too_large = too_large
        self._width = engine.lanes

    def rounds(self, source: Callable[[int], Iterable[Job]]) -> Iterator[list[tuple[Job, EpochResult]]]:
        """Rounds without end: the free lanes are filled, every busy lane trains one epoch, the owner gets the results.

        Results are in the order of the lanes; there are none when no lane is busy. A job stays in its lane until `stop`.

        Args:
            source: called once per round with the number of free lanes, which may be 0; gives at most so many jobs. A job
                counts among `jobs` as soon as it is given.

        Raises:
            OutOfMemory: a job does not fit alone, unless `too_large` takes it.
            Stopped: see `trainers.stopping`.
        """
        while True:
            lanes = self.engine.lanes
            try:
                self._fill(source)
                results = self.engine.epoch() if self.busy else []
            except OutOfMemory as error:
                self._make_room(error, shrunk=self.engine.lanes < lanes)
                continue
            yield [(self.busy[result.lane], result) for result in results]

    @property
    def jobs(self) -> list[Job]:
        """Those that have not ended: in the order of their lanes, then those that wait."""
        return [*(self.busy[lane] for lane in sorted(self.busy)), *self.waiting]

    def vectors(self, job: Job) -> Vectors | None:
        """The vectors of a job in a lane; None when there is no memory to fetch them: then all jobs train again."""
        lane = next(lane for lane, one in self.busy.items() if one is job)
        return self.attempt(lambda: self.engine.vectors(lane))

    def attempt(self, call: Callable[[], Answer]) -> Answer | None:
        """What a call of the engine answers between two rounds; None when memory has run out: then all jobs train again.

        Raises:
            OutOfMemory: a job does not fit alone, unless `too_large` takes it.
        """
        lanes = self.engine.lanes
        try:
            return call()
        except OutOfMemory as error:
            self._make_room(error, shrunk=self.engine.lanes < lanes)
            return None

    def stop(self, job: Job) -> None:
        """Free a job's lane; nothing if it has none."""
        for lane, one in list(self.busy.items()):
            if one is job:
                del self.busy[lane]
                self.engine.stop(lane)
        self.waiting = deque(one for one in self.waiting if one is not job)

    def stop_all(self) -> list[Job]:
        """Free all lanes; returns the jobs that have not ended."""
        jobs = self.jobs
        self._empty_lanes()
        self.waiting.clear()
        return jobs

    def _fill(self, source: Callable[[int], Iterable[Job]]) -> None:
        free = min(self._width, self.engine.lanes) - len(self.busy) - len(self.waiting)
        self.waiting.extend(source(max(0, free)))
        while self.waiting and len(self.busy) < min(self._width, self.engine.lanes):  # a start may leave fewer lanes
            lane = min(set(range(self.engine.lanes)) - self.busy.keys())
            job = self.busy[lane] = self.waiting.popleft()
            self.engine.start(lane, job.config)

    def _make_room(self, error: OutOfMemory, shrunk: bool) -> None:
        """Fewer lanes from now on, half of the busy ones unless the engine has said how many."""
        jobs = [self.busy[lane] for lane in sorted(self.busy)]
        self._empty_lanes()
        if len(jobs) == 1 and not shrunk:
            self._too_large(jobs[0], error)
            return
        self._width = self.engine.lanes if shrunk else max(1, len(jobs) // 2)
        log.warning("%s with %d configs side by side: going on with %d", error.reason, len(jobs), self._width)
        self.waiting.extendleft(reversed(jobs))

    def _empty_lanes(self) -> None:
        for lane in list(self.busy):
            del self.busy[lane]
            self.engine.stop(lane)
