"""What every loss is: a formula over one batch of scores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass as plain_dataclass
from typing import ClassVar

from torch import Tensor


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
    """`loss(scores)` is the mean of the batch's rows, a scalar tensor; their sum where `summed` (a paper trains so).

    Adam takes no notice of a factor, but for its epsilon and beside l2.
    """

    name: str
    summed: ClassVar[bool] = False

    def __call__(self, scores: Scores) -> Tensor:
        return self.reduce(self.rows(scores))

    @abstractmethod
    def rows(self, scores: Scores) -> Tensor:
        """The loss of each row, (B,)."""

    def reduce(self, rows: Tensor) -> Tensor:
        """The batch's loss from that of its rows."""
        return rows.sum() if self.summed else rows.mean()


def squared_distances(cosines: Tensor) -> Tensor:
    """|u - v|^2 = 2 - 2 u.v of unit vectors; below 0 where a scaled vector (dropout) has a cosine above 1."""
    return 2.0 - 2.0 * cosines
