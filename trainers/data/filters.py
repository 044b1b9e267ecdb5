"""Filters of rare users and items."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def often_enough(
    users: NDArray[np.integer], items: NDArray[np.integer], fewest_of_user: int, fewest_of_item: int
) -> NDArray[np.bool_]:
    """The pairs that remain when users and items with too few pairs are dropped repeatedly, until none has too few.

    If both numbers are k, this is the k-core of the graph of users and items.

    Args:
        users, items: ids from 0 on, (n,), each pair once.
        fewest_of_user, fewest_of_item: smallest number of pairs of a user and of an item.

    Returns:
        A bool array (n,), true for remaining pairs.
    """
    remaining = np.ones(len(users), np.bool_)
    while remaining.any():
        enough = (np.bincount(users[remaining], minlength=users.max() + 1) >= fewest_of_user)[users]
        enough &= (np.bincount(items[remaining], minlength=items.max() + 1) >= fewest_of_item)[items]
        if enough[remaining].all():
            break
        remaining &= enough
    return remaining
