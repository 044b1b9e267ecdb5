"""Matrix factorisation as a module."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from trainers.encoders.modules.base import EncoderModule, parameter, rows_of


class MFModule(EncoderModule):
    """Two embedding tables."""

    def __init__(self, users: NDArray[np.float32], items: NDArray[np.float32]) -> None:
        super().__init__()
        self.users, self.items = parameter(users), parameter(items)

    def user_vectors(self, users: Tensor) -> Tensor:
        return rows_of(self.users, users)

    def item_vectors(self, items: Tensor) -> Tensor:
        return rows_of(self.items, items)
