"""Score functions, expressed as inner products of transformed embeddings.

Sampling, losses, evaluation and export therefore only use inner products. To add a score, add a line to `SCORES`.
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
    """Maps the encoder's vectors (..., d) to vectors (..., d') whose inner product is the score.

    Attributes:
        users, items: the mappings of users and of items.
        max_norm: longer rows are scaled down to this length before training, and after each step that updates them.
        ranks_raw: whether ranking uses the encoder's vectors unchanged, although training transforms them.
    """

    users: Callable[[Tensor], Tensor]
    items: Callable[[Tensor], Tensor]
    max_norm: float = math.inf
    ranks_raw: bool = False

    def ranking(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """The vectors for ranking, from the encoder's vectors."""
        return (users, items) if self.ranks_raw else (self.users(users), self.items(items))

    def training(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """The vectors for training, from the vectors for ranking."""
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


# euclidean is 1 - |u - v|^2 / 2. A step scales the vectors with a gradient into the unit ball (CML: all vectors). The score is
# the cosine if both have length 1. So |u - v|^2 is 2 - 2 score for both, and losses on distances work with either. SSM (Wu et
# al., arXiv 2201.02327, and the authors' program) trains on cosines and ranks by inner products: in LightGCN the lengths
# reflect degrees.
SCORES: dict[ScoreName, Score] = {
    "cosine": Score(unit, unit),
    "cosine_in_training": Score(unit, unit, ranks_raw=True),
    "inner_product": Score(_as_they_are, _as_they_are),
    "euclidean": Score(_near_users, _near_items, max_norm=1.0),
}
