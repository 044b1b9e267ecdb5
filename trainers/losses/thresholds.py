"""Losses in which each user has a scalar, the threshold, that training keeps beside the vectors: SL@K, Talos and DrRL.

What these classes say of a threshold an engine does, see `trainers.engines.thresholds`.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from trainers.late import torch
from trainers.losses.base import Loss, NotWith, Scores
from trainers.losses.softmax import NOT_WITH
from trainers.validation import SETTINGS, Count, Positive, Real

if TYPE_CHECKING:
    from torch import Tensor


class ThresholdLoss(Loss):
    """A loss with a threshold per user. `rows` takes it as a constant: no gradient of the loss reaches it.

    After a step's loss the thresholds of the step's users move, by the scores of that step, which are constants then. `own` is
    (B, M): the scores of all items that the row's user has seen, minus infinity where they are fewer than M.

    Attributes:
        looks_at_own: whether thresholds depend on `own`; else it is (B, 0).
    """

    looks_at_own: ClassVar[bool] = False

    @property
    def start(self) -> float:
        """All thresholds before the first step."""
        return 0.0


class RenewedThreshold(ThresholdLoss):
    """Thresholds that are found anew in some epochs and stay as they are in others."""

    @abstractmethod
    def is_due(self, epoch: int) -> bool:
        """Whether they are found anew in this epoch, from 0."""

    @abstractmethod
    def renewed(self, scores: Scores, own: Tensor) -> Tensor:
        """The new threshold of each row's user, (B,). Of a user with several rows in a batch the first row's is taken."""


class LearnedThreshold(ThresholdLoss):
    """Thresholds that a step of gradient descent moves after each batch.

    Attributes:
        learns_by: Adam, or plain descent.
        threshold_rate: the rate, whatever the schedule.
    """

    learns_by: ClassVar[Literal["adam", "sgd"]]
    threshold_rate: float

    @abstractmethod
    def threshold_rows(self, scores: Scores, own: Tensor) -> Tensor:
        """What the thresholds `scores.threshold` (B,) descend: its sum over the rows, (B,)."""


def threshold_of(scores: Scores) -> Tensor:
    """The thresholds (B,); zeros where nobody keeps any."""
    return torch.zeros_like(scores.positive) if scores.threshold is None else scores.threshold


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class SLatK(RenewedThreshold):
    """SL@K (Yang et al., KDD 2025), as in its authors' program.

        sigmoid((s_ui - b_u) / weight_temperature) * log sum_j exp((s_uj - s_ui) / t)      t = temperature

    b_u is 0 at first. In every epoch whose number, from 1, is a multiple of `refresh` it becomes the `k`-th highest score of
    all items that u has seen and the row's negatives (the lowest where they are fewer). The weight has a gradient, too, which
    weakens the pull on the positive and may turn it around.
    """

    name: Literal["slatk"] = "slatk"
    not_with = NOT_WITH
    looks_at_own: ClassVar[bool] = True
    temperature: Positive
    weight_temperature: Positive = 1.0
    k: Count = 20
    refresh: Count = 5

    def rows(self, scores: Scores) -> Tensor:
        weight = torch.sigmoid((scores.positive - threshold_of(scores)) / self.weight_temperature)
        return weight * torch.logsumexp((scores.negative - scores.positive[:, None]) / self.temperature, dim=1)

    def is_due(self, epoch: int) -> bool:
        return (epoch + 1) % self.refresh == 0

    def renewed(self, scores: Scores, own: Tensor) -> Tensor:
        ranked = torch.cat([own, scores.negative], dim=1).sort(dim=1, descending=True).values
        last = torch.isfinite(ranked).sum(1).clamp(1, self.k) - 1
        return ranked.gather(1, last[:, None])[:, 0]


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class Talos(LearnedThreshold):
    """Talos (WWW 2026, arXiv 2601.19276), as in its authors' program.

        -log sigmoid(s_ui - b_u) / t + log sum_j sigmoid(s_uj - b_u)^(1 / t)      t = temperature

    b_u is to be the `k`-th highest score of all items, by quantile regression: Adam on

        1 / n_items * ( sum_{i seen by u} rho(s_ui - b_u) + (n_items - number seen by u) / N * sum_j rho(s_uj - b_u) )
        rho(x) = (1 - q) [x]+ + q [-x]+      q = k / n_items, at most 1
    """

    name: Literal["talos"] = "talos"
    not_with = NOT_WITH
    looks_at_own: ClassVar[bool] = True
    learns_by: ClassVar[Literal["adam", "sgd"]] = "adam"
    temperature: Positive
    k: Count = 20
    threshold_rate: Positive = 1e-3

    def rows(self, scores: Scores) -> Tensor:
        threshold = threshold_of(scores)
        positive = torch.nn.functional.logsigmoid(scores.positive - threshold)
        negative = torch.nn.functional.logsigmoid(scores.negative - threshold[:, None])
        return torch.logsumexp(negative / self.temperature, dim=1) - positive / self.temperature

    def threshold_rows(self, scores: Scores, own: Tensor) -> Tensor:
        threshold, level = threshold_of(scores)[:, None], 1.0 - min(1.0, self.k / scores.n_items)
        there = torch.isfinite(own)
        seen = torch.where(there, _pinball(torch.where(there, own, 0.0) - threshold, level), 0.0).sum(1)
        share = (scores.n_items - there.sum(1)) / scores.negative.shape[1]
        return (seen + share * _pinball(scores.negative - threshold, level).sum(1)) / scores.n_items


def _pinball(gap: Tensor, level: float) -> Tensor:
    """What the quantile of this level makes least, on average."""
    return level * torch.relu(gap) + (1.0 - level) * torch.relu(-gap)


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class DrRL(LearnedThreshold):
    """Distributionally robust loss by Renyi divergence (AAAI 2025, arXiv 2506.15120), as in its authors' program.

        [1 - s_ui]+ + ( mean_j (epsilon + negative_weight * [s_uj - m_u]+)^p )^(1 / p) + m_u      p = omega / (omega - 1)

    m_u is `margin` at first and descends the same formula; it has no lower end where negative_weight is 1 or less. With p = 1,
    which a large omega comes near, and m_u given, it is CCL up to a constant.
    """

    name: Literal["drrl"] = "drrl"
    not_with: ClassVar[NotWith] = {"euclidean": "its margins are cosines, which distances do not give"}
    learns_by: ClassVar[Literal["adam", "sgd"]] = "sgd"
    omega: Annotated[Real, Field(gt=1.0, le=1e6)]
    negative_weight: Positive
    epsilon: Positive = 0.1
    margin: Real = 0.7
    threshold_rate: Positive = 1e-3

    @property
    def start(self) -> float:
        return self.margin

    def rows(self, scores: Scores) -> Tensor:
        threshold, power = threshold_of(scores), self.omega / (self.omega - 1.0)
        heights = self.epsilon + self.negative_weight * torch.relu(scores.negative - threshold[:, None])
        # by logarithms, since a high power of a small height is no float32
        log_sum = torch.logsumexp(power * heights.log(), dim=1) - math.log(heights.shape[1])
        return torch.relu(1.0 - scores.positive) + torch.exp(log_sum / power) + threshold

    def threshold_rows(self, scores: Scores, own: Tensor) -> Tensor:
        return self.rows(scores)
