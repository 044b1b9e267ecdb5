"""Draws the negatives of a batch and drops those that certainly score below the loss's cutoff, and so have no gradient.

The first filter compares int8 codes of the item's unit vector, a quarter of the memory traffic. The second compares its floats
as of its last flush. Both add a bound on their error. All functions are inlined into the kernels of `kernels.py`.

The exact score is s = u . w. u is the user vector in the batch; w is the item's row after its next flush, divided by its norm
(or by NORM_FLOOR, if that is larger). The filter knows v, which is w as of the last flush.

1. Pending displacement. The row still moves by at most `distance`, so |w - v| <= 2 distance / (2 |row| - distance), see
   `table._measure`. Hence s <= u . v + |u| slack. This also holds if a row is divided by NORM_FLOOR: for a point between the
   row divided by the other's norm and the row's unit vector, |w - v| is a convex function, and the bound holds at both ends.
2. Float32. A sum of `width` products has an error of at most (width + 2) 2^-24 |u| |v|, here and in the later training score.
   The division by the norm and the norm of u add some units of 2^-24. ROUNDING, 1e-5 = 168 units, is part of every slack and
   covers this up to a width of 70; `extra_rounding` covers the rest for wider rows. Products that underflow have an error of at
   most width 2^-149 / NORM_FLOOR, 1e-29 for any width in use. This is below ROUNDING times MIN_USER_NORM, the smallest value
   used for |u|.
3. NaN. Comparisons with NaN are false, so NaN is not dropped: it must reach the loss. A row without a finite norm has an
   inverse norm of NaN.

`_filter_by_rows` uses these three. `_filter_by_codes` adds a fourth, which it derives.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba.extending import register_jitable

from trainers.engines.numba_engine.batch import SCORE_BLOCK
from trainers.engines.numba_engine.intrinsics import below, bits, code_dot, dot, inlined, largest, prefetch, weighted
from trainers.engines.numba_engine.table import CODE_MAX, CODE_UNIT, CODE_ZERO, INVERSE_NORM, SLACK, prefetch_score

CODE_PREFETCH = 12  # negatives between a prefetch and its use
MIN_USER_NORM = np.float32(1e-15)  # smallest norm used for a user vector: the squares of a shorter one underflow
_S32 = np.uint64(32)


@inlined
def load_user_vector(batch, b, table, arguments, position, width):
    """The user vector for scoring, after dropout, and its norm. If users are not in the table, `batch.vectors` holds the vector
    before dropout.
    """
    if arguments.users_in_table:
        user = batch.users[b]
        for d in range(width):
            batch.vectors[b, d] = table.rows[user, d] * table.scale[user, INVERSE_NORM]
    squares = np.float32(0.0)
    for d in range(width):
        value = batch.vectors[b, d]
        if arguments.dropout_threshold > np.uint64(0):
            word = bits(arguments.dropout, position * np.uint64(width) + np.uint64(d)) >> _S32
            factor = np.float32(arguments.dropout_factor) if word >= arguments.dropout_threshold else np.float32(0.0)
            batch.dropout_factors[b, d] = factor
            value *= factor
        batch.vectors[b, d] = value
        squares += value * value
    batch.norms[b] = max(np.sqrt(squares), MIN_USER_NORM)


@inlined
def draw_negatives(batch, b, arguments, position, n_items):
    """The negatives of a row: given ones, or drawn by weight or uniformly."""
    if arguments.given_negatives.size:
        for j in range(arguments.n_negatives):
            batch.items[b, j] = arguments.given_negatives[np.int64(position) - arguments.first_given_row, j]
        return
    start = position * np.uint64(arguments.n_negatives)
    for j in range(arguments.n_negatives):
        word = bits(arguments.negatives, start + np.uint64(j))
        batch.items[b, j] = np.int32(
            weighted(word, arguments.alias_prob, arguments.alias) if arguments.alias_prob.size else below(word, n_items)
        )


@register_jitable
def extra_rounding(width: int) -> float:
    """By how much the error of two float32 sums of `width` products may exceed ROUNDING: 0 up to a width of 70."""
    return max(0.0, 2.0 * (width + 14) * 2.0**-24 - 1e-5)


@inlined
def prefetch_codes(table, row, width):
    """Prefetch what a score of codes reads."""
    prefetch(table.codes, row, 0, width)
    prefetch(table.scale, row, 0, 1)


@inlined
def _encode_user(batch, b, width):
    """The codes of a user vector, their unit, and the offset for the zero point of item codes."""
    peak = largest(batch.vectors, b, width)
    factor = np.float32(CODE_MAX) / peak if peak > np.float32(0.0) else np.float32(0.0)
    batch.code_units[b] = peak / np.float32(CODE_MAX)
    total = np.int32(0)
    for d in range(width):
        code = np.int32(batch.vectors[b, d] * factor + np.float32(CODE_ZERO + 0.5)) - np.int32(CODE_ZERO)
        batch.codes[b, d] = np.int8(code)
        total += np.int32(code)
    batch.zero_offsets[b] = np.int32(total * np.int32(CODE_ZERO))


@inlined
def _filter_by_codes(batch, b, arguments, table, width):
    """Drop the negatives whose codes show that they score below the cutoff; returns how many are left.

    Item codes c (minus CODE_ZERO) represent v = q (c + e) with q = CODE_UNIT; user codes k represent u = t (k + f) with
    t = user_unit. e and f are the rounding errors of the codes.

    1. A code is rounded to the nearest whole number, from a float32 in (1, 256) with 3 rounding errors of at most 2^-17 each;
       q and t have 2 relative errors of 2^-24, at most 127 units: |e_d|, |f_d| <= 0.5 + 5e-5 < 0.51.
    2. So |e|, |f| <= code_error := 0.51 sqrt(width).
    3. u . v = q u.c + q u.e, u.c = t k.c + t f.c, and q f.c = f.v - q f.e. Hence
       u . v <= q t k.c  +  q |u| code_error  +  t code_error |v|  +  q t code_error^2.
    4. |v| <= 1. With user_error >= t code_error the bound is q (t k.c + code_error (|u| + user_error)) + user_error. `bound` is
       this plus the slack.
    5. user_error is t code_error times 1.1, for float32 errors in `bound` if t is large, plus 1e-5 (1 + |u|). The second part
       covers float32 errors in the other terms (each at most 8 roundings of 2^-24 of a value of at most 1 + 3 |u|), and units
       of codes that are too small for float32. Codes of a vector whose largest entry is below 4e-37 are arbitrary. But then
       their unit is the smallest possible one (1e-12 for an item, below 1e-38 for a user), and all codes together change a
       score by less than 1e-7 |u|.
    6. k.c is a whole number below 2^31 for any width below 60,000.
    """
    _encode_user(batch, b, width)
    count, norm, user_unit, zero_offset = arguments.n_negatives, batch.norms[b], batch.code_units[b], batch.zero_offsets[b]
    code_error = np.float32(0.51 * np.sqrt(width))
    user_error = np.float32(1.1) * code_error * user_unit + np.float32(1e-5) * (np.float32(1.0) + norm)
    error_per_unit = code_error * (norm + user_error)
    if not code_error * user_unit < np.float32(np.inf):
        return count
    for j in range(min(CODE_PREFETCH, count)):
        prefetch_codes(table, batch.items[b, j], width)
    n = 0
    for j in range(count):
        if j + CODE_PREFETCH < count:
            prefetch_codes(table, batch.items[b, j + CODE_PREFETCH], width)
        item = batch.items[b, j]
        product = np.float32(code_dot(batch.codes, b, table.codes, item, width) - zero_offset)
        slack = table.scale[item, SLACK] + np.float32(extra_rounding(width))
        bound = (product * user_unit + error_per_unit) * table.scale[item, CODE_UNIT] + slack * norm + user_error
        batch.items[b, n] = item
        if not bound < arguments.cutoff:  # true for NaN
            n += 1
    return n


@inlined
def _filter_by_rows(batch, b, arguments, table, width):
    """Drop the row's negatives that score below the cutoff even after their next flush."""
    norm = batch.norms[b]
    n = 0
    for j in range(batch.n_passed[b]):
        item = batch.items[b, j]
        score = dot(batch.vectors, b, table.rows, item, width) * table.scale[item, INVERSE_NORM]
        batch.items[b, n] = item
        slack = table.scale[item, SLACK] + np.float32(extra_rounding(width))
        if not score + slack * norm < arguments.cutoff:  # true for NaN
            n += 1
    batch.n_passed[b] = n


@inlined
def draw_block(batch, block, size, first_row, arguments, users, n_items, width):
    """The user vectors and all negatives of a block of the batch; `first_row` is the batch's first position in the epoch."""
    first, last = block * SCORE_BLOCK, min(size, (block + 1) * SCORE_BLOCK)
    for b in range(first, last):
        prefetch_score(users, batch.users[b], width)
        draw_negatives(batch, b, arguments, first_row + np.uint64(b), n_items)
        batch.n_passed[b] = arguments.n_negatives
    for b in range(first, last):
        load_user_vector(batch, b, users, arguments, first_row + np.uint64(b), width)


@inlined
def draw_and_filter(batch, block, size, first_row, arguments, users, items, n_items, width):
    """The user vectors of a block of the batch, and the negatives that may reach the cutoff."""
    draw_block(batch, block, size, first_row, arguments, users, n_items, width)
    first, last = block * SCORE_BLOCK, min(size, (block + 1) * SCORE_BLOCK)
    for b in range(first, last):
        batch.n_passed[b] = _filter_by_codes(batch, b, arguments, items, width)
        for j in range(batch.n_passed[b]):
            prefetch_score(items, batch.items[b, j], width)
    for b in range(first, last):
        _filter_by_rows(batch, b, arguments, items, width)
