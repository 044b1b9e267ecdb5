"""The `demo` dataset: synthetic and seeded, from latent factors, skewed popularity and noise; it favours no loss."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from trainers import rng
from trainers.data import Interactions, hold_out
from trainers.rng import Purpose

N_USERS, N_ITEMS, N_FACTORS = 2_000, 1_500, 12
MEAN_PAIRS = 27.0
TASTE, POPULARITY = 1.6, 0.9
SEED = 20240507
TEST_FRACTION = 0.2


@lru_cache(maxsize=1)
def make_demo() -> tuple[Interactions, Interactions]:
    """(train, test): about 2,000 users, 1,500 items and 50,000 pairs.

    A user's items are the top ones by taste (inner product of latent factors) plus popularity (log-normal) plus Gumbel noise.
    That samples without replacement from the softmax of taste and popularity.
    """
    users = _normal(0, (N_USERS, N_FACTORS))
    items = _normal(1, (N_ITEMS, N_FACTORS))
    appeal = TASTE * users @ items.T / np.sqrt(N_FACTORS) * 1.5 + POPULARITY * _normal(2, (N_ITEMS,))
    uniforms = rng.uniform(rng.key(SEED, Purpose.DEMO, 3), np.arange(appeal.size, dtype=np.uint64))
    noisy = appeal - np.log(-np.log(uniforms)).reshape(appeal.shape)
    wanted = np.clip(np.exp(np.log(MEAN_PAIRS) - 0.18 + 0.6 * _normal(4, (N_USERS,))), 5, 200).astype(np.int64)
    ranked = np.argsort(-noisy, axis=1, kind="stable")
    chosen = np.arange(N_ITEMS)[None, :] < wanted[:, None]
    pairs = Interactions.from_pairs(np.nonzero(chosen)[0], ranked[chosen], N_USERS, N_ITEMS)
    return hold_out(pairs, fraction=TEST_FRACTION, seed=SEED)


def _normal(part: int, shape: tuple[int, ...]) -> NDArray[np.float64]:
    return rng.normal(rng.key(SEED, Purpose.DEMO, part), shape)
