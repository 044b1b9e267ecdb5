"""Who is a negative: the samplers, each a frozen dataclass whose `draw` is a function of (stream, rows) alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass

from trainers import draws
from trainers.validation import SETTINGS, Whole

MAX_COUNT = 100_000


class Negatives(ABC):
    """Draws item ids for the rows of an epoch."""

    name: str
    count: int

    @abstractmethod
    def draw(self, stream: np.uint64, rows: NDArray[np.integer[Any]], n_items: int) -> NDArray[np.int64]:
        """Item ids (B, count) for the epoch's row numbers (B,)."""


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class Uniform(Negatives):
    """Uniform over all items, with replacement; a negative may be one of the user's positives (as SimpleX samples)."""

    name: Literal["uniform"] = "uniform"
    count: Annotated[Whole, Field(ge=1, le=MAX_COUNT)] = 100

    def draw(self, stream: np.uint64, rows: NDArray[np.integer[Any]], n_items: int) -> NDArray[np.int64]:
        slots = np.arange(self.count, dtype=np.uint64)
        counters = rows.astype(np.uint64)[:, None] * np.uint64(self.count) + slots
        return draws.integers(stream, counters, n_items)


NEGATIVES: dict[str, type[Negatives]] = {"uniform": Uniform}
