"""What every loss is: a formula over one batch of scores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass as plain_dataclass
from typing import TYPE_CHECKING, ClassVar

from trainers.scores import ScoreName

if TYPE_CHECKING:
    from torch import Tensor

NotWith = Mapping[ScoreName, str]


@plain_dataclass(frozen=True)
class Scores:
    """Scores of one batch: B positives, each with N negatives of its own.

    Attributes:
        positive: s_ui, (B,).
        negative: s_uj, (B, N).
        users: user ids, (B,); losses that pool over a user need them.
        items: ids of the positive items, (B,).
        n_items: how many items there are, for losses that estimate a rank among them; 0 where nobody asks.
        threshold: of each row's user, (B,), for the losses of `trainers.losses.thresholds`; None counts as 0.
    """

    positive: Tensor
    negative: Tensor
    users: Tensor
    items: Tensor
    n_items: int = 0
    threshold: Tensor | None = None


class Loss(ABC):
    """`loss(scores)` is a scalar: the mean over the batch, or the sum if `summed` (as in the paper).

    Adam takes no notice of a factor, but for its epsilon and beside l2.

    Attributes:
        name: as in `LOSSES` and in files.
        summed: whether a batch's loss is the sum over its rows, not their mean.
        not_with: the scores that the loss does not go with, each with the reason why.
    """

    name: str
    summed: ClassVar[bool] = False
    not_with: ClassVar[NotWith] = {}

    def __call__(self, scores: Scores) -> Tensor:
        return self.reduce(self.rows(scores))

    @abstractmethod
    def rows(self, scores: Scores) -> Tensor:
        """The loss of each row, (B,)."""

    def reduce(self, rows: Tensor) -> Tensor:
        """The batch's loss from that of its rows."""
        return rows.sum() if self.summed else rows.mean()

    def penalty(self, vectors: Callable[[], tuple[Tensor, Tensor]]) -> Tensor | None:
        """What is added to a batch's loss, of all vectors (n_users, dim) and (n_items, dim) as the score takes them, which are
        asked for only where they are needed."""
        return None


def squared_distances(scores: Tensor) -> Tensor:
    """|u - v|^2 of scores that are cosines or euclidean, see `trainers.scores`; below 0 for a cosine above 1 (dropout)."""
    return 2.0 - 2.0 * scores
