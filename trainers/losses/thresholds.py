"""Losses with a trained threshold per user, a scalar: SL@K, Talos and DrRL. MAWU, which has one per item, too, is in
`trainers.losses.uniformity`.

These classes define how a threshold changes. `trainers.engines.thresholds` stores and updates thresholds on the torch engine,
`trainers.engines.numba_engine.thresholds` those of SL@K, Talos and DrRL on the numba engine.
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
    """A loss with a threshold per user. In `rows` it is a constant: it gets no gradient from the loss.

    After a step's loss the thresholds of the step's users are updated. This update uses the scores of the step, as constants
    and without vectors, and perhaps `seen_scores` (B, M): the scores of all items that the row's user has seen, padded with
    minus infinity.

    Attributes:
        needs_seen_scores: whether the update uses `seen_scores`; else they are (B, 0).
    """

    needs_seen_scores: ClassVar[bool] = False

    @property
    def start(self) -> float:
        """The value of all thresholds before the first step."""
        return 0.0


class RenewedThreshold(ThresholdLoss):
    """Thresholds that are recomputed in some epochs and constant in others."""

    @abstractmethod
    def is_due(self, epoch: int) -> bool:
        """Whether thresholds are recomputed in this epoch (from 0)."""

    @abstractmethod
    def renewed(self, scores: Scores, seen_scores: Tensor) -> Tensor:
        """The new threshold of each row's user, (B,). If a user has several rows in a batch, the first one counts."""


class LearnedThreshold(ThresholdLoss):
    """Thresholds that gradient descent updates after each batch.

    Attributes:
        threshold_optimizer: Adam or plain gradient descent.
        threshold_rate: the learning rate of thresholds, without a schedule.
        threshold_limits: thresholds outside are moved to the nearest limit after each update.
        of_items: whether items have a threshold, too; that of a row is then the sum of its user's and its positive item's.
    """

    threshold_limits: ClassVar[tuple[float, float]] = (-math.inf, math.inf)
    of_items: ClassVar[bool] = False
    threshold_optimizer: ClassVar[Literal["adam", "sgd"]]
    threshold_rate: float

    @abstractmethod
    def threshold_rows(self, scores: Scores, seen_scores: Tensor) -> Tensor:
        """The objective of the thresholds `scores.threshold` (B,) for each row, (B,); its sum is minimised."""


def threshold_of(scores: Scores) -> Tensor:
    """The thresholds (B,); zeros if `scores` have none."""
    return torch.zeros_like(scores.positive) if scores.threshold is None else scores.threshold


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class SLatK(RenewedThreshold):
    """SL@K (Yang et al., KDD 2025), as in its authors' program.

        sigmoid((s_ui - b_u) / weight_temperature) * log sum_j exp((s_uj - s_ui) / t)      t = temperature

    b_u is 0 at first. In every epoch whose number (from 1) is a multiple of `refresh`, it becomes the `k`-th highest score of
    all items that u has seen and the row's negatives, or the lowest score if there are fewer. The weight has a gradient, too:
    it reduces the gradient that raises the positive's score, and may reverse it.
    """

    name: Literal["slatk"] = "slatk"
    title = "SL@K"
    not_with = NOT_WITH
    needs_seen_scores: ClassVar[bool] = True
    temperature: Positive
    weight_temperature: Positive = 1.0
    k: Count = 20
    refresh: Count = 5

    def rows(self, scores: Scores) -> Tensor:
        weight = torch.sigmoid((scores.positive - threshold_of(scores)) / self.weight_temperature)
        return weight * torch.logsumexp((scores.negative - scores.positive[:, None]) / self.temperature, dim=1)

    def is_due(self, epoch: int) -> bool:
        return (epoch + 1) % self.refresh == 0

    def renewed(self, scores: Scores, seen_scores: Tensor) -> Tensor:
        ranked = torch.cat([seen_scores, scores.negative], dim=1).sort(dim=1, descending=True).values
        rank = torch.isfinite(ranked).sum(1).clamp(1, self.k) - 1
        return ranked.gather(1, rank[:, None])[:, 0]


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class Talos(LearnedThreshold):
    """Talos (WWW 2026, arXiv 2601.19276), as in its authors' program.

        -log sigmoid(s_ui - b_u) / t + log sum_j sigmoid(s_uj - b_u)^(1 / t)      t = temperature

    b_u estimates the `k`-th highest score of all items by quantile regression: Adam minimises

        1 / n_items * ( sum_{i seen by u} rho(s_ui - b_u) + (n_items - number seen by u) / N * sum_j rho(s_uj - b_u) )
        rho(x) = (1 - q) [x]+ + q [-x]+      q = k / n_items, at most 1
    """

    name: Literal["talos"] = "talos"
    not_with = NOT_WITH
    needs_seen_scores: ClassVar[bool] = True
    threshold_optimizer: ClassVar[Literal["adam", "sgd"]] = "adam"
    temperature: Positive
    k: Count = 20
    threshold_rate: Positive = 1e-3

    def rows(self, scores: Scores) -> Tensor:
        threshold = threshold_of(scores)
        positive = torch.nn.functional.logsigmoid(scores.positive - threshold)
        negative = torch.nn.functional.logsigmoid(scores.negative - threshold[:, None])
        return torch.logsumexp(negative / self.temperature, dim=1) - positive / self.temperature

    def threshold_rows(self, scores: Scores, seen_scores: Tensor) -> Tensor:
        if scores.n_items < 1:
            raise ValueError("talos needs to know how many items there are: give Scores its n_items")
        threshold, level = threshold_of(scores)[:, None], 1.0 - min(1.0, self.k / scores.n_items)
        mask = torch.isfinite(seen_scores)
        seen = torch.where(mask, _pinball(torch.where(mask, seen_scores, 0.0) - threshold, level), 0.0).sum(1)
        share = (scores.n_items - mask.sum(1)) / scores.negative.shape[1]
        return (seen + share * _pinball(scores.negative - threshold, level).sum(1)) / scores.n_items


def _pinball(gap: Tensor, level: float) -> Tensor:
    """The pinball loss: the quantile of this level minimises its mean."""
    return level * torch.relu(gap) + (1.0 - level) * torch.relu(-gap)


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class DrRL(LearnedThreshold):
    """Distributionally robust loss by Renyi divergence (AAAI 2025, arXiv 2506.15120), as in its authors' program.

        [1 - s_ui]+ + ( mean_j (epsilon + negative_weight * [s_uj - m_u]+)^p )^(1 / p) + m_u      p = omega / (omega - 1)

    m_u is `margin` at first, and gradient descent minimises the same formula. m_u has no lower bound if negative_weight is 1 or
    less. A large omega gives p near 1; with p = 1 and a constant m_u it is CCL up to a constant.
    """

    name: Literal["drrl"] = "drrl"
    not_with: ClassVar[NotWith] = {"euclidean": "its margins are cosines, which distances do not give"}
    threshold_optimizer: ClassVar[Literal["adam", "sgd"]] = "sgd"
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
        costs = self.epsilon + self.negative_weight * torch.relu(scores.negative - threshold[:, None])
        # by logarithms, since a high power of a small cost underflows in float32; of costs divided by the highest one, since
        # the rounding of a large logarithm would distort the gradient
        logs = costs.log()
        highest = logs.amax(1, keepdim=True).detach()
        log_sum = torch.logsumexp(power * (logs - highest), dim=1) - math.log(costs.shape[1])
        return torch.relu(1.0 - scores.positive) + torch.exp(highest[:, 0] + log_sum / power) + threshold

    def threshold_rows(self, scores: Scores, seen_scores: Tensor) -> Tensor:
        return self.rows(scores)
