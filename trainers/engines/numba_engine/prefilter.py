"""Which negatives of a batch may have a gradient: those that do not certainly score below the loss's cutoff.

Judged first by int8 codes of the item's unit vector, a quarter of the memory traffic, then by its floats as of when the row was
last caught up; both with a bound on what that may be off. All are inlined into the kernel of `kernels.py`.

The score that counts is s = u . w: u, the user's vector, stands in the batch; w is the item's row once caught up, divided by
its norm (or by NORM_FLOOR, if that is larger). What is at hand is v, the same of the row as it was when last caught up.

1. The row rests. It coasts by at most `drift`, and then |w - v| <= 2 drift / (2 |row| - drift), as `table._measure` says; so
   s <= u . v + |u| slack. Where a row is divided by NORM_FLOOR this holds too: between the row over the other's norm and its
   unit vector, |w - v| is a convex function of the point, and at both ends the bound holds.
2. Float32. A sum of `width` products is off by at most (width + 2) 2^-24 |u| |v|, and so is the sum that trains, later;
   dividing by the norm and the norm of u add some units of 2^-24. ROUNDING, 1e-5 = 168 units, is part of every slack and holds
   that up to a width of 70; `unrounded` is what lacks for wider rows. Where products underflow, they are off by at most
   width 2^-149 / NORM_FLOOR, 1e-29 for any width in use: below ROUNDING times SHORTEST, which |u| counts as at least.
3. NaN compares as false, and so is kept: it must reach the loss. A row too long for a finite norm has an inverse of NaN.

`_screen_finely` uses these three; codes add a fourth, which `_screen_coarsely` derives.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba.extending import register_jitable

from trainers.engines.numba_engine.batch import USERS
from trainers.engines.numba_engine.intrinsics import below, bits, code_dot, dot, inlined, largest, prefetch, weighted
from trainers.engines.numba_engine.table import CODE_MAX, CODE_STEP, CODE_ZERO, INVERSE, SLACK, prefetch_score

CODES_AHEAD = 12  # negatives between a prefetch and its use
SHORTEST = np.float32(1e-15)  # that a user's vector counts as: the squares of a shorter one underflow
_S32 = np.uint64(32)


@inlined
def user_vector(batch, b, table, arguments, position, width):
    """The user's vector as it is scored, after dropout, and its norm. One that is no row of the table stands there before."""
    if arguments.own_users:
        user = batch.users[b]
        for d in range(width):
            batch.vectors[b, d] = table.rows[user, d] * table.scale[user, INVERSE]
    squares = np.float32(0.0)
    for d in range(width):
        value = batch.vectors[b, d]
        if arguments.dropout_threshold > np.uint64(0):
            word = bits(arguments.dropout, position * np.uint64(width) + np.uint64(d)) >> _S32
            factor = np.float32(arguments.dropout_factor) if word >= arguments.dropout_threshold else np.float32(0.0)
            batch.keep[b, d] = factor
            value *= factor
        batch.vectors[b, d] = value
        squares += value * value
    batch.sizes[b] = max(np.sqrt(squares), SHORTEST)


@inlined
def draw_negatives(batch, b, arguments, position, n_items):
    if arguments.given.size:
        for j in range(arguments.n_negatives):
            batch.items[b, j] = arguments.given[np.int64(position) - arguments.given_first, j]
        return
    start = position * np.uint64(arguments.n_negatives)
    for j in range(arguments.n_negatives):
        word = bits(arguments.negatives, start + np.uint64(j))
        batch.items[b, j] = np.int32(
            weighted(word, arguments.keep, arguments.other) if arguments.keep.size else below(word, n_items)
        )


@register_jitable
def unrounded(width: int) -> float:
    """What ROUNDING lacks of the error of two float32 sums of `width` products: 0 up to a width of 70."""
    return max(0.0, 2.0 * (width + 14) * 2.0**-24 - 1e-5)


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
def _screen_coarsely(batch, b, arguments, table, width):
    """Drop the negatives whose codes already tell that they stay below the cutoff; returns how many are left.

    Item codes c (minus CODE_ZERO) stand for v = q (c + e), q = CODE_STEP, and user codes k for u = t (k + f), t = user_step.

    1. A code is rounded to the nearest whole number, from a float32 in (1, 256) that is off by 3 roundings of at most 2^-17
       each; q and t are off by 2 of 2^-24, relative, at most 127 units: |e_d|, |f_d| <= 0.5 + 5e-5 < 0.51.
    2. So |e|, |f| <= off := 0.51 sqrt(width).
    3. u . v = q u.c + q u.e, and u.c = t k.c + t f.c, q f.c = f.v - q f.e: hence
       u . v <= q t k.c  +  q |u| off  +  t off |v|  +  q t off^2.
    4. |v| <= 1. With user_off >= t off the bound is q (t k.c + off (|u| + user_off)) + user_off: `wide`, without the slack.
    5. user_off is t off times 1.1, for what float32 loses in `wide` where t is large, plus 1e-5 (1 + |u|): for what it loses in
       the other terms (each at most 8 roundings of 2^-24 of something no larger than 1 + 3 |u|), and for codes in units too
       small for float32. Those of a vector whose largest entry is below 4e-37 are arbitrary; but then its unit is the smallest
       there is (1e-12 of an item, below 1e-38 of a user), and all its codes together move a score by less than 1e-7 |u|.
    6. k.c is a whole number below 2^31 for any width below 60,000.
    """
    _encode_user(batch, b, width)
    count, size, user_step, zero = arguments.n_negatives, batch.sizes[b], batch.steps[b], batch.zeros[b]
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
        slack = table.scale[item, SLACK] + np.float32(unrounded(width))
        wide = (whole * user_step + per_step) * table.scale[item, CODE_STEP] + slack * size + user_off
        batch.items[b, n] = item
        if not wide < arguments.cutoff:
            n += 1
    return n


@inlined
def _screen_finely(batch, b, arguments, table, width):
    """Keep the row's negatives that may reach the cutoff once caught up; NaN is kept."""
    size = batch.sizes[b]
    n = 0
    for j in range(batch.found[b]):
        item = batch.items[b, j]
        score = dot(batch.vectors, b, table.rows, item, width) * table.scale[item, INVERSE]
        batch.items[b, n] = item
        slack = table.scale[item, SLACK] + np.float32(unrounded(width))
        if not score + slack * size < arguments.cutoff:
            n += 1
    batch.found[b] = n


@inlined
def draw_block(batch, block, size, start, arguments, users, n_items, width):
    """The users' vectors and all their negatives, for some rows of the batch."""
    first, last = block * USERS, min(size, (block + 1) * USERS)
    for b in range(first, last):
        prefetch_score(users, batch.users[b], width)
        draw_negatives(batch, b, arguments, start + np.uint64(b), n_items)
        batch.found[b] = arguments.n_negatives
    for b in range(first, last):
        user_vector(batch, b, users, arguments, start + np.uint64(b), width)


@inlined
def find(batch, block, size, start, arguments, users, items, n_items, width):
    """The users' vectors and the negatives that may reach the cutoff, for some rows of the batch."""
    draw_block(batch, block, size, start, arguments, users, n_items, width)
    first, last = block * USERS, min(size, (block + 1) * USERS)
    for b in range(first, last):
        batch.found[b] = _screen_coarsely(batch, b, arguments, items, width)
        for j in range(batch.found[b]):
            prefetch_score(items, batch.items[b, j], width)
    for b in range(first, last):
        _screen_finely(batch, b, arguments, items, width)
