"""Filters: which interactions are left out before anything is split, and how many."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def often_enough(
    users: NDArray[np.integer], items: NDArray[np.integer], fewest_of_user: int, fewest_of_item: int
) -> NDArray[np.bool_]:
    """Which pairs stay when users and items with too few pairs are dropped, again and again until none has too few.

    With both numbers equal to k this is the k-core of the graph of users and items.

    Args:
        users, items: ids from 0 on, (n,), each pair once.
        fewest_of_user, fewest_of_item: how many pairs a user or an item must have.

    Returns:
        A bool array (n,).
    """
    kept = np.ones(len(users), np.bool_)
    while kept.any():
        enough = (np.bincount(users[kept], minlength=users.max() + 1) >= fewest_of_user)[users]
        enough &= (np.bincount(items[kept], minlength=items.max() + 1) >= fewest_of_item)[items]
        if enough[kept].all():
            break
        kept &= enough
    return kept
