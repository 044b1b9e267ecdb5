"""Base class of encoder modules: trainable vectors of users and items."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trainers import rng
from trainers.rng import Purpose


class EncoderModule(nn.Module, ABC):
    """Trainable vectors, before they are transformed for scores by `trainers.scores`."""

    def refresh(self) -> None:
        """Compute everything that does not depend on the batch. Called before each step, and before all vectors are read."""

    @abstractmethod
    def user_vectors(self, users: Tensor) -> Tensor:
        """Vectors (B, dim) of users (B,)."""

    @abstractmethod
    def item_vectors(self, items: Tensor) -> Tensor:
        """Vectors (..., dim) of items (...)."""

    def tables(self) -> list[nn.Parameter]:
        """The parameters with a row per user or item, to which l2 and a score's largest norm apply."""
        return list(self.parameters())

    def matrices(self) -> list[nn.Parameter]:
        """The other parameters."""
        tables = {id(table) for table in self.tables()}
        return [parameter for parameter in self.parameters() if id(parameter) not in tables]


def xavier(seed: int, which: int, shape: tuple[int, int]) -> nn.Parameter:
    """A matrix drawn from N(0, 2 / (sum of the shape)) (Glorot and Bengio, 2010); `which` is its number in the module."""
    drawn = rng.normal(rng.key(seed, Purpose.INIT_WEIGHTS, which), shape)
    return parameter((drawn * (2.0 / sum(shape)) ** 0.5).astype(np.float32))


def parameter(table: NDArray[np.float32]) -> nn.Parameter:
    return nn.Parameter(torch.from_numpy(table))


def rows_of(table: Tensor, ids: Tensor) -> Tensor:
    """`table[ids]` with a reproducible gradient: indexing would sum it with atomics, in arbitrary order."""
    return nn.functional.embedding(ids, table)
