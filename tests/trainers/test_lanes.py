"""The loop over lanes, on an engine that counts: who trains when, and what happens when memory runs out."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import pytest

from trainers import TrainConfig
from trainers.engines import EpochResult
from trainers.engines.protocol import State, Vectors
from trainers.errors import OutOfMemory
from trainers.lanes import LaneJob, LaneRunner
from trainers.stopping import never


@dataclass(eq=False)
class Job(LaneJob):
    """A config of so many epochs; notes its losses, which are 100 times its seed plus the epoch."""

    config: TrainConfig
    losses: list[float] = field(default_factory=list)

    @property
    def seed(self) -> int:
        return self.config.seed


class Counting:
    """Its memory holds `room` configs; with `halves` it says, as the CUDA engine does, how many lanes are left."""

    should_stop = staticmethod(never)

    def __init__(self, lanes: int, room: int = 99, halves: bool = False) -> None:
        self.lanes, self.room, self.halves = lanes, room, halves
        self.busy: dict[int, tuple[TrainConfig, int]] = {}
        self.trained: list[int] = []  # busy lanes, by epoch

    def start(self, lane: int, config: TrainConfig) -> None:
        assert 0 <= lane < self.lanes
        assert lane not in self.busy, "a lane is started only when it is free"
        self.busy[lane] = config, 0

    def epoch(self) -> list[EpochResult]:
        if len(self.busy) > self.room:
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

    def keep(self, lane: int) -> State: ...

    def go_back(self, lane: int, kept: State, learning_rate: float) -> None: ...

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
def test_without_memory_the_same_jobs_train_again_in_fewer_lanes(halves: bool, caplog: pytest.LogCaptureFixture):
    engine, todo = Counting(4, room=2, halves=halves), jobs(2, 2, 2, 2, 2)
    with caplog.at_level(logging.WARNING):
        train_all(LaneRunner(engine), todo)
    assert [job.losses for job in todo] == [[100 * n + 1, 100 * n + 2] for n in range(5)]
    assert engine.trained == [2, 2, 2, 2, 1, 1]
    assert caplog.messages == ["out of memory on cuda with 4 configs side by side: going on with 2"]


def test_jobs_that_have_lost_their_lanes_come_before_new_ones():
    engine, todo, started = Counting(3), jobs(9, 9, 9, 9), []
    lanes = LaneRunner[Job](engine)
    rounds = lanes.rounds(source(todo))
    next(rounds)
    engine.room = 1
    for _ in range(3):
        (result,) = next(rounds)
        started.append(result[0].seed)
        lanes.stop(result[0])
    assert started == [0, 1, 2]
    assert [job.seed for job, _ in next(rounds)] == [3]


@pytest.mark.parametrize("halves", [False, True])
def test_a_job_too_large_for_the_device_is_an_error_or_its_owners_business(halves: bool):
    with pytest.raises(OutOfMemory):
        train_all(LaneRunner(Counting(4, room=0, halves=halves)), jobs(1, 1))
    refused: list[int] = []
    engine, todo = Counting(4, room=0, halves=halves), jobs(1, 1)
    train_all(LaneRunner(engine, lambda job, error: refused.append(job.seed)), todo)
    assert refused == [0, 1]
    assert engine.busy == {}


def test_all_lanes_are_freed_whatever_became_of_their_jobs():
    engine, todo = Counting(4), jobs(9, 9, 9, 9, 9)
    lanes = LaneRunner[Job](engine)
    rounds = lanes.rounds(source(todo))
    next(rounds)
    engine.room = 2
    next(rounds)
    assert len(lanes.busy) == len(lanes.waiting) == 2
    assert [job.seed for job in lanes.stop_all()] == [0, 1, 2, 3]
    assert engine.busy == {}
    assert lanes.jobs == []


def test_no_memory_for_vectors():
    """The CUDA engine has then freed all of its lanes."""
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
        assert (job.seed, result.epoch) == (seed, 1), "both train again, one after the other"
        found = lanes.vectors(job)
        assert found is not None
        assert found[0][0, 0] == seed
        lanes.stop(job)


def test_a_job_counts_as_soon_as_it_is_given():
    """So that nothing is lost when asking for the next one fails."""
    lanes = LaneRunner[Job](Counting(2))

    def broken(free: int):
        yield from jobs(1)
        raise TimeoutError

    with pytest.raises(TimeoutError):
        next(lanes.rounds(broken))
    assert [job.seed for job in lanes.stop_all()] == [0]
