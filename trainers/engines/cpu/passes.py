"""What one task of a pass does. All are inlined into the kernel of `kernels.py`, which says how they fit together."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np

from trainers.engines.cpu.adam import (
    CODE_MAX,
    CODE_STEP,
    CODE_ZERO,
    INVERSE,
    SLACK,
    adam_step,
    catch_up,
    prefetch_all,
    prefetch_state,
)
from trainers.engines.cpu.batch import BLOCK, USERS
from trainers.engines.cpu.low import below, bits, code_dot, dot, inlined, largest, permuted, prefetch
from trainers.engines.cpu.rows import row_loss

AHEAD = 4  # rows between a prefetch and its use
CODES_AHEAD = 12
DENSE = 8  # of a table: at least an eighth of its rows
NEXT = 3  # the same where a row is 16 cache lines
_S32 = np.uint64(32)


@inlined
def draw_pair(batch, b, plan, position):
    """The pair at a position of the shuffled epoch."""
    pair = permuted(plan.shuffle, position, np.uint64(plan.items.size), plan.half_bits)
    batch.users[b] = plan.users[pair]
    batch.positives[b] = plan.items[pair]


@inlined
def link_users(batch, size, head):
    """String together the batch rows of each user, in batch order; returns the number of users."""
    n = 0
    for b in range(size - 1, -1, -1):
        user = batch.users[b]
        if head[user] < 0:
            batch.work_users[n] = user
            n += 1
        batch.next_user[b] = head[user]
        head[user] = b
    return n


@inlined
def sort_dense(head, work, n):
    """Sort the ids that `head` marks where they are a large share of the table, which is then read in sequence."""
    if n * DENSE > head.size:
        k = 0
        for row in range(head.size):
            work[k] = row  # one place more than there are ids
            k += head[row] >= 0


@inlined
def distinct(ids, counts, size, head, work):
    """Collect the ids in `ids[b, :counts[b]]` without repetition; returns how many. `head` serves as the mark."""
    n = 0
    for b in range(size):
        for j in range(counts[b]):
            item = ids[b, j]
            if head[item] < 0:
                head[item] = 0
                work[n] = item
                n += 1
    sort_dense(head, work, n)
    for i in range(n):
        head[work[i]] = -1
    return n


@inlined
def distinct_positives(batch, size, head):
    n = 0
    for b in range(size):
        item = batch.positives[b]
        if head[item] < 0:
            head[item] = 0
            batch.work_items[n] = item
            n += 1
    for i in range(n):
        head[batch.work_items[i]] = -1
    return n


@inlined
def link_items(batch, size, shift, head):
    """String together the slots of each item that got a slope, in batch order; returns the number of items."""
    n = 0
    for b in range(size - 1, -1, -1):
        for j in range(batch.found[b], -1, -1):
            if batch.slopes[b, j] != np.float32(0.0):
                item = batch.items[b, j]
                slot = (b << shift) + j
                if head[item] < 0:
                    batch.work_items[n] = item
                    n += 1
                batch.next_item[slot] = head[item]
                head[item] = slot
    sort_dense(head, batch.work_items, n)
    return n


@inlined
def catch_up_block(table, work, n, block, step, tail, power, width):
    first, last = block * BLOCK, min(n, (block + 1) * BLOCK)
    for i in range(first, min(first + AHEAD, last)):
        prefetch_state(table, work[i], width)
    for i in range(first, last):
        if i + AHEAD < last:
            prefetch_state(table, work[i + AHEAD], width)
        catch_up(table, work[i], step, tail, power, width)


@inlined
def user_vector(batch, b, table, plan, position, width):
    """The user's unit vector, after dropout, and its norm."""
    user = batch.users[b]
    inverse = table.scale[user, INVERSE]
    squares = np.float32(0.0)
    for d in range(width):
        value = table.rows[user, d] * inverse
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
    start = position * np.uint64(plan.n_negatives)
    for j in range(plan.n_negatives):
        batch.items[b, j] = np.int32(below(bits(plan.negatives, start + np.uint64(j)), n_items))


@inlined
def prefetch_score(table, row, width):
    """Ask for what a score reads."""
    prefetch(table.rows, row, 0, width)
    prefetch(table.scale, row, 0, 1)


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


@inlined
def score(batch, b, plan, table, share, width):
    """Exact scores, slopes, the loss and the gradient of the user's unit vector."""
    n = batch.found[b]
    positive = batch.positives[b]
    for j in range(n):
        if j + AHEAD < n:
            prefetch_score(table, batch.items[b, j + AHEAD], width)
        item = batch.items[b, j]
        batch.scores[b, j] = dot(batch.vectors, b, table.rows, item, width) * table.scale[item, INVERSE]
    match = dot(batch.vectors, b, table.rows, positive, width) * table.scale[positive, INVERSE]
    batch.losses[b], slope = row_loss(plan.kind, plan.settings, plan.n_negatives, match, batch.scores, b, n, batch.slopes)
    batch.items[b, n] = positive
    batch.slopes[b, n] = slope
    for d in range(width):
        batch.gradients[b, d] = np.float32(0.0)
    for j in range(n + 1):
        batch.slopes[b, j] *= share
        item = batch.items[b, j]
        factor = batch.slopes[b, j] * table.scale[item, INVERSE]
        if factor != np.float32(0.0):
            for d in range(width):
                batch.gradients[b, d] += factor * table.rows[item, d]


@inlined
def score_block(batch, block, size, plan, table, share, width):
    """`score` for some rows of the batch, each asking for the next one's items."""
    first, last = block * USERS, min(size, (block + 1) * USERS)
    for b in range(first - 1, last):
        if b + 1 < last:
            prefetch_score(table, batch.positives[b + 1], width)
            for j in range(min(AHEAD, batch.found[b + 1])):
                prefetch_score(table, batch.items[b + 1, j], width)
        if b >= first:
            score(batch, b, plan, table, share, width)
            if plan.dropout_threshold > np.uint64(0):
                drop(batch, b, width)


@inlined
def drop(batch, b, width):
    for d in range(width):
        batch.gradients[b, d] *= batch.keep[b, d]


@inlined
def has_slope(batch, b):
    for j in range(batch.found[b] + 1):  # noqa: SIM110 - numba has no any()
        if batch.slopes[b, j] != np.float32(0.0):
            return True
    return False


@inlined
def update_user(batch, user, table, step, rate, l2, power, width):
    first = table.head[user]
    table.head[user] = -1
    moved = has_slope(batch, first)
    b = batch.next_user[first]
    while b >= 0:
        moved |= has_slope(batch, b)
        for d in range(width):
            batch.gradients[first, d] += batch.gradients[b, d]
        b = batch.next_user[b]
    if moved:
        adam_step(table, user, batch.gradients, first, step, rate, l2, power, width)


@inlined
def update_item(batch, item, table, block, shift, step, rate, l2, power, width):
    slot = table.head[item]
    table.head[item] = -1
    for d in range(width):
        batch.sums[block, d] = np.float32(0.0)
    while slot >= 0:
        b = slot >> shift
        slope = batch.slopes[b, slot - (b << shift)]
        for d in range(width):
            batch.sums[block, d] += slope * batch.vectors[b, d]
        slot = batch.next_item[slot]
    adam_step(table, item, batch.sums, block, step, rate, l2, power, width)


@inlined
def blocks(n):
    return (n + BLOCK - 1) // BLOCK


@inlined
def update_users(batch, table, n, block, step, rate, l2, power, width):
    """`update_user` for a block of the batch's users."""
    first, last = block * BLOCK, min(n, (block + 1) * BLOCK)
    for i in range(first, last):
        if i + NEXT < last:
            prefetch_all(table, batch.work_users[i + NEXT], width)
        update_user(batch, batch.work_users[i], table, step, rate, l2, power, width)


@inlined
def update_items(batch, table, n, block, shift, step, rate, l2, power, width):
    """`update_item` for a block of the items that got a slope. Their lists were strung by one thread and lie in its cache."""
    first, last = block * BLOCK, min(n, (block + 1) * BLOCK)
    for i in range(first, last):
        prefetch(table.head, batch.work_items[i], 0, 1)
    for i in range(first - NEXT, last):
        if i + NEXT < last:
            item = batch.work_items[i + NEXT]
            prefetch_all(table, item, width)
            slot = table.head[item]
            b = slot >> shift
            prefetch(batch.next_item, slot, 0, 1)
            prefetch(batch.slopes, b, slot - (b << shift), 1)
            prefetch(batch.vectors, b, 0, width)
        if i >= first:
            update_item(batch, batch.work_items[i], table, block, shift, step, rate, l2, power, width)


@inlined
def users_before(task, user_blocks, item_blocks):
    """How many of the tasks before this one update users. Spread evenly, and lists walked from their end, which holds the first
    rows of the batch: so a thread updates about what it has scored, and finds it in its own cache.
    """
    return task * user_blocks // (user_blocks + item_blocks)


@inlined
def shift_of(batch):
    """Bits of a slot number that count within its row."""
    shift = 0
    while 1 << shift < batch.items.shape[1]:
        shift += 1
    return shift
