"""Attention pooling of users' histories: compiled value and gradient, as a torch function.

`trainers.encoders.modules.simplex.pooled` is the definition. Users are pooled in parallel. One task sums the gradient of an
item, in the order of the batch's users: so the numbers do not depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numba import prange
from numpy.typing import NDArray
from torch import Tensor

from trainers.data import Ids
from trainers.engines.numba_engine.batch import UPDATE_BLOCK
from trainers.engines.numba_engine.fingerprint import fingerprint
from trainers.engines.numba_engine.intrinsics import KERNEL, dot, inlined
from trainers.engines.numba_engine.step_passes import n_blocks
from trainers.engines.numba_engine.table import Floats
from trainers.jit import announce, compiled

Positions = NDArray[np.int32]


class Histories(NamedTuple):
    """The histories of a batch's B users, one after the other: P positions with D distinct items.

    Attributes:
        items: int32 (D,), the distinct items.
        which: int32 (P,), the index in `items` of each position's item.
        first: int32 (B + 1,), the positions of user b are first[b]:first[b + 1].
        row: int32 (P,), the user b of each position.
        starts, slots: int32 (D + 1,) and (P,): the positions of item i are slots[starts[i]:starts[i + 1]].
    """

    items: Positions
    which: Positions
    first: Positions
    row: Positions
    starts: Positions
    slots: Positions


def histories_of(users: Ids, consumed: Positions, ends: Positions, lengths: Positions, mark: Positions) -> Histories:
    """The histories of users (B,); the history of user u is `consumed[ends[u] - lengths[u] : ends[u]]`.

    Args:
        mark: scratch memory, int32 (n_items,), -1 before and after the call.
    """
    first = np.zeros(len(users) + 1, np.int32)
    np.cumsum(lengths[users], out=first[1:])
    which, row, slots = (np.empty(first[-1], np.int32) for _ in range(3))
    items, starts = np.empty(first[-1], np.int32), np.zeros(first[-1] + 1, np.int32)
    n = _fill_histories(users, consumed, ends, first, mark, items, which, row, starts, slots)
    return Histories(items[:n], which, first, row, starts[: n + 1], slots)


@compiled(nogil=True)
def _fill_histories(users, consumed, ends, first, mark, items, which, row, starts, slots):  # type: ignore[no-untyped-def]
    """Fill the arrays of `Histories`; returns the number of distinct items."""
    n = 0
    for b in range(users.size):
        start = ends[users[b]] - (first[b + 1] - first[b])
        for p in range(first[b], first[b + 1]):
            item = consumed[start + p - first[b]]
            if mark[item] < 0:
                mark[item] = n
                items[n] = item
                n += 1
            which[p] = mark[item]
            row[p] = b
            starts[which[p] + 1] += 1
    for i in range(n):
        mark[items[i]] = -1
        starts[i + 1] += starts[i]
    for p in range(which.size):  # starts[i] becomes the start of item i + 1, which is undone below
        slots[starts[which[p]]] = p
        starts[which[p]] += 1
    for i in range(n, 0, -1):
        starts[i] = starts[i - 1]
    starts[0] = 0
    return n


class Pooling(NamedTuple):
    """The compiled functions for vectors of one width. With keys (0, dim) all items of a history have the same weight.

    Attributes:
        value: (queries, keys, values, histories, weights (P,), out (B, dim)): fills the last two.
        backward: (gradients of out, queries, keys, values, histories, weights, score_gradients (P,), and the gradients of
            queries, keys and values): fills the last four.
    """

    value: Callable[..., None]
    backward: Callable[..., None]


@cache
def pooling_for(width: int) -> Pooling:
    """The functions, compiled or read from numba's cache on disk."""
    pooling = Pooling(_build_value(width, _VALUE), _build_backward(width, _BACKWARD))
    text = f"compiling what SimpleX needs for vectors of {width} floats: once on this machine, up to a minute"
    announce(pooling.backward, text)
    return pooling


# Numbers in the closures are part of the cache's key, see `kernels`.


def _build_value(width: int, version: int) -> Any:
    @compiled(version, width, (Histories,), **KERNEL)
    def value(queries, keys, values, histories, weights, out):  # type: ignore[no-untyped-def]
        if version == 0:
            return
        for b in prange(queries.shape[0]):
            begin, end = histories.first[b], histories.first[b + 1]
            highest = np.float32(-np.inf)
            for p in range(begin, end):
                weights[p] = dot(queries, b, keys, histories.which[p], width) if keys.size else np.float32(0.0)
                highest = max(highest, weights[p])
            total = np.float32(0.0)
            for p in range(begin, end):
                weights[p] = np.exp(weights[p] - highest)
                total += weights[p]
            for d in range(width):
                out[b, d] = np.float32(0.0)
            for p in range(begin, end):
                weights[p] /= total
                for d in range(width):
                    out[b, d] += weights[p] * values[histories.which[p], d]

    return value


@inlined
def sum_positions(out, i, histories, weights, vectors, width):  # type: ignore[no-untyped-def]
    """Set out[i] to the sum, over the positions of item i, of the position's weight times the vector of its user."""
    for d in range(width):
        out[i, d] = np.float32(0.0)
    for e in range(histories.starts[i], histories.starts[i + 1]):
        p = histories.slots[e]
        for d in range(width):
            out[i, d] += weights[p] * vectors[histories.row[p], d]


def _build_backward(width: int, version: int) -> Any:  # noqa: C901 - one kernel
    @compiled(version, width, (Histories,), **KERNEL)
    def backward(gradients, queries, keys, values, histories, weights, score_gradients, to_queries, to_keys, to_values):  # type: ignore[no-untyped-def]  # noqa: C901
        if version == 0:
            return
        for b in prange(queries.shape[0]):
            begin, end = histories.first[b], histories.first[b + 1]
            mean = np.float32(0.0)
            for d in range(width):
                to_queries[b, d] = np.float32(0.0)
            if keys.size:
                for p in range(begin, end):
                    score_gradients[p] = dot(gradients, b, values, histories.which[p], width)
                    mean += weights[p] * score_gradients[p]
                for p in range(begin, end):
                    score_gradients[p] = weights[p] * (score_gradients[p] - mean)
                    for d in range(width):
                        to_queries[b, d] += score_gradients[p] * keys[histories.which[p], d]
        n = histories.items.size
        for block in prange(n_blocks(n)):
            for i in range(block * UPDATE_BLOCK, min(n, (block + 1) * UPDATE_BLOCK)):
                sum_positions(to_values, i, histories, weights, gradients, width)
                if keys.size:
                    sum_positions(to_keys, i, histories, score_gradients, queries, width)

    return backward


class _Pooled(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, queries: Tensor, keys: Tensor, values: Tensor, histories: Histories) -> Tensor:
        arrays = [tensor.detach().contiguous().numpy() for tensor in (queries, keys, values)]
        out, weights = np.empty_like(arrays[0]), np.empty(len(histories.which), np.float32)
        pooling_for(out.shape[1]).value(*arrays, histories, weights, out)
        context.saved_arrays = arrays, histories, weights
        return torch.from_numpy(out)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        arrays, histories, weights = context.saved_arrays
        gradients: list[Floats] = [np.empty_like(array) for array in arrays]
        score_gradients = np.empty_like(weights)
        backward = pooling_for(gradient.shape[1]).backward
        backward(gradient.contiguous().numpy(), *arrays, histories, weights, score_gradients, *gradients)
        to_queries, to_keys, to_values = map(torch.from_numpy, gradients)
        return to_queries, to_keys, to_values, None


def pooled(queries: Tensor, keys: Tensor | None, values: Tensor, histories: Histories) -> Tensor:
    """The pooled histories (B, dim) of users with queries (B, dim).

    Args:
        keys, values: (D, dim), as in `trainers.encoders.modules.simplex.pooled`; keys None for equal weights.
    """
    out: Tensor = _Pooled.apply(queries, values[:0] if keys is None else keys, values, histories)  # type: ignore[no-untyped-call]
    return out


_VALUE, _BACKWARD = fingerprint(_build_value), fingerprint(_build_backward)  # see `kernels`
