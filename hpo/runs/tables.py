"""Per-user metrics of a run as bytes of an .npz file."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trainers.files import read_arrays

USER = "user"
MOST_BYTES = 4_000_000_000  # limit after decompression


def to_npz(table: pd.DataFrame) -> bytes:
    """The bytes of a table of metrics (index: user), in float32."""
    columns = {name: table[name].to_numpy(np.float32) for name in table.columns}
    buffer = BytesIO()
    np.savez_compressed(buffer, user=table.index.to_numpy(np.int32), **columns)  # type: ignore[arg-type]
    return buffer.getvalue()


def from_npz(content: bytes, metrics: Sequence[str], users: NDArray[Any] | None = None) -> pd.DataFrame:
    """The table in the bytes of `to_npz`.

    Args:
        metrics: the expected columns.
        users: the expected users; None for any.

    Raises:
        ValueError: the bytes are damaged, or hold another table.
    """
    arrays = read_arrays(BytesIO(content), MOST_BYTES)
    index = arrays.pop(USER, np.zeros(0))
    shapes = {array.shape for array in arrays.values()}
    sound = all(array.dtype == np.float32 and np.isfinite(array).all() for array in arrays.values())
    if set(arrays) != set(metrics) or shapes != {index.shape} or index.ndim != 1 or index.dtype != np.int32 or not sound:
        raise ValueError("its table of users has wrong columns or values")
    if users is not None and not np.array_equal(index, users):
        raise ValueError("its table has other users than the split")
    return pd.DataFrame({name: arrays[name] for name in metrics}, index=pd.Index(index, name=USER))
