"""The reference engine: plain PyTorch, any encoder, any loss, CPU or CUDA. Other engines must agree with it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import Parameter

from trainers import rng
from trainers.config import TrainConfig
from trainers.data import Ids
from trainers.encoders.modules import EncoderModule
from trainers.engines.adam_state import adam_state, copied, put_adam_state, put_parameters
from trainers.engines.lazy_adam import BETAS, EPSILON, learning_rate_at
from trainers.engines.one_lane import SAMPLER, OneLane, with_prefix, without_prefix
from trainers.engines.protocol import State, Vectors
from trainers.engines.thresholds import Thresholds
from trainers.losses import Scores
from trainers.losses.thresholds import ThresholdLoss
from trainers.negatives import ScoredStep
from trainers.rng import Purpose
from trainers.scores import SCORES, unit
from trainers.stopping import check


class TorchEngine(OneLane):
    """One lane with autograd and torch.optim.Adam."""

    def _begin(self, config: TrainConfig) -> None:
        self.model: EncoderModule = config.encoder.build(self.seen, config.seed)
        self.model.to(self.device)
        self.score = SCORES[config.score]
        self._limit_norms([torch.ones(len(table), 1, dtype=torch.bool, device=self.device) for table in self.model.tables()])
        adam: dict[str, Any] = {"betas": BETAS, "eps": EPSILON, "weight_decay": config.weight_decay}
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=config.learning_rate, **adam)
        self.sampler = config.negatives.sampler(self.seen)
        loss = config.loss
        sizes = self.seen.n_users, self.seen.n_items
        self.thresholds = Thresholds(loss, *sizes) if isinstance(loss, ThresholdLoss) else None
        self.steps_done = 0

    def _release(self) -> None:
        for name in ("model", "optimizer", "sampler", "thresholds"):
            vars(self).pop(name, None)
        if self.device == "cuda":
            torch.cuda.empty_cache()  # PyTorch caches freed memory, and another lane or worker may need it

    def _train_epoch(self, config: TrainConfig, epoch: int) -> float:
        n_rows = len(self.seen)
        shuffle = rng.key(config.seed, Purpose.SHUFFLE, epoch)
        total = 0.0
        for start in range(0, n_rows, config.batch_size):
            check(self.should_stop)
            rows = np.arange(start, min(start + config.batch_size, n_rows))
            pairs = rng.permuted(shuffle, rows, n_rows)
            total += self.step(config, epoch, rows, pairs) * len(rows)
        return total / n_rows

    def step(self, config: TrainConfig, epoch: int, rows: Ids, pairs: Ids) -> float:
        """One Adam step; returns the mean loss.

        Args:
            rows: numbers of the rows in the epoch, (B,).
            pairs: indices of their interactions in `seen`, (B,).
        """
        self.model.refresh()
        step = self._scored_step(config, epoch, rows, pairs)
        self.optimizer.zero_grad()
        positive = (step.user_vectors * step.positive_vectors).sum(-1)  # (B,)
        negative = self.sampler.scores(step)  # (B, N)
        self.steps_done += 1
        if len(rows) == 1 and negative.shape[1] == 0:  # a last batch of one row has no in-batch negatives, and no pairs
            return 0.0
        thresholds = self.thresholds.of(step, self.device) if self.thresholds else None
        ids, vectors = (self._ids(step.users), self._ids(step.items)), (step.user_vectors, step.positive_vectors)
        scores = Scores(positive, negative, *ids, self.seen.n_items, thresholds, *vectors)
        losses = config.loss.rows(scores)
        if self.thresholds:
            self.thresholds.update(step, scores, self.seen)  # before the vectors change: the scores are of these vectors
        self._update(config, config.loss.reduce(losses))
        return float(losses.detach().mean())

    def _update(self, config: TrainConfig, loss: Tensor) -> None:
        penalty = config.loss.penalty(lambda: self._scored_vectors(config.encoder.dim))
        (loss if penalty is None else loss + penalty).backward()  # type: ignore[no-untyped-call]
        updated = [_has_gradient(table) for table in self.model.tables()]
        self._add_l2(config.l2, updated)
        self._set_learning_rate(config)
        self.optimizer.step()
        self._limit_norms(updated)

    def _scored_step(self, config: TrainConfig, epoch: int, rows: Ids, pairs: Ids) -> ScoredStep:
        users, items = self.seen.users[pairs], self.seen.items[pairs]
        return ScoredStep(
            seed=config.seed,
            epoch=epoch,
            number=self.steps_done,
            rows=rows,
            users=users,
            items=items,
            user_vectors=self._with_dropout(config, epoch, rows, self.score.users(self.model.user_vectors(self._ids(users)))),
            positive_vectors=self._items(items),
            item_vectors=self._items,
            directions=self._directions,
        )

    def _directions(self) -> NDArray[np.float32]:
        with torch.no_grad():
            directions: NDArray[np.float32] = unit(self._all_vectors()[1]).cpu().numpy()
        return directions

    def _items(self, items: Ids) -> Tensor:
        return self.score.items(self.model.item_vectors(self._ids(items)))

    def _ids(self, ids: Ids) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(ids, dtype=np.int64)).to(self.device)

    def _with_dropout(self, config: TrainConfig, epoch: int, rows: Ids, vectors: Tensor) -> Tensor:
        """The user vectors (B, dim) after dropout; the draw for unit d of row r has counter r * dim + d."""
        rate, dim = config.encoder.dropout, config.encoder.dim
        if rate == 0.0:
            return vectors
        counters = np.add.outer(rows.astype(np.uint64) * np.uint64(dim), np.arange(dim, dtype=np.uint64))
        stream = rng.key(config.seed, Purpose.DROPOUT, epoch)
        mask = torch.from_numpy(rng.keep_mask(stream, counters, rate)).to(self.device)
        return vectors * mask * (1.0 / (1.0 - rate))

    def _add_l2(self, l2: float, updated: list[Tensor]) -> None:
        if l2 == 0.0:
            return
        for table, rows in zip(self.model.tables(), updated, strict=True):
            assert table.grad is not None  # backward has just run
            table.grad += l2 * table.detach() * rows

    def _limit_norms(self, updated: list[Tensor]) -> None:
        """Scale the rows in the masks `updated` (n, 1) down to the score's largest norm."""
        if self.score.max_norm == math.inf:
            return
        with torch.no_grad():
            for table, rows in zip(self.model.tables(), updated, strict=True):
                norms = torch.linalg.norm(table, dim=1, keepdim=True)
                table.mul_(torch.where(rows, self.score.max_norm / norms.clamp(min=self.score.max_norm), 1.0))

    def _set_learning_rate(self, config: TrainConfig) -> None:
        self.optimizer.param_groups[0]["lr"] = learning_rate_at(config, self.steps_done - 1, len(self.seen))

    def _all_vectors(self) -> tuple[Tensor, Tensor]:
        """The encoder's vectors of all users (n_users, d) and all items (n_items, d)."""
        users = self.model.user_vectors(torch.arange(self.seen.n_users, device=self.device))
        return users, self.model.item_vectors(torch.arange(self.seen.n_items, device=self.device))

    def _scored_vectors(self, dim: int) -> tuple[Tensor, Tensor]:
        """All vectors after the score's mapping, without its additional entries: unit vectors for cosines."""
        users, items = self._all_vectors()
        return self.score.users(users)[:, :dim], self.score.items(items)[:, :dim]

    def _parameters(self) -> dict[str, Parameter]:
        """All trained parameters by name."""
        return {**dict(self.model.named_parameters()), **(self.thresholds.parameters() if self.thresholds else {})}

    def _snapshot(self) -> State:
        return {name: copied(parameter) for name, parameter in self._parameters().items()}

    def _restore(self, snapshot: State, config: TrainConfig) -> None:
        put_parameters(self._parameters(), snapshot)

    def _state(self) -> State:
        trained = adam_state(dict(self.model.named_parameters()), self.optimizer)
        thresholds = self.thresholds.state() if self.thresholds else {}
        sampler = with_prefix(SAMPLER, self.sampler.state())
        return {**trained, **thresholds, **sampler, "steps_done": np.array(self.steps_done)}

    def _resume(self, state: State) -> None:
        put_adam_state(dict(self.model.named_parameters()), self.optimizer, state)
        if self.thresholds:
            self.thresholds.resume(state)
        self.sampler.resume(without_prefix(SAMPLER, state))
        self.steps_done = int(state["steps_done"])

    def _vectors(self) -> Vectors:
        with torch.no_grad():
            self.model.refresh()
            users, items = self.score.ranking(*self._all_vectors())
            return users.cpu().numpy(), items.cpu().numpy()


def _has_gradient(table: Tensor) -> Tensor:
    """A mask (n, 1) of the rows with a gradient."""
    assert table.grad is not None  # backward has just run
    return (table.grad != 0).any(dim=1, keepdim=True)
