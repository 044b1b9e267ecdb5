"""Compiled access to rows of a table, to read and train them, for encoders whose vectors torch computes from rows."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from trainers.engines.numba_engine.batch import UPDATE_BLOCK
from trainers.engines.numba_engine.fingerprint import fingerprint
from trainers.engines.numba_engine.intrinsics import KERNEL
from trainers.engines.numba_engine.step_passes import STATE_PREFETCH, flush_block, n_blocks
from trainers.engines.numba_engine.table import EmbeddingTable, Floats, adam_step, prefetch_all
from trainers.jit import announce, compiled


class Lookup(NamedTuple):
    """The compiled functions for rows of one width. No id may occur twice in a call.

    Attributes:
        read: (table, ids (n,), step, tail, powers, out (n, dim)): flush rows to a step, and copy them to `out`.
        train: (table, ids (n,), gradients (n, dim), step, its row of `rates`, l2, powers): an Adam step of flushed rows with a
            gradient other than zero.
    """

    read: Callable[[EmbeddingTable, NDArray[np.int32], int, float, NDArray[np.float64], Floats], None]
    train: Callable[
        [EmbeddingTable, NDArray[np.int32], Floats, int, NDArray[np.float64], np.float32, NDArray[np.float64]], None
    ]


@cache
def lookup_for(width: int) -> Lookup:
    """The functions, compiled or read from numba's cache on disk."""
    return _build(width, _VERSION)


def _build(width: int, version: int) -> Lookup:  # noqa: C901 - two kernels
    """Numbers in the closures are part of the cache's key, see `kernels`."""

    @compiled(version, width, (EmbeddingTable,), **KERNEL)
    def read(table, ids, step, tail, powers, out):  # type: ignore[no-untyped-def]
        if version == 0:
            return
        for block in prange(n_blocks(ids.size)):
            flush_block(table, ids, ids.size, block, step, tail, powers, width)
            for i in range(block * UPDATE_BLOCK, min(ids.size, (block + 1) * UPDATE_BLOCK)):
                for d in range(width):
                    out[i, d] = table.rows[ids[i], d]

    @compiled(version, width, (EmbeddingTable,), **KERNEL)
    def train(table, ids, gradients, step, rate, l2, powers):  # type: ignore[no-untyped-def]
        if version == 0:
            return
        for block in prange(n_blocks(ids.size)):
            last = min(ids.size, (block + 1) * UPDATE_BLOCK)
            for i in range(block * UPDATE_BLOCK, last):
                if i + STATE_PREFETCH < last:
                    prefetch_all(table, ids[i + STATE_PREFETCH], width)
                updates = False
                for d in range(width):
                    updates |= gradients[i, d] != np.float32(0.0)
                if updates:
                    adam_step(table, ids[i], gradients, i, np.float32(0.0), step, rate, l2, powers, width)

    announce(train, f"compiling what SimpleX needs for vectors of {width} floats: once on this machine, up to a minute")
    return Lookup(read, train)


_VERSION = fingerprint(_build)  # see `kernels`
