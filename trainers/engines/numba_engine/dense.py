"""The passes for losses in which every negative has a gradient, item by item. Most of the catalogue is read at each step, so it
is read in sequence, and what is read at random are the batch's own few vectors. All are inlined into the kernels of
`kernels.py`.

A user's gradient is a sum over items, which different tasks update. Each bucket of items has a sum of its own, and the sums are
added in one order: so the numbers do not depend on the number of threads.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np

from trainers.engines.numba_engine.batch import BLOCK, USERS
from trainers.engines.numba_engine.intrinsics import dot, inlined, prefetch
from trainers.engines.numba_engine.step_passes import AHEAD, NEXT, drop, find_score_gradients, sort_dense
from trainers.engines.numba_engine.table import HALF_SQUARE, INVERSE, adam_step, catch_up, prefetch_all, prefetch_state

SLOTS_AHEAD = 8  # between a prefetch and its use


@inlined
def order_slots(batch, size, count, shift, head):
    """Put the slots of each item one after the other, in batch order; returns the number of items."""
    n = 0
    for b in range(size):
        batch.items[b, count] = batch.positives[b]
        batch.found[b] = count
        for j in range(count + 1):
            item = batch.items[b, j]
            if head[item] < 0:
                head[item] = 0
                batch.work_items[n] = item
                n += 1
            head[item] += 1
    sort_dense(head, batch.work_items, n)
    at = 0
    for i in range(n):
        item = batch.work_items[i]
        batch.starts[i] = at
        at += head[item]
        head[item] = batch.starts[i]
    batch.starts[n] = at
    for b in range(size):
        for j in range(count + 1):
            item = batch.items[b, j]
            batch.slots[head[item]] = (b << shift) + j
            head[item] += 1
    for i in range(n):
        head[batch.work_items[i]] = -1
    return n


@inlined
def score_items(batch, block, n, arguments, table, shift, step, tail, width):
    """Catch up some of the items and score them with all users that they are drawn for."""
    first, last = block * BLOCK, min(n, (block + 1) * BLOCK)
    for i in range(first, min(first + AHEAD, last)):
        prefetch_state(table, batch.work_items[i], width)
    for i in range(first, last):
        if i + AHEAD < last:
            prefetch_state(table, batch.work_items[i + AHEAD], width)
        item = batch.work_items[i]
        catch_up(table, item, step, tail, arguments.power, width)
        inverse, half_square = table.scale[item, INVERSE], table.scale[item, HALF_SQUARE]
        for e in range(batch.starts[i], batch.starts[i + 1]):
            b = batch.slots[e] >> shift
            score = dot(batch.vectors, b, table.rows, item, width) * inverse
            if arguments.euclidean:
                score += np.float32(1.0) - np.float32(0.5) * batch.sizes[b] * batch.sizes[b] - half_square
            batch.scores[b, batch.slots[e] - (b << shift)] = score


@inlined
def gradient_block(batch, block, size, arguments, share):
    """The losses and score gradients of some rows of the batch."""
    for b in range(block * USERS, min(size, (block + 1) * USERS)):
        pull = find_score_gradients(batch, b, arguments, share)
        if arguments.euclidean:
            batch.pulls[b] = pull


@inlined
def update_bucket(batch, bucket, size, n, arguments, table, shift, step, rate, width):
    """Update a bucket's items, and sum what they add to the gradients of the users."""
    n_buckets = batch.parts.shape[0] // batch.users.size
    own = bucket * batch.users.size
    for b in range(size):
        for d in range(width):
            batch.parts[own + b, d] = np.float32(0.0)
    first, last = bucket * n // n_buckets, (bucket + 1) * n // n_buckets
    for i in range(first, min(first + NEXT, last)):
        prefetch_all(table, batch.work_items[i], width)
    for i in range(first, last):
        if i + NEXT < last:
            prefetch_all(table, batch.work_items[i + NEXT], width)
        _update_item(batch, bucket, own, i, arguments, table, shift, step, rate, width)


@inlined
def _update_item(batch, bucket, own, i, arguments, table, shift, step, rate, width):
    item = batch.work_items[i]
    inverse = table.scale[item, INVERSE]
    pull = np.float32(0.0)
    moved = False
    for d in range(width):
        batch.sums[bucket, d] = np.float32(0.0)
    for e in range(batch.starts[i], batch.starts[i + 1]):
        ahead = batch.slots[min(e + SLOTS_AHEAD, batch.slots.size - 1)]
        prefetch(batch.score_gradients, ahead >> shift, ahead - ((ahead >> shift) << shift), 1)
        b = batch.slots[e] >> shift
        score_gradient = batch.score_gradients[b, batch.slots[e] - (b << shift)]
        if score_gradient != np.float32(0.0):
            moved = True
            pull += score_gradient
            factor = score_gradient * inverse
            for d in range(width):
                batch.sums[bucket, d] += score_gradient * batch.vectors[b, d]
                batch.parts[own + b, d] += factor * table.rows[item, d]
    if moved:
        if not arguments.euclidean:
            pull = np.float32(0.0)
        adam_step(table, item, batch.sums, bucket, pull, step, rate, arguments.l2, arguments.power, width)


@inlined
def gather_block(batch, block, size, arguments, width):
    """The gradients of some rows of the batch, from all buckets."""
    n_buckets = batch.parts.shape[0] // batch.users.size
    for b in range(block * USERS, min(size, (block + 1) * USERS)):
        for d in range(width):
            batch.gradients[b, d] = batch.parts[b, d]
        for bucket in range(1, n_buckets):
            for d in range(width):
                batch.gradients[b, d] += batch.parts[bucket * batch.users.size + b, d]
        if arguments.dropout_threshold > np.uint64(0):
            drop(batch, b, width)
