"""Score functions, expressed as inner products of transformed embeddings.

So sampling, losses, evaluation and export see inner products alone. To add one, a line in `SCORES`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from trainers.late import torch

if TYPE_CHECKING:
    from torch import Tensor

NORM_FLOOR = 1e-12  # vectors shorter than this are divided by it

ScoreName = Literal["cosine", "cosine_in_training", "inner_product", "euclidean"]


@dataclass(frozen=True)
class Score:
    """How the encoder's vectors (..., d) become those (..., d') whose inner product is the score.

    Attributes:
        users, items: the two mappings.
        max_norm: rows are scaled down to this length before training, and after each step whose loss moves them.
        ranks_raw: whether the encoder's vectors rank as they are, though training scores them otherwise.
    """

    users: Callable[[Tensor], Tensor]
    items: Callable[[Tensor], Tensor]
    max_norm: float = math.inf
    ranks_raw: bool = False

    def ranking(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """What ranks of the encoder's vectors: their inner products."""
        return (users, items) if self.ranks_raw else (self.users(users), self.items(items))

    def training(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """What training scores, given what ranks."""
        return (self.users(users), self.items(items)) if self.ranks_raw else (users, items)


def unit(vectors: Tensor) -> Tensor:
    """Vectors of length 1."""
    return torch.nn.functional.normalize(vectors, dim=-1, eps=NORM_FLOOR)


def _as_they_are(vectors: Tensor) -> Tensor:
    return vectors


def _near_users(vectors: Tensor) -> Tensor:
    """[u, 1 - |u|^2 / 2, 1]"""
    return torch.cat([vectors, 1.0 - _half_squares(vectors), torch.ones_like(vectors[..., :1])], dim=-1)


def _near_items(vectors: Tensor) -> Tensor:
    """[v, 1, -|v|^2 / 2]"""
    return torch.cat([torch.nn.functional.pad(vectors, (0, 1), value=1.0), -_half_squares(vectors)], dim=-1)


def _half_squares(vectors: Tensor) -> Tensor:
    return 0.5 * vectors.square().sum(-1, keepdim=True)


# euclidean is 1 - |u - v|^2 / 2, with vectors kept in the unit ball as CML has them: the cosine where both have length 1. So
# |u - v|^2 is 2 - 2 score, for cosines too, and a loss of distances need not know which of the two it gets. SSM (Wu et al.,
# arXiv 2201.02327, its authors' program) trains on cosines and ranks by inner products: lengths, in LightGCN, follow degrees.
SCORES: dict[ScoreName, Score] = {
    "cosine": Score(unit, unit),
    "cosine_in_training": Score(unit, unit, ranks_raw=True),
    "inner_product": Score(_as_they_are, _as_they_are),
    "euclidean": Score(_near_users, _near_items, max_norm=1.0),
}
