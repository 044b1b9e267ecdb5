"""Softmax losses with a temperature: SL and BSL, InfoNCE and SSM."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import model_validator
from pydantic.dataclasses import dataclass

from trainers.late import torch
from trainers.losses.base import Loss, NotWith, Scores
from trainers.validation import SETTINGS, Positive

if TYPE_CHECKING:
    from torch import Tensor

NOT_WITH: NotWith = {
    "euclidean": "its temperature is for cosines or inner products, not for distances (loss softmax_ce has none)"
}


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class BSL(Loss):
    """Bilateral Softmax Loss (Wu et al., ICDE 2024, arXiv 2312.12882), as in its authors' program.

    With t = temperature, the exponent multiplies the negative term (in the paper it is a second temperature):

        reweight   -s_ui / t + exponent * log sum_j exp(s_uj / t)
        multi      as reweight, with the positive pooled over the batch rows of the same user
                   (log-mean-exp of s_ui / t) and the mean in place of the sum over j
        single     -s_ui / t + log mean_j exp(s_uj / t), no exponent
    """

    name: Literal["bsl"] = "bsl"
    not_with = NOT_WITH
    temperature: Positive
    exponent: Positive = 1.0
    mode: Literal["multi", "reweight", "single"] = "reweight"

    @model_validator(mode="after")
    def _check(self) -> BSL:
        if self.mode == "single" and self.exponent != 1.0:
            raise ValueError(f"mode single has no exponent, got {self.exponent}; leave exponent out or use mode reweight")
        return self

    def rows(self, scores: Scores) -> Tensor:
        positive = scores.positive / self.temperature
        negative = torch.logsumexp(scores.negative / self.temperature, dim=1)
        if self.mode != "reweight":
            negative = negative - math.log(scores.negative.shape[1])
        if self.mode == "multi":
            positive = _pool_by_user(positive, scores.users)
        return self.exponent * negative - positive


def _pool_by_user(values: Tensor, users: Tensor) -> Tensor:
    """Log-mean-exp of values (B,) over the rows that share a user, for every row."""
    same = users[:, None] == users[None, :]
    pooled = torch.logsumexp(values[None, :].expand_as(same).masked_fill(~same, -torch.inf), dim=1)
    return pooled - same.sum(1).to(values.dtype).log()


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class SL(Loss):
    """Softmax Loss as BSL's authors have it (arXiv 2312.12882): -s_ui / t + log sum_j exp(s_uj / t), t = temperature.

    The positive is not in the denominator; BSL with exponent 1 in mode reweight.
    """

    name: Literal["sl"] = "sl"
    not_with = NOT_WITH
    temperature: Positive

    def rows(self, scores: Scores) -> Tensor:
        return torch.logsumexp(scores.negative / self.temperature, dim=1) - scores.positive / self.temperature


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class InfoNCE(Loss):
    """-log(exp(s_ui / t) / (exp(s_ui / t) + sum_j exp(s_uj / t))), t = temperature (van den Oord et al., arXiv 1807.03748)."""

    name: Literal["infonce"] = "infonce"
    not_with = NOT_WITH
    temperature: Positive

    def rows(self, scores: Scores) -> Tensor:
        return softmax_rows(scores, self.temperature)


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class SSM(Loss):
    """Sampled Softmax (Wu et al., arXiv 2201.02327): InfoNCE's row, summed over the batch.

    Its authors train it on in-batch negatives with LightGCN.
    """

    name: Literal["ssm"] = "ssm"
    not_with = NOT_WITH
    summed: ClassVar[bool] = True
    temperature: Positive

    def rows(self, scores: Scores) -> Tensor:
        return softmax_rows(scores, self.temperature)


def softmax_rows(scores: Scores, temperature: float) -> Tensor:
    """Cross-entropy of the positive among itself and its negatives, (B,)."""
    both = torch.cat([scores.positive[:, None], scores.negative], dim=1) / temperature
    return torch.logsumexp(both, dim=1) - both[:, 0]
