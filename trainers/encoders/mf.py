"""Matrix factorisation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from trainers.data import Interactions
from trainers.encoders.base import Encoder, normal_table
from trainers.rng import Purpose
from trainers.validation import SETTINGS

if TYPE_CHECKING:
    from trainers.encoders.modules import EncoderModule


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class MF(Encoder):
    """Matrix factorisation: one vector per user and item."""

    name: Literal["mf"] = "mf"

    def initial_tables(self, n_users: int, n_items: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The initial user and item tables, float32; the same for every engine."""
        return (
            normal_table(seed, Purpose.INIT_USERS, (n_users, self.dim), self.init_std),
            normal_table(seed, Purpose.INIT_ITEMS, (n_items, self.dim), self.init_std),
        )

    def build(self, seen: Interactions, seed: int) -> EncoderModule:
        from trainers.encoders.modules import MFModule  # loads torch, which takes a second and configs do not need

        return MFModule(*self.initial_tables(seen.n_users, seen.n_items, seed))
