"""Draws of items that the user has not seen, compiled: the same as `UnseenSampler.draw`, in a quarter of the time."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from trainers.data import Ids
from trainers.engines.numba_engine.fingerprint import fingerprint
from trainers.engines.numba_engine.intrinsics import KERNEL, below, bits
from trainers.jit import announce, compiled
from trainers.negatives import Step, UnseenSampler

# (stream, first row, users (n,), indptr, unseen_before, number of items, out int32 (n, count))
Draw = Callable[[np.uint64, np.uint64, Ids, NDArray[np.int64], NDArray[np.int64], int, NDArray[np.int32]], None]


def drawn_unseen(sampler: UnseenSampler, step: Step) -> NDArray[np.int32]:
    """The items (n, count) that `sampler.draw(step)` returns. The step's rows must follow one another."""
    seen, out = sampler.seen, np.empty((len(step.rows), sampler.count), np.int32)
    _draw()(step.stream(), np.uint64(step.rows[0]), step.users, seen.indptr, sampler.unseen_before, seen.n_items, out)
    return out


@cache
def _draw() -> Draw:
    draw: Draw = _build(_VERSION)
    announce(draw, "compiling the draws of unseen items: once on this machine, some seconds")
    return draw


def _build(version: int) -> Any:
    """The compiled function; numbers in its closure are part of the cache's key, see `kernels`."""

    @compiled(version, **KERNEL)
    def draw(stream, first_row, users, indptr, unseen_before, n_items, out):  # type: ignore[no-untyped-def]
        if version == 0:
            return
        n, count = out.shape
        for index in prange(n):
            row = np.int64(index)
            user, first_counter = np.int64(users[row]), (first_row + np.uint64(row)) * np.uint64(count)
            start, n_seen = indptr[user], indptr[user + 1] - indptr[user]
            left = np.uint64(n_items - n_seen)
            for j in range(count):
                rank = np.int64(below(bits(stream, first_counter + np.uint64(j)), left))
                key, k, size = user * n_items + rank, start, n_seen
                while size > 1:  # a binary search without branches, which a processor could not predict
                    half = size >> 1
                    k += half * np.int64(unseen_before[k + half - 1] <= key)
                    size -= half
                if size == 1:
                    k += np.int64(unseen_before[k] <= key)
                out[row, j] = rank + k - start

    return draw


_VERSION = fingerprint(_build)
