"""SimpleX as a module, see `trainers.encoders.simplex`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from trainers.data import Interactions
from trainers.encoders.base import normal_table
from trainers.encoders.modules.base import EncoderModule, parameter, rows_of, xavier
from trainers.encoders.simplex import SimpleX
from trainers.rng import Purpose


class SimpleXModule(EncoderModule):
    """Embedding tables of users, items and possibly histories, and the matrices of the aggregation."""

    consumed: Tensor  # int64 (n_pairs,), the items of one user after another
    ends: Tensor  # int64 (n_users,), the end of each user's items
    lengths: Tensor  # int64 (n_users,), the number of items in each user's history

    def __init__(self, settings: SimpleX, seen: Interactions, seed: int) -> None:
        super().__init__()
        self.settings, dim, std = settings, settings.dim, settings.init_std
        self.users = parameter(normal_table(seed, Purpose.INIT_USERS, (seen.n_users, dim), std))
        self.items = parameter(normal_table(seed, Purpose.INIT_ITEMS, (seen.n_items, dim), std))
        self.history = self.items
        if settings.history_table == "own":
            self.history = parameter(normal_table(seed, Purpose.INIT_HISTORY, (seen.n_items, dim), std))
        self.value = xavier(seed, 0, (dim, dim))
        if settings.aggregation != "mean":
            self.key = xavier(seed, 1, (dim, dim))
            self.bias = torch.nn.Parameter(torch.zeros(dim))
        if settings.aggregation == "self_attention":
            self.query = xavier(seed, 2, (1, dim))
        self.register_buffer("consumed", torch.from_numpy(seen.items.astype("int64")), persistent=False)
        self.register_buffer("ends", torch.from_numpy(seen.indptr[1:]), persistent=False)
        lengths = torch.from_numpy(seen.per_user).clamp(max=settings.max_history)
        self.register_buffer("lengths", lengths, persistent=False)

    def tables(self) -> list[torch.nn.Parameter]:
        shared = self.history is self.items
        return [self.users, self.items] if shared else [self.users, self.items, self.history]

    def item_vectors(self, items: Tensor) -> Tensor:
        return rows_of(self.items, items)

    def user_vectors(self, users: Tensor) -> Tensor:
        items, which, lengths = self.consumed_by(users)
        return self.mixed(rows_of(self.users, users), rows_of(self.history, items), which, lengths)

    def consumed_by(self, users: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The distinct items (D,) in the histories of users (B,); the index into them for each position (P,) of the
        concatenated histories; and the lengths of the histories (B,).
        """
        lengths = self.lengths[users]
        row = _rows(lengths)
        first = torch.cumsum(lengths, 0) - lengths
        positions = (self.ends[users] - lengths - first)[row] + torch.arange(len(row), device=users.device)
        items, which = torch.unique(self.consumed[positions], return_inverse=True)
        return items, which, lengths

    def mixed(self, own: Tensor, consumed: Tensor, which: Tensor, lengths: Tensor) -> Tensor:
        """The vectors (B, dim) of users, from their own vectors (B, dim) and the vectors (D, dim) of `consumed_by`'s items."""
        return self.mix(own, pooled(self.queries(own), self.keys(consumed), consumed, which, lengths))

    def mix(self, own: Tensor, pooled: Tensor) -> Tensor:
        """The users' vectors from their own vectors and their pooled histories, all (B, dim)."""
        return self.settings.g * own + (1.0 - self.settings.g) * pooled @ self.value.T

    def queries(self, own: Tensor) -> Tensor:
        """The attention queries (B, dim) of users with vectors (B, dim)."""
        return self.query.expand(len(own), -1) if self.settings.aggregation == "self_attention" else own

    def keys(self, consumed: Tensor) -> Tensor | None:
        """The attention keys of consumed items (D, dim); None for equal weights."""
        return None if self.settings.aggregation == "mean" else tanh(torch.addmm(self.bias, consumed, self.key.T))


class _Tanh(torch.autograd.Function):
    """tanh as 2 sigmoid(2 x) - 1: on a CPU PyTorch computes sigmoids ten times as fast as tanh."""

    @staticmethod
    def forward(context: Any, x: Tensor) -> Tensor:
        out = torch.sigmoid(2.0 * x).mul_(2.0).sub_(1.0)
        context.save_for_backward(out)
        return out

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        (out,) = context.saved_tensors
        return torch.ops.aten.tanh_backward(gradient, out)  # type: ignore[no-any-return]


def tanh(x: Tensor) -> Tensor:
    """torch.tanh within 2e-7 in float32."""
    found: Tensor = _Tanh.apply(x)  # type: ignore[no-untyped-call]
    return found


def pooled(queries: Tensor, keys: Tensor | None, values: Tensor, which: Tensor, lengths: Tensor) -> Tensor:
    """The mean (B, dim) of each segment's `values[which]`, weighted by the softmax of queries . `keys[which]`.

    Args:
        queries: (B, dim), one per segment.
        keys, values: (D, dim).
        which, lengths: (P,) and (B,), see `SimpleXModule.consumed_by`.
    """
    row = _rows(lengths)
    if keys is None:
        weights = 1.0 / lengths[row].to(values.dtype)
    else:
        weights = _softmax((rows_of(keys, which) * rows_of(queries, row)).sum(1), lengths, row)
    return embedding_bag(which, values, torch.cumsum(lengths, 0) - lengths, mode="sum", per_sample_weights=weights)


def _rows(lengths: Tensor) -> Tensor:
    """The segment of each position."""
    return torch.repeat_interleave(torch.arange(len(lengths), device=lengths.device), lengths)


def _softmax(logits: Tensor, lengths: Tensor, row: Tensor) -> Tensor:
    """Softmax over each segment; `row[p]` is the segment of position p."""
    highest = torch.segment_reduce(logits.detach(), "max", lengths=lengths, axis=0, initial=-torch.inf)
    exponentials = torch.exp(logits - highest[row])
    return exponentials / torch.segment_reduce(exponentials, "sum", lengths=lengths, axis=0, initial=0.0)[row]
