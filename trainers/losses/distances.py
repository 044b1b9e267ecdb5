"""Losses of distances d: contrastive, triplet, and CML. With cosine scores, d is the distance of the unit vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic.dataclasses import dataclass

from trainers.late import torch
from trainers.losses.base import Loss, NotWith, Scores, squared_distances
from trainers.validation import SETTINGS, NonNegative, Positive, Switch

if TYPE_CHECKING:
    from torch import Tensor

SMALLEST = 1e-12  # smaller squared distances have no gradient: that of the square root is infinite at 0

NOT_WITH: NotWith = {"inner_product": "it is a loss of distances, which inner products do not give"}


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class Contrastive(Loss):
    """Contrastive loss (Hadsell et al., CVPR 2006): d_ui^2 + mean_j ([margin - d_uj]+)^2."""

    name: Literal["contrastive"] = "contrastive"
    not_with = NOT_WITH
    margin: Positive = 1.0

    def rows(self, scores: Scores) -> Tensor:
        distances = squared_distances(scores.negative).clamp(min=SMALLEST).sqrt()
        gaps = torch.relu(self.margin - distances)
        return squared_distances(scores.positive) + gaps.square().mean(1)


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class Triplet(Loss):
    """Triplet loss (FaceNet, Schroff et al., CVPR 2015): mean_j [d_ui^2 - d_uj^2 + margin]+."""

    name: Literal["triplet"] = "triplet"
    not_with = NOT_WITH
    margin: Positive = 1.0

    def rows(self, scores: Scores) -> Tensor:
        positive, negative = squared_distances(scores.positive), squared_distances(scores.negative)
        return torch.relu(positive[:, None] - negative + self.margin).mean(1)


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class CML(Loss):
    """Collaborative Metric Learning (Hsieh et al., WWW 2017), summed over the batch:

        w_ui * [margin + d_ui^2 - min_j d_uj^2]+,   w_ui = log(1 + n_items * share of j with margin + d_ui^2 - d_uj^2 > 0)

    Without `rank_weight`, w_ui = 1, as in 2-stage sampling (Tran et al., SIGIR 2019, arXiv 1909.10912). The covariance C over
    the n vectors of all users and items gives a regulariser, which is added to each batch, times `covariance_weight`. Its form
    is `covariance`:

        paper     (|C| - |diag C|^2) / n, Frobenius and Euclidean norms
        program   the sum of the entries off the diagonal, with their signs, as in the authors' program
    """

    name: Literal["cml"] = "cml"
    not_with = NOT_WITH
    summed: ClassVar[bool] = True
    margin: Positive = 1.0
    rank_weight: Switch = True
    covariance_weight: NonNegative = 0.0
    covariance: Literal["paper", "program"] = "program"

    def rows(self, scores: Scores) -> Tensor:
        positive, negative = squared_distances(scores.positive), squared_distances(scores.negative)
        gaps = self.margin + positive[:, None] - negative
        nearest = torch.relu(gaps.amax(1))
        if not self.rank_weight:
            return nearest
        if scores.n_items < 1:
            raise ValueError("cml's rank weight needs to know how many items there are: give Scores its n_items")
        rank = scores.n_items * (gaps > 0).to(gaps.dtype).mean(1)
        return torch.log1p(rank) * nearest

    def penalty(self, vectors: Callable[[], tuple[Tensor, Tensor]]) -> Tensor | None:
        if self.covariance_weight == 0.0:
            return None
        both = torch.cat(vectors())
        centred = both - both.mean(0)
        covariance = centred.T @ centred / len(both)
        if self.covariance == "paper":
            spread: Tensor = (torch.linalg.norm(covariance) - covariance.diagonal().square().sum()) / len(both)
        else:
            spread = covariance.sum() - covariance.diagonal().sum()
        return spread * self.covariance_weight
