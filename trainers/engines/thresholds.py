"""The thresholds of a run on the torch engine, for the losses of `trainers.losses.thresholds`."""

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
from trainers.negatives import ScoredStep, Step

OPTIMIZERS: dict[str, Any] = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}


class Thresholds:
    """A threshold per user, and per item if the loss has these.

    The thresholds are in main memory. Gradients of a user's rows are summed there in the order of the rows, so every device
    gives the same bits in every run.

    Attributes:
        values: float32 (n_users,).
        item_values: float32 (n_items,); None for losses without thresholds of items.
        optimizer: the optimiser of learned thresholds; unused for others.
    """

    def __init__(self, loss: ThresholdLoss, n_users: int, n_items: int) -> None:
        self.loss = loss
        self.values = Parameter(torch.full((n_users,), loss.start))
        of_items = isinstance(loss, LearnedThreshold) and loss.of_items
        self.item_values = Parameter(torch.full((n_items,), loss.start)) if of_items else None
        kind, rate = (loss.threshold_optimizer, loss.threshold_rate) if isinstance(loss, LearnedThreshold) else ("sgd", 0.0)
        self.optimizer: torch.optim.Optimizer = OPTIMIZERS[kind]([*self.parameters().values()], lr=rate)

    def parameters(self) -> dict[str, Parameter]:
        """The thresholds, with their names in a state."""
        return {"thresholds": self.values} | ({} if self.item_values is None else {"item_thresholds": self.item_values})

    def state(self) -> dict[str, NDArray[Any]]:
        """Copies of the thresholds and of their optimiser's state."""
        return adam_state(self.parameters(), self.optimizer)

    def resume(self, state: State) -> None:
        """Continue from a result of `state`.

        Raises:
            KeyError, ValueError: the state has no thresholds, or other ones.
        """
        put_adam_state(self.parameters(), self.optimizer, state)

    def of(self, step: Step, device: str) -> Tensor:
        """A copy of the thresholds (B,) of a step's rows."""
        found = self.values.detach()[_index(step.users)]
        return (found if self.item_values is None else found + self.item_values.detach()[_index(step.items)]).to(device)

    def update(self, step: ScoredStep, scores: Scores, seen: Interactions) -> None:
        """Update the thresholds of a step's users, and items; `scores` must have these thresholds."""
        if isinstance(self.loss, RenewedThreshold) and not self.loss.is_due(step.epoch):
            return
        positive, negative = scores.positive.detach(), scores.negative.detach()
        scores = replace(scores, positive=positive, negative=negative, user_vectors=None, item_vectors=None)
        seen_scores = scores.negative.new_empty(len(step.rows), 0)
        if self.loss.needs_seen_scores:
            seen_scores = scores_of_seen(step, seen)
        if isinstance(self.loss, RenewedThreshold):
            self._renew(self.loss, step.users, scores, seen_scores)
        elif isinstance(self.loss, LearnedThreshold):
            self._learn(self.loss, step, scores, seen_scores)

    def _renew(self, loss: RenewedThreshold, users: Ids, scores: Scores, seen_scores: Tensor) -> None:
        distinct, first = np.unique(users, return_index=True)
        renewed = loss.renewed(scores, seen_scores).cpu()
        self.values.data[_index(distinct)] = renewed[torch.from_numpy(first)]

    def _learn(self, loss: LearnedThreshold, step: Step, scores: Scores, seen_scores: Tensor) -> None:
        assert scores.threshold is not None
        threshold = scores.threshold.clone().requires_grad_()
        loss.threshold_rows(replace(scores, threshold=threshold), seen_scores).sum().backward()  # type: ignore[no-untyped-call]
        assert threshold.grad is not None
        by_row = threshold.grad.double().cpu().numpy()
        for ids, values in zip((step.users, step.items), self.parameters().values(), strict=False):  # perhaps without items
            summed = np.bincount(ids, weights=by_row, minlength=len(values))
            values.grad = torch.from_numpy(summed.astype(np.float32))
        self.optimizer.step()
        for values in self.parameters().values():
            values.data.clamp_(*loss.threshold_limits)


def _index(ids: Ids) -> Tensor:
    return torch.from_numpy(ids.astype(np.int64))


def scores_of_seen(step: ScoredStep, seen: Interactions) -> Tensor:
    """Scores (B, M) of all items that each row's user has seen, padded with minus infinity."""
    counts = seen.per_user[step.users]
    rows = np.repeat(np.arange(len(counts)), counts)
    columns = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    items = seen.items[seen.indptr[step.users][rows] + columns]
    index = torch.from_numpy(rows).to(step.user_vectors.device), torch.from_numpy(columns).to(step.user_vectors.device)
    with torch.no_grad():
        scores = (step.user_vectors[index[0]] * step.item_vectors(items)).sum(-1)
    padded = scores.new_full((len(counts), int(counts.max())), -torch.inf)
    padded[index] = scores
    return padded
