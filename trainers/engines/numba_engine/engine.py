"""The fused CPU engine: matrix factorisation, and SimpleX on top of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainers import rng
from trainers.config import TrainConfig
from trainers.data import Ids
from trainers.encoders import MF
from trainers.encoders.modules import SimpleXModule
from trainers.engines.adam_state import adam_state, copied, put_adam_state, put_parameters
from trainers.engines.lazy_adam import TAIL_BEFORE, powers, rates, why_not_lazy
from trainers.engines.numba_engine.autotune import Autotuner
from trainers.engines.numba_engine.batch import new_batch, stride_bits
from trainers.engines.numba_engine.kernels import StepArguments, kernel_for
from trainers.engines.numba_engine.simplex.users import SimpleXUsers, why_not_encoder
from trainers.engines.numba_engine.table import (
    N_POWERS,
    EmbeddingTable,
    Floats,
    flushed_rows,
    new_table,
    put_rows,
    table_state,
)
from trainers.engines.numba_engine.thresholds.kept import KeptThresholds
from trainers.engines.numba_engine.unseen import drawn_unseen
from trainers.engines.one_lane import SAMPLER, OneLane, put, with_prefix, without_prefix
from trainers.engines.protocol import State, Vectors
from trainers.engines.row_losses import NO_CUTOFF, ROW_FUNCTIONS, THRESHOLD_ROWS, row_loss_of
from trainers.losses import Loss
from trainers.losses.thresholds import ThresholdLoss
from trainers.negatives import Popularity, Sampler, Step, Uniform, UnseenSampler
from trainers.rng import Purpose
from trainers.scores import SCORES, unit
from trainers.stopping import check

FUSED_SCORES = ("cosine", "cosine_in_training", "inner_product", "euclidean")
MAX_SLOTS = 2**31  # slot numbers are int32
MAX_DRAWN = 2**20  # negatives that a sampler draws at once
NO_ALIAS_TABLE = np.zeros(0, np.uint64), np.zeros(0, np.uint64)
NO_NEGATIVES = np.zeros((0, 1), np.int32)


def why_not(config: TrainConfig) -> str:
    """Why the engine cannot run a config; empty if it can."""
    if reason := why_not_encoder(config.encoder) or why_not_lazy(config):
        return reason
    if config.score not in FUSED_SCORES:
        return f"score {config.score} has no fused step"
    if config.score == "euclidean" and not isinstance(config.encoder, MF):
        return f"score euclidean needs rows of a table as vectors, and encoder {config.encoder.name} computes its vectors"
    if reason := _why_not_loss(config.loss):
        return reason
    if config.negatives.needs_scores:
        return f"negatives {config.negatives.name} need scores of the model, which the fused step does not store"
    if config.batch_size << stride_bits(config.negatives.count) >= MAX_SLOTS:
        return f"batch_size {config.batch_size} with {config.negatives.count} negatives is too much for one step"
    return ""


def _why_not_loss(loss: Loss) -> str:
    if type(loss) in THRESHOLD_ROWS:
        return ""
    row = ROW_FUNCTIONS.get(type(loss))
    return row.why_not(loss) if row else f"loss {loss.name} has no row function"


class NumbaEngine(OneLane):
    """One lane on fused numba kernels, with at most `numba.get_num_threads()` threads.

    A config's numbers do not depend on the number of threads, or on how often it is evaluated.

    Attributes:
        row_updates: number of rows flushed or updated since `start`, a measure of memory traffic.
    """

    def _begin(self, config: TrainConfig) -> None:
        reason = why_not(config)
        if reason:
            raise ValueError(f"the numba engine cannot run this config: {reason}")
        dim, seen = config.encoder.dim, self.seen
        self.score, raw = SCORES[config.score], SCORES[config.score].users is not unit
        self.loss = row_loss_of(config.loss, seen.n_items)
        if raw:  # the prefilter has a bound for unit vectors only
            self.loss = self.loss._replace(cutoff=NO_CUTOFF)
        self.powers = powers(N_POWERS)
        module = config.encoder.build(seen, config.seed)
        self.simplex_users = SimpleXUsers(config, module, seen, self.powers) if isinstance(module, SimpleXModule) else None
        users, items = (table.detach().numpy() for table in module.tables()[:2])
        self.users = self.simplex_users.users if self.simplex_users else new_table(users, False, raw, self.score.max_norm)
        size = min(config.batch_size, len(seen))
        dense = self.loss.cutoff == NO_CUTOFF
        self.items = new_table(items, not dense, raw, self.score.max_norm)
        self.batch = new_batch(size, config.negatives.count, dim, config.encoder.dropout > 0.0, seen.n_items, dense)
        self.alias_table = NO_ALIAS_TABLE
        self.sampler = None
        if isinstance(config.negatives, Popularity):
            self.alias_table = config.negatives.sampler(seen).table
        elif not isinstance(config.negatives, Uniform):
            self.sampler = config.negatives.sampler(seen)
        self.thresholds = None
        if isinstance(config.loss, ThresholdLoss):
            self.thresholds = KeptThresholds(config.loss, seen, size, config.negatives.count, dim)
        else:
            self.kernel = kernel_for(dim, dense)
        self.steps_done = 0
        self.row_updates = 0

    def _train_epoch(self, config: TrainConfig, epoch: int) -> float:
        n_steps = -(-len(self.seen) // config.batch_size)
        arguments = self._arguments(config, epoch, n_steps)
        kernel = self.thresholds.kernel(epoch) if self.thresholds else self.kernel
        totals, counts = np.zeros(1), np.zeros(1, np.int64)
        max_threads = numba.get_num_threads()
        autotuner = Autotuner(max_threads)
        done = 0
        try:
            while done < n_steps and np.isfinite(totals[0]):
                check(self.should_stop)
                steps, threads = autotuner.next()
                last = min(n_steps, done + (1 if self.simplex_users else steps))
                if self.sampler is not None:
                    last = min(last, done + self._steps_per_draw(config))
                    arguments = arguments._replace(**self._given_negatives(config, self.sampler, epoch, done, last))
                numba.set_num_threads(threads)
                started = time.perf_counter()
                if self.simplex_users is not None:
                    _, users, _ = self._pairs(config, epoch, done, last)
                    self.batch.vectors[: len(users)] = self.simplex_users.forward(users, arguments, done)
                kernel(arguments, self.users, self.items, self.batch, done, last, totals, counts)
                if self.simplex_users is not None and np.isfinite(totals[0]):
                    self.simplex_users.update(self.batch.gradients[: len(users)], arguments, done)
                autotuner.record(last - done, threads, time.perf_counter() - started)
                done = last
        finally:
            numba.set_num_threads(max_threads)
        self.steps_done += done
        self.row_updates += int(counts[0])
        finite = all(np.isfinite(table.scale).all() for table in self.tables().values())
        return float(totals[0]) / len(self.seen) if finite else float("nan")

    def tables(self) -> dict[str, EmbeddingTable]:
        """The embedding tables of the run by name."""
        history = {"history": self.simplex_users.history} if self.simplex_users else {}
        return {"users": self.users, "items": self.items, **history}

    def _steps_per_draw(self, config: TrainConfig) -> int:
        """The number of steps for which a sampler draws at once."""
        if config.negatives.follows_model:
            return 1
        return max(1, MAX_DRAWN // (config.batch_size * config.negatives.count))

    def _given_negatives(self, config: TrainConfig, sampler: Sampler, epoch: int, first: int, last: int) -> dict[str, Any]:
        """Arguments of the kernel with a sampler's negatives for steps [first, last) of an epoch."""
        rows, users, items = self._pairs(config, epoch, first, last)
        number = self.steps_done + first
        step = Step(config.seed, epoch, number, rows, users, items, self._directions(number))
        drawn = drawn_unseen(sampler, step) if isinstance(sampler, UnseenSampler) else sampler.draw(step).astype(np.int32)
        return {"given_negatives": drawn, "first_given_row": int(rows[0])}

    def _pairs(self, config: TrainConfig, epoch: int, first: int, last: int) -> tuple[Ids, Ids, Ids]:
        """The rows of steps [first, last) of an epoch, their users and their items, each (n,)."""
        rows = np.arange(first * config.batch_size, min(last * config.batch_size, len(self.seen)))
        pairs = rng.permuted(rng.key(config.seed, Purpose.SHUFFLE, epoch), rows, len(self.seen))
        return rows, self.seen.users[pairs], self.seen.items[pairs]

    def _directions(self, step: int) -> Callable[[], Floats]:
        """A function that returns the unit vectors of all items after step `step`."""
        return lambda: unit(self._flushed(self.items, step)).numpy()

    def _arguments(self, config: TrainConfig, epoch: int, n_steps: int) -> StepArguments:
        dropout = config.encoder.dropout
        return StepArguments(
            users=self.seen.users,
            items=self.seen.items,
            shuffle=rng.key(config.seed, Purpose.SHUFFLE, epoch),
            half_bits=np.uint64(rng.half_bits_for(len(self.seen))),
            negatives=rng.key(config.seed, Purpose.NEGATIVES, epoch),
            dropout=rng.key(config.seed, Purpose.DROPOUT, epoch),
            dropout_threshold=rng.keep_threshold(dropout),
            dropout_factor=1.0 / (1.0 - dropout),
            n_negatives=config.negatives.count,
            alias_prob=self.alias_table[0],
            alias=self.alias_table[1],
            given_negatives=NO_NEGATIVES,
            first_given_row=0,
            users_in_table=self.simplex_users is None,
            batch_size=config.batch_size,
            kind=self.loss.kind,
            settings=self.loss.settings,
            cutoff=np.float32(self.loss.cutoff),
            summed=self.loss.summed,
            euclidean=config.score == "euclidean",
            l2=np.float32(config.l2),
            rates=rates(config, len(self.seen), self.steps_done, n_steps),
            powers=self.powers,
            steps_before=self.steps_done,
        )

    def _snapshot(self) -> State:
        rows = {name: self._flushed(table, self.steps_done).numpy() for name, table in self.tables().items()}
        if self.simplex_users:
            rows |= {name: copied(one) for name, one in self.simplex_users.matrices.items()}
        return rows | ({name: one.copy() for name, one in self.thresholds.parameters().items()} if self.thresholds else {})

    def _restore(self, snapshot: State, config: TrainConfig) -> None:
        tail = float(rates(config, len(self.seen), self.steps_done, 1)[0, TAIL_BEFORE])
        for name, table in self.tables().items():
            put_rows(table, snapshot[name], self.steps_done, tail)
        if self.simplex_users:
            self.simplex_users.config = config
            put_parameters(self.simplex_users.matrices, snapshot)
        if self.thresholds:
            put(self.thresholds.parameters(), snapshot)

    def _state(self) -> State:
        found: dict[str, NDArray[Any]] = {"steps_done": np.array(self.steps_done), "row_updates": np.array(self.row_updates)}
        for name, table in self.tables().items():
            found |= with_prefix(name, table_state(table))
        if self.simplex_users:
            found |= adam_state(self.simplex_users.matrices, self.simplex_users.optimizer)
        if self.thresholds:
            found |= self.thresholds.state()
        return found | (with_prefix(SAMPLER, self.sampler.state()) if self.sampler else {})

    def _resume(self, state: State) -> None:
        for name, table in self.tables().items():
            put(table_state(table), without_prefix(name, state))
        if self.simplex_users:
            put_adam_state(self.simplex_users.matrices, self.simplex_users.optimizer, state)
        if self.thresholds:
            put(self.thresholds.state(), state)
        if self.sampler:
            self.sampler.resume(without_prefix(SAMPLER, state))
        self.steps_done, self.row_updates = int(state["steps_done"]), int(state["row_updates"])

    def _vectors(self) -> Vectors:
        step = self.steps_done
        users = self.simplex_users.vectors(step, self._tail(step)) if self.simplex_users else self._flushed(self.users, step)
        users, items = self.score.ranking(users, self._flushed(self.items, step))
        return users.numpy(), items.numpy()

    def _flushed(self, table: EmbeddingTable, step: int) -> Tensor:
        """A table's rows (n, dim) after step `step`, which is the last one so far."""
        return torch.from_numpy(flushed_rows(table, step, self._tail(step)))

    def _tail(self, step: int) -> float:
        assert self.config is not None  # a run has begun
        return float(rates(self.config, len(self.seen), step, 1)[0, TAIL_BEFORE])
