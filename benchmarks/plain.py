"""Plain PyTorch code for matrix factorisation, which the engines are compared with."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from trainers import Interactions, TrainConfig


class PlainLoop:
    """Matrix factorisation in the usual way: Embedding, normalize, bmm, autograd, dense Adam, randint."""

    def __init__(self, seen: Interactions, config: TrainConfig, device: str = "cpu") -> None:
        self.seen, self.config, self.device = seen, config, device
        self.users = nn.Embedding(seen.n_users, config.encoder.dim, device=device)
        self.items = nn.Embedding(seen.n_items, config.encoder.dim, device=device)
        for table in (self.users, self.items):
            nn.init.normal_(table.weight, std=1e-4)
        self.optimizer = torch.optim.Adam([self.users.weight, self.items.weight], lr=config.learning_rate)
        self.pairs = torch.from_numpy(np.stack([seen.users, seen.items]).astype(np.int64)).to(device)

    def run(self, n_steps: int) -> None:
        size, count = self.config.batch_size, self.config.negatives.count
        for _ in range(n_steps):
            users, positives = self.pairs[:, torch.randint(self.pairs.shape[1], (size,), device=self.device)]
            negatives = torch.randint(self.seen.n_items, (size, count), device=self.device)
            user = nn.functional.normalize(self.users(users), dim=-1)
            positive = (user * nn.functional.normalize(self.items(positives), dim=-1)).sum(-1)
            negative = torch.bmm(nn.functional.normalize(self.items(negatives), dim=-1), user[:, :, None])[:, :, 0]
            loss = self._loss(positive, negative)
            self.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()

    def _loss(self, positive: torch.Tensor, negative: torch.Tensor) -> torch.Tensor:
        loss = self.config.to_dict()["loss"]
        if loss["name"] == "ccl":
            hinge = torch.relu(negative - loss["margin"]).mean(1)
            return torch.mean(torch.relu(1.0 - positive) + loss["negative_weight"] * hinge)
        if loss["name"] == "bsl":
            soft = torch.logsumexp(negative / loss["temperature"], 1) * loss["exponent"]
            return torch.mean(soft - positive / loss["temperature"])
        hinges = sum(w * torch.relu(negative - m) for m, w in zip(loss["margins"], loss["weights"], strict=True))
        return torch.mean(torch.relu(1.0 - positive) + loss["negative_weight"] * torch.as_tensor(hinges).mean(1))
