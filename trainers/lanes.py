"""The training loop over an engine's lanes, for search, confirm, replicate and `train()`."""

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

SHORT_SECONDS = 2.0  # shorter epochs are finished before training stops


class LaneJob:
    """A job that a lane trains. Its owner records the results of epochs.

    Attributes:
        epochs: number of trained epochs that the owner has recorded.
        checkpoint: the file of its checkpoints; None for no checkpoints.
    """

    config: TrainConfig
    epochs: int = 0
    checkpoint: CheckpointFile | None = None

    def notes(self) -> Notes:
        """The owner's records of the epochs so far."""
        return Notes()

    def begin(self) -> None:
        """Start from the first epoch, perhaps again: clear all records."""

    def go_on(self, epochs: int, notes: Notes) -> None:
        """Continue after `epochs` epochs: replace all records by these notes.

        Raises:
            LookupError, TypeError, ValueError: the notes are not a result of `notes`.
        """


Job = TypeVar("Job", bound=LaneJob)
Answer = TypeVar("Answer")


def _refuse(job: object, error: OutOfMemory) -> None:
    raise error


class LaneRunner(Generic[Job]):
    """Trains jobs concurrently in the lanes of an engine. The owner supplies jobs and decides when a job has ended.

    A job resumes from its checkpoint. Checkpoints are written between two rounds when they are due, and for all jobs when
    training stops, after the last complete epoch.

    If the device runs out of memory, the jobs are trained again in fewer lanes, from their checkpoints or from their first
    epoch. The numbers are the same, since they do not depend on the lane.

    Attributes:
        busy: the running jobs by lane.
        waiting: jobs that lost their lane and get the next free one.
        longest_epoch: seconds of the longest round so far, without compilation.
    """

    def __init__(self, engine: Engine, too_large: Callable[[Job, OutOfMemory], None] = _refuse) -> None:
        """
        Args:
            too_large: called with a job that does not fit on the device even alone, after it lost its lane. By default the
                error is raised.
        """
        self.engine = engine
        self.busy: dict[int, Job] = {}
        self.waiting: deque[Job] = deque()
        self._too_large = too_large
        self._width = engine.lanes
        self._asked_to_stop = engine.should_stop
        engine.should_stop = self._stops_now
        self.longest_epoch, self._began = 0.0, 0.0  # _began: start of the current round
        self._written: dict[int, float] = {}  # by busy lane: time of the last checkpoint, or of the start

    def rounds(self, source: Callable[[int], Iterable[Job]]) -> Iterator[list[tuple[Job, EpochResult]]]:
        """Endless rounds: fill the free lanes, train one epoch in every busy lane, yield the results.

        Results are in the order of the lanes; they are empty if no lane is busy. A job keeps its lane until `stop`.

        Args:
            source: called once per round with the number of free lanes, which may be 0; returns at most that number of jobs.
                A job is part of `jobs` as soon as it is returned.

        Raises:
            OutOfMemory: a job does not fit alone, unless `too_large` handles it.
            Stopped: see `trainers.stopping`.
        """
        while True:
            lanes = self.engine.lanes
            try:
                self._fill(source)
                if self._asked_to_stop():  # since the last round; jobs that end in their first epoch were gone then
                    self._save_due()
                results = self._epoch() if self.busy else []
            except OutOfMemory as error:
                self._use_fewer_lanes(error, shrunk=self.engine.lanes < lanes)
                continue
            yield [(self.busy[result.lane], result) for result in results]
            self._save_due()

    @property
    def jobs(self) -> list[Job]:
        """The jobs that have not ended: in the order of their lanes, then the waiting ones."""
        return [*(self.busy[lane] for lane in sorted(self.busy)), *self.waiting]

    def vectors(self, job: Job) -> Vectors | None:
        """The vectors of a job in a lane. None if there is no memory to read them: then all jobs train again."""
        lane = next(lane for lane, one in self.busy.items() if one is job)
        return self.attempt(lambda: self.engine.vectors(lane))

    def attempt(self, call: Callable[[], Answer]) -> Answer | None:
        """The result of a call of the engine between two rounds. None if it runs out of memory: then all jobs train again.

        Raises:
            OutOfMemory: a job does not fit alone, unless `too_large` handles it.
        """
        lanes = self.engine.lanes
        try:
            return call()
        except OutOfMemory as error:
            self._use_fewer_lanes(error, shrunk=self.engine.lanes < lanes)
            return None

    def stop(self, job: Job) -> None:
        """Free a job's lane, if it has one."""
        for lane, one in list(self.busy.items()):
            if one is job:
                del self.busy[lane]
                self.engine.stop(lane)
        self.waiting = deque(one for one in self.waiting if one is not job)

    def stop_all(self) -> list[Job]:
        """Write checkpoints and free all lanes; returns the jobs that have not ended."""
        jobs = self.jobs
        for lane, job in self.busy.items():
            try:
                self._save(lane)
            except Exception as error:  # the caller must free all lanes, perhaps because of another error
                log.warning("no checkpoint of %s: %s", job.checkpoint.label if job.checkpoint else "a run", first_line(error))
        self._free_lanes()
        self.waiting.clear()
        return jobs

    def _fill(self, source: Callable[[int], Iterable[Job]]) -> None:
        free = min(self._width, self.engine.lanes) - len(self.busy) - len(self.waiting)
        self.waiting.extend(source(max(0, free)))
        while self.waiting and len(self.busy) < min(self._width, self.engine.lanes):  # a start may leave fewer lanes
            lane = min(set(range(self.engine.lanes)) - self.busy.keys())
            job = self.busy[lane] = self.waiting.popleft()
            try:
                self._start(lane, job)
            except OutOfMemory:
                raise
            except BaseException:
                del self.busy[lane]
                self.waiting.appendleft(job)
                raise

    def _start(self, lane: int, job: Job) -> None:
        self._written[lane] = time.monotonic()
        found = None if job.checkpoint is None else job.checkpoint.load()
        if job.checkpoint is not None and found is not None:
            try:
                if found.epochs >= job.config.epochs:
                    raise ValueError(f"the checkpoint has {found.epochs} epochs already, so no epoch is left to train")
                job.go_on(found.epochs, found.notes)
                self.engine.resume(lane, job.config, found.state)
                log.info("%s after epoch %d of %d", job.checkpoint.resume_notice, found.epochs, job.config.epochs)
                return
            except (LookupError, TypeError, ValueError) as error:
                log.warning("%s starts from its first epoch: %s", job.checkpoint.label, first_line(error))
        self.engine.start(lane, job.config)
        job.begin()

    def _epoch(self) -> list[EpochResult]:
        """Train one epoch of every busy lane. If it is interrupted, the jobs lose their lanes."""
        before = {lane: self._state(lane) for lane in self.busy} if self.longest_epoch > SHORT_SECONDS else {}
        self._began = time.monotonic()
        try:
            results = self.engine.epoch()
        except OutOfMemory:
            raise
        except BaseException:  # Stopped, or any failure: the lanes have trained part of an epoch
            for lane, state in before.items():
                self._write(lane, state)
            self._requeue_all()
            raise
        self.longest_epoch = max(self.longest_epoch, sum(result.train_seconds + result.evaluate_seconds for result in results))
        return results

    def _stops_now(self) -> bool:
        """The engine's `should_stop`. A short epoch is finished first, so that its end can be saved. Before the first epoch
        there is nothing to save, and for long epochs the state before the epoch is in memory."""
        if not self._asked_to_stop():
            return False
        is_short = 0.0 < self.longest_epoch <= SHORT_SECONDS and any(job.checkpoint for job in self.busy.values())
        return not is_short or time.monotonic() > self._began + 2.0 * SHORT_SECONDS

    def _save_due(self) -> None:
        """Write the checkpoints that are due; all of them if training must stop.

        Raises:
            Stopped: training must stop.
        """
        stops = bool(self.busy) and self._asked_to_stop()
        for lane, job in self.busy.items():
            if job.checkpoint and (stops or time.monotonic() - self._written[lane] >= job.checkpoint.every):
                self._save(lane)
        if stops:
            self._requeue_all()
            raise Stopped("asked to stop")

    def _requeue_all(self) -> None:
        """Free all lanes; their jobs wait again."""
        jobs = [self.busy[lane] for lane in sorted(self.busy)]
        self._free_lanes()
        self.waiting.extendleft(reversed(jobs))

    def _save(self, lane: int) -> None:
        """Write the checkpoint of a lane."""
        self._write(lane, self._state(lane))

    def _state(self, lane: int) -> State | None:
        """The state of a lane; None if its job has no checkpoints, or if there is no memory for the state."""
        if self.busy[lane].checkpoint is None:
            return None
        try:
            return self.engine.state(lane)
        except (MemoryError, RuntimeError) as error:
            from trainers.engines.one_lane import is_out_of_memory  # the engine has loaded it already

            if not is_out_of_memory(error):
                raise
            log.warning("no checkpoint: %s", first_line(error))
            return None

    def _write(self, lane: int, state: State | None) -> None:
        """Write a checkpoint, unless the owner's notes are about other epochs because the job ended or failed."""
        job = self.busy[lane]
        if job.checkpoint is not None and state is not None and 0 < job.epochs == int(state["epochs_done"]):
            job.checkpoint.save(Checkpoint(state, job.notes()))
            self._written[lane] = time.monotonic()

    def _use_fewer_lanes(self, error: OutOfMemory, shrunk: bool) -> None:
        """Use fewer lanes from now on: as many as the engine still has, or half of the busy ones."""
        jobs = [self.busy[lane] for lane in sorted(self.busy)]
        self._requeue_all()
        if len(jobs) == 1 and not shrunk:
            self.waiting.popleft()
            self._too_large(jobs[0], error)
            return
        self._width = self.engine.lanes if shrunk else max(1, len(jobs) // 2)
        log.warning("%s with %d configs at once: continuing with %d", error.reason, len(jobs), self._width)

    def _free_lanes(self) -> None:
        """Free all lanes and forget their jobs."""
        for lane in list(self.busy):
            del self.busy[lane]
            self.engine.stop(lane)
