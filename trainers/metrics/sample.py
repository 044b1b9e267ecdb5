"""A sample of the held-out users, for a cheaper evaluation."""

from __future__ import annotations

import numpy as np

from trainers import rng
from trainers.data import Interactions
from trainers.rng import Purpose


def of_some_users(held_out: Interactions, count: int, seed: int) -> Interactions:
    """The pairs of `count` users, drawn without replacement from those with held-out pairs; all pairs if there are fewer."""
    users = np.flatnonzero(held_out.per_user)
    if count >= len(users):
        return held_out
    chosen = np.zeros(held_out.n_users, bool)
    chosen[users[rng.permuted(rng.key(seed, Purpose.SAMPLED_USERS), np.arange(count), len(users))]] = True
    return held_out.where(chosen[held_out.users])
