"""The passes for losses in which every negative has a gradient. All functions are inlined into the kernels of `kernels.py`.

The passes go item by item. A step reads most of the catalogue, so it is read in sequence, and only the few vectors of the batch
are read at random.

A user's gradient is a sum over items, which different tasks update. Each bucket of items has a partial sum, and the partial
sums are added in a fixed order. So the numbers do not depend on the number of threads.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np

from trainers.engines.numba_engine.batch import SCORE_BLOCK, UPDATE_BLOCK, UPDATE_GROUP
from trainers.engines.numba_engine.intrinsics import dot, inlined, prefetch
from trainers.engines.numba_engine.slots import add_slots
from trainers.engines.numba_engine.step_passes import (
    DENSE_SHARE,
    ROW_PREFETCH,
    drop_gradient,
    find_score_gradients,
)
from trainers.engines.numba_engine.table import HALF_SQUARE, INVERSE_NORM, adam_step, flush, prefetch_score

STATE_PREFETCH = 6  # items between a prefetch of Adam's state and its use


@inlined
def order_slots(batch, size, count, shift, head):
    """Group the slots by item, each item's slots in batch order; returns the number of items.

    Items are in ascending order if they are a large share of the table, so that memory is read in sequence, and else in the
    order in which the batch has them.
    """
    for b in range(size):
        batch.items[b, count] = batch.positives[b]
        batch.n_passed[b] = count
    n = 0
    if size * (count + 1) * DENSE_SHARE > head.size:
        n = _starts_of_all(batch, size, count, head)
    if n * DENSE_SHARE <= head.size:
        n = _starts_of_drawn(batch, size, count, head)
    for b in range(size):
        for j in range(count + 1):
            item = np.uint32(batch.items[b, j])  # unsigned: no test for indices from the end
            start = np.uint32(head[item])
            batch.slots[start] = (b << shift) + j
            head[item] = np.int32(start + np.uint32(1))
    for i in range(n):
        head[batch.work_items[i]] = -1
    return n


@inlined
def _starts_of_all(batch, size, count, head):
    """The items in ascending order and the starts of their slots, also in `head`; returns the number of items. It has no
    branches. If the items are too few for this order, `head` is cleared.
    """
    for row in range(head.size):
        head[row] = 0
    for b in range(size):
        for j in range(count + 1):
            head[np.uint32(batch.items[b, j])] += 1
    n, start = 0, 0
    for row in range(head.size):
        here = head[row]
        batch.work_items[n], batch.starts[n] = row, start  # both have one entry more than there are items
        head[row] = start if here > 0 else -1
        start += here
        n += here > 0
    batch.starts[n] = start
    if n * DENSE_SHARE <= head.size:
        for row in range(head.size):
            head[row] = -1
    return n


@inlined
def _starts_of_drawn(batch, size, count, head):
    """The items as they come in the batch and the starts of their slots, also in `head`; returns the number of items."""
    n = 0
    for b in range(size):
        for j in range(count + 1):
            item = batch.items[b, j]
            if head[item] < 0:
                head[item] = 0
                batch.work_items[n] = item
                n += 1
            head[item] += 1
    start = 0
    for i in range(n):
        item = batch.work_items[i]
        batch.starts[i] = start
        start += head[item]
        head[item] = batch.starts[i]
    batch.starts[n] = start
    return n


@inlined
def score_items(batch, block, n, arguments, table, shift, step, tail, width):
    """Flush a block of items and score them for all rows that they were drawn for."""
    first, last = block * UPDATE_BLOCK, min(n, (block + 1) * UPDATE_BLOCK)
    for i in range(first, last):
        prefetch(table.scale, batch.work_items[i], 0, 1)
    for i in range(first - ROW_PREFETCH, last):
        if i + ROW_PREFETCH < last:
            _prefetch_flush(table, batch.work_items[i + ROW_PREFETCH], step, width)
        if i < first:
            continue
        item = batch.work_items[i]
        flush(table, item, step, tail, arguments.powers, width)
        inverse, half_square = table.scale[item, INVERSE_NORM], table.scale[item, HALF_SQUARE]
        for e in range(batch.starts[i], batch.starts[i + 1]):
            b = batch.slots[e] >> shift
            score = dot(batch.vectors, b, table.rows, item, width) * inverse
            if arguments.euclidean:  # 1 - |u - v|^2 / 2 = u . v + 1 - |u|^2 / 2 - |v|^2 / 2
                score += np.float32(1.0) - np.float32(0.5) * batch.norms[b] * batch.norms[b] - half_square
            batch.scores[b, batch.slots[e] - (b << shift)] = score


@inlined
def _prefetch_flush(table, item, step, width):
    """Prefetch an item, and its direction if `flush` needs it."""
    prefetch(table.rows, item, 0, width)
    if table.last_step[item] < step:
        prefetch(table.state, item, 2 * width, width)


@inlined
def gradient_block(batch, block, size, arguments, loss_weight):
    """The losses and score gradients of a block of the batch."""
    for b in range(block * SCORE_BLOCK, min(size, (block + 1) * SCORE_BLOCK)):
        total = find_score_gradients(batch, b, arguments, loss_weight)
        if arguments.euclidean:
            batch.score_gradient_sums[b] = total


@inlined
def update_bucket(batch, bucket, size, n, arguments, table, shift, step, rate, width):
    """Update the items of a bucket, and sum their contributions to the user gradients."""
    n_buckets = batch.user_gradient_parts.shape[0] // batch.users.size
    base = bucket * batch.users.size
    for b in range(size):
        for d in range(width):
            batch.user_gradient_parts[base + b, d] = np.float32(0.0)
    first, last = bucket * n // n_buckets, (bucket + 1) * n // n_buckets
    for start in range(first, last, UPDATE_GROUP):
        end = min(start + UPDATE_GROUP, last)
        for i in range(start, end):
            if i + ROW_PREFETCH < last:
                prefetch_score(table, batch.work_items[i + ROW_PREFETCH], width)
            _sum_slots(batch, bucket, base, i, i - start, table, shift, width)
        for i in range(start, end):
            if i + STATE_PREFETCH < last:
                prefetch(table.state, batch.work_items[i + STATE_PREFETCH], 0, 3 * width)
            _update_item(batch, bucket, i, i - start, arguments, table, step, rate, width)


@inlined
def _sum_slots(batch, bucket, base, i, k, table, shift, width):
    """Sum the gradient of work item i, as number k of its group, and add its contribution to the partial user gradients from
    row `base` on.
    """
    item, g = batch.work_items[i], bucket * UPDATE_GROUP + k
    gradient_sum, updates = add_slots(
        batch.item_gradients,
        g,
        batch.user_gradient_parts,
        base,
        batch.vectors,
        table.rows,
        item,
        table.scale[item, INVERSE_NORM],
        batch.score_gradients,
        batch.slots,
        batch.starts[i],
        batch.starts[i + 1],
        shift,
        width,
    )
    batch.item_sums[g, 0], batch.item_sums[g, 1] = gradient_sum, updates


@inlined
def _update_item(batch, bucket, i, k, arguments, table, step, rate, width):
    """Update work item i, number k of its group, if it has a gradient."""
    g = bucket * UPDATE_GROUP + k
    if batch.item_sums[g, 1] == np.float32(0.0):
        return
    gradient_sum = batch.item_sums[g, 0] if arguments.euclidean else np.float32(0.0)
    l2, powers = arguments.l2, arguments.powers
    adam_step(table, batch.work_items[i], batch.item_gradients, g, gradient_sum, step, rate, l2, powers, width)


@inlined
def gather_block(batch, block, size, arguments, width):
    """The user gradients of a block of the batch: the sums of all buckets' parts."""
    n_buckets = batch.user_gradient_parts.shape[0] // batch.users.size
    for b in range(block * SCORE_BLOCK, min(size, (block + 1) * SCORE_BLOCK)):
        for d in range(width):
            batch.gradients[b, d] = batch.user_gradient_parts[b, d]
        for bucket in range(1, n_buckets):
            for d in range(width):
                batch.gradients[b, d] += batch.user_gradient_parts[bucket * batch.users.size + b, d]
        if arguments.dropout_threshold > np.uint64(0):
            drop_gradient(batch, b, width)
