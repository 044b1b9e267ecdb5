"""The loop over lanes on a counting engine: the order of training, out of memory, stops and checkpoints."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import islice, pairwise
from typing import Any

import numpy as np
import pytest

from trainers import TrainConfig
from trainers.checkpoints import Checkpoint, Notes
from trainers.engines import EpochResult
from trainers.engines.protocol import State, Vectors
from trainers.errors import OutOfMemory
from trainers.lanes import LaneJob, LaneRunner
from trainers.stopping import Stopped, never


@dataclass(eq=False)
class Job(LaneJob):
    """A job of some epochs that records its losses. A loss is 100 times the seed plus the epoch."""

    config: TrainConfig
    losses: list[float] = field(default_factory=list)

    @property
    def seed(self) -> int:
        return self.config.seed


class Counting:
    """An engine that counts.

    Its memory has space for `fit` configs. With `halves` it halves its lanes, as the CUDA engine does.
    """

    should_stop = staticmethod(never)

    def __init__(self, lanes: int, fit: int = 99, halves: bool = False) -> None:
        self.lanes, self.fit, self.halves = lanes, fit, halves
        self.busy: dict[int, tuple[TrainConfig, int]] = {}
        self.trained: list[int] = []  # the number of busy lanes by epoch

    def start(self, lane: int, config: TrainConfig) -> None:
        assert 0 <= lane < self.lanes
        assert lane not in self.busy, "a lane is started only when it is free"
        self.busy[lane] = config, 0

    def epoch(self) -> list[EpochResult]:
        if len(self.busy) > self.fit:
            self.run_out()
        self.trained.append(len(self.busy))
        self.busy = {lane: (config, done + 1) for lane, (config, done) in self.busy.items()}
        return [EpochResult(lane, done, 100 * one.seed + done, None, 0.0, 0.0) for lane, (one, done) in self.busy.items()]

    def run_out(self) -> None:
        if self.halves:
            self.busy.clear()
            self.lanes = max(1, self.lanes // 2)
        raise OutOfMemory("out of memory on cuda")

    def vectors(self, lane: int) -> Vectors:
        return np.full((2, 2), self.busy[lane][0].seed, np.float32), np.zeros((2, 2), np.float32)

    def snapshot(self, lane: int) -> State: ...

    def restore(self, lane: int, snapshot: State, learning_rate: float) -> None: ...

    def state(self, lane: int) -> State:
        return {"epochs_done": np.array(self.busy[lane][1])}

    def resume(self, lane: int, config: TrainConfig, state: State) -> None:
        self.start(lane, config)
        self.busy[lane] = config, int(state["epochs_done"])

    def stop(self, lane: int) -> None:
        self.busy.pop(lane, None)


def jobs(*epochs: int) -> list[Job]:
    loss = {"name": "ccl", "margin": 0.5, "negative_weight": 3.0}
    return [Job(TrainConfig.from_dict({"loss": loss, "epochs": n, "seed": seed})) for seed, n in enumerate(epochs)]


def source(todo: list[Job]) -> Callable[[int], list[Job]]:
    left = iter(todo)
    return lambda free: list(islice(left, free))


def train_all(lanes: LaneRunner[Job], todo: list[Job]) -> None:
    for results in lanes.rounds(source(todo)):
        if not results:
            return
        for job, result in results:
            job.losses = [*job.losses[: result.epoch - 1], result.loss]
            if result.epoch == job.config.epochs:
                lanes.stop(job)


@pytest.mark.parametrize("n_lanes", [1, 2, 5])
def test_every_job_trains_its_epochs_and_free_lanes_are_filled_at_once(n_lanes: int):
    engine, todo = Counting(n_lanes), jobs(3, 1, 2, 4)
    train_all(LaneRunner(engine), todo)
    assert [job.losses for job in todo] == [[100 * n + epoch for epoch in range(1, m + 1)] for n, m in enumerate((3, 1, 2, 4))]
    assert engine.trained == {1: [1] * 10, 2: [2, 2, 2, 1, 1, 1, 1], 5: [4, 3, 2, 1]}[n_lanes]
    assert engine.busy == {}


@pytest.mark.parametrize("halves", [False, True])
def test_after_out_of_memory_the_same_jobs_train_again_in_fewer_lanes(halves: bool, caplog: pytest.LogCaptureFixture):
    engine, todo = Counting(4, fit=2, halves=halves), jobs(2, 2, 2, 2, 2)
    with caplog.at_level(logging.WARNING):
        train_all(LaneRunner(engine), todo)
    assert [job.losses for job in todo] == [[100 * n + 1, 100 * n + 2] for n in range(5)]
    assert engine.trained == [2, 2, 2, 2, 1, 1]
    assert caplog.messages == ["out of memory on cuda with 4 configs at once: continuing with 2"]


def test_jobs_that_lost_their_lanes_come_before_new_ones():
    engine, todo, started = Counting(3), jobs(9, 9, 9, 9), []
    lanes = LaneRunner[Job](engine)
    rounds = lanes.rounds(source(todo))
    next(rounds)
    engine.fit = 1
    for _ in range(3):
        (result,) = next(rounds)
        started.append(result[0].seed)
        lanes.stop(result[0])
    assert started == [0, 1, 2]
    assert [job.seed for job, _ in next(rounds)] == [3]


@pytest.mark.parametrize("halves", [False, True])
def test_a_job_too_large_for_the_device_is_an_error_unless_its_owner_handles_it(halves: bool):
    with pytest.raises(OutOfMemory):
        train_all(LaneRunner(Counting(4, fit=0, halves=halves)), jobs(1, 1))
    refused: list[int] = []
    engine, todo = Counting(4, fit=0, halves=halves), jobs(1, 1)
    train_all(LaneRunner(engine, lambda job, error: refused.append(job.seed)), todo)
    assert refused == [0, 1]
    assert engine.busy == {}


def test_all_lanes_are_freed_even_if_their_jobs_have_ended():
    engine, todo = Counting(4), jobs(9, 9, 9, 9, 9)
    lanes = LaneRunner[Job](engine)
    rounds = lanes.rounds(source(todo))
    next(rounds)
    engine.fit = 2
    next(rounds)
    assert len(lanes.busy) == len(lanes.waiting) == 2
    assert [job.seed for job in lanes.stop_all()] == [0, 1, 2, 3]
    assert engine.busy == {}
    assert lanes.jobs == []


def test_jobs_train_again_if_there_is_no_memory_for_vectors():
    """The CUDA engine frees all of its lanes then."""
    engine, todo = Counting(2, halves=True), jobs(1, 1)
    lanes = LaneRunner[Job](engine)
    rounds = lanes.rounds(source(todo))
    (first, _), _ = next(rounds)
    fetch = engine.vectors
    engine.vectors = lambda lane: engine.run_out()  # type: ignore[assignment, return-value, func-returns-value]
    assert lanes.vectors(first) is None
    engine.vectors = fetch  # type: ignore[method-assign]
    for seed in range(2):
        ((job, result),) = next(rounds)
        assert (job.seed, result.epoch) == (seed, 1), "both jobs train again, one after the other"
        found = lanes.vectors(job)
        assert found is not None
        assert found[0][0, 0] == seed
        lanes.stop(job)


def test_a_job_counts_as_soon_as_the_source_gives_it():
    """It must not be lost if the source fails at the next one."""
    lanes = LaneRunner[Job](Counting(2))

    def broken(free: int):
        yield from jobs(1)
        raise TimeoutError

    with pytest.raises(TimeoutError):
        next(lanes.rounds(broken))
    assert [job.seed for job in lanes.stop_all()] == [0]


class Files:
    """Checkpoints in memory, by job."""

    def __init__(self, every: float) -> None:
        self.every, self.saved = every, []
        self.label, self.resume_notice = "a job", "a job goes on"
        self.found: Checkpoint | None = None

    def save(self, checkpoint: Checkpoint) -> None:
        self.saved.append((checkpoint.epochs, dict(checkpoint.notes.values)))
        self.found = checkpoint

    def load(self) -> Checkpoint | None:
        return self.found


@dataclass(eq=False)
class Noting(Job):
    """A job with checkpoints."""

    checkpoint: Any = None

    def notes(self) -> Notes:
        return Notes({"losses": self.losses})

    def begin(self) -> None:
        self.epochs, self.losses = 0, []

    def go_on(self, epochs: int, notes: Notes) -> None:
        self.epochs, self.losses = epochs, list(notes.values["losses"])


def noting(*epochs: int, every: float = 1e9) -> list[Noting]:
    return [Noting(job.config, checkpoint=Files(every)) for job in jobs(*epochs)]


def train_noting(lanes: LaneRunner[Noting], todo: list[Noting], fails_at: int = 0) -> None:
    left = iter(todo)
    for results in lanes.rounds(lambda free: islice(left, free)):
        if not results:
            return
        for job, result in results:
            if result.epoch == fails_at:
                raise TimeoutError("the storage is away")
            job.epochs, job.losses = result.epoch, [*job.losses[: result.epoch - 1], result.loss]
            if result.epoch == job.config.epochs:
                lanes.stop(job)


class Timed(Counting):
    """An engine that reports this many seconds for each epoch. In the middle of epoch `stops_in` it stops."""

    def __init__(self, lanes: int, seconds: float, stops_in: int = 0, error: type[BaseException] = Stopped) -> None:
        super().__init__(lanes)
        self.seconds, self.stops_in, self.error = seconds, stops_in, error
        self.asked = False

    def epoch(self) -> list[EpochResult]:
        if self.stops_in and len(self.trained) + 1 == self.stops_in:
            self.asked = True
            if self.should_stop():
                self.busy.clear()
                raise self.error("in the middle")
        return [replace(result, train_seconds=self.seconds / self.lanes) for result in super().epoch()]


def timed(lanes: int, seconds: float, stops_in: int, **more: Any) -> tuple[Timed, LaneRunner[Noting]]:
    engine = Timed(lanes, seconds, stops_in, **more)
    engine.should_stop = lambda: engine.asked  # type: ignore[method-assign]
    return engine, LaneRunner[Noting](engine)


@pytest.mark.parametrize(("seconds", "kept"), [(0.5, 3), (5.0, 2)], ids=["a short epoch is finished", "a long one is not"])
def test_a_stop_keeps_every_finished_epoch(seconds: float, kept: int):
    _, lanes = timed(2, seconds, stops_in=3)
    todo = noting(9, 9)
    with pytest.raises(Stopped):
        train_noting(lanes, todo)
    expected = [[(kept, {"losses": [100 * n + epoch for epoch in range(1, kept + 1)]})] for n in range(2)]
    assert [job.checkpoint.saved for job in todo] == expected
    assert lanes.jobs == todo, "their owner may requeue them"
    assert lanes.stop_all() == todo
    assert [job.checkpoint.saved for job in todo] == expected, "unfinished epochs are not saved"


def test_a_stop_in_the_first_epoch_does_not_wait_for_its_end():
    _, lanes = timed(1, 0.5, stops_in=1)
    (job,) = todo = noting(9)
    with pytest.raises(Stopped):
        train_noting(lanes, todo)
    assert job.checkpoint.saved == []


def test_a_stop_is_raised_even_if_every_job_ends_in_its_first_epoch():
    """A short epoch is finished. Then no job is left to stop, and the next one must not begin."""
    engine, lanes = timed(1, 0.5, stops_in=2)
    todo = noting(1, 1, 1, 1)
    with pytest.raises(Stopped):
        train_noting(lanes, todo)
    assert len(engine.trained) == 2
    assert lanes.jobs == [todo[2]], "its owner requeues it"


def test_a_stop_between_two_rounds_keeps_every_finished_epoch():
    """It comes while the source draws the next job, which takes seconds on a slow storage."""
    engine, lanes = timed(2, 0.5, stops_in=0)
    first, second = todo = noting(9, 1)
    given = iter([todo[:1], todo[1:]])

    def drawn(free: int) -> list[Noting]:
        engine.asked = len(engine.trained) == 1
        return next(given)

    rounds = lanes.rounds(drawn)
    ((job, result),) = next(rounds)
    job.epochs, job.losses = result.epoch, [result.loss]
    with pytest.raises(Stopped):
        next(rounds)
    assert (len(first.checkpoint.saved), second.checkpoint.saved) == (1, [])
    assert lanes.jobs == [first, second]


def test_a_stop_in_the_very_last_epoch_has_no_effect():
    engine, lanes = timed(1, 0.5, stops_in=2)
    train_noting(lanes, noting(1, 1))
    assert len(engine.trained) == 2


def test_without_checkpoints_a_stop_does_not_wait_for_the_end_of_an_epoch():
    engine, lanes = timed(1, 0.5, stops_in=3)
    with pytest.raises(Stopped, match="in the middle"):
        train_all(lanes, jobs(9))  # type: ignore[arg-type]
    assert len(engine.trained) == 2


def test_an_error_in_an_epoch_keeps_the_epochs_before():
    _, lanes = timed(1, 5.0, stops_in=3, error=ZeroDivisionError)
    (job,) = todo = noting(9)
    with pytest.raises(ZeroDivisionError):
        train_noting(lanes, todo)
    lanes.stop_all()
    assert [epochs for epochs, _ in job.checkpoint.saved] == [2]


def test_notes_without_the_last_epoch_are_not_saved():
    """The storage failed when the epoch was reported. The checkpoint before it is kept."""
    lanes = LaneRunner[Noting](Counting(1))
    (job,) = todo = noting(9, every=0.0)
    with pytest.raises(TimeoutError):
        train_noting(lanes, todo, fails_at=3)
    lanes.stop_all()
    assert [epochs for epochs, _ in job.checkpoint.saved] == [1, 2]


def test_checkpoints_are_written_at_intervals_and_not_for_ended_jobs(monkeypatch: pytest.MonkeyPatch):
    now = iter(np.arange(0.0, 1e4, 1.0))
    monkeypatch.setattr("trainers.lanes.time.monotonic", lambda: float(next(now)))
    todo = noting(40, 40, every=30.0)
    train_noting(LaneRunner(Counting(1)), todo)
    for job in todo:
        epochs = [epoch for epoch, _ in job.checkpoint.saved]
        assert 2 <= len(epochs) <= 4
        assert all(later - earlier >= 10 for earlier, later in pairwise([0, *epochs])), "each epoch reads the clock three times"
        assert epochs[-1] < 40


def test_a_job_continues_from_its_checkpoint_even_after_out_of_memory(caplog: pytest.LogCaptureFixture):
    engine, todo = Counting(2), noting(4, 4, every=0.0)
    lanes = LaneRunner[Noting](engine)
    left = iter(todo)
    rounds = lanes.rounds(lambda free: islice(left, free))
    for _ in range(2):
        for job, result in next(rounds):
            job.epochs, job.losses = result.epoch, [*job.losses, result.loss]
    engine.fit = 1
    epochs = []
    for _ in range(2):
        ((job, result),) = next(rounds)
        epochs.append(result.epoch)
        job.epochs, job.losses = result.epoch, [*job.losses, result.loss]
    assert epochs == [3, 4]
    assert todo[0].losses == [1, 2, 3, 4]


def test_a_job_starts_again_with_a_message_if_the_engine_refuses_its_checkpoint(caplog: pytest.LogCaptureFixture):
    class Refusing(Counting):
        def resume(self, lane: int, config: TrainConfig, state: State) -> None:
            raise ValueError("the state does not belong to this engine and config: rows")

    (job,) = todo = noting(2)
    job.checkpoint.found = Checkpoint({"epochs_done": np.array(1)}, Notes({"losses": [1.0]}))
    train_noting(LaneRunner(Refusing(1)), todo)
    assert job.losses == [1, 2]
    assert "a job starts from its first epoch: the state does not belong" in caplog.text


def test_a_checkpoint_of_all_epochs_is_not_used(caplog: pytest.LogCaptureFixture):
    (job,) = todo = noting(2)
    job.checkpoint.found = Checkpoint({"epochs_done": np.array(2)}, Notes({"losses": [1.0, 2.0]}))
    train_noting(LaneRunner(Counting(1)), todo)
    assert job.losses == [1, 2]
    assert "a job starts from its first epoch: the checkpoint has 2 epochs already" in caplog.text


def test_a_checkpoint_with_notes_of_another_kind_is_not_used(caplog: pytest.LogCaptureFixture):
    (job,) = todo = noting(2)
    job.checkpoint.found = Checkpoint({"epochs_done": np.array(1)}, Notes({}))
    train_noting(LaneRunner(Counting(1)), todo)
    assert job.losses == [1, 2]
    assert "a job starts from its first epoch" in caplog.text


def test_lanes_are_freed_even_if_their_state_cannot_be_read(caplog: pytest.LogCaptureFixture):
    engine, todo = Counting(1), noting(9)
    lanes = LaneRunner[Noting](engine)
    left = iter(todo)
    ((job, result),) = next(lanes.rounds(lambda free: islice(left, free)))
    job.epochs = result.epoch
    engine.state = lambda lane: 1 / 0  # type: ignore[method-assign, assignment, return-value]
    assert lanes.stop_all() == todo
    assert engine.busy == {}
    assert "no checkpoint of a job: division by zero" in caplog.text
