"""The one loop over an engine's lanes: search, confirm, replicate and `train()` all train with it."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

from trainers.checkpoints import Checkpoint, CheckpointFile, Notes
from trainers.config import TrainConfig
from trainers.engines.protocol import Engine, EpochResult, State, Vectors
from trainers.errors import OutOfMemory, first_line
from trainers.stopping import Stopped

log = logging.getLogger(__name__)

SHORT_SECONDS = 2.0  # an epoch that takes no longer is trained to its end when training is asked to stop


class LaneJob:
    """What a lane can train. Its owner notes what the epochs give.

    Attributes:
        epochs: how many are trained, as far as the owner has noted them.
        checkpoint: where its checkpoints are; None for none.
    """

    config: TrainConfig
    epochs: int = 0
    checkpoint: CheckpointFile | None = None

    def notes(self) -> Notes:
        """All that the owner has noted of the epochs so far."""
        return Notes()

    def go_on(self, epochs: int, notes: Notes) -> None:
        """The job begins after so many epochs: what was noted of them takes the place of all notes."""


Job = TypeVar("Job", bound=LaneJob)
Answer = TypeVar("Answer")


def _refuse(job: object, error: OutOfMemory) -> None:
    raise error


class LaneRunner(Generic[Job]):
    """Trains jobs side by side in the lanes of an engine. The owner says what comes next and when a job has ended.

    A job begins where its checkpoint has it. Checkpoints are written between two rounds, each job's from time to time, and when
    training is asked to stop: all of them, as of the last epoch that was trained to its end.

    When the device runs out of memory, the same jobs are trained again from their checkpoints or from their first epoch, in
    fewer lanes: to the same numbers, since a config's history does not depend on its lane.

    Attributes:
        busy: the jobs that train, by lane.
        waiting: jobs that have lost their lane and get the next ones.
        longest_epoch: seconds of the longest round so far, without compiling.
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
        self._asked_to_stop = engine.should_stop
        engine.should_stop = self._leaves_the_epoch
        self.longest_epoch, self._began = 0.0, 0.0  # when the running one began
        self._written: dict[int, float] = {}  # when the checkpoint of each busy lane was written, or the lane began

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
                results = self._epoch() if self.busy else []
            except OutOfMemory as error:
                self._make_room(error, shrunk=self.engine.lanes < lanes)
                continue
            yield [(self.busy[result.lane], result) for result in results]
            self._keep_some()

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
        """Free all lanes, each job with a checkpoint; returns the jobs that have not ended."""
        jobs = self.jobs
        for lane in self.busy:
            self._keep(lane)
        self._empty_lanes()
        self.waiting.clear()
        return jobs

    def _fill(self, source: Callable[[int], Iterable[Job]]) -> None:
        free = min(self._width, self.engine.lanes) - len(self.busy) - len(self.waiting)
        self.waiting.extend(source(max(0, free)))
        while self.waiting and len(self.busy) < min(self._width, self.engine.lanes):  # a start may leave fewer lanes
            lane = min(set(range(self.engine.lanes)) - self.busy.keys())
            job = self.busy[lane] = self.waiting.popleft()
            self._start(lane, job)

    def _start(self, lane: int, job: Job) -> None:
        self._written[lane] = time.monotonic()
        found = None if job.checkpoint is None else job.checkpoint.load()
        if job.checkpoint is not None and found is not None:
            try:
                self.engine.resume(lane, job.config, found.state)
                job.go_on(found.epochs, found.notes)
                log.info("%s goes on after epoch %d of %d", job.checkpoint.label, found.epochs, job.config.epochs)
                return
            except ValueError as error:
                log.warning("%s begins again: %s", job.checkpoint.label, first_line(error))
        self.engine.start(lane, job.config)

    def _epoch(self) -> list[EpochResult]:
        """One epoch of every busy lane. Where it is left half-way, the jobs have lost their lanes."""
        before = {lane: self._state(lane) for lane in self.busy} if self.longest_epoch > SHORT_SECONDS else {}
        self._began = time.monotonic()
        try:
            results = self.engine.epoch()
        except OutOfMemory:
            raise
        except BaseException:  # Stopped, and any failure: the lanes have trained a part of an epoch
            for lane, state in before.items():
                self._write(lane, state)
            self._leave_lanes()
            raise
        self.longest_epoch = max(self.longest_epoch, sum(result.train_seconds + result.evaluate_seconds for result in results))
        return results

    def _leaves_the_epoch(self) -> bool:
        """What the engine asks. Before the first epoch has ended there is nothing to keep, and after a long one its end is kept
        in memory; a short one is trained to its end."""
        if not self._asked_to_stop():
            return False
        is_short = 0.0 < self.longest_epoch <= SHORT_SECONDS and any(job.checkpoint for job in self.busy.values())
        return not is_short or time.monotonic() > self._began + 2.0 * SHORT_SECONDS

    def _keep_some(self) -> None:
        """Write the checkpoints that are due; all of them when it is time to stop.

        Raises:
            Stopped: it is.
        """
        stops = bool(self.busy) and self._asked_to_stop()
        for lane, job in self.busy.items():
            if job.checkpoint and (stops or time.monotonic() - self._written[lane] >= job.checkpoint.every):
                self._keep(lane)
        if stops:
            self._leave_lanes()
            raise Stopped("asked to stop")

    def _leave_lanes(self) -> None:
        """All jobs wait for a lane again."""
        jobs = [self.busy[lane] for lane in sorted(self.busy)]
        self._empty_lanes()
        self.waiting.extendleft(reversed(jobs))

    def _keep(self, lane: int) -> None:
        self._write(lane, self._state(lane))

    def _state(self, lane: int) -> State | None:
        """The state of a lane whose job has checkpoints; None for the others, and where there is no memory for it."""
        if self.busy[lane].checkpoint is None:
            return None
        try:
            return self.engine.state(lane)
        except (MemoryError, RuntimeError) as error:
            from trainers.engines.one_lane import is_out_of_memory  # an engine that trains has loaded it

            if not is_out_of_memory(error):
                raise
            log.warning("no checkpoint: %s", first_line(error))
            return None

    def _write(self, lane: int, state: State | None) -> None:
        """Unless the owner's notes are about other epochs: something has failed between the epoch and the note."""
        job = self.busy[lane]
        if job.checkpoint is not None and state is not None and job.epochs == int(state["epochs_done"]):
            job.checkpoint.save(Checkpoint(state, job.notes()))
            self._written[lane] = time.monotonic()

    def _make_room(self, error: OutOfMemory, shrunk: bool) -> None:
        """Fewer lanes from now on, half of the busy ones unless the engine has said how many."""
        jobs = [self.busy[lane] for lane in sorted(self.busy)]
        self._leave_lanes()
        if len(jobs) == 1 and not shrunk:
            self.waiting.popleft()
            self._too_large(jobs[0], error)
            return
        self._width = self.engine.lanes if shrunk else max(1, len(jobs) // 2)
        log.warning("%s with %d configs side by side: going on with %d", error.reason, len(jobs), self._width)

    def _empty_lanes(self) -> None:
        for lane in list(self.busy):
            del self.busy[lane]
            self.engine.stop(lane)
