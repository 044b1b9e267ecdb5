"""The CUDA engine: matrix factorisation, several configs concurrently on one device."""

from __future__ import annotations

import logging
import time
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from traceback import clear_frames
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from trainers.config import TrainConfig
from trainers.data import Interactions
from trainers.encoders import MF
from trainers.engines.one_lane import is_out_of_memory, sound
from trainers.engines.protocol import USUAL_METRICS, EpochResult, State, Vectors
from trainers.engines.triton_engine.limits import why_not
from trainers.engines.triton_engine.pool import Pool, Shape, shape_of
from trainers.engines.triton_engine.ranks import Ranker
from trainers.errors import OutOfMemory, first_line
from trainers.metrics.accuracy import metrics_of_ranks
from trainers.metrics.definitions import largest_cut_off, metrics_at
from trainers.scores import SCORES
from trainers.stopping import ShouldStop, check, never

log = logging.getLogger(__name__)


@dataclass
class _Lane:
    """A config in a lane."""

    config: TrainConfig
    shape: Shape
    epochs_done: int = 0

    @property
    def finished(self) -> bool:
        return self.epochs_done >= self.config.epochs


class _PendingEvaluation(NamedTuple):
    """The evaluation of a lane's vectors, queued on the device.

    Attributes:
        sound: whether the vectors are sound, see `one_lane.sound`.
        held_out: the pairs to rank; None for no evaluation.
        ranks: the ranks of these pairs, int32 (n_pairs,).
    """

    sound: Tensor
    held_out: Interactions | None
    ranks: Tensor | None


class TritonEngine:
    """Lanes on one CUDA device. Configs of the same shape train in the same launches.

    A config's numbers do not depend on its lane or on other lanes.

    Attributes:
        lanes: the number of lanes; halved if the device's memory does not suffice.
    """

    def __init__(
        self,
        seen: Interactions,
        held_out: Interactions | None,
        evaluate_at: Container[int] = (),
        device: str = "cuda",
        lanes: int = 1,
        should_stop: ShouldStop = never,
        metrics: Sequence[str] = USUAL_METRICS,
        sample: Interactions | None = None,
    ) -> None:
        self.seen, self.held_out = seen, held_out
        self.sample = held_out if sample is None else sample
        self.evaluate_at = evaluate_at
        self.device = device
        self.lanes = lanes
        self.should_stop = should_stop
        self.metrics = metrics_at(metrics)
        self.running: dict[int, _Lane] = {}
        self.pools: dict[Shape, Pool] = {}
        self.rankers: dict[int, Ranker] = {}  # by the id of the pairs that they rank
        self.initial: tuple[tuple[MF, int], tuple[Tensor, Tensor]] | None = None

    def start(self, lane: int, config: TrainConfig) -> None:
        """Begin a config; the lane's previous one is dropped.

        Raises:
            ValueError: the engine cannot run the config, or has no such lane.
            OutOfMemory: all lanes are free, and their number is halved.
        """
        if reason := why_not(config):
            raise ValueError(f"the triton engine cannot run this config: {reason}")
        if not 0 <= lane < self.lanes:
            raise ValueError(f"this engine has {self.lanes} lanes, numbered from 0, got {lane}")
        self.stop(lane)
        shape = shape_of(config)
        with self._enough_memory():
            if shape not in self.pools:
                self.pools = {one: pool for one, pool in self.pools.items() if pool.configs}
                self.pools[shape] = self._new_pool(shape, lane)
            self.pools[shape].begin(lane, config, self._initial_tables(config))
        self.running[lane] = _Lane(config, shape)

    def _new_pool(self, shape: Shape, lane: int) -> Pool:
        """A pool with as many lanes as fit: their number is halved as long as `lane` and the busy lanes remain."""
        while True:
            try:
                return Pool(self.seen, shape, self.lanes, self.device)
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error) or self.lanes // 2 <= max([lane, *self.running]):
                    raise
            half = self.lanes // 2
            log.warning("%d lanes do not fit into the memory of %s: continuing with %d", self.lanes, self.device, half)
            self.lanes = half
            self._empty_cache()

    def _initial_tables(self, config: TrainConfig) -> tuple[Tensor, Tensor]:
        """The initial tables on the device. The last ones are cached: all trials of a study start from the same tables."""
        assert isinstance(config.encoder, MF)  # checked by `why_not`
        key = config.encoder, config.seed
        if self.initial is None or self.initial[0] != key:
            users, items = config.encoder.initial_tables(self.seen.n_users, self.seen.n_items, config.seed)
            self.initial = key, (torch.from_numpy(users).to(self.device), torch.from_numpy(items).to(self.device))
        return self.initial[1]

    def epoch(self) -> list[EpochResult]:
        """Train one epoch of every lane whose config is not finished. Its seconds are divided evenly among the lanes.

        Raises:
            OutOfMemory: all lanes are free, and their number is halved.
            Stopped: all lanes are free.
        """
        results = []
        try:
            with self._enough_memory():
                for pool in list(self.pools.values()):
                    results += self._epoch_of(pool)
        except BaseException:  # the lanes have trained part of an epoch
            self._free_all()
            raise
        return sorted(results, key=lambda result: result.lane)

    def _epoch_of(self, pool: Pool) -> list[EpochResult]:
        busy = {lane: self.running[lane] for lane in pool.configs if not self.running[lane].finished}
        if not busy:
            return []
        started = time.perf_counter()
        losses = pool.epoch({lane: one.epochs_done for lane, one in busy.items()}, partial(check, self.should_stop))
        trained = time.perf_counter()
        for one in busy.values():
            one.epochs_done += 1
        # all are queued before the first result is read
        evaluations = {lane: self._start_evaluation(pool, lane) for lane, one in busy.items() if self._is_due(one)}
        metrics = {lane: self._metrics(evaluation) for lane, evaluation in evaluations.items()}
        for lane, evaluation in evaluations.items():
            if not evaluation.sound.item():
                losses[lane], metrics[lane] = float("nan"), None  # a finite loss does not imply finite vectors
        train_seconds = (trained - started) / len(busy)
        evaluate_seconds = (time.perf_counter() - trained) / max(1, len(evaluations))
        return [
            EpochResult(
                lane,
                one.epochs_done,
                losses[lane],
                metrics.get(lane),
                train_seconds,
                evaluate_seconds if lane in evaluations else 0.0,
            )
            for lane, one in busy.items()
        ]

    def _is_due(self, one: _Lane) -> bool:
        return one.finished or (self.held_out is not None and one.epochs_done in self.evaluate_at)

    def _start_evaluation(self, pool: Pool, lane: int) -> _PendingEvaluation:
        """Queue the evaluation of a lane's vectors on the device."""
        held_out = self.held_out if self.running[lane].finished else self.sample
        users, items = self._ranking(pool, lane)
        ranks = None if held_out is None else self._ranks(users, items, held_out)
        return _PendingEvaluation(sound(users) & sound(items), held_out, ranks)

    def _ranks(self, users: Tensor, items: Tensor, held_out: Interactions) -> Tensor:
        if id(held_out) not in self.rankers:
            self.rankers[id(held_out)] = Ranker(self.seen, held_out, self.device)
        return self.rankers[id(held_out)].ranks(users, items, largest_cut_off(self.metrics))

    def _metrics(self, evaluation: _PendingEvaluation) -> dict[str, float] | None:
        if evaluation.ranks is None or evaluation.held_out is None:
            return None
        ranks = evaluation.ranks.cpu().numpy().astype(np.int64)
        return metrics_of_ranks(ranks, evaluation.held_out, self.metrics)

    def vectors(self, lane: int) -> Vectors:
        """Copies of the lane's ranking vectors, float32 (n_users, d) and (n_items, d)."""
        pool = self._pool_of(lane)
        with self._enough_memory():
            users, items = self._ranking(pool, lane)
            return users.cpu().numpy(), items.cpu().numpy()

    def _ranking(self, pool: Pool, lane: int) -> tuple[Tensor, Tensor]:
        return SCORES[self.running[lane].config.score].ranking(*pool.rows(lane))

    def _pool_of(self, lane: int) -> Pool:
        if lane not in self.running:
            raise RuntimeError(f"lane {lane} is free: start a config in it first")
        return self.pools[self.running[lane].shape]

    def snapshot(self, lane: int) -> State:
        """The lane's current parameters, for `restore`.

        Raises:
            OutOfMemory: all lanes are free, and their number is halved.
        """
        pool = self._pool_of(lane)
        with self._enough_memory():
            return {name: rows.cpu().numpy() for name, rows in zip(("users", "items"), pool.rows(lane), strict=True)}

    def restore(self, lane: int, snapshot: State, learning_rate: float) -> None:
        """Reset the lane's parameters to a snapshot, and change its learning rate. Adam's moments and the draws continue.

        Raises:
            ValueError: the config's learning rate is not constant.
            OutOfMemory: all lanes are free, and their number is halved.
        """
        pool, one = self._pool_of(lane), self.running[lane]
        if one.config.schedule != "constant":
            raise ValueError("only a running config with a constant learning rate can go back")
        one.config = one.config.replace(learning_rate=learning_rate)
        with self._enough_memory():
            pool.put_rows(lane, snapshot, one.config)

    def state(self, lane: int) -> State:
        """Copies of the lane's whole state; see `Engine.state`.

        Raises:
            RuntimeError: the lane is free.
        """
        pool, one = self._pool_of(lane), self.running[lane]
        counters = {"epochs_done": np.array(one.epochs_done), "learning_rate": np.array(one.config.learning_rate)}
        return {**pool.state(lane), **counters}

    def resume(self, lane: int, config: TrainConfig, state: State) -> None:
        """Start a config in a saved state; see `Engine.resume`.

        Raises:
            ValueError: the state is of another engine or config, or `start` refuses the config or lane.
            OutOfMemory: all lanes are free, and their number is halved.
        """
        try:
            self.start(lane, config.replace(learning_rate=float(state["learning_rate"])))
            with self._enough_memory():
                self._pool_of(lane).resume(lane, state)
            self.running[lane].epochs_done = int(state["epochs_done"])
        except (KeyError, ValueError, TypeError) as error:
            self.stop(lane)
            raise ValueError(f"the state does not belong to this engine and config: {first_line(error)}") from None

    def stop(self, lane: int) -> None:
        """Free the lane. The next config of its shape reuses its memory; a start of another shape frees it."""
        one = self.running.pop(lane, None)
        if one is not None:
            self.pools[one.shape].end(lane)

    def _free_all(self) -> None:
        self.running.clear()
        self.pools.clear()

    @contextmanager
    def _enough_memory(self) -> Iterator[None]:
        """Within the block, if the device runs out of memory, free all lanes, halve their number and raise OutOfMemory."""
        try:
            yield
            return
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            reason = first_line(error)
            clear_frames(error.__traceback__)  # callers may hold the error, and with it the arrays of failed calls
        for pool in self.pools.values():
            pool.free()  # callers may hold the pool
        self._free_all()
        self.initial = None
        self.rankers.clear()
        self.lanes = max(1, self.lanes // 2)
        self._empty_cache()
        raise OutOfMemory(f"out of memory on {self.device}: {reason}")

    def _empty_cache(self) -> None:
        if self.device == "cuda":
            torch.cuda.empty_cache()
