"""Negatives that do not depend on the model: uniform, unseen, by popularity, in-batch, and none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from trainers import rng
from trainers.data import Interactions
from trainers.errors import InputError
from trainers.late import torch
from trainers.negatives.base import Negatives, PerRow, Sampler, ScoredStep, Step
from trainers.validation import SETTINGS, Real

if TYPE_CHECKING:
    from torch import Tensor

Beta = Annotated[Real, Field(ge=0.0, le=10.0)]


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class Uniform(Negatives):
    """Uniform over all items, with replacement; a negative may be one of the user's positives (as in SimpleX).

    Attributes:
        count: negatives for each positive.
    """

    name: Literal["uniform"] = "uniform"
    count: PerRow = 100

    def sampler(self, seen: Interactions) -> Sampler:
        return UniformSampler(seen, self.count)


class UniformSampler(Sampler):
    def __init__(self, seen: Interactions, count: int) -> None:
        super().__init__(seen)
        self.count = count

    def draw(self, step: Step) -> NDArray[np.int64]:
        return rng.integers(step.stream(), step.slots(self.count), self.seen.n_items)


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class Unseen(Negatives):
    """Uniform over the items that the user has not seen, with replacement.

    Attributes:
        count: negatives for each positive.
    """

    name: Literal["unseen"] = "unseen"
    count: PerRow = 100

    def check(self, seen: Interactions) -> None:
        full = np.flatnonzero(seen.per_user == seen.n_items)
        if len(full) and seen.n_items:
            raise InputError(f"negatives unseen: user {full[0]} has seen all {seen.n_items} items; use uniform")

    def sampler(self, seen: Interactions) -> Sampler:
        self.check(seen)
        return UnseenSampler(seen, self.count)


class UnseenSampler(Sampler):
    """The r-th unseen item of a user is r + k, where k is the number of the user's items with at most r unseen ones before."""

    def __init__(self, seen: Interactions, count: int) -> None:
        super().__init__(seen)
        self.count = count
        position = np.arange(len(seen)) - seen.indptr[seen.users]
        self.unseen_before = seen.keys - position  # ascending

    def draw(self, step: Step) -> NDArray[np.int64]:
        users = step.users.astype(np.int64)[:, None]
        left = (self.seen.n_items - self.seen.per_user[users]).astype(np.uint64)
        rank = np.asarray(rng.below(rng.bits(step.stream(), step.slots(self.count)), left)).astype(np.int64)
        k = np.searchsorted(self.unseen_before, users * self.seen.n_items + rank, side="right") - self.seen.indptr[users]
        ids: NDArray[np.int64] = rank + k
        return ids


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class Popularity(Negatives):
    """In proportion to (training interactions of the item)^beta, with replacement.

    Attributes:
        count: negatives for each positive.
        beta: exponent; 0 draws uniformly among items with training interactions, 1 in proportion to an item's interactions.
    """

    name: Literal["popularity"] = "popularity"
    count: PerRow = 100
    beta: Beta = 1.0

    def sampler(self, seen: Interactions) -> PopularitySampler:
        return PopularitySampler(seen, self.count, self.beta)


class PopularitySampler(Sampler):
    def __init__(self, seen: Interactions, count: int, beta: float) -> None:
        super().__init__(seen)
        self.count = count
        self.table = rng.alias_table(popularity(seen, beta))

    def draw(self, step: Step) -> NDArray[np.int64]:
        return np.asarray(rng.weighted(rng.bits(step.stream(), step.slots(self.count)), *self.table)).astype(np.int64)


def popularity(seen: Interactions, beta: float) -> NDArray[np.float64]:
    """Weights (n_items,) interactions^beta; 0 for items without interactions."""
    counts = seen.per_item.astype(np.float64)
    return np.where(counts > 0, counts**beta, 0.0)


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class InBatch(Negatives):
    """The positives of the batch's other rows (SSM): drawn by popularity, possibly items that the user has seen."""

    name: Literal["in_batch"] = "in_batch"
    needs_scores: ClassVar[bool] = True  # one matrix product gives all scores

    @model_validator(mode="before")
    @classmethod
    def _no_count(cls, given: Any) -> Any:
        fields = getattr(given, "kwargs", given)
        if isinstance(fields, Mapping) and "count" in fields:
            raise ValueError("in_batch uses the batch's other positives, batch_size - 1 for each; leave count out")
        return given

    def check(self, seen: Interactions) -> None:
        check_batches(seen, "negatives in_batch are the batch's other positives")

    def sampler(self, seen: Interactions) -> Sampler:
        self.check(seen)
        return InBatchSampler(seen)

    def per_row(self, batch_size: int) -> int:
        return batch_size - 1


class InBatchSampler(Sampler):
    def draw(self, step: Step) -> NDArray[np.int64]:
        size = len(step.items)
        ids: NDArray[np.int64] = off_diagonal(torch.from_numpy(step.items.astype(np.int64)).expand(size, size)).numpy()
        return ids

    def scores(self, step: ScoredStep) -> Tensor:
        from trainers.threads import inner_products  # loads torch, which takes a second and settings do not need

        return off_diagonal(inner_products(step.user_vectors, step.positive_vectors))


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class NoNegatives(Negatives):
    """None: what every loss that needs no negatives gets."""

    name: Literal["none"] = "none"

    def check(self, seen: Interactions) -> None:
        check_batches(seen, "a loss without negatives compares the vectors of a batch")

    def sampler(self, seen: Interactions) -> Sampler:
        self.check(seen)
        return NoSampler(seen)

    def per_row(self, batch_size: int) -> int:
        return 0

    def compared_per_row(self, batch_size: int) -> int:
        return batch_size - 1  # half of them users and half of them items, see trainers.losses.uniformity


class NoSampler(Sampler):
    def draw(self, step: Step) -> NDArray[np.int64]:
        return np.empty((len(step.rows), 0), np.int64)

    def scores(self, step: ScoredStep) -> Tensor:
        return step.user_vectors.new_empty(len(step.rows), 0)


def check_batches(seen: Interactions, why: str) -> None:
    """Raise InputError unless a batch can have two rows."""
    if len(seen) < 2:
        raise InputError(f"{why}: the training data must have at least 2 pairs, got {len(seen)}; use more data")


def off_diagonal(square: Tensor) -> Tensor:
    """A matrix (B, B) without its diagonal, (B, B - 1); ten times as fast as a mask.

    In the flattened matrix, B other entries are between two diagonal entries.
    """
    size = len(square)
    return square.flatten()[1:].view(size - 1, size + 1)[:, :-1].reshape(size, size - 1)
