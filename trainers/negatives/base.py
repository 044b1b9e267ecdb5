"""What every way of choosing negatives is: settings, and a sampler that is made from them for the data at hand."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from trainers import rng
from trainers.data import Ids, Interactions
from trainers.late import torch
from trainers.rng import Purpose
from trainers.validation import Whole

if TYPE_CHECKING:
    from torch import Tensor

MAX_COUNT = 100_000
PerRow = Annotated[Whole, Field(ge=1, le=MAX_COUNT)]


@dataclass(frozen=True)
class Step:
    """What a sampler may look at: the B positives of a step, and where the items lie.

    Attributes:
        seed, epoch: with a row's number in the epoch they decide what is drawn.
        number: steps done before this one, over all epochs.
        rows: numbers of the rows in their epoch, (B,).
        users, items: ids of the positives, (B,).
        directions: gives the unit vectors (n_items, dim) of all items, whatever the score.
    """

    seed: int
    epoch: int
    number: int
    rows: Ids
    users: Ids
    items: Ids
    directions: Callable[[], NDArray[np.float32]]

    def stream(self, purpose: Purpose = Purpose.NEGATIVES, *counters: int) -> np.uint64:
        """The key of the epoch's draws."""
        return rng.key(self.seed, purpose, self.epoch, *counters)

    def slots(self, count: int) -> NDArray[np.uint64]:
        """The counters of `count` draws for each row, (B, count)."""
        slots: NDArray[np.uint64] = np.add.outer(
            self.rows.astype(np.uint64) * np.uint64(count), np.arange(count, dtype=np.uint64)
        )
        return slots


@dataclass(frozen=True)
class ScoredStep(Step):
    """A step of an engine that lets samplers look at scores too.

    Attributes:
        user_vectors, positive_vectors: (B, d), whose inner products are the scores.
        item_vectors: from ids (...) to vectors (..., d).
    """

    user_vectors: Tensor
    positive_vectors: Tensor
    item_vectors: Callable[[Ids], Tensor]

    def scores(self, ids: Ids) -> Tensor:
        """Scores (B, N) of each row's items `ids` (B, N)."""
        return torch.einsum("bd,bnd->bn", self.user_vectors, self.item_vectors(ids))


class Sampler(ABC):
    """Chooses the negatives of a run on some data."""

    def __init__(self, seen: Interactions) -> None:
        self.seen = seen

    @abstractmethod
    def draw(self, step: Any) -> NDArray[np.int64]:
        """Item ids (B, N) for a Step, or a ScoredStep where the settings say so."""

    def scores(self, step: ScoredStep) -> Tensor:
        """Scores (B, N) of the step's negatives."""
        return step.scores(self.draw(step))

    def state(self) -> dict[str, NDArray[Any]]:
        """What it has noted in earlier steps and will look at again, by name, for `resume`."""
        return {}

    def resume(self, state: Mapping[str, NDArray[Any]]) -> None:  # noqa: B027 - most note nothing
        """Go on from a `state`."""


class Negatives(ABC):
    """Settings of a sampler."""

    name: str
    count: int
    needs_scores: ClassVar[bool] = False  # of the model as it stands
    follows_model: ClassVar[bool] = False  # so that nothing can be drawn ahead of a step

    def check(self, seen: Interactions) -> None:  # noqa: B027 - most can draw from any interactions
        """Find out, without drawing, whether there is something to draw from where these interactions are trained on.

        Raises:
            InputError: there is not.
        """

    @abstractmethod
    def sampler(self, seen: Interactions) -> Sampler:
        """The sampler for the interactions that are trained on.

        Raises:
            InputError: as `check`.
        """

    def per_row(self, batch_size: int) -> int:
        """Negatives of each row of a batch."""
        return self.count
