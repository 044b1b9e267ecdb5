"""temporary: replaced at the merge"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainers.data.readers.layout import Columns, Layout
from trainers.data.readers.old import SUFFIXES, read_pairs

__all__ = ["SUFFIXES", "Columns", "Layout", "RawInteractions", "read_interactions"]


@dataclass(frozen=True, eq=False)
class RawInteractions:
    users: NDArray[Any]
    items: NDArray[Any]
    ratings: NDArray[np.float64] | None
    times: NDArray[np.float64] | None
    in_lines: bool
    said: str
    warnings: tuple[str, ...]


def read_interactions(path: Path, layout: Layout = Layout()) -> RawInteractions:
    users, items = read_pairs(path)
    return RawInteractions(users, items, None, None, path.suffix == ".txt", f"read {len(users)}", ())
