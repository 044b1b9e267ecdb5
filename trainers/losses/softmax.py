"""Softmax losses with a temperature: SL, BSL and PSL, InfoNCE and SSM."""

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
    """Bilateral Softmax Loss (Wu et al., ICDE 2024, arXiv 2312.12882), as in its authors' program or in the paper.

    t = temperature. The exponent multiplies the negative term; the paper has a second temperature p for the positive instead:

        reweight   -s_ui / t + exponent * log sum_j exp(s_uj / t)
        multi      as reweight, with the positive pooled over the batch rows of the same user
                   (log-mean-exp of s_ui / t) and the mean in place of the sum over j
        single     -s_ui / t + log mean_j exp(s_uj / t), no exponent
        paper      -s_ui / p + t / p * log sum_j exp(s_uj / t), no exponent, p = positive_temperature; this is t / p times SL,
                   and a factor has no effect with Adam, except through its epsilon and relative to l2
    """

    name: Literal["bsl"] = "bsl"
    not_with = NOT_WITH
    temperature: Positive
    exponent: Positive = 1.0
    mode: Literal["multi", "reweight", "single", "paper"] = "reweight"
    positive_temperature: Positive | None = None

    @model_validator(mode="after")
    def _check(self) -> BSL:
        if self.mode in ("single", "paper") and self.exponent != 1.0:
            raise ValueError(f"mode {self.mode} has no exponent, got {self.exponent}; leave exponent out or use mode reweight")
        if (self.mode == "paper") != (self.positive_temperature is not None):
            raise ValueError(
                f"mode paper and positive_temperature go together, got mode {self.mode} and {self.positive_temperature}; give "
                "both or neither"
            )
        return self

    @property
    def scale(self) -> float:
        """The factor of the whole loss in mode paper; else 1."""
        return 1.0 if self.positive_temperature is None else self.temperature / self.positive_temperature

    def rows(self, scores: Scores) -> Tensor:
        positive = scores.positive / self.temperature
        negative = torch.logsumexp(scores.negative / self.temperature, dim=1)
        if self.mode == "paper":
            return self.scale * (negative - positive)
        if self.mode != "reweight":
            negative = negative - math.log(scores.negative.shape[1])
        if self.mode == "multi":
            positive = _pool_by_user(positive, scores.users)
        return self.exponent * negative - positive


def _pool_by_user(values: Tensor, users: Tensor) -> Tensor:
    """Log-mean-exp of values (B,) over the rows of the same user, for every row, (B,)."""
    same = users[:, None] == users[None, :]
    pooled = torch.logsumexp(values[None, :].expand_as(same).masked_fill(~same, -torch.inf), dim=1)
    return pooled - same.sum(1).to(values.dtype).log()


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class SL(Loss):
    """Softmax Loss as defined by BSL's authors (arXiv 2312.12882): -s_ui / t + log sum_j exp(s_uj / t), t = temperature.

    The positive is not in the denominator. It equals BSL in mode reweight with exponent 1.
    """

    name: Literal["sl"] = "sl"
    not_with = NOT_WITH
    temperature: Positive

    def rows(self, scores: Scores) -> Tensor:
        return torch.logsumexp(scores.negative / self.temperature, dim=1) - scores.positive / self.temperature


SMALLEST_BASE = 0.05  # smallest base 1 + activation(d) of PSL, which is 0 at d = -1 (relu) and -1.557 (atan)


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class PSL(Loss):
    """Pairwise Softmax Loss (Yang et al., NeurIPS 2024, arXiv 2411.00163): log sum_j (1 + activation(d_j))^(1 / t).

    d_j = (s_uj - s_ui) / 2 and t = temperature. With exp(d) instead of 1 + activation(d) it would be SL with temperature 2 t.
    The paper defines relu as relu(d + 1) instead of 1 + activation(d). With relu and atan, 1 + activation(d) is at least
    SMALLEST_BASE: with relu, a negative with a score 1.9 or more below the positive's has no gradient.
    """

    name: Literal["psl"] = "psl"
    not_with = NOT_WITH
    temperature: Positive
    activation: Literal["tanh", "relu", "atan"] = "tanh"

    def rows(self, scores: Scores) -> Tensor:
        gap = 0.5 * (scores.negative - scores.positive[:, None])
        if self.activation == "tanh":  # log(1 + tanh(d)) = log 2 + log sigmoid(2 d), finite for any d
            log_base = math.log(2.0) + torch.nn.functional.logsigmoid(2.0 * gap)
        else:
            log_base = (1.0 + (gap if self.activation == "relu" else torch.atan(gap))).clamp(min=SMALLEST_BASE).log()
        return torch.logsumexp(log_base / self.temperature, dim=1)


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
    """Cross-entropy of the positive in a softmax over it and its negatives, (B,)."""
    both = torch.cat([scores.positive[:, None], scores.negative], dim=1) / temperature
    return torch.logsumexp(both, dim=1) - both[:, 0]
