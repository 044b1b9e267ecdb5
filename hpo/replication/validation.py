"""The validation data of IR-Benchmark's program: a tenth of each user's training pairs."""

from __future__ import annotations

import numpy as np

from trainers.data import Interactions
from trainers.data.splits import SEED, hold_out_counts


def tenth(train: Interactions) -> tuple[Interactions, Interactions]:
    """(seen, validation): a tenth of each user's pairs, rounded down, at least one, drawn at random.

    Unlike `hold_out`, which rounds up: a user with 19 pairs has 1 validation pair, not 2.
    """
    return hold_out_counts(train, np.maximum(train.per_user // 10, 1), SEED)
