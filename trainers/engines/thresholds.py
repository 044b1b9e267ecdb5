"""The thresholds that a run keeps for a loss with one per user, see `trainers.losses.thresholds`, on the torch engine."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import Parameter

from trainers.data import Ids, Interactions
from trainers.engines.adam_state import adam_state, put_adam_state
from trainers.engines.protocol import State
from trainers.losses import Scores
from trainers.losses.thresholds import LearnedThreshold, RenewedThreshold, ThresholdLoss
from trainers.negatives import ScoredStep

OPTIMIZERS: dict[str, Any] = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}


class UserThresholds:
    """A number per user.

    They are kept in main memory, and gradients of a user's rows are summed there, in the order of the rows: on every device the
    same bits come out again.

    Attributes:
        values: float32 (n_users,).
        optimizer: what moves those that are learned.
    """

    def __init__(self, loss: ThresholdLoss, n_users: int) -> None:
        self.loss = loss
        self.values = Parameter(torch.full((n_users,), loss.start))
        kind, rate = (loss.learns_by, loss.threshold_rate) if isinstance(loss, LearnedThreshold) else ("sgd", 0.0)
        self.optimizer: torch.optim.Optimizer = OPTIMIZERS[kind]([self.values], lr=rate)

    def parameters(self) -> dict[str, Parameter]:
        """The thresholds by their name in a state."""
        return {"thresholds": self.values}

    def state(self) -> dict[str, NDArray[Any]]:
        """Copies of the thresholds and of what their optimizer has noted."""
        return adam_state(self.parameters(), self.optimizer)

    def resume(self, state: State) -> None:
        """Go on from a `state`.

        Raises:
            KeyError, ValueError: it is of something else.
        """
        put_adam_state(self.parameters(), self.optimizer, state)

    def of(self, users: Ids, device: str) -> Tensor:
        """A copy of the thresholds of users (B,)."""
        return self.values.detach()[torch.from_numpy(users.astype(np.int64))].to(device)

    def move(self, step: ScoredStep, scores: Scores, seen: Interactions) -> None:
        """What one step does to the thresholds of its users; `scores` have their thresholds."""
        if isinstance(self.loss, RenewedThreshold) and not self.loss.is_due(step.epoch):
            return
        scores = replace(scores, positive=scores.positive.detach(), negative=scores.negative.detach())
        own = own_scores(step, seen) if self.loss.looks_at_own else scores.negative.new_empty(len(step.rows), 0)
        if isinstance(self.loss, RenewedThreshold):
            self._renew(self.loss, step.users, scores, own)
        elif isinstance(self.loss, LearnedThreshold):
            self._descend(self.loss, step.users, scores, own)

    def _renew(self, loss: RenewedThreshold, users: Ids, scores: Scores, own: Tensor) -> None:
        once, first = np.unique(users, return_index=True)
        renewed = loss.renewed(scores, own).cpu()
        self.values.data[torch.from_numpy(once.astype(np.int64))] = renewed[torch.from_numpy(first)]

    def _descend(self, loss: LearnedThreshold, users: Ids, scores: Scores, own: Tensor) -> None:
        assert scores.threshold is not None
        threshold = scores.threshold.clone().requires_grad_()
        loss.threshold_rows(replace(scores, threshold=threshold), own).sum().backward()  # type: ignore[no-untyped-call]
        assert threshold.grad is not None
        summed = np.bincount(users, weights=threshold.grad.double().cpu().numpy(), minlength=len(self.values))
        self.values.grad = torch.from_numpy(summed.astype(np.float32))
        self.optimizer.step()


def own_scores(step: ScoredStep, seen: Interactions) -> Tensor:
    """Scores (B, M) of all items that each row's user has seen; minus infinity where they are fewer than M."""
    counts = seen.per_user[step.users]
    rows = np.repeat(np.arange(len(counts)), counts)
    columns = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    items = seen.items[seen.indptr[step.users][rows] + columns]
    at = torch.from_numpy(rows).to(step.user_vectors.device), torch.from_numpy(columns).to(step.user_vectors.device)
    with torch.no_grad():
        found = (step.user_vectors[at[0]] * step.item_vectors(items)).sum(-1)
    own = found.new_full((len(counts), int(counts.max())), -torch.inf)
    own[at] = found
    return own
