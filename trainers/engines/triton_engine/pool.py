"""Lanes that train configs of one shape concurrently: their arrays on the device, and the launches of a step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
import triton
from numpy.typing import NDArray
from torch import Tensor

from trainers import rng
from trainers.config import TrainConfig
from trainers.data import Interactions
from trainers.engines.lazy_adam import N_RATES, RATIO, TAIL_BEFORE, powers, rates
from trainers.engines.protocol import State
from trainers.engines.row_losses import ROW_FUNCTIONS, row_loss_of
from trainers.engines.triton_engine import step
from trainers.engines.triton_engine.arrays import N_FLOAT_PARAMS, N_INT_PARAMS, Data, EmbeddingTable, Lanes, Scratch
from trainers.engines.triton_engine.limits import N_SETTINGS, gradient_scale
from trainers.engines.triton_engine.step import shuffle_pairs, train_rows, update_rows
from trainers.negatives import Popularity
from trainers.rng import Purpose

CHANGED = ("rows", "mean", "square", "direction", "last_step", "pending")  # arrays of a table that differ between epochs
GRAPH_STEPS = 32  # steps in a CUDA graph
WAIT_EVERY = 8  # replays between two synchronisations


class Shape(NamedTuple):
    """The properties that configs must share to train in one launch. A run's numbers depend on its own shape only.

    Attributes:
        dim: length of a vector.
        batch_size: rows per step.
        block: power of two, at least the number of negatives per row.
        kind: the kind of row function.
        weighted: whether negatives are drawn by weight.
    """

    dim: int
    batch_size: int
    block: int
    kind: int
    weighted: bool


def shape_of(config: TrainConfig) -> Shape:
    """The shape of a config that the engine can run."""
    count = config.negatives.count
    block = max(step.CHUNK, triton.next_power_of_2(count))
    kind = ROW_FUNCTIONS[type(config.loss)].kind
    return Shape(config.encoder.dim, config.batch_size, block, kind, isinstance(config.negatives, Popularity))


class Pool:
    """The lanes of one shape.

    Raises:
        torch.OutOfMemoryError: they do not fit on the device.
    """

    def __init__(self, seen: Interactions, shape: Shape, n_lanes: int, device: str) -> None:
        self.seen, self.shape, self.device = seen, shape, device
        self.n_steps = -(-len(seen) // shape.batch_size)
        self.width = triton.next_power_of_2(shape.dim)
        self.steps_done = [0] * n_lanes
        self.configs: dict[int, TrainConfig] = {}
        self.data = Data(
            torch.from_numpy(seen.users).to(device),
            torch.from_numpy(seen.items).to(device),
            len(seen),
            seen.n_items,
            rng.half_bits_for(len(seen)),
            shape.batch_size,
        )
        self.lanes = self._new_lanes(n_lanes)
        rows_per_list = -(-shape.batch_size // step.PROGRAMS)
        self.users = self._new_table(n_lanes, seen.n_users, rows_per_list)
        self.items = self._new_table(n_lanes, seen.n_items, rows_per_list * (1 + shape.block))
        batch = (n_lanes, shape.batch_size, shape.block)
        self.scratch = Scratch(*(self._zeros(batch, dtype) for dtype in (torch.int32, torch.float32, torch.float32)))
        self.graph = self._graph() if device == "cuda" else None

    def _zeros(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        return torch.zeros(shape, dtype=dtype, device=self.device)

    def _new_lanes(self, n: int) -> Lanes:
        entries = self.seen.n_items if self.shape.weighted else 1
        return Lanes(
            int_params=self._zeros((n, N_INT_PARAMS), torch.int64),
            float_params=self._zeros((n, N_FLOAT_PARAMS), torch.float32),
            settings=self._zeros((n, N_SETTINGS), torch.float32),
            rates=self._zeros((n, self.n_steps, N_RATES), torch.float64),
            n_rates=self.n_steps,
            alias_prob=self._zeros((n, entries), torch.int64),
            alias=self._zeros((n, entries), torch.int64),
            powers=torch.from_numpy(powers(step.N_POWERS)).to(self.device),
            users=self._zeros((n, len(self.seen)), torch.int32),
            items=self._zeros((n, len(self.seen)), torch.int32),
            progress=self._zeros((2, n), torch.int32),
            counts=self._zeros((2, 2, n, step.PROGRAMS), torch.int32),
            losses=self._zeros((n, self.shape.batch_size), torch.float64),
        )

    def _new_table(self, n_lanes: int, n: int, capacity: int) -> EmbeddingTable:
        rows, mean, square, direction = (self._zeros((n_lanes, n, self.width), torch.float32) for _ in range(4))
        last_step, listed_step = (self._zeros((n_lanes, n), torch.int32) for _ in range(2))
        pending = self._zeros((n_lanes, n), torch.float64)
        sums = self._zeros((n_lanes, n, self.width), torch.int64)
        work = self._zeros((n_lanes, step.PROGRAMS, capacity), torch.int32)
        return EmbeddingTable(rows, mean, square, direction, last_step, pending, sums, listed_step, work, n, capacity)

    def _graph(self) -> torch.cuda.CUDAGraph:
        """A CUDA graph of GRAPH_STEPS steps. No lane is busy yet, so the first launch only compiles the kernels."""
        self._step()
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            for _ in range(GRAPH_STEPS):
                self._step()
        return graph

    def _step(self) -> None:
        n_lanes, shape = len(self.steps_done), self.shape
        wide = shape.block > step.WIDE
        train_rows[(shape.batch_size, n_lanes)](
            self.data,
            self.lanes,
            self.users,
            self.items,
            self.scratch,
            KIND=shape.kind,
            DIM=self.width,
            BLOCK=shape.block,
            CHUNK=step.WIDE_CHUNK if wide else step.CHUNK,
            WEIGHTED=shape.weighted,
            TRUE_DIM=shape.dim,
            PROGRAMS=step.PROGRAMS,
            num_warps=step.WIDE_WARPS if wide else step.ROW_WARPS,
            **step.ROUNDING,
        )
        tables = self.lanes, self.users, self.items
        update_rows[(step.PROGRAMS, n_lanes)](
            *tables, DIM=self.width, TILE=step.TILE, num_warps=step.UPDATE_WARPS, **step.ROUNDING
        )

    def begin(self, lane: int, config: TrainConfig, initial: tuple[Tensor, Tensor]) -> None:
        """Start a config in a lane, with initial tables (n_users, dim) and (n_items, dim)."""
        loss = row_loss_of(config.loss, self.seen.n_items)
        for table, rows in zip((self.users, self.items), initial, strict=True):
            for array in table[:-2]:
                array[lane] = 0
            table.rows[lane, :, : self.shape.dim] = rows
        self.lanes.settings[lane, : len(loss.settings)] = torch.from_numpy(loss.settings)
        if self.shape.weighted:
            assert isinstance(config.negatives, Popularity)  # as in `shape_of`
            tables = config.negatives.sampler(self.seen).table
            alias_prob, alias = (torch.from_numpy(table.view(np.int64)) for table in tables)
            self.lanes.alias_prob[lane], self.lanes.alias[lane] = alias_prob, alias
        scale = gradient_scale(config, self.seen.n_items)
        self.lanes.float_params[lane] = torch.tensor([1.0 / (1.0 - config.encoder.dropout), config.l2, scale])
        self.steps_done[lane] = 0
        self.configs[lane] = config

    def end(self, lane: int) -> None:
        """Free a lane."""
        self.configs.pop(lane, None)

    def free(self) -> None:
        """Release the arrays on the device. The pool cannot be used afterwards."""
        self.configs.clear()
        del self.graph, self.data, self.lanes, self.users, self.items, self.scratch

    def epoch(self, epochs_done: dict[int, int], check: Callable[[], None] = lambda: None) -> dict[int, float]:
        """Train an epoch of some lanes; returns their mean losses.

        Args:
            epochs_done: the number of trained epochs of each lane to train.
            check: called between launches; an error that it raises ends the epoch.
        """
        self.begin_epoch(epochs_done)
        self.run_steps(check)
        losses = self.lanes.losses.cpu().numpy()
        for lane in epochs_done:
            self.steps_done[lane] += self.n_steps
        return {lane: float(losses[lane].sum()) / len(self.seen) for lane in epochs_done}

    def begin_epoch(self, epochs_done: dict[int, int]) -> None:
        """Copy the parameters of the lanes' next epoch to the device; other lanes are idle."""
        int_params = np.zeros((len(self.steps_done), N_INT_PARAMS), np.int64)
        table = np.zeros((len(self.steps_done), self.n_steps, N_RATES))
        for lane, epoch in epochs_done.items():
            config = self.configs[lane]
            int_params[lane] = self._int_params(config, epoch, self.steps_done[lane])
            table[lane] = rates(config, len(self.seen), self.steps_done[lane], self.n_steps)
        self.lanes.int_params.copy_(torch.from_numpy(int_params))
        self.lanes.rates.copy_(torch.from_numpy(table))
        for array in (self.lanes.progress, self.lanes.counts, self.lanes.losses):
            array.zero_()
        grid = (-(-len(self.seen) // step.SHUFFLED), len(self.steps_done))
        shuffle_pairs[grid](self.data, self.lanes, SHUFFLED=step.SHUFFLED, **step.ROUNDING)

    def _int_params(self, config: TrainConfig, epoch: int, steps_before: int) -> NDArray[np.int64]:
        """A lane's row of `Lanes.int_params`."""
        keys = [rng.key(config.seed, purpose, epoch) for purpose in (Purpose.SHUFFLE, Purpose.NEGATIVES, Purpose.DROPOUT)]
        words = np.array([*keys, rng.keep_threshold(config.encoder.dropout)], np.uint64).view(np.int64)
        return np.array([*words, config.negatives.count, self.n_steps, steps_before, int(config.loss.summed)], np.int64)

    def run_steps(self, check: Callable[[], None] = lambda: None) -> None:
        """Launch the steps of an epoch, after `begin_epoch`; see `epoch`."""
        if self.graph is None:
            for _ in range(self.n_steps):
                check()
                self._step()
        else:
            for number in range(-(-self.n_steps // GRAPH_STEPS)):
                if number % WAIT_EVERY == 0:  # otherwise all launches are queued before the first one runs
                    torch.cuda.current_stream().synchronize()
                    check()
                self.graph.replay()

    def rows(self, lane: int) -> tuple[Tensor, Tensor]:
        """The lane's current tables (n_users, dim) and (n_items, dim), copies on the device."""
        tail = self._tail(lane)
        users, items = (self._flushed(table, lane, tail) for table in (self.users, self.items))
        return users, items

    def put_rows(self, lane: int, rows: State, config: TrainConfig) -> None:
        """Replace the rows, and continue with this config. The moments stay; pending displacements follow its learning rate."""
        self.configs[lane] = config
        tail = self._tail(lane)
        for name, table in self._tables().items():
            table.rows[lane, :, : self.shape.dim] = torch.from_numpy(rows[name])
            table.pending[lane] = torch.where(table.pending[lane] == 0.0, 0.0, self._remaining(table, lane, tail))

    def state(self, lane: int) -> dict[str, NDArray[Any]]:
        """Copies in main memory of a lane's arrays that training changes; between two epochs."""
        found = {
            f"{name}.{column}": getattr(table, column)[lane].cpu().numpy()
            for name, table in self._tables().items()
            for column in CHANGED
        }
        return {**found, "steps_done": np.array(self.steps_done[lane])}

    def resume(self, lane: int, state: State) -> None:
        """Set the lane to a result of `state`, after `begin`.

        Raises:
            KeyError, ValueError: a name is missing, or an array has another shape or type.
        """
        for name, table in self._tables().items():
            for column in CHANGED:
                ours, array = getattr(table, column)[lane], torch.from_numpy(np.array(state[f"{name}.{column}"]))
                if (ours.shape, ours.dtype) != (array.shape, array.dtype):
                    raise ValueError(
                        f"{name}.{column} is {array.dtype}{tuple(array.shape)}, not {ours.dtype}{tuple(ours.shape)}"
                    )
                ours.copy_(array)
        self.steps_done[lane] = int(state["steps_done"])

    def _tables(self) -> dict[str, EmbeddingTable]:
        return {"users": self.users, "items": self.items}

    def _tail(self, lane: int) -> float:
        """tail(t) of the lane's last step."""
        return float(rates(self.configs[lane], len(self.seen), self.steps_done[lane], 1)[0, TAIL_BEFORE])

    def _remaining(self, table: EmbeddingTable, lane: int, tail: float) -> Tensor:
        """Each row's pending displacement after the lane's last step, in multiples of its direction."""
        remaining: Tensor = RATIO ** (self.steps_done[lane] - table.last_step[lane]).double() * tail
        return remaining

    def _flushed(self, table: EmbeddingTable, lane: int, tail: float) -> Tensor:
        pending = table.pending[lane]
        displacement = torch.where(pending == 0.0, 0.0, pending - self._remaining(table, lane, tail)).float()
        rows: Tensor = table.rows[lane] - displacement[:, None] * table.direction[lane]
        return rows[:, : self.shape.dim].contiguous()
