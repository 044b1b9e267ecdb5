"""The reference engine: plain PyTorch, any encoder, any loss, CPU or CUDA. What it computes is what the others must."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from trainers import draws
from trainers.config import TrainConfig
from trainers.data import Ids
from trainers.draws import Purpose
from trainers.encoders import EncoderModule
from trainers.engines.adam import BETAS, EPSILON, learning_rate_at
from trainers.engines.contract import Vectors
from trainers.engines.single import SingleLane
from trainers.losses import Scores
from trainers.negatives import Step


class TorchEngine(SingleLane):
    """One lane on autograd and torch.optim.Adam."""

    def _begin(self, config: TrainConfig) -> None:
        self.model: EncoderModule = config.encoder.build(self.seen.n_users, self.seen.n_items, config.seed)
        self.model.to(self.device)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=config.learning_rate, betas=BETAS, eps=EPSILON)
        self.sampler = config.negatives.sampler(self.seen)
        self.steps_done = 0

    def _release(self) -> None:
        for name in ("model", "optimizer", "sampler"):
            vars(self).pop(name, None)
        if self.device == "cuda":
            torch.cuda.empty_cache()  # PyTorch keeps freed blocks: another lane or worker may need them

    def _train_epoch(self, config: TrainConfig, epoch: int) -> float:
        n_rows = len(self.seen)
        shuffle = draws.key(config.seed, Purpose.SHUFFLE, epoch)
        total = 0.0
        for start in range(0, n_rows, config.batch_size):
            rows = np.arange(start, min(start + config.batch_size, n_rows))
            pairs = draws.permuted(shuffle, rows, n_rows)
            total += self.step(config, epoch, rows, pairs) * len(rows)
        return total / n_rows

    def step(self, config: TrainConfig, epoch: int, rows: Ids, pairs: Ids) -> float:
        """One Adam step on the interactions `pairs` (B,), which stand at `rows` (B,) of the epoch; returns the mean loss."""
        step = self._look(config, epoch, rows, pairs)
        self.optimizer.zero_grad()
        positive = (step.user_vectors * step.positive_vectors).sum(-1)  # (B,)
        negative = self.sampler.scores(step)  # (B, N)
        self.steps_done += 1
        if negative.shape[1] == 0:  # the epoch's last row is alone in its batch, and its negatives would have been the others
            return 0.0
        losses = config.loss.rows(Scores(positive, negative, self._ids(step.users), self._ids(step.items)))
        config.loss.reduce(losses).backward()  # type: ignore[no-untyped-call]
        self._add_l2(config.l2)
        self._set_learning_rate(config)
        self.optimizer.step()
        return float(losses.detach().mean())

    def _look(self, config: TrainConfig, epoch: int, rows: Ids, pairs: Ids) -> Step:
        users, items = self.seen.users[pairs], self.seen.items[pairs]
        return Step(
            seed=config.seed,
            epoch=epoch,
            number=self.steps_done,
            rows=rows,
            users=users,
            items=items,
            user_vectors=self.model.user_vectors(self._ids(users), self._keep(config, epoch, rows)),
            positive_vectors=self.model.item_vectors(self._ids(items)),
            item_vectors=lambda ids: self.model.item_vectors(self._ids(ids)),
        )

    def _ids(self, ids: Ids) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(ids, dtype=np.int64)).to(self.device)

    def _keep(self, config: TrainConfig, epoch: int, rows: Ids) -> Tensor | None:
        """The dropout mask (B, d): unit d of row r is drawn at counter r * dim + d."""
        if config.encoder.dropout == 0.0:
            return None
        dim = config.encoder.dim
        counters = np.add.outer(rows.astype(np.uint64) * np.uint64(dim), np.arange(dim, dtype=np.uint64))
        stream = draws.key(config.seed, Purpose.DROPOUT, epoch)
        return torch.from_numpy(draws.keep_mask(stream, counters, config.encoder.dropout)).to(self.device)

    def _add_l2(self, l2: float) -> None:
        if l2 == 0.0:
            return
        for table in self.model.parameters():
            assert table.grad is not None  # backward has just run
            moved = (table.grad != 0).any(dim=1, keepdim=True)
            table.grad += l2 * table.detach() * moved

    def _set_learning_rate(self, config: TrainConfig) -> None:
        self.optimizer.param_groups[0]["lr"] = learning_rate_at(config, self.steps_done - 1, len(self.seen))

    def _vectors(self) -> Vectors:
        with torch.no_grad():
            users = self.model.user_vectors(torch.arange(self.seen.n_users, device=self.device), None)
            items = self.model.item_vectors(torch.arange(self.seen.n_items, device=self.device))
        return users.cpu().numpy(), items.cpu().numpy()
