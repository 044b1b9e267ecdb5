"""Encoders whose user vectors are made from rows of tables: torch makes them, the fused step scores them and trains items."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainers.config import TrainConfig
from trainers.data import Ids, Interactions
from trainers.encoders import MF, Encoder, SimpleX
from trainers.encoders.modules import SimpleXModule
from trainers.engines.lazy_adam import BETAS, EPSILON, learning_rate_at
from trainers.engines.numba_engine.kernels import StepArguments
from trainers.engines.numba_engine.simplex.histories import Positions, pooled, string_together
from trainers.engines.numba_engine.simplex.row_access import lookup_for
from trainers.engines.numba_engine.table import EmbeddingTable, Floats, caught_up, new_table
from trainers.scores import SCORES
from trainers.threads import one_torch_thread

CHUNK = 4096  # users whose vectors are made at once, when all are asked for


def why_not_encoder(encoder: Encoder) -> str:
    """Empty when the engine can train the encoder."""
    if isinstance(encoder, SimpleX):
        shared = encoder.g < 1.0 and encoder.history_table == "items"
        return "simplex with history_table items: an item's gradient comes from two sides" if shared else ""
    return "" if isinstance(encoder, MF) else f"encoder {encoder.name} is not mf or simplex"


@dataclass
class Rows:
    """Rows of a table as torch sees them in a step."""

    table: EmbeddingTable
    ids: Positions
    values: Tensor


class SimpleXUsers:
    """SimpleX's users: their table, that of their histories, and the matrices, which torch's Adam trains."""

    def __init__(self, config: TrainConfig, module: SimpleXModule, seen: Interactions, power: NDArray[np.float64]) -> None:
        self.config, self.module, self.n_users, self.n_rows, self.power = config, module, seen.n_users, len(seen), power
        self.users, self.history = (_table(table) for table in (module.users, module.history))
        own = {id(matrix) for matrix in module.matrices()}
        self.matrices = {name: one for name, one in module.named_parameters() if id(one) in own}
        self.optimizer = torch.optim.Adam(self.matrices.values(), lr=config.learning_rate, betas=BETAS, eps=EPSILON)
        self.lookup = lookup_for(config.encoder.dim)
        self.consumed, self.ends, self.lengths = (_int32(array) for array in (module.consumed, module.ends, module.lengths))
        self.mark = np.full(seen.n_items, -1, np.int32)

    @one_torch_thread()
    def forward(self, users: Ids, arguments: StepArguments, at: int) -> Floats:
        """Vectors (B, dim) of a batch's users, as they are scored, before step `at` of the epoch."""
        distinct, which = np.unique(users, return_inverse=True)
        histories = string_together(users, self.consumed, self.ends, self.lengths, self.mark)
        done, tail = arguments.steps_before + at, float(arguments.rates[at, 2])
        asked = (self.users, distinct.astype(np.int32)), (self.history, histories.items)
        self.rows = [self._read(table, ids, done, tail) for table, ids in asked]
        own = torch.nn.functional.embedding(torch.from_numpy(which), self.rows[0].values)
        consumed = self.rows[1].values
        found = pooled(self.module.queries(own), self.module.keys(consumed), consumed, histories)
        self.out = SCORES[self.config.score].users(self.module.mix(own, found))
        vectors: Floats = self.out.detach().numpy()
        return vectors

    @one_torch_thread()
    def update(self, gradients: Floats, arguments: StepArguments, at: int) -> None:
        """Step `at` of the epoch, given the gradients (B, dim) of what `forward` gave."""
        number = arguments.steps_before + at
        self.optimizer.zero_grad()
        self.out.backward(torch.from_numpy(gradients))  # type: ignore[no-untyped-call]
        for rows in self.rows:
            assert rows.values.grad is not None  # backward has just run
            gradient = rows.values.grad.numpy()
            self.lookup.train(rows.table, rows.ids, gradient, number + 1, arguments.rates[at], arguments.l2, self.power)
        self.optimizer.param_groups[0]["lr"] = learning_rate_at(self.config, number, self.n_rows)
        self.optimizer.step()

    @one_torch_thread()
    def vectors(self, step: int, tail: float) -> Tensor:
        """All users' vectors as they stand after a step, before the score's mapping."""
        users, history = (torch.from_numpy(caught_up(table, step, tail)) for table in (self.users, self.history))
        parts = []
        with torch.no_grad():
            for chunk in torch.split(torch.arange(self.n_users), CHUNK):
                items, which, lengths = self.module.consumed_by(chunk)
                parts.append(self.module.mixed(users[chunk], history[items], which, lengths))
        return torch.cat(parts)

    def _read(self, table: EmbeddingTable, ids: Positions, step: int, tail: float) -> Rows:
        values = np.empty((len(ids), table.rows.shape[1]), np.float32)
        self.lookup.read(table, ids, step, tail, self.power, values)
        return Rows(table, ids, torch.from_numpy(values).requires_grad_())


def _table(parameter: Tensor) -> EmbeddingTable:
    return new_table(parameter.detach().numpy(), with_codes=False, raw=True)


def _int32(buffer: Tensor) -> Positions:
    converted: Positions = buffer.numpy().astype(np.int32)
    return converted
