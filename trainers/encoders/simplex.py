"""SimpleX (Mao et al., CIKM 2021): a user's vector is mixed with what the user has consumed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from trainers.data import Interactions
from trainers.encoders.base import Encoder
from trainers.encoders.mf import MF
from trainers.validation import SETTINGS, Count, Real

if TYPE_CHECKING:
    from trainers.encoders.modules import EncoderModule

Aggregation = Literal["mean", "self_attention", "user_attention"]


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class SimpleX(Encoder):
    """`g e_u + (1 - g) W_v sum_k a_k h_k` over the vectors h_k of the user's training items, the current positive among them.

    The weights a_k by `aggregation`: `mean`, all alike; `self_attention`, a softmax of w_q . tanh(W h_k + b);
    `user_attention`, a softmax of e_u . tanh(W h_k + b). A user without items has no second part.

    Attributes:
        g: share of the user's own vector; with 1 this is MF.
        aggregation: how the items of the history are weighted.
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
        from trainers.encoders.modules import SimpleXModule  # see MF

        return SimpleXModule(self, seen, seed)
