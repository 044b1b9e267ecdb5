"""Encoders that compute user vectors from table rows: torch computes them, the fused step scores them and trains items."""

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
from trainers.engines.lazy_adam import BETAS, EPSILON, TAIL_BEFORE, learning_rate_at
from trainers.engines.numba_engine.kernels import StepArguments
from trainers.engines.numba_engine.simplex.histories import Positions, histories_of, pooled
from trainers.engines.numba_engine.simplex.row_access import lookup_for
from trainers.engines.numba_engine.table import EmbeddingTable, Floats, flushed_rows, new_table
from trainers.scores import SCORES
from trainers.threads import one_torch_thread

CHUNK = 4096  # users whose vectors are computed at once


def why_not_encoder(encoder: Encoder) -> str:
    """Why the engine cannot train an encoder; empty if it can."""
    if isinstance(encoder, SimpleX):
        shared = encoder.g < 1.0 and encoder.history_table == "items"
        return "simplex with history_table items: a row would get gradients both as an item and as history" if shared else ""
    return "" if isinstance(encoder, MF) else f"encoder {encoder.name} is not mf or simplex"


@dataclass
class Rows:
    """Rows of a table in a step.

    Attributes:
        ids: int32 (n,), each once.
        values: (n, dim), a copy of the rows, for torch.
    """

    table: EmbeddingTable
    ids: Positions
    values: Tensor


class SimpleXUsers:
    """SimpleX's users: tables of users and of histories, and matrices, which torch's Adam trains."""

    def __init__(self, config: TrainConfig, module: SimpleXModule, seen: Interactions, powers: NDArray[np.float64]) -> None:
        self.config, self.module, self.n_users, self.n_rows, self.powers = config, module, seen.n_users, len(seen), powers
        self.users, self.history = (_table(table) for table in (module.users, module.history))
        matrices = {id(matrix) for matrix in module.matrices()}
        self.matrices = {name: one for name, one in module.named_parameters() if id(one) in matrices}
        self.optimizer = torch.optim.Adam(self.matrices.values(), lr=config.learning_rate, betas=BETAS, eps=EPSILON)
        self.lookup = lookup_for(config.encoder.dim)
        self.consumed, self.ends, self.lengths = (_int32(array) for array in (module.consumed, module.ends, module.lengths))
        self.mark = np.full(seen.n_items, -1, np.int32)

    @one_torch_thread()
    def forward(self, users: Ids, arguments: StepArguments, epoch_step: int) -> Floats:
        """The vectors (B, dim) for scoring of a batch's users (B,), before step `epoch_step` of the epoch."""
        distinct, which = np.unique(users, return_inverse=True)
        histories = histories_of(users, self.consumed, self.ends, self.lengths, self.mark)
        done, tail = arguments.steps_before + epoch_step, float(arguments.rates[epoch_step, TAIL_BEFORE])
        wanted = (self.users, distinct.astype(np.int32)), (self.history, histories.items)
        self.rows = [self._read(table, ids, done, tail) for table, ids in wanted]
        own_rows = torch.nn.functional.embedding(torch.from_numpy(which), self.rows[0].values)
        consumed = self.rows[1].values
        history = pooled(self.module.queries(own_rows), self.module.keys(consumed), consumed, histories)
        self.out = SCORES[self.config.score].users(self.module.mix(own_rows, history))
        vectors: Floats = self.out.detach().numpy()
        return vectors

    @one_torch_thread()
    def update(self, gradients: Floats, arguments: StepArguments, epoch_step: int) -> None:
        """Step `epoch_step` of the epoch, from the gradients (B, dim) of the result of `forward`."""
        number, rate = arguments.steps_before + epoch_step, arguments.rates[epoch_step]
        self.optimizer.zero_grad()
        self.out.backward(torch.from_numpy(gradients))  # type: ignore[no-untyped-call]
        for rows in self.rows:
            assert rows.values.grad is not None  # backward has just run
            gradient = rows.values.grad.numpy()
            self.lookup.train(rows.table, rows.ids, gradient, number + 1, rate, arguments.l2, self.powers)
        self.optimizer.param_groups[0]["lr"] = learning_rate_at(self.config, number, self.n_rows)
        self.optimizer.step()

    @one_torch_thread()
    def vectors(self, step: int, tail: float) -> Tensor:
        """The vectors (n_users, dim) of all users after step `step`, before the score's mapping."""
        users, history = (torch.from_numpy(flushed_rows(table, step, tail)) for table in (self.users, self.history))
        parts = []
        with torch.no_grad():
            for chunk in torch.split(torch.arange(self.n_users), CHUNK):
                items, which, lengths = self.module.consumed_by(chunk)
                parts.append(self.module.mixed(users[chunk], history[items], which, lengths))
        return torch.cat(parts)

    def _read(self, table: EmbeddingTable, ids: Positions, step: int, tail: float) -> Rows:
        values = np.empty((len(ids), table.rows.shape[1]), np.float32)
        self.lookup.read(table, ids, step, tail, self.powers, values)
        return Rows(table, ids, torch.from_numpy(values).requires_grad_())


def _table(parameter: Tensor) -> EmbeddingTable:
    return new_table(parameter.detach().numpy(), with_codes=False, raw=True)


def _int32(buffer: Tensor) -> Positions:
    converted: Positions = buffer.numpy().astype(np.int32)
    return converted
