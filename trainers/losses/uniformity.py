"""Losses without negatives: positives are aligned, and the vectors of a batch are spread over the sphere."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic.dataclasses import dataclass

from trainers.late import torch
from trainers.losses.base import Loss, NotWith, Scores, squared_distances
from trainers.losses.thresholds import LearnedThreshold, threshold_of
from trainers.validation import SETTINGS, NonNegative, Positive

if TYPE_CHECKING:
    from torch import Tensor

NEAREST = 1e-7  # cosines nearer to 1 or -1 have no gradient: that of the angle is infinite there

NOT_WITH: NotWith = dict.fromkeys(("inner_product", "euclidean"), "it spreads unit vectors over the sphere")


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class DirectAU(Loss):
    """Alignment and uniformity (Wang et al., KDD 2022), as in its authors' program:

    |u - i|^2 + gamma * (uniformity of the users + uniformity of the items) / 2

    The uniformity of a batch is added to each of its rows; see `uniformity`.
    """

    name: Literal["directau"] = "directau"
    not_with = NOT_WITH
    needs_negatives: ClassVar[bool] = False
    gamma: NonNegative

    def rows(self, scores: Scores) -> Tensor:
        users, items = uniformities(scores)
        return squared_distances(scores.positive) + self.gamma * (users + items) / 2.0


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class MAWU(LearnedThreshold):
    """Margin-aware alignment and weighted uniformity (Park et al., CIKM 2023, arXiv 2308.06091):

        -cos(min(pi, arccos(s_ui) + 1 - sigmoid(m_u + m_i))) + gamma_user * uniformity of the users
                                                             + gamma_item * uniformity of the items

    m_u and m_i are the thresholds of users and items. They start at 0, Adam minimises the same formula, and they stay in
    [0, 1]. The uniformity is that of the paper, see `uniformity`. The mean in its authors' program is over all entries of a
    matrix (B, B) of which half are the constant exp(-4), so that the same weights act about half as much.
    """

    name: Literal["mawu"] = "mawu"
    not_with = NOT_WITH
    needs_negatives: ClassVar[bool] = False
    threshold_optimizer: ClassVar[Literal["adam", "sgd"]] = "adam"
    threshold_limits: ClassVar[tuple[float, float]] = (0.0, 1.0)
    of_items: ClassVar[bool] = True
    gamma_user: NonNegative
    gamma_item: NonNegative
    threshold_rate: Positive = 1e-3

    def rows(self, scores: Scores) -> Tensor:
        users, items = uniformities(scores)
        return self._alignment(scores) + self.gamma_user * users + self.gamma_item * items

    def threshold_rows(self, scores: Scores, seen_scores: Tensor) -> Tensor:
        return self._alignment(scores)  # uniformity does not depend on thresholds

    def _alignment(self, scores: Scores) -> Tensor:
        angles = torch.arccos(scores.positive.clamp(-1.0 + NEAREST, 1.0 - NEAREST))
        margins = 1.0 - torch.sigmoid(threshold_of(scores))
        return -torch.cos((angles + margins).clamp(max=math.pi))


def uniformities(scores: Scores) -> tuple[Tensor, Tensor]:
    """The uniformity of the users and that of the positive items in a batch; those in several rows count several times.

    Raises:
        ValueError: `scores` have no vectors.
    """
    if scores.user_vectors is None or scores.item_vectors is None:
        raise ValueError("a uniformity needs the vectors of the batch: give Scores its user_vectors and item_vectors")
    return uniformity(scores.user_vectors), uniformity(scores.item_vectors)


def uniformity(vectors: Tensor) -> Tensor:
    """log of the mean of exp(-2 |x - y|^2) over all pairs of two rows of unit vectors (B, d), B at least 2.

    Equal vectors in two rows are a pair, too.
    """
    from trainers.negatives.static import off_diagonal  # these load torch, which takes a second and settings do not need
    from trainers.threads import inner_products

    exponents = -2.0 * squared_distances(off_diagonal(inner_products(vectors, vectors)))
    by_row = torch.logsumexp(exponents, dim=1)  # a sum over all pairs at once depends on the number of threads
    return torch.logsumexp(by_row, dim=0) - math.log(exponents.numel())
