"""Margins on cosines: MML, and CCL, which is MML with one margin."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from trainers.late import torch
from trainers.losses.base import Loss, NotWith, Scores
from trainers.text import shown
from trainers.validation import SETTINGS, NonNegative, Real

if TYPE_CHECKING:
    from torch import Tensor

Floats = Annotated[tuple[Real, ...], Field(min_length=1)]

SUM_TOLERANCE = 1e-6

NOT_WITH: NotWith = {"euclidean": "its margins are cosines, which distances do not give"}


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class MML(Loss):
    """Multi-Margin Loss (Ozsoy, arXiv 2405.04614) on cosine scores. Its eq. 7 was not available: this formula follows the
    paper's text and settings. It reproduces the paper's rows within 1 % (benchmarks/RESULTS.md).

        positive_weight * [1 - s_ui]+  +  negative_weight / N * sum_j sum_k weights_k * [s_uj - margins_k]+

    Margins are cumulative: a negative above several margins counts in each of their hinges.

    Raises:
        pydantic.ValidationError: the numbers of margins and weights differ, margins are not ascending in [0, 1), or weights are
            negative, descending or have another sum than 1.
    """

    name: Literal["mml"] = "mml"
    not_with = NOT_WITH
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
            raise ValueError(f"margins must lie in [0, 1), got {shown(list(self.margins))}; a cosine never exceeds 1")
        if self.weights[0] < 0.0 or abs(math.fsum(self.weights) - 1.0) > SUM_TOLERANCE:
            raise ValueError(
                f"weights must be non-negative with sum 1, got {shown(list(self.weights))} with sum "
                f"{math.fsum(self.weights):.6g}; divide them by their sum"
            )
        return self

    def rows(self, scores: Scores) -> Tensor:
        positive = torch.relu(1.0 - scores.positive)
        hinges = [w * torch.relu(scores.negative - m) for m, w in zip(self.margins, self.weights, strict=True)]
        negative = torch.stack(hinges).sum(0).mean(1)
        return self.positive_weight * positive + self.negative_weight * negative


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class CCL(Loss):
    """Cosine Contrastive Loss (SimpleX, Mao et al., CIKM 2021): [1 - s_ui]+ + negative_weight / N * sum_j [s_uj - margin]+."""

    name: Literal["ccl"] = "ccl"
    not_with = NOT_WITH
    margin: Annotated[Real, Field(ge=0.0, lt=1.0)]
    negative_weight: NonNegative

    def rows(self, scores: Scores) -> Tensor:
        positive = torch.relu(1.0 - scores.positive)
        negative = torch.relu(scores.negative - self.margin).mean(1)
        return positive + self.negative_weight * negative


def _check_ascending(name: str, values: tuple[float, ...]) -> None:
    if any(b < a for a, b in itertools.pairwise(values)):
        raise ValueError(f"{name} must be in ascending order, got {shown(list(values))}; sort them")
