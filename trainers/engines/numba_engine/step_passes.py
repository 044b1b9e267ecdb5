"""The work of one task in each pass of the step. All functions are inlined into the kernels of `kernels.py`.

`kernels.py` shows how they fit together.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np

from trainers.engines.numba_engine.batch import SCORE_BLOCK, UPDATE_BLOCK
from trainers.engines.numba_engine.intrinsics import dot, inlined, permuted, prefetch
from trainers.engines.numba_engine.row_functions import row_loss
from trainers.engines.numba_engine.table import INVERSE_NORM, adam_step, flush, prefetch_all, prefetch_score, prefetch_state

ROW_PREFETCH = 4  # rows between a prefetch and its use
STATE_PREFETCH = 3  # the same for a row with its Adam state, which is 16 cache lines
DENSE_SHARE = 8  # lists of at least an eighth of a table's rows are sorted


@inlined
def draw_pair(batch, b, arguments, position):
    """The pair at a position of the shuffled epoch."""
    pair = permuted(arguments.shuffle, position, np.uint64(arguments.items.size), arguments.half_bits)
    batch.users[b] = arguments.users[pair]
    batch.positives[b] = arguments.items[pair]


@inlined
def link_users(batch, size, head):
    """Link the batch rows of each user in a list, in batch order; returns the number of users."""
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
    """Sort the ids that are marked in `head` if they are a large share of the table, so that memory is read in sequence."""
    if n * DENSE_SHARE > head.size:
        k = 0
        for row in range(head.size):
            work[k] = row  # without a branch; `work` has one entry more than there are ids
            k += head[row] >= 0


@inlined
def distinct(ids, counts, size, head, work):
    """Write the distinct ids of `ids[b, :counts[b]]` to `work`; returns their number. `head` holds the marks meanwhile."""
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
    """Write the distinct positive items to `batch.work_items`; returns their number."""
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
    """Link the slots with a gradient of each item in a list, in batch order; returns the number of items."""
    n = 0
    for b in range(size - 1, -1, -1):
        for j in range(batch.n_passed[b], -1, -1):
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
def flush_block(table, work, n, block, step, tail, powers, width):
    """Flush a block of the `n` rows in `work` to step `step`."""
    first, last = block * UPDATE_BLOCK, min(n, (block + 1) * UPDATE_BLOCK)
    for i in range(first, min(first + ROW_PREFETCH, last)):
        prefetch_state(table, work[i], width)
    for i in range(first, last):
        if i + ROW_PREFETCH < last:
            prefetch_state(table, work[i + ROW_PREFETCH], width)
        flush(table, work[i], step, tail, powers, width)


@inlined
def flush_task(batch, task, user_blocks, n_users, n_items, users, items, step, tail, powers, width):
    """`flush_block` for the batch's users, then for its positives."""
    if task < user_blocks:
        flush_block(users, batch.work_users, n_users, task, step, tail, powers, width)
    else:
        flush_block(items, batch.work_items, n_items, task - user_blocks, step, tail, powers, width)


@inlined
def add_losses(batch, size, totals, head):
    """Add the batch's losses to `totals[0]`; returns whether the sum is finite. If it is not, the step ends here, and the lists
    of users are cleared.
    """
    for b in range(size):
        totals[0] += batch.losses[b]
    if np.isfinite(totals[0]):
        return True
    for b in range(size):
        head[batch.users[b]] = -1
    return False


@inlined
def find_score_gradients(batch, b, arguments, loss_weight):
    """A row's loss and score gradients, from the scores of its negatives and, after them, its positive; returns the sum of the
    gradients.
    """
    n = batch.n_passed[b]
    positive = batch.scores[b, n]
    batch.losses[b], score_gradient = row_loss(
        arguments.kind, arguments.settings, arguments.n_negatives, positive, batch.scores, b, n, batch.score_gradients
    )
    batch.score_gradients[b, n] = score_gradient
    total = np.float32(0.0)
    for j in range(n + 1):
        batch.score_gradients[b, j] *= loss_weight
        total += batch.score_gradients[b, j]
    return total


@inlined
def score_row(batch, b, arguments, table, loss_weight, width):
    """A row's scores, their gradients, its loss, and the gradient of its user vector."""
    n = batch.n_passed[b]
    batch.items[b, n] = batch.positives[b]
    for j in range(n + 1):
        if j + ROW_PREFETCH <= n:
            prefetch_score(table, batch.items[b, j + ROW_PREFETCH], width)
        item = batch.items[b, j]
        batch.scores[b, j] = dot(batch.vectors, b, table.rows, item, width) * table.scale[item, INVERSE_NORM]
    find_score_gradients(batch, b, arguments, loss_weight)
    for d in range(width):
        batch.gradients[b, d] = np.float32(0.0)
    for j in range(n + 1):
        item = batch.items[b, j]
        factor = batch.score_gradients[b, j] * table.scale[item, INVERSE_NORM]
        if factor != np.float32(0.0):
            for d in range(width):
                batch.gradients[b, d] += factor * table.rows[item, d]


@inlined
def score_block(batch, block, size, arguments, table, loss_weight, width):
    """`score_row` for a block of the batch; each row prefetches the items of the next one."""
    first, last = block * SCORE_BLOCK, min(size, (block + 1) * SCORE_BLOCK)
    for b in range(first - 1, last):
        if b + 1 < last:
            prefetch_score(table, batch.positives[b + 1], width)
            for j in range(min(ROW_PREFETCH, batch.n_passed[b + 1])):
                prefetch_score(table, batch.items[b + 1, j], width)
        if b >= first:
            score_row(batch, b, arguments, table, loss_weight, width)
            if arguments.dropout_threshold > np.uint64(0):
                drop_gradient(batch, b, width)


@inlined
def drop_gradient(batch, b, width):
    """Apply the dropout of a row's user vector to its gradient."""
    for d in range(width):
        batch.gradients[b, d] *= batch.dropout_factors[b, d]


@inlined
def has_gradient(batch, b):
    """Whether any score of a row has a gradient."""
    for j in range(batch.n_passed[b] + 1):  # noqa: SIM110 - numba has no any()
        if batch.score_gradients[b, j] != np.float32(0.0):
            return True
    return False


@inlined
def update_user(batch, user, table, step, rate, arguments, width):
    """An Adam step of a user whose rows have a gradient; the gradients are summed in batch order."""
    first = table.head[user]
    table.head[user] = -1
    updates = has_gradient(batch, first)
    gradient_sum = batch.score_gradient_sums[first]
    b = batch.next_user[first]
    while b >= 0:
        updates |= has_gradient(batch, b)
        gradient_sum += batch.score_gradient_sums[b]
        for d in range(width):
            batch.gradients[first, d] += batch.gradients[b, d]
        b = batch.next_user[b]
    if updates:
        adam_step(table, user, batch.gradients, first, gradient_sum, step, rate, arguments.l2, arguments.powers, width)


@inlined
def update_item(batch, item, table, block, shift, step, rate, arguments, width):
    """An Adam step of an item, with the gradients of its slots summed in batch order."""
    slot = table.head[item]
    table.head[item] = -1
    for d in range(width):
        batch.item_gradients[block, d] = np.float32(0.0)
    while slot >= 0:
        b = slot >> shift
        score_gradient = batch.score_gradients[b, slot - (b << shift)]
        for d in range(width):
            batch.item_gradients[block, d] += score_gradient * batch.vectors[b, d]
        slot = batch.next_item[slot]
    zero = np.float32(0.0)
    adam_step(table, item, batch.item_gradients, block, zero, step, rate, arguments.l2, arguments.powers, width)


@inlined
def n_blocks(n):
    """The number of blocks of `n` rows to update."""
    return (n + UPDATE_BLOCK - 1) // UPDATE_BLOCK


@inlined
def update_users(batch, table, n, block, step, rate, arguments, width):
    """`update_user` for a block of the batch's users."""
    first, last = block * UPDATE_BLOCK, min(n, (block + 1) * UPDATE_BLOCK)
    for i in range(first, last):
        if i + STATE_PREFETCH < last:
            prefetch_all(table, batch.work_users[i + STATE_PREFETCH], width)
        update_user(batch, batch.work_users[i], table, step, rate, arguments, width)


@inlined
def update_items(batch, table, n, block, shift, step, rate, arguments, width):
    """`update_item` for a block of the items with a gradient. One thread linked their lists, so they are in its cache only."""
    first, last = block * UPDATE_BLOCK, min(n, (block + 1) * UPDATE_BLOCK)
    for i in range(first, last):
        prefetch(table.head, batch.work_items[i], 0, 1)
    for i in range(first - STATE_PREFETCH, last):
        if i + STATE_PREFETCH < last:
            item = batch.work_items[i + STATE_PREFETCH]
            prefetch_all(table, item, width)
            slot = table.head[item]
            b = slot >> shift
            prefetch(batch.next_item, slot, 0, 1)
            prefetch(batch.score_gradients, b, slot - (b << shift), 1)
            prefetch(batch.vectors, b, 0, width)
        if i >= first:
            update_item(batch, batch.work_items[i], table, block, shift, step, rate, arguments, width)


@inlined
def user_tasks_before(task, user_blocks, item_blocks):
    """How many of the tasks before this one update users. They are spread evenly among the tasks. Lists are walked from their
    end, where the first rows of the batch are: so a thread mostly updates rows that it has scored, which are in its cache.
    """
    return task * user_blocks // (user_blocks + item_blocks)


@inlined
def update_task(batch, task, user_blocks, n_users, n_items, users, items, shift, step, rate, arguments, width):
    """`update_users` or `update_items`, for a block of users or of items."""
    item_blocks = n_blocks(n_items)
    block = user_tasks_before(task, user_blocks, item_blocks)
    if block < user_tasks_before(task + 1, user_blocks, item_blocks):
        update_users(batch, users, n_users, user_blocks - 1 - block, step, rate, arguments, width)
    else:
        update_items(batch, items, n_items, item_blocks - 1 - (task - block), shift, step, rate, arguments, width)


@inlined
def shift_of(batch):
    """log2 of the slots per row: slot number >> shift is the row."""
    shift = 0
    while 1 << shift < batch.items.shape[1]:
        shift += 1
    return shift
