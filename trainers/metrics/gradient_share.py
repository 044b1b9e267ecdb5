"""The shares of negatives in a loss's gradient. The papers of SSM and MML argue about hard negatives, so runs measure them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trainers import rng
from trainers.config import TrainConfig
from trainers.data import Ids, Interactions
from trainers.late import torch
from trainers.losses import Scores
from trainers.losses.thresholds import ThresholdLoss
from trainers.negatives import ScoredStep
from trainers.rng import Purpose
from trainers.scores import SCORES, unit

if TYPE_CHECKING:
    from torch import Tensor

HARDEST = {"hardest 1 %": 0.01, "hardest 10 %": 0.1}  # shares of a row's negatives, at least one negative
MAX_NEGATIVES = 400_000  # over all rows, so that their vectors take no more memory than training
AFTER = 1_000_000_007  # the epoch number of these draws, which no training reaches


def gradient_shares(
    config: TrainConfig, user_vectors: NDArray[Any], item_vectors: NDArray[Any], seen: Interactions
) -> dict[str, float]:
    """The distribution of |d loss / d score| over the negatives of a trained model, for one batch as in training, without
    dropout. Nothing for a loss without negatives, or with a threshold for each user, which the vectors do not hold.

    Args:
        config: the trained config.
        user_vectors, item_vectors: (n_users, d) and (n_items, d); their inner products are the scores for ranking.
        seen: the training data.

    Returns:
        active: share of the negatives with a gradient;
        hardest 1 %, hardest 10 %: share of a row's gradient that belongs to its highest scoring negatives, mean over the rows
        with a gradient; 0 if there are none.
    """
    if isinstance(config.loss, ThresholdLoss) or not config.loss.needs_negatives:
        return {}
    n_rows = min(len(seen), config.batch_size)
    if not config.negatives.needs_scores:  # in-batch negatives depend on the batch size
        n_rows = min(n_rows, max(1, MAX_NEGATIVES // config.negatives.count))
    rows = np.arange(n_rows)
    pairs = rng.permuted(rng.key(config.seed, Purpose.SHUFFLE, AFTER), rows, len(seen))
    vectors = SCORES[config.score].training(torch.from_numpy(user_vectors), torch.from_numpy(item_vectors))
    step = _step(config, rows, seen.users[pairs], seen.items[pairs], *vectors)
    negative = config.negatives.sampler(seen).scores(step).double().requires_grad_()
    if negative.shape[1] == 0:
        return {}
    positive = (step.user_vectors * step.positive_vectors).sum(1).double()
    users, items = torch.from_numpy(step.users.astype(np.int64)), torch.from_numpy(step.items.astype(np.int64))
    vectors = step.user_vectors.double(), step.positive_vectors.double()
    loss = config.loss(Scores(positive, negative, users, items, seen.n_items, None, *vectors))
    if loss.requires_grad:
        loss.backward()  # type: ignore[no-untyped-call]
    gradient = torch.zeros_like(negative) if negative.grad is None else negative.grad.abs()  # a loss may ignore its negatives
    return _shares(negative.detach(), gradient)


def mean_shares(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean over runs; shares of the gradient over the runs that have one. Nothing if a run has no shares."""
    if not all(runs):
        return {}
    moved = [run for run in runs if run["active"] > 0] or runs
    return {name: fmean(run[name] for run in (runs if name == "active" else moved)) for name in runs[0]}


def _step(config: TrainConfig, rows: Ids, users: Ids, items: Ids, user_vectors: Tensor, item_vectors: Tensor) -> ScoredStep:
    return ScoredStep(
        seed=config.seed,
        epoch=AFTER,
        number=0,
        rows=rows,
        users=users,
        items=items,
        directions=lambda: unit(item_vectors[:, : config.encoder.dim]).numpy(),
        user_vectors=user_vectors[users],
        positive_vectors=item_vectors[items],
        item_vectors=lambda ids: item_vectors[ids],
    )


def _shares(scores: Tensor, gradients: Tensor) -> dict[str, float]:
    moved = gradients.sum(1) > 0
    found = {"active": float((gradients > 0).double().mean())}
    order = scores[moved].argsort(1, descending=True)
    ordered = gradients[moved].gather(1, order)
    for name, part in HARDEST.items():
        first = ordered[:, : max(1, math.ceil(part * scores.shape[1]))]
        found[name] = float((first.sum(1) / ordered.sum(1)).mean()) if moved.any() else 0.0
    return found
