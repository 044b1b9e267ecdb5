"""Helpers for tests of baselines: small data, and the scores of a fitted ranking."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from trainers import Interactions
from trainers.baselines import Ranking
from trainers.metrics import ranking


def interactions(n_users: int, n_items: int, pairs: list[tuple[int, int]]) -> Interactions:
    users, items = np.array(pairs, np.int64).reshape(-1, 2).T
    return Interactions.from_pairs(users, items, n_users, n_items)


def random_pairs(rng: np.random.Generator, n_users: int, n_items: int, n: int) -> Interactions:
    return Interactions.from_pairs(rng.integers(0, n_users, n), rng.integers(0, n_items, n), n_users, n_items)


def dense(seen: Interactions) -> NDArray[np.float64]:
    x = np.zeros((seen.n_users, seen.n_items))
    x[seen.users, seen.items] = 1.0
    return x


def scores(fitted: Ranking, users: list[int]) -> NDArray[np.float32]:
    tile = torch.full((ranking.TILE_USERS, ranking.TILE_ITEMS), torch.nan)
    fitted.score(np.array(users))(0, tile)
    return tile[: len(users), : len(fitted.items)].numpy()
