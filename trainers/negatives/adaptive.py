"""Negatives that depend on the model: dynamic (hard) negative sampling and 2-stage sampling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass

from trainers import rng
from trainers.data import Interactions
from trainers.errors import InputError
from trainers.late import torch
from trainers.negatives.base import Negatives, PerRow, Sampler, ScoredStep, Step
from trainers.negatives.static import Beta, popularity
from trainers.rng import Purpose
from trainers.validation import SETTINGS, Count

if TYPE_CHECKING:
    from torch import Tensor

MAX_DRAWS = 10  # draws of a negative, while the user has seen the drawn item


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class Hard(Negatives):
    """Dynamic negative sampling (Zhang et al., SIGIR 2013): for each negative the highest scoring of those of `pool` uniform
    items that the user has not seen; the first item of the pool if the user has seen them all.

    Attributes:
        count: negatives for each positive.
        pool: number of uniform items that each negative is chosen from.
    """

    name: Literal["hard"] = "hard"
    needs_scores: ClassVar[bool] = True
    follows_model: ClassVar[bool] = True
    count: PerRow = 1
    pool: PerRow = 16

    def sampler(self, seen: Interactions) -> Sampler:
        return HardSampler(seen, self.count, self.pool)


class HardSampler(Sampler):
    def __init__(self, seen: Interactions, count: int, pool: int) -> None:
        super().__init__(seen)
        self.count, self.pool = count, pool

    def draw(self, step: ScoredStep) -> NDArray[np.int64]:
        ids = rng.integers(step.stream(), step.slots(self.count * self.pool), self.seen.n_items)
        seen = self.seen.contains(np.broadcast_to(step.users[:, None], ids.shape), ids)
        with torch.no_grad():
            scores = step.scores(ids)
            scores = scores.masked_fill(torch.from_numpy(seen).to(scores.device), -torch.inf)
        pools = ids.reshape(len(ids), self.count, self.pool)
        hardest = scores.view(pools.shape).argmax(2, keepdim=True).cpu().numpy()
        return np.take_along_axis(pools, hardest, 2)[:, :, 0]


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class TwoStage(Negatives):
    """2-stage sampling (Tran et al., SIGIR 2019, arXiv 1909.10912), as in its authors' program, but for one thing: a row's own
    positive is never drawn for it.

    Stage 1 draws `candidates` items for the batch without replacement, in proportion to popularity^beta. Stage 2 draws each
    row's negatives among them in proportion to 1 / q(z). z is the inner product of the unit vectors of the candidate and of the
    row's POSITIVE ITEM, and q is the density of z for random unit vectors: the weight is (1 - z^2)^(1 - (d - 1) / 2) if z > 0,
    else 0; if all weights are 0, the draw is uniform. Items that the user has seen are drawn again, at most MAX_DRAWS times.
    The vectors for z are copied every `refresh` steps.

    Attributes:
        count: negatives for each positive.
        candidates: items that stage 1 draws for the batch; at most the number of items in the training data.
        beta: exponent of the popularity in stage 1.
        refresh: steps between two copies of the item vectors.
    """

    name: Literal["two_stage"] = "two_stage"
    follows_model: ClassVar[bool] = True
    count: PerRow = 1
    candidates: Annotated[Count, Field(le=1_000_000)] = 2000
    beta: Beta = 1.0
    refresh: Count = 100

    def check(self, seen: Interactions) -> None:
        known = np.count_nonzero(seen.per_item)
        if self.candidates > known:
            raise InputError(
                f"negatives two_stage: candidates must be at most the {known} items in the training data, got {self.candidates}"
            )

    def sampler(self, seen: Interactions) -> Sampler:
        self.check(seen)
        return TwoStageSampler(seen, self)


class TwoStageSampler(Sampler):
    def __init__(self, seen: Interactions, settings: TwoStage) -> None:
        super().__init__(seen)
        self.settings = settings
        self.vectors = np.zeros((0, 0), np.float32)  # before the first step
        self.popularity = popularity(seen, settings.beta)

    def draw(self, step: Step) -> NDArray[np.int64]:
        if step.number % self.settings.refresh == 0:
            self.vectors = step.directions()
        candidates = self._candidates(step)
        cumulative = np.cumsum(self._weights(step, candidates), axis=1, dtype=np.float64)
        cumulative /= cumulative[:, -1:]
        return self._draw_unseen(step, candidates, cumulative)

    def state(self) -> dict[str, NDArray[Any]]:
        return {"vectors": self.vectors}

    def resume(self, state: Mapping[str, NDArray[Any]]) -> None:
        self.vectors = state["vectors"]

    def _candidates(self, step: Step) -> NDArray[np.int64]:
        """The items with the smallest values of exponential random number / weight (Efraimidis and Spirakis, 2006)."""
        stream = step.stream(Purpose.CANDIDATES, step.number)
        uniforms = rng.uniform(stream, np.arange(self.seen.n_items, dtype=np.uint64))
        with np.errstate(divide="ignore"):
            order = -np.log(uniforms) / self.popularity
        return np.sort(np.argpartition(order, self.settings.candidates - 1)[: self.settings.candidates]).astype(np.int64)

    def _anchors(self, step: Step) -> Tensor:
        """The unit vectors (B, dim) that stage 2 compares candidates with."""
        return torch.from_numpy(self.vectors[step.items])

    def _weights(self, step: Step, candidates: NDArray[np.int64]) -> NDArray[np.float32]:
        """1 / q(z), (B, candidates), up to a factor per row. Torch computes this faster than NumPy."""
        from trainers.threads import inner_products  # loads torch

        z = inner_products(self._anchors(step), torch.from_numpy(self.vectors[candidates]))
        exponent = 1.0 - (self.vectors.shape[1] - 1) / 2.0
        logs = torch.log((1.0 - z * z).clamp_(min=0.0).add_(1e-8)).mul_(exponent)
        itself = torch.from_numpy(candidates == step.items[:, None])  # has z = 1 and would always be drawn
        logs.masked_fill_((z <= 0) | itself, -torch.inf)
        highest = logs.amax(1, keepdim=True)
        weights = torch.exp(logs - highest).nan_to_num_(nan=1.0)  # NaN: all are minus infinity
        if len(candidates) > 1:
            weights.masked_fill_(itself, 0.0)
        found: NDArray[np.float32] = weights.numpy()
        return found

    def _draw_unseen(self, step: Step, candidates: NDArray[np.int64], cumulative: NDArray[np.float64]) -> NDArray[np.int64]:
        """One candidate per slot, (B, count); items that the user has seen are drawn again, at most MAX_DRAWS times.

        Args:
            cumulative: (B, candidates), the cumulative weights of each row, up to 1.
        """
        size, count = len(step.rows), self.settings.count
        rows = np.arange(size)[:, None]
        flat = (cumulative + rows).ravel()
        ids = np.zeros((size, count), np.int64)
        redraw = np.ones((size, count), bool)
        for turn in range(MAX_DRAWS):
            uniforms = rng.uniform(step.stream(Purpose.NEGATIVES, turn), step.slots(count))
            index = np.searchsorted(flat, uniforms + rows, side="right") - rows * len(candidates)
            drawn = candidates[np.clip(index, 0, len(candidates) - 1)]
            ids = np.where(redraw, drawn, ids)
            redraw &= self.seen.contains(np.broadcast_to(step.users[:, None], ids.shape), ids)
            if not redraw.any():
                break
        return ids
