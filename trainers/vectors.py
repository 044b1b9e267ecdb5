"""Checks of vectors of users and items."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainers.data import Interactions
from trainers.errors import InputError


def check_vectors(user_vectors: NDArray[Any], item_vectors: NDArray[Any], seen: Interactions) -> None:
    """Raise InputError unless the vectors are arrays of numbers that fit the interactions and are finite in float32."""
    for vectors in (user_vectors, item_vectors):
        if not isinstance(vectors, np.ndarray) or vectors.dtype.kind not in "biuf":
            kind = f"one of dtype {vectors.dtype}" if isinstance(vectors, np.ndarray) else f"a {type(vectors).__name__}"
            raise InputError(f"vectors must be NumPy arrays of numbers, got {kind}; convert it to float32")
    dim = user_vectors.shape[-1] if user_vectors.ndim else 0
    if user_vectors.shape != (seen.n_users, dim) or item_vectors.shape != (seen.n_items, dim):
        raise InputError(
            f"vectors must be ({seen.n_users}, d) and ({seen.n_items}, d), got {user_vectors.shape} and {item_vectors.shape}"
        )
    with np.errstate(over="ignore"):  # scores are computed in float32
        finite = all(np.isfinite(vectors.astype(np.float32, copy=False)).all() for vectors in (user_vectors, item_vectors))
    if not finite:
        raise InputError(
            "vectors must be finite in float32, got others: training diverged, or the file is damaged; train again, or scale "
            "the vectors"
        )
