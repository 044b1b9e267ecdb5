"""Base class of losses: formulas over one batch of scores."""

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
    """Scores of one batch: B positives with N negatives each.

    Attributes:
        positive: s_ui, (B,).
        negative: s_uj, (B, N).
        users: user ids, (B,); losses that pool over a user need them.
        items: ids of the positive items, (B,).
        n_items: number of items in the catalogue, for losses that estimate a rank; 0 if it is not known.
        threshold: the threshold of each row, (B,), for the losses of `trainers.losses.thresholds`; None counts as 0.
        user_vectors, item_vectors: the vectors of the users and of the positive items, (B, d); their inner products are
            `positive`. Only the torch engine has them; None if they are not known.
    """

    positive: Tensor
    negative: Tensor
    users: Tensor
    items: Tensor
    n_items: int = 0
    threshold: Tensor | None = None
    user_vectors: Tensor | None = None
    item_vectors: Tensor | None = None


class Loss(ABC):
    """`loss(scores)` is a scalar: the mean over the batch, or the sum if `summed` (as in the paper).

    A constant factor of the loss has no effect with Adam, except through its epsilon and relative to l2.

    Attributes:
        name: its key in `LOSSES` and in files.
        title: its name in reports; the class's name if empty.
        summed: whether a batch's loss is the sum over its rows instead of the mean.
        not_with: the scores that the loss cannot be used with, each with the reason.
        needs_negatives: whether the loss uses negatives. If not, none are drawn: N is 0, whatever a config says.
    """

    name: str
    title: ClassVar[str] = ""
    summed: ClassVar[bool] = False
    not_with: ClassVar[NotWith] = {}
    needs_negatives: ClassVar[bool] = True

    def __call__(self, scores: Scores) -> Tensor:
        return self.reduce(self.rows(scores))

    @classmethod
    def titled(cls) -> str:
        """The name of the loss in reports."""
        return cls.title or cls.__name__

    @abstractmethod
    def rows(self, scores: Scores) -> Tensor:
        """The loss of each row, (B,)."""

    def reduce(self, rows: Tensor) -> Tensor:
        """The batch's loss from the losses of its rows (B,)."""
        return rows.sum() if self.summed else rows.mean()

    def penalty(self, vectors: Callable[[], tuple[Tensor, Tensor]]) -> Tensor | None:
        """A regulariser that is added to a batch's loss; None for no regulariser.

        Args:
            vectors: returns the vectors of all users (n_users, dim) and items (n_items, dim) after the score's mapping. Call
                it only if they are needed.
        """
        return None


def squared_distances(scores: Tensor) -> Tensor:
    """|u - v|^2 for scores cosine or euclidean, see `trainers.scores`; negative for a cosine above 1 (dropout)."""
    return 2.0 - 2.0 * scores
