"""LightGCN (He et al., SIGIR 2020, arXiv 2002.02126): embeddings averaged over layers of graph convolution."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from trainers.data import Interactions
from trainers.encoders.base import Encoder
from trainers.validation import SETTINGS, Whole

if TYPE_CHECKING:
    from trainers.encoders.modules import EncoderModule


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class LightGCN(Encoder):
    """The mean of E, A E, ..., A^layers E, where A is the graph of users and items with weights 1 / sqrt(degree u * degree i).

    Attributes:
        layers: number of graph convolutions.
    """

    name: Literal["lightgcn"] = "lightgcn"
    layers: Annotated[Whole, Field(ge=1, le=8)] = 3

    def build(self, seen: Interactions, seed: int) -> EncoderModule:
        from trainers.encoders.modules import LightGCNModule  # see MF

        return LightGCNModule(self, seen, seed)
