"""From ids to vectors. The settings are part of a config; the torch modules serve the reference engine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from trainers import draws
from trainers.draws import Purpose
from trainers.validation import SETTINGS, Positive, Real, Whole


class EncoderModule(nn.Module, ABC):
    """Trainable vectors; every parameter is an embedding table with one row per user or item."""

    @abstractmethod
    def user_vectors(self, users: Tensor) -> Tensor:
        """Vectors (..., dim) of users (...), as they are before `trainers.scores` makes them ready."""

    @abstractmethod
    def item_vectors(self, items: Tensor) -> Tensor:
        """Vectors (..., dim) of items (...)."""


class Encoder(ABC):
    """Settings of an encoder."""

    name: str
    dim: int
    dropout: float

    @abstractmethod
    def build(self, n_users: int, n_items: int, seed: int) -> EncoderModule: ...


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class MF(Encoder):
    """Matrix factorisation: one vector per user and item.

    Attributes:
        dim: length of a vector.
        dropout: share of each user vector's units dropped in training, after a cosine's normalisation (as in SimpleX).
        init_std: standard deviation of the normal initialisation.
    """

    name: Literal["mf"] = "mf"
    dim: Annotated[Whole, Field(ge=1, le=4096)] = 64
    dropout: Annotated[Real, Field(ge=0.0, lt=1.0)] = 0.0
    init_std: Positive = 1.0e-4

    def initial_tables(self, n_users: int, n_items: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The user and item tables before the first step, float32; the same for every engine."""
        users = draws.normal(draws.key(seed, Purpose.INIT_USERS), (n_users, self.dim))
        items = draws.normal(draws.key(seed, Purpose.INIT_ITEMS), (n_items, self.dim))
        return (users * self.init_std).astype(np.float32), (items * self.init_std).astype(np.float32)

    def build(self, n_users: int, n_items: int, seed: int) -> EncoderModule:
        return MFModule(*self.initial_tables(n_users, n_items, seed))


def rows_of(table: Tensor, ids: Tensor) -> Tensor:
    """`table[ids]` with a gradient of the same bits every time: that of `table[ids]` is summed by atomics, in any order."""
    return nn.functional.embedding(ids, table)


class MFModule(EncoderModule):
    """Two embedding tables."""

    def __init__(self, users: NDArray[np.float32], items: NDArray[np.float32]) -> None:
        super().__init__()
        self.users = nn.Parameter(torch.from_numpy(users))
        self.items = nn.Parameter(torch.from_numpy(items))

    def user_vectors(self, users: Tensor) -> Tensor:
        return rows_of(self.users, users)

    def item_vectors(self, items: Tensor) -> Tensor:
        return rows_of(self.items, items)


ENCODERS: dict[str, type[Encoder]] = {"mf": MF}
