"""The classic losses that the MML and SimpleX papers compare with, as in SimpleX's code."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic.dataclasses import dataclass

from trainers.late import torch
from trainers.losses.base import Loss, Scores
from trainers.losses.softmax import softmax_rows
from trainers.validation import SETTINGS, Positive

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class BPR(Loss):
    """Bayesian Personalised Ranking (Rendle et al., UAI 2009): mean_j -log sigmoid(s_ui - s_uj)."""

    name: Literal["bpr"] = "bpr"

    def rows(self, scores: Scores) -> Tensor:
        return torch.nn.functional.softplus(scores.negative - scores.positive[:, None]).mean(1)


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class Hinge(Loss):
    """Pairwise hinge: mean_j [margin + s_uj - s_ui]+."""

    name: Literal["hinge"] = "hinge"
    margin: Positive = 1.0

    def rows(self, scores: Scores) -> Tensor:
        return torch.relu(self.margin + scores.negative - scores.positive[:, None]).mean(1)


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class SoftmaxCE(Loss):
    """Softmax cross-entropy without a temperature: -log(exp(s_ui) / (exp(s_ui) + sum_j exp(s_uj)))."""

    name: Literal["softmax_ce"] = "softmax_ce"

    def rows(self, scores: Scores) -> Tensor:
        return softmax_rows(scores, 1.0)


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class MSE(Loss):
    """Squared error to 1 and 0: (s_ui - 1)^2 / 2 + sum_j s_uj^2 / 2."""

    name: Literal["mse"] = "mse"

    def rows(self, scores: Scores) -> Tensor:
        return 0.5 * (scores.positive - 1.0).square() + 0.5 * scores.negative.square().sum(1)


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class BCE(Loss):
    """Binary cross-entropy of sigmoid(s), summed over negatives and batch: -log sigmoid(s_ui) - sum_j log sigmoid(-s_uj)."""

    name: Literal["bce"] = "bce"
    summed: ClassVar[bool] = True

    def rows(self, scores: Scores) -> Tensor:
        return torch.nn.functional.softplus(-scores.positive) + torch.nn.functional.softplus(scores.negative).sum(1)
