"""The losses, as formulas over one batch of scores. The torch form here is the definition; fused engines must agree with it.

Each loss is a frozen dataclass whose fields are its hyper-parameters. `loss(scores)` returns a scalar, the mean over the
batch. To add one: a class here, a line in `LOSSES`, a space in `search_spaces.spaces`, a case in tests/trainers/test_losses.py.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass as plain_dataclass
from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass
from torch import Tensor

from trainers.validation import SETTINGS, NonNegative, Positive, Real

Floats = Annotated[tuple[Real, ...], Field(min_length=1)]

SUM_TOLERANCE = 1e-6


@plain_dataclass(frozen=True)
class Scores:
    """Scores of one batch: B positives, each with N negatives of its own.

    Attributes:
        positive: s_ui, (B,).
        negative: s_uj, (B, N).
        users: user ids, (B,); losses that pool over a user need them.
        items: ids of the positive items, (B,).
    """

    positive: Tensor
    negative: Tensor
    users: Tensor
    items: Tensor


class Loss(ABC):
    """`loss(scores)` is the batch mean of the loss, a scalar tensor."""

    name: str

    @abstractmethod
    def __call__(self, scores: Scores) -> Tensor: ...


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class MML(Loss):
    """Multi-Margin Loss (Ozsoy, arXiv 2405.04614, eq. 7) on cosine scores.

        positive_weight * [1 - s_ui]+  +  negative_weight / N * sum_j sum_k weights_k * [s_uj - margins_k]+

    Margins are cumulative: a negative above several margins counts in each of their hinges.

    Raises:
        pydantic.ValidationError: unless 0 <= margins ascending < 1 and 0 <= weights non-decreasing with sum 1, as many.
    """

    name: Literal["mml"] = "mml"
    margins: Floats
    weights: Floats
    positive_weight: NonNegative = 1.0
    negative_weight: NonNegative

    @model_validator(mode="after")
    def _check(self) -> MML:
        if len(self.margins) != len(self.weights):
            raise ValueError(
                f"margins and weights must be as many, got {len(self.margins)} margins and {len(self.weights)} weights"
            )
        _check_ascending("margins", self.margins)
        _check_ascending("weights", self.weights)
        if not 0.0 <= self.margins[0] <= self.margins[-1] < 1.0:
            raise ValueError(f"margins must lie in [0, 1), got {list(self.margins)}; a cosine never exceeds 1")
        if self.weights[0] < 0.0 or abs(math.fsum(self.weights) - 1.0) > SUM_TOLERANCE:
            raise ValueError(
                f"weights must be non-negative with sum 1, got {list(self.weights)} with sum {math.fsum(self.weights):.6g}; "
                "divide them by their sum"
            )
        return self

    def __call__(self, scores: Scores) -> Tensor:
        positive = torch.relu(1.0 - scores.positive)
        hinges = [w * torch.relu(scores.negative - m) for m, w in zip(self.margins, self.weights, strict=True)]
        negative = torch.stack(hinges).sum(0).mean(1)
        return (self.positive_weight * positive + self.negative_weight * negative).mean()


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class CCL(Loss):
    """Cosine Contrastive Loss (SimpleX, Mao et al., CIKM 2021): [1 - s_ui]+ + negative_weight / N * sum_j [s_uj - margin]+."""

    name: Literal["ccl"] = "ccl"
    margin: Annotated[Real, Field(ge=0.0, lt=1.0)]
    negative_weight: NonNegative

    def __call__(self, scores: Scores) -> Tensor:
        positive = torch.relu(1.0 - scores.positive)
        negative = torch.relu(scores.negative - self.margin).mean(1)
        return (positive + self.negative_weight * negative).mean()


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
    temperature: Positive
    exponent: Positive = 1.0
    mode: Literal["multi", "reweight", "single"] = "reweight"

    @model_validator(mode="after")
    def _check(self) -> BSL:
        if self.mode == "single" and self.exponent != 1.0:
            raise ValueError(f"mode single has no exponent, got {self.exponent}; leave exponent out or use mode reweight")
        return self

    def __call__(self, scores: Scores) -> Tensor:
        positive = scores.positive / self.temperature
        negative = torch.logsumexp(scores.negative / self.temperature, dim=1)
        if self.mode != "reweight":
            negative = negative - math.log(scores.negative.shape[1])
        if self.mode == "multi":
            positive = _pool_by_user(positive, scores.users)
        return (self.exponent * negative - positive).mean()


def _pool_by_user(values: Tensor, users: Tensor) -> Tensor:
    """Log-mean-exp of values (B,) over the rows that share a user, for every row."""
    same = users[:, None] == users[None, :]
    pooled = torch.logsumexp(values[None, :].expand_as(same).masked_fill(~same, -torch.inf), dim=1)
    return pooled - same.sum(1).to(values.dtype).log()


def _check_ascending(name: str, values: tuple[float, ...]) -> None:
    if any(b < a for a, b in itertools.pairwise(values)):
        raise ValueError(f"{name} must be in ascending order, got {list(values)}; sort them")


LOSSES: dict[str, type[Loss]] = {"mml": MML, "ccl": CCL, "bsl": BSL}
