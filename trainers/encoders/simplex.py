"""SimpleX (Mao et al., CIKM 2021): a user's vector is mixed with what the user has consumed."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from trainers.data import Interactions
from trainers.draws import Purpose
from trainers.encoders.base import Encoder, EncoderModule, normal_table, parameter, rows_of, xavier
from trainers.encoders.mf import MF
from trainers.validation import SETTINGS, Count, Real

Aggregation = Literal["mean", "self_attention", "user_attention"]


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class SimpleX(Encoder):
    """`g e_u + (1 - g) W_v sum_k a_k h_k` over the vectors h_k of the user's training items, the current positive among them.

    The weights a_k by `aggregation`: `mean`, all alike; `self_attention`, a softmax of w_q . tanh(W h_k + b);
    `user_attention`, a softmax of e_u . tanh(W h_k + b). A user without items has no second part.

    Attributes:
        g: share of the user's own vector; with 1 this is MF.
        max_history: how many items of a user count at most, the last ones by id.
        history_table: whether the h_k are the items' own vectors, or have a table to themselves.
    """

    name: Literal["simplex"] = "simplex"
    g: Annotated[Real, Field(ge=0.0, le=1.0)] = 0.5
    aggregation: Aggregation = "mean"
    max_history: Count = 500
    history_table: Literal["items", "own"] = "items"

    def build(self, seen: Interactions, seed: int) -> EncoderModule:
        if self.g == 1.0:
            return MF(dim=self.dim, dropout=self.dropout, init_std=self.init_std).build(seen, seed)
        return SimpleXModule(self, seen, seed)


class SimpleXModule(EncoderModule):
    """Embedding tables of users, items and perhaps histories; the matrices of the second part."""

    consumed: Tensor  # int64 (n_pairs,), the items of user after user
    ends: Tensor  # int64 (n_users,), where each user's end
    lengths: Tensor  # int64 (n_users,), how many of them count

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
        own = rows_of(self.users, users)
        pooled = self._pooled(users, own) @ self.value.T
        return self.settings.g * own + (1.0 - self.settings.g) * pooled

    def _pooled(self, users: Tensor, own: Tensor) -> Tensor:
        """sum_k a_k h_k of each user, (B, dim). Histories stand one after the other, so that none is padded."""
        lengths = self.lengths[users]
        row = torch.repeat_interleave(torch.arange(len(users), device=users.device), lengths)  # of each place
        first = torch.cumsum(lengths, 0) - lengths
        place = torch.arange(len(row), device=users.device) - first[row]
        vectors = rows_of(self.history, self.consumed[(self.ends[users] - lengths)[row] + place])
        if self.settings.aggregation == "mean":
            weights = 1.0 / lengths[row].to(vectors.dtype)
        else:
            weights = _softmax(self._match(vectors, own, row), lengths, row)
        return torch.segment_reduce(vectors * weights[:, None], "sum", lengths=lengths, axis=0, initial=0.0)

    def _match(self, vectors: Tensor, own: Tensor, row: Tensor) -> Tensor:
        keys = torch.tanh(vectors @ self.key.T + self.bias)
        if self.settings.aggregation == "self_attention":
            return keys @ self.query[0]
        return (keys * rows_of(own, row)).sum(1)


def _softmax(logits: Tensor, lengths: Tensor, row: Tensor) -> Tensor:
    """Softmax over each segment, of which place p lies in `row[p]`."""
    highest = torch.segment_reduce(logits.detach(), "max", lengths=lengths, axis=0, initial=-torch.inf)
    heat = torch.exp(logits - highest[row])
    return heat / torch.segment_reduce(heat, "sum", lengths=lengths, axis=0, initial=0.0)[row]
