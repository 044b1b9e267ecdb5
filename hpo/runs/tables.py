"""The per-user metrics of a run as bytes, and back."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trainers.files import read_arrays

USER = "user"
MOST_BYTES = 4_000_000_000  # unpacked


def to_npz(table: pd.DataFrame) -> bytes:
    """A table (index: user) of metrics, in float32."""
    columns = {name: table[name].to_numpy(np.float32) for name in table.columns}
    buffer = BytesIO()
    np.savez_compressed(buffer, user=table.index.to_numpy(np.int32), **columns)  # type: ignore[arg-type]
    return buffer.getvalue()


def from_npz(content: bytes, metrics: Sequence[str], users: NDArray[Any] | None = None) -> pd.DataFrame:
    """What `to_npz` made.

    Args:
        metrics: its columns.
        users: whom it must be of; None: anybody.

    Raises:
        ValueError: it is damaged, or another table.
    """
    arrays = read_arrays(BytesIO(content), MOST_BYTES)
    index = arrays.pop(USER, np.zeros(0))
    shapes = {array.shape for array in arrays.values()}
    sound = all(array.dtype == np.float32 and np.isfinite(array).all() for array in arrays.values())
    if set(arrays) != set(metrics) or shapes != {index.shape} or index.ndim != 1 or index.dtype != np.int32 or not sound:
        raise ValueError("its table of users has other columns or values than it should")
    if users is not None and not np.array_equal(index, users):
        raise ValueError("its table is of other users than those of the split")
    return pd.DataFrame({name: arrays[name] for name in metrics}, index=pd.Index(index, name=USER))
