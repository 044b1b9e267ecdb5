"""Checks of vectors of users and items."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainers.data import Interactions
from trainers.errors import InputError


def check_vectors(user_vectors: NDArray[Any], item_vectors: NDArray[Any], seen: Interactions) -> None:
    """Raise InputError unless the vectors fit the interactions and are finite."""
    dim = user_vectors.shape[-1]
    if user_vectors.shape != (seen.n_users, dim) or item_vectors.shape != (seen.n_items, dim):
        raise InputError(
            f"vectors must be ({seen.n_users}, d) and ({seen.n_items}, d), got {user_vectors.shape} and {item_vectors.shape}"
        )
    if not (np.isfinite(user_vectors).all() and np.isfinite(item_vectors).all()):
        raise InputError("vectors must be finite, got others: training diverged, or the file is damaged; train again")
