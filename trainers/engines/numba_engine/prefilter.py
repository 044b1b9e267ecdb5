"""Which negatives of a batch may have a slope: those that do not certainly score below the loss's cutoff.

Judged first by int8 codes of the item's unit vector, a quarter of the memory traffic, then by its floats as of when the row was
last caught up; both with a bound on what that may be off. All are inlined into the kernel of `kernels.py`.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np

from trainers.engines.numba_engine.batch import USERS
from trainers.engines.numba_engine.intrinsics import below, bits, code_dot, dot, inlined, largest, prefetch, weighted
from trainers.engines.numba_engine.table import CODE_MAX, CODE_STEP, CODE_ZERO, INVERSE, SLACK, prefetch_score

CODES_AHEAD = 12  # negatives between a prefetch and its use
_S32 = np.uint64(32)


@inlined
def user_vector(batch, b, table, plan, position, width):
    """The user's vector as it is scored, after dropout, and its norm. One that is no row of the table stands there before."""
    if plan.own_users:
        user = batch.users[b]
        for d in range(width):
            batch.vectors[b, d] = table.rows[user, d] * table.scale[user, INVERSE]
    squares = np.float32(0.0)
    for d in range(width):
        value = batch.vectors[b, d]
        if plan.dropout_threshold > np.uint64(0):
            word = bits(plan.dropout, position * np.uint64(width) + np.uint64(d)) >> _S32
            factor = np.float32(plan.dropout_factor) if word >= plan.dropout_threshold else np.float32(0.0)
            batch.keep[b, d] = factor
            value *= factor
        batch.vectors[b, d] = value
        squares += value * value
    batch.sizes[b] = np.sqrt(squares)


@inlined
def draw_negatives(batch, b, plan, position, n_items):
    if plan.given.size:
        for j in range(plan.n_negatives):
            batch.items[b, j] = plan.given[np.int64(position) - plan.given_first, j]
        return
    start = position * np.uint64(plan.n_negatives)
    for j in range(plan.n_negatives):
        word = bits(plan.negatives, start + np.uint64(j))
        batch.items[b, j] = np.int32(weighted(word, plan.keep, plan.other) if plan.keep.size else below(word, n_items))


@inlined
def prefetch_codes(table, row, width):
    """Ask for what a score of codes reads."""
    prefetch(table.codes, row, 0, width)
    prefetch(table.scale, row, 0, 1)


@inlined
def _encode_user(batch, b, width):
    peak = largest(batch.vectors, b, width)
    factor = np.float32(CODE_MAX) / peak if peak > np.float32(0.0) else np.float32(0.0)
    batch.steps[b] = peak / np.float32(CODE_MAX)
    total = np.int32(0)
    for d in range(width):
        code = np.int32(batch.vectors[b, d] * factor + np.float32(CODE_ZERO + 0.5)) - np.int32(CODE_ZERO)
        batch.codes[b, d] = np.int8(code)
        total += np.int32(code)
    batch.zeros[b] = np.int32(total * np.int32(CODE_ZERO))


@inlined
def _screen_coarsely(batch, b, plan, table, width):
    """Drop the negatives whose codes already tell that `_screen_finely` would drop them; returns how many are left.

    Codes are off by at most 0.51 steps per component, which can move a score by that times sqrt(width) times the other
    vector's norm. NaN is kept.
    """
    _encode_user(batch, b, width)
    count, size, user_step, zero = plan.n_negatives, batch.sizes[b], batch.steps[b], batch.zeros[b]
    off = np.float32(0.51 * np.sqrt(width))
    user_off = np.float32(1.1) * off * user_step + np.float32(1e-5) * (np.float32(1.0) + size)
    per_step = off * (size + user_off)
    if not off * user_step < np.float32(np.inf):
        return count
    for j in range(min(CODES_AHEAD, count)):
        prefetch_codes(table, batch.items[b, j], width)
    n = 0
    for j in range(count):
        if j + CODES_AHEAD < count:
            prefetch_codes(table, batch.items[b, j + CODES_AHEAD], width)
        item = batch.items[b, j]
        whole = np.float32(code_dot(batch.codes, b, table.codes, item, width) - zero)
        wide = (whole * user_step + per_step) * table.scale[item, CODE_STEP] + table.scale[item, SLACK] * size + user_off
        batch.items[b, n] = item
        if not wide < plan.cutoff:
            n += 1
    return n


@inlined
def _screen_finely(batch, b, plan, table, width):
    """Keep the row's negatives that may reach the cutoff once caught up; NaN is kept."""
    size = batch.sizes[b]
    n = 0
    for j in range(batch.found[b]):
        item = batch.items[b, j]
        score = dot(batch.vectors, b, table.rows, item, width) * table.scale[item, INVERSE]
        batch.items[b, n] = item
        if not score + table.scale[item, SLACK] * size < plan.cutoff:
            n += 1
    batch.found[b] = n


@inlined
def find(batch, block, size, start, plan, users, items, n_items, width):
    """The users' vectors and the negatives that may reach the cutoff, for some rows of the batch."""
    first, last = block * USERS, min(size, (block + 1) * USERS)
    for b in range(first, last):
        prefetch_score(users, batch.users[b], width)
        draw_negatives(batch, b, plan, start + np.uint64(b), n_items)
        batch.found[b] = plan.n_negatives
    for b in range(first, last):
        user_vector(batch, b, users, plan, start + np.uint64(b), width)
    if plan.cutoff == -np.inf:
        return
    for b in range(first, last):
        batch.found[b] = _screen_coarsely(batch, b, plan, items, width)
        for j in range(batch.found[b]):
            prefetch_score(items, batch.items[b, j], width)
    for b in range(first, last):
        _screen_finely(batch, b, plan, items, width)
