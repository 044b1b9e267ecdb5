"""What one task of a pass does. All are inlined into the kernel of `kernels.py`, which says how they fit together."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np

from trainers.engines.numba_engine.batch import BLOCK, USERS
from trainers.engines.numba_engine.intrinsics import dot, inlined, permuted, prefetch
from trainers.engines.numba_engine.row_functions import row_loss
from trainers.engines.numba_engine.table import INVERSE, adam_step, catch_up, prefetch_all, prefetch_score, prefetch_state

AHEAD = 4  # rows between a prefetch and its use
NEXT = 3  # the same where a row is 16 cache lines
DENSE = 8  # of a table: at least an eighth of its rows


@inlined
def draw_pair(batch, b, arguments, position):
    """The pair at a position of the shuffled epoch."""
    pair = permuted(arguments.shuffle, position, np.uint64(arguments.items.size), arguments.half_bits)
    batch.users[b] = arguments.users[pair]
    batch.positives[b] = arguments.items[pair]


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
            work[k] = row  # one slot more than there are ids
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
    """String together the slots of each item that got a gradient, in batch order; returns the number of items."""
    n = 0
    for b in range(size - 1, -1, -1):
        for j in range(batch.found[b], -1, -1):
            if batch.score_gradients[b, j] != np.float32(0.0):
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
def catch_up_task(batch, task, user_blocks, n_users, n_items, users, items, step, tail, power, width):
    """`catch_up_block` of the batch's users, then of its positives."""
    if task < user_blocks:
        catch_up_block(users, batch.work_users, n_users, task, step, tail, power, width)
    else:
        catch_up_block(items, batch.work_items, n_items, task - user_blocks, step, tail, power, width)


@inlined
def add_losses(batch, size, totals, head):
    """Add the batch's losses; where they are not finite the step ends here, and the users' lists are undone."""
    for b in range(size):
        totals[0] += batch.losses[b]
    if np.isfinite(totals[0]):
        return True
    for b in range(size):
        head[batch.users[b]] = -1
    return False


@inlined
def find_score_gradients(batch, b, arguments, share):
    """A row's loss and score gradients, from the scores of its negatives and, after them, its positive; returns their sum."""
    n = batch.found[b]
    match = batch.scores[b, n]
    batch.losses[b], score_gradient = row_loss(
        arguments.kind, arguments.settings, arguments.n_negatives, match, batch.scores, b, n, batch.score_gradients
    )
    batch.score_gradients[b, n] = score_gradient
    total = np.float32(0.0)
    for j in range(n + 1):
        batch.score_gradients[b, j] *= share
        total += batch.score_gradients[b, j]
    return total


@inlined
def score(batch, b, arguments, table, share, width):
    """Exact scores, their gradients, the loss and the gradient of the user's vector."""
    n = batch.found[b]
    batch.items[b, n] = batch.positives[b]
    for j in range(n + 1):
        if j + AHEAD <= n:
            prefetch_score(table, batch.items[b, j + AHEAD], width)
        item = batch.items[b, j]
        batch.scores[b, j] = dot(batch.vectors, b, table.rows, item, width) * table.scale[item, INVERSE]
    find_score_gradients(batch, b, arguments, share)
    for d in range(width):
        batch.gradients[b, d] = np.float32(0.0)
    for j in range(n + 1):
        item = batch.items[b, j]
        factor = batch.score_gradients[b, j] * table.scale[item, INVERSE]
        if factor != np.float32(0.0):
            for d in range(width):
                batch.gradients[b, d] += factor * table.rows[item, d]


@inlined
def score_block(batch, block, size, arguments, table, share, width):
    """`score` for some rows of the batch, each asking for the next one's items."""
    first, last = block * USERS, min(size, (block + 1) * USERS)
    for b in range(first - 1, last):
        if b + 1 < last:
            prefetch_score(table, batch.positives[b + 1], width)
            for j in range(min(AHEAD, batch.found[b + 1])):
                prefetch_score(table, batch.items[b + 1, j], width)
        if b >= first:
            score(batch, b, arguments, table, share, width)
            if arguments.dropout_threshold > np.uint64(0):
                drop(batch, b, width)


@inlined
def drop(batch, b, width):
    for d in range(width):
        batch.gradients[b, d] *= batch.keep[b, d]


@inlined
def has_gradient(batch, b):
    for j in range(batch.found[b] + 1):  # noqa: SIM110 - numba has no any()
        if batch.score_gradients[b, j] != np.float32(0.0):
            return True
    return False


@inlined
def update_user(batch, user, table, step, rate, arguments, width):
    first = table.head[user]
    table.head[user] = -1
    moved = has_gradient(batch, first)
    pull = batch.pulls[first]
    b = batch.next_user[first]
    while b >= 0:
        moved |= has_gradient(batch, b)
        pull += batch.pulls[b]
        for d in range(width):
            batch.gradients[first, d] += batch.gradients[b, d]
        b = batch.next_user[b]
    if moved:
        adam_step(table, user, batch.gradients, first, pull, step, rate, arguments.l2, arguments.power, width)


@inlined
def update_item(batch, item, table, block, shift, step, rate, arguments, width):
    slot = table.head[item]
    table.head[item] = -1
    for d in range(width):
        batch.sums[block, d] = np.float32(0.0)
    while slot >= 0:
        b = slot >> shift
        score_gradient = batch.score_gradients[b, slot - (b << shift)]
        for d in range(width):
            batch.sums[block, d] += score_gradient * batch.vectors[b, d]
        slot = batch.next_item[slot]
    adam_step(table, item, batch.sums, block, np.float32(0.0), step, rate, arguments.l2, arguments.power, width)


@inlined
def blocks(n):
    return (n + BLOCK - 1) // BLOCK


@inlined
def update_users(batch, table, n, block, step, rate, arguments, width):
    """`update_user` for a block of the batch's users."""
    first, last = block * BLOCK, min(n, (block + 1) * BLOCK)
    for i in range(first, last):
        if i + NEXT < last:
            prefetch_all(table, batch.work_users[i + NEXT], width)
        update_user(batch, batch.work_users[i], table, step, rate, arguments, width)


@inlined
def update_items(batch, table, n, block, shift, step, rate, arguments, width):
    """`update_item` for a block of the items with a gradient. Their lists were strung by one thread and lie in its cache."""
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
            prefetch(batch.score_gradients, b, slot - (b << shift), 1)
            prefetch(batch.vectors, b, 0, width)
        if i >= first:
            update_item(batch, batch.work_items[i], table, block, shift, step, rate, arguments, width)


@inlined
def users_before(task, user_blocks, item_blocks):
    """How many of the tasks before this one update users. Spread evenly, and lists walked from their end, which holds the first
    rows of the batch: so a thread updates about what it has scored, and finds it in its own cache.
    """
    return task * user_blocks // (user_blocks + item_blocks)


@inlined
def update_task(batch, task, user_blocks, n_users, n_items, users, items, shift, step, rate, arguments, width):
    """`update_users` or `update_items` for a block of either."""
    item_blocks = blocks(n_items)
    block = users_before(task, user_blocks, item_blocks)
    if block < users_before(task + 1, user_blocks, item_blocks):
        update_users(batch, users, n_users, user_blocks - 1 - block, step, rate, arguments, width)
    else:
        update_items(batch, items, n_items, item_blocks - 1 - (task - block), shift, step, rate, arguments, width)


@inlined
def shift_of(batch):
    """Bits of a slot number that count within its row."""
    shift = 0
    while 1 << shift < batch.items.shape[1]:
        shift += 1
    return shift
