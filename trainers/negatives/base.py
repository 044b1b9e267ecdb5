"""Base classes of negative sampling: settings, and samplers for given training data."""

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
MANY, FEW = 256, 16  # negatives for each positive, and items for each negative: see `Sampler.scores`
PerRow = Annotated[Whole, Field(ge=1, le=MAX_COUNT)]


@dataclass(frozen=True)
class Step:
    """The input of a sampler: the B positives of a step, and the directions of all items.

    Attributes:
        seed, epoch: together with a row's number they decide the draws.
        number: number of earlier steps, over all epochs.
        rows: numbers of the rows in their epoch, (B,).
        users, items: ids of the positives, (B,).
        directions: returns the unit vectors (n_items, dim) of all items, for any score.
    """

    seed: int
    epoch: int
    number: int
    rows: Ids
    users: Ids
    items: Ids
    directions: Callable[[], NDArray[np.float32]]

    def stream(self, purpose: Purpose = Purpose.NEGATIVES, *counters: int) -> np.uint64:
        """The random key of the epoch's draws."""
        return rng.key(self.seed, purpose, self.epoch, *counters)

    def slots(self, count: int) -> NDArray[np.uint64]:
        """The random counters of `count` draws for each row, (B, count)."""
        slots: NDArray[np.uint64] = np.add.outer(
            self.rows.astype(np.uint64) * np.uint64(count), np.arange(count, dtype=np.uint64)
        )
        return slots


@dataclass(frozen=True)
class ScoredStep(Step):
    """A step with vectors, for samplers that need scores.

    Attributes:
        user_vectors, positive_vectors: (B, d); their inner products are the scores.
        item_vectors: maps ids (...) to vectors (..., d).
    """

    user_vectors: Tensor
    positive_vectors: Tensor
    item_vectors: Callable[[Ids], Tensor]

    def scores(self, ids: Ids) -> Tensor:
        """Scores (B, N) of each row's items `ids` (B, N)."""
        return torch.einsum("bd,bnd->bn", self.user_vectors, self.item_vectors(ids))


class Sampler(ABC):
    """Draws the negatives of a run on some data."""

    def __init__(self, seen: Interactions) -> None:
        self.seen = seen

    @abstractmethod
    def draw(self, step: Any) -> NDArray[np.int64]:
        """Item ids (B, N) for a Step, or for a ScoredStep if the settings have `needs_scores`."""

    def scores(self, step: ScoredStep) -> Tensor:
        """Scores (B, N) of the step's negatives.

        With many negatives from few items a matrix product scores all items: 1,000 negatives of 1,200 items take a thirtieth of
        the time. On CUDA the gradients of `gather` would depend on the order of additions.
        """
        ids = self.draw(step)
        n_items, count = self.seen.n_items, ids.shape[1]
        if step.user_vectors.device.type != "cpu" or count < MANY or n_items > FEW * count:
            return step.scores(ids)
        from trainers.threads import inner_products  # loads torch, which takes a second and settings do not need

        of_all = inner_products(step.user_vectors, step.item_vectors(np.arange(n_items)))
        return of_all.gather(1, torch.from_numpy(ids))

    def state(self) -> dict[str, NDArray[Any]]:
        """The state that later steps need, by name, for `resume`."""
        return {}

    def resume(self, state: Mapping[str, NDArray[Any]]) -> None:  # noqa: B027 - most samplers have no state
        """Continue from a `state`."""


class Negatives(ABC):
    """Settings of a sampler."""

    name: str
    count: int
    needs_scores: ClassVar[bool] = False  # whether draws need scores of the current model
    follows_model: ClassVar[bool] = False  # whether draws depend on the model, so that they cannot be made before the step

    def check(self, seen: Interactions) -> None:  # noqa: B027 - most samplers accept any interactions
        """Check, without drawing, that negatives can be drawn for these training interactions.

        Raises:
            InputError: they cannot.
        """

    @abstractmethod
    def sampler(self, seen: Interactions) -> Sampler:
        """The sampler for these training interactions.

        Raises:
            InputError: see `check`.
        """

    def per_row(self, batch_size: int) -> int:
        """The number of negatives of each row of a batch."""
        return self.count

    def compared_per_row(self, batch_size: int) -> int:
        """The number of vectors that each row of a batch is compared with, besides its positive: its negatives."""
        return self.per_row(batch_size)
