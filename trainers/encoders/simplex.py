"""SimpleX (Mao et al., CIKM 2021): a user's vector is mixed with the vectors of the user's items."""

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
    """`g e_u + (1 - g) W_v sum_k a_k h_k` over the vectors h_k of the user's training items, including the current positive.

    The weights a_k depend on `aggregation`: `mean`, equal weights; `self_attention`, a softmax of w_q . tanh(W h_k + b);
    `user_attention`, a softmax of e_u . tanh(W h_k + b). For a user without items the sum is 0.

    Attributes:
        g: share of the user's own vector; 1 gives MF.
        aggregation: how the items of the history are weighted.
        max_history: largest number of items in a history; the last ones by id are used.
        history_table: `items` if the h_k are the items' vectors, `own` if they have their own table.
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
