"""Compiled access to some rows of a table, for encoders whose vectors torch makes from rows: to read them and to train them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from trainers.engines.numba_engine.batch import BLOCK
from trainers.engines.numba_engine.fingerprint import fingerprint
from trainers.engines.numba_engine.intrinsics import KERNEL
from trainers.engines.numba_engine.step_passes import NEXT, blocks, catch_up_block
from trainers.engines.numba_engine.table import EmbeddingTable, Floats, adam_step, prefetch_all
from trainers.jit import announce, compiled


class Lookup(NamedTuple):
    """For rows of one width; no id may be given twice.

    Attributes:
        read: (table, ids (n,), step, tail, powers, out (n, dim)): bring rows to where they stand after a step, and copy them.
        train: (table, ids (n,), gradients (n, dim), step, its line of rates, l2, powers): an Adam step for rows just read that
            have a gradient other than zero.
    """

    read: Callable[[EmbeddingTable, NDArray[np.int32], int, float, NDArray[np.float64], Floats], None]
    train: Callable[
        [EmbeddingTable, NDArray[np.int32], Floats, int, NDArray[np.float64], np.float32, NDArray[np.float64]], None
    ]


@cache
def lookup_for(width: int) -> Lookup:
    """Compiled, or read from numba's cache on disk."""
    return _build(width, _VERSION)


def _build(width: int, version: int) -> Lookup:  # noqa: C901 - two kernels
    """As in `kernels`, the closure's numbers are part of the cache's key."""

    @compiled(version, width, (EmbeddingTable,), **KERNEL)
    def read(table, ids, step, tail, power, out):  # type: ignore[no-untyped-def]
        if version == 0:
            return
        for block in prange(blocks(ids.size)):
            catch_up_block(table, ids, ids.size, block, step, tail, power, width)
            for i in range(block * BLOCK, min(ids.size, (block + 1) * BLOCK)):
                for d in range(width):
                    out[i, d] = table.rows[ids[i], d]

    @compiled(version, width, (EmbeddingTable,), **KERNEL)
    def train(table, ids, gradients, step, rate, l2, power):  # type: ignore[no-untyped-def]
        if version == 0:
            return
        for block in prange(blocks(ids.size)):
            last = min(ids.size, (block + 1) * BLOCK)
            for i in range(block * BLOCK, last):
                if i + NEXT < last:
                    prefetch_all(table, ids[i + NEXT], width)
                moved = False
                for d in range(width):
                    moved |= gradients[i, d] != np.float32(0.0)
                if moved:
                    adam_step(table, ids[i], gradients, i, np.float32(0.0), step, rate, l2, power, width)

    announce(train, f"compiling what SimpleX needs for vectors of {width} floats: once on this machine, up to a minute")
    return Lookup(read, train)


_VERSION = fingerprint(_build)  # see `kernels`
