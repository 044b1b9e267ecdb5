"""Base class of encoder settings. The torch modules are in `trainers.encoders.modules`, which is imported only by `build`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass

from trainers import rng
from trainers.data import Interactions
from trainers.rng import Purpose
from trainers.validation import SETTINGS, Positive, Real, Whole

if TYPE_CHECKING:
    from trainers.encoders.modules import EncoderModule


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class Encoder(ABC):
    """Settings of an encoder.

    Attributes:
        dim: length of a vector.
        dropout: share of the user vector's units dropped in training, after the normalisation for cosines (as in SimpleX).
        init_std: standard deviation of the normal initialisation of embeddings.
    """

    name: str
    dim: Annotated[Whole, Field(ge=1, le=4096)] = 64
    dropout: Annotated[Real, Field(ge=0.0, lt=1.0)] = 0.0
    init_std: Positive = 1.0e-4

    @abstractmethod
    def build(self, seen: Interactions, seed: int) -> EncoderModule:
        """The initial module for the training interactions."""


def normal_table(seed: int, purpose: Purpose, shape: tuple[int, int], std: float) -> NDArray[np.float32]:
    """A table drawn from N(0, std^2), float32; the same for every engine."""
    return (rng.normal(rng.key(seed, purpose), shape) * std).astype(np.float32)
