"""The training step of all lanes, as two kernels that share the arrays of `pool.Pool`.

    shuffle_pairs   once per epoch: the training pairs in the order of the epoch
    train_rows      one program per batch row of a lane: draws and scores its negatives, and adds its gradients to sums
    update_rows     Adam for the rows with a gradient, each in one program; clears the sums

Rows are never flushed in place. A program that reads a row adds the row's displacement since its last gradient
(`trainers.engines.lazy_adam`). So no program of train_rows writes anything that another one reads, except by atomic additions.
Gradients are summed as whole numbers, in units of 1 / GRADIENT_SCALE. Such sums are the same in any order, so no bit of a run
depends on timing or on other lanes. For the same reason the compiler must not fuse products and sums (ROUNDING): it would do
it in some rows of a tile and not in others, and a row's position in its tile depends on timing.

The rows with a gradient are in PROGRAMS lists per lane; list p gets those of the batch rows p, p + PROGRAMS, and so on. A
single list would have one counter with thousands of atomic additions per step. Program p of update_rows takes list p.

The number of finished steps is in memory, so that a CUDA graph can replay steps. train_rows reads `progress[0]` and writes
`progress[1]`, update_rows does the reverse. There are two sets of list counters: one is filled while the other is cleared.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import triton
import triton.language as tl

from trainers import scores
from trainers.engines import lazy_adam as adam
from trainers.engines.triton_engine import arrays
from trainers.engines.triton_engine.limits import N_SETTINGS
from trainers.engines.triton_engine.rng import below, bits, permuted, weighted, word
from trainers.engines.triton_engine.row_functions import row_loss

N_POWERS = 2**17  # b2^(2^17) underflows in float32
# The fastest sizes on an H200 of those that `benchmarks.cuda_tune` tries. Other sizes have another order of sums.
CHUNK, ROW_WARPS = 8, 2  # of train_rows: negatives whose rows are read together, and warps of a program
WIDE, WIDE_CHUNK, WIDE_WARPS = 256, 16, 4  # the same for more negatives than WIDE
TILE, UPDATE_WARPS = 8, 4  # of update_rows: rows that are updated together, and warps of a program
PROGRAMS = 128  # of update_rows, and lists of rows with a gradient, per lane
SHUFFLED = 128  # pairs that a program of shuffle_pairs writes
ROUNDING = {"enable_fp_fusion": False}  # every product and every sum is rounded, except in tl.fma

_SHUFFLE, _NEGATIVES, _DROPOUT = (tl.constexpr(column) for column in (arrays.SHUFFLE, arrays.NEGATIVES, arrays.DROPOUT))
_DROPOUT_THRESHOLD, _N_NEGATIVES = tl.constexpr(arrays.DROPOUT_THRESHOLD), tl.constexpr(arrays.N_NEGATIVES)
_N_STEPS, _STEPS_BEFORE, _SUMMED = (tl.constexpr(column) for column in (arrays.N_STEPS, arrays.STEPS_BEFORE, arrays.SUMMED))
_DROPOUT_FACTOR, _L2, _GRADIENT_SCALE = (
    tl.constexpr(column) for column in (arrays.DROPOUT_FACTOR, arrays.L2, arrays.GRADIENT_SCALE)
)
_N_INT_PARAMS, _N_FLOAT_PARAMS = tl.constexpr(arrays.N_INT_PARAMS), tl.constexpr(arrays.N_FLOAT_PARAMS)
_STEP_SIZE, _ROOT_FACTOR = tl.constexpr(adam.STEP_SIZE), tl.constexpr(adam.ROOT_FACTOR)
_TAIL_BEFORE, _TAIL_AFTER, _N_RATES = (tl.constexpr(column) for column in (adam.TAIL_BEFORE, adam.TAIL_AFTER, adam.N_RATES))
_BETA_1_POWERS, _BETA_2_POWERS, _RATIO_POWERS = (
    tl.constexpr(row * N_POWERS) for row in (adam.BETA_1_POWERS, adam.BETA_2_POWERS, adam.RATIO_POWERS)
)  # offsets of the rows of Lanes.powers
_N_SETTINGS, _LAST_POWER = tl.constexpr(N_SETTINGS), tl.constexpr(N_POWERS - 1)
_USERS, _ITEMS = tl.constexpr(0), tl.constexpr(1)  # indices of Lanes.counts
_FLOOR = tl.constexpr(scores.NORM_FLOOR)
_BETA_1, _BETA_2 = tl.constexpr(adam.BETAS[0]), tl.constexpr(adam.BETAS[1])
_GAIN_1, _GAIN_2 = tl.constexpr(1.0 - adam.BETAS[0]), tl.constexpr(1.0 - adam.BETAS[1])
_EPSILON = tl.constexpr(adam.EPSILON)


@triton.jit
def _displacements(table, lanes, row, mask, step, tail):
    """Displacements of rows (R,) between their last gradient and the end of a step, in multiples of their directions, float32.

    `row` counts over all lanes; `tail` is tail(step).
    """
    pending = tl.load(table.pending + row, mask=mask, other=0.0)
    idle_steps = step - tl.load(table.last_step + row, mask=mask, other=0)
    remaining = tl.load(lanes.powers + _RATIO_POWERS + tl.minimum(idle_steps, _LAST_POWER)) * tail
    return tl.where(pending == 0.0, 0.0, pending - remaining).to(tl.float32)


@triton.jit
def _displaced(table, row, mask, displacements, DIM: tl.constexpr):
    """Rows (R, DIM) after displacements (R,), in multiples of their directions."""
    cell = row[:, None] * DIM + tl.arange(0, DIM)[None, :]
    values = tl.load(table.rows + cell, mask=mask[:, None], other=0.0)
    return tl.fma(-displacements[:, None], tl.load(table.direction + cell, mask=mask[:, None], other=0.0), values)


@triton.jit
def _flushed(table, lanes, row, mask, step, tail, DIM: tl.constexpr):
    """Rows (R, DIM) as of the end of a step."""
    return _displaced(table, row, mask, _displacements(table, lanes, row, mask, step, tail), DIM)


@triton.jit
def _inverse_norm(values):
    """1 / norm of rows (R, DIM), NaN if the norm is infinite."""
    norm = tl.sqrt(tl.sum(values * values, 1))
    return tl.where(norm < float("inf"), 1.0 / tl.maximum(norm, _FLOOR), float("nan"))


@triton.jit
def _unit(values):
    """The unit vectors of rows (R, DIM)."""
    return values * _inverse_norm(values)[:, None]


@triton.jit
def _dropout_factors(int_params, float_params, position, DIM: tl.constexpr, TRUE_DIM: tl.constexpr):
    """The dropout factors of a row's user vector, (1, DIM)."""
    words = bits(word(tl.load(int_params + _DROPOUT)), position * TRUE_DIM + tl.arange(0, DIM)) >> 32
    keeps = words >= word(tl.load(int_params + _DROPOUT_THRESHOLD))
    return tl.where(keeps, tl.load(float_params + _DROPOUT_FACTOR), 0.0)[None, :]


@triton.jit
def _draw(data, lanes, lane, words, mask, WEIGHTED: tl.constexpr):
    """The items (R,) that random words select."""
    if WEIGHTED:
        base = lane * data.n_items
        ids = weighted(words, lanes.alias_prob + base, lanes.alias + base, data.n_items, mask)
    else:
        ids = below(words, data.n_items)
    return ids.to(tl.int64)


@triton.jit
def _add_gradients(table, lane, list_, counts, ids, mask, gradients, scale, step, DIM: tl.constexpr, PROGRAMS: tl.constexpr):
    """Add gradients (R, DIM) to the sums of rows `ids` (R,), and list the rows that are not yet listed in this step."""
    row = lane * table.n + ids
    cell = row[:, None] * DIM + tl.arange(0, DIM)[None, :]
    tl.atomic_add(table.sums + cell, (gradients * scale).to(tl.int64), mask=mask[:, None], sem="relaxed")
    is_new = mask & (tl.atomic_xchg(table.listed_step + row, step, mask=mask, sem="relaxed") != step)
    numbers = tl.cumsum(is_new.to(tl.int32), 0)
    start = tl.atomic_add(counts + list_, tl.max(numbers, 0), sem="relaxed")
    tl.store(table.work + (lane * PROGRAMS + list_) * table.capacity + start + numbers - 1, ids.to(tl.int32), mask=is_new)


@triton.jit
def shuffle_pairs(data, lanes, SHUFFLED: tl.constexpr):
    """Write the epoch's pairs in shuffled order. Grid (n_rows / SHUFFLED, L)."""
    lane = tl.program_id(1).to(tl.int64)
    int_params = lanes.int_params + lane * _N_INT_PARAMS
    if tl.load(int_params + _N_STEPS) == 0:
        return
    positions = tl.program_id(0).to(tl.int64) * SHUFFLED + tl.arange(0, SHUFFLED)
    mask = positions < data.n_rows
    pairs = permuted(word(tl.load(int_params + _SHUFFLE)), tl.where(mask, positions, 0), data.n_rows, data.half_bits)
    tl.store(lanes.users + lane * data.n_rows + positions, tl.load(data.users + pairs), mask=mask)
    tl.store(lanes.items + lane * data.n_rows + positions, tl.load(data.items + pairs), mask=mask)


@triton.jit
def _score_negatives(items, scratch, lane, base, count, user_vector, DIM: tl.constexpr, CHUNK: tl.constexpr):
    """Write the scores of a batch row's negatives to the scratch; `base` is the row's offset in it."""
    for first in range(0, count, CHUNK):
        j = first + tl.arange(0, CHUNK)
        mask = j < count
        ids = tl.load(scratch.ids + base + j, mask=mask, other=0).to(tl.int64)
        displacements = tl.load(scratch.displacements + base + j, mask=mask, other=0.0)
        values = _displaced(items, lane * items.n + ids, mask, displacements, DIM)
        tl.store(scratch.scores + base + j, tl.sum(values * user_vector, 1) * _inverse_norm(values), mask=mask)


@triton.jit
def _pack_active(scratch, base, mask, ids, displacements, score_gradients):
    """Move a batch row's negatives with a gradient to the front of its scratch, in order; returns their number."""
    active = mask & (score_gradients != 0.0)
    numbers = tl.cumsum(active.to(tl.int32), 0)
    tl.debug_barrier()
    tl.store(scratch.scores + base + numbers - 1, score_gradients, mask=active)
    tl.store(scratch.ids + base + numbers - 1, ids.to(tl.int32), mask=active)
    tl.store(scratch.displacements + base + numbers - 1, displacements, mask=active)
    tl.debug_barrier()
    return tl.max(numbers, 0)


@triton.jit
def _backward_negatives(
    items, scratch, lane, list_, base, n_active, counts, user_vector, scale, step,
    DIM: tl.constexpr, CHUNK: tl.constexpr, PROGRAMS: tl.constexpr,
):  # fmt: skip
    """Add the gradients of a row's active negatives; returns their part of the user vector's gradient, (1, DIM)."""
    gradient = tl.zeros([1, DIM], tl.float32)
    for first in range(0, n_active, CHUNK):
        j = first + tl.arange(0, CHUNK)
        mask = j < n_active
        score_gradients = tl.load(scratch.scores + base + j, mask=mask, other=0.0)
        ids = tl.load(scratch.ids + base + j, mask=mask, other=0).to(tl.int64)
        displacements = tl.load(scratch.displacements + base + j, mask=mask, other=0.0)
        vectors = _unit(_displaced(items, lane * items.n + ids, mask, displacements, DIM))
        gradient += tl.sum(tl.where(mask[:, None], score_gradients[:, None] * vectors, 0.0), 0)[None, :]
        item_gradients = score_gradients[:, None] * user_vector
        _add_gradients(items, lane, list_, counts, ids, mask, item_gradients, scale, step, DIM, PROGRAMS)
    return gradient


@triton.jit
def train_rows(
    data, lanes, users, items, scratch, KIND: tl.constexpr, DIM: tl.constexpr, BLOCK: tl.constexpr, CHUNK: tl.constexpr,
    WEIGHTED: tl.constexpr, TRUE_DIM: tl.constexpr, PROGRAMS: tl.constexpr,
):  # fmt: skip
    """The loss and the gradients of a row of the batch. Grid (batch_size, L)."""
    b, lane, n_lanes = tl.program_id(0), tl.program_id(1).to(tl.int64), tl.num_programs(1)
    done = tl.load(lanes.progress + lane)
    int_params = lanes.int_params + lane * _N_INT_PARAMS
    has_step = done < tl.load(int_params + _N_STEPS)
    if b == 0:
        tl.store(lanes.progress + n_lanes + lane, tl.where(has_step, done + 1, 0))
    position = done.to(tl.int64) * data.batch_size + b
    if (not has_step) | (position >= data.n_rows):
        return
    step = tl.load(int_params + _STEPS_BEFORE).to(tl.int32) + done + 1
    tail = tl.load(lanes.rates + (lane * lanes.n_rates + done) * _N_RATES + _TAIL_BEFORE)
    counts = lanes.counts + ((done % 2) * 2 * n_lanes + lane) * PROGRAMS
    counts_of_items = counts + _ITEMS * n_lanes * PROGRAMS
    float_params = lanes.float_params + lane * _N_FLOAT_PARAMS
    scale = tl.load(float_params + _GRADIENT_SCALE)
    count = tl.load(int_params + _N_NEGATIVES).to(tl.int32)
    list_ = b % PROGRAMS

    base = (lane * data.batch_size + b) * BLOCK
    j = tl.arange(0, BLOCK)
    words = bits(word(tl.load(int_params + _NEGATIVES)), position * count + j)
    ids = _draw(data, lanes, lane, words, j < count, WEIGHTED)
    displacements = _displacements(items, lanes, lane * items.n + ids, j < count, step - 1, tail)
    tl.store(scratch.ids + base + j, ids.to(tl.int32), mask=j < count)
    tl.store(scratch.displacements + base + j, displacements, mask=j < count)

    zero = tl.zeros([1], tl.int64)
    user = zero + tl.load(lanes.users + lane * data.n_rows + position)
    item = zero + tl.load(lanes.items + lane * data.n_rows + position)
    dropout = _dropout_factors(int_params, float_params, position, DIM, TRUE_DIM)
    user_vector = _unit(_flushed(users, lanes, lane * users.n + user, zero == 0, step - 1, tail, DIM)) * dropout
    item_vector = _unit(_flushed(items, lanes, lane * items.n + item, zero == 0, step - 1, tail, DIM))
    positive = tl.sum(tl.sum(item_vector * user_vector, 1), 0)
    tl.debug_barrier()
    _score_negatives(items, scratch, lane, base, count, user_vector, DIM, CHUNK)
    tl.debug_barrier()

    negatives = tl.load(scratch.scores + base + j, mask=j < count, other=0.0)
    loss, positive_gradient, score_gradients = row_loss(
        KIND, lanes.settings + lane * _N_SETTINGS, count.to(tl.float32), positive, negatives, j < count
    )
    size = tl.minimum(data.batch_size, data.n_rows - done.to(tl.int64) * data.batch_size)
    loss_weight = tl.where(tl.load(int_params + _SUMMED) != 0, 1.0, 1.0 / size.to(tl.float32))
    tl.store(lanes.losses + lane * data.batch_size + b, tl.load(lanes.losses + lane * data.batch_size + b) + loss)
    n_active = _pack_active(scratch, base, j < count, ids, displacements, score_gradients * loss_weight)

    weighted_gradient = tl.zeros([1], tl.float32) + positive_gradient * loss_weight
    mask = weighted_gradient != 0.0
    item_gradient = weighted_gradient[:, None] * user_vector
    _add_gradients(items, lane, list_, counts_of_items, item, mask, item_gradient, scale, step, DIM, PROGRAMS)
    gradient = weighted_gradient[:, None] * item_vector
    gradient += _backward_negatives(
        items, scratch, lane, list_, base, n_active, counts_of_items, user_vector, scale, step, DIM, CHUNK, PROGRAMS
    )
    _add_gradients(users, lane, list_, counts, user, zero == 0, gradient * dropout, scale, step, DIM, PROGRAMS)


@triton.jit
def _update(table, lanes, lane, n_work, epoch_step, step, DIM: tl.constexpr, TILE: tl.constexpr):
    """Adam for the rows of a work list. `epoch_step` counts the steps of this epoch from 0, `step` all steps from 1."""
    float_params = lanes.float_params + lane * _N_FLOAT_PARAMS
    rate = lanes.rates + (lane * lanes.n_rates + epoch_step) * _N_RATES
    step_size = tl.load(rate + _STEP_SIZE).to(tl.float32)
    root_factor = tl.load(rate + _ROOT_FACTOR).to(tl.float32)
    # a power of two, so that products with it are exact
    unit = 1.0 / tl.load(float_params + _GRADIENT_SCALE).to(tl.float64)
    idle_epsilon = (1.0 / tl.load(rate + _ROOT_FACTOR) * _EPSILON).to(tl.float32)
    work = table.work + (lane * tl.num_programs(0) + tl.program_id(0)) * table.capacity
    for first in range(0, n_work, TILE):
        i = first + tl.arange(0, TILE)
        mask = i < n_work
        row = lane * table.n + tl.load(work + i, mask=mask, other=0)
        cell = row[:, None] * DIM + tl.arange(0, DIM)[None, :]
        sums = tl.load(table.sums + cell, mask=mask[:, None], other=0)
        value = _flushed(table, lanes, row, mask, step - 1, tl.load(rate + _TAIL_BEFORE), DIM)
        updates = mask & (tl.max((sums != 0).to(tl.int32), 1) > 0)
        gradient = (sums.to(tl.float64) * unit).to(tl.float32)
        inverse = _inverse_norm(value)
        radial = tl.where(inverse < 1.0 / _FLOOR, tl.sum(gradient * value, 1) * inverse * inverse, 0.0)
        total_gradient = (gradient - radial[:, None] * value) * inverse[:, None] + tl.load(float_params + _L2) * value
        idle_steps = tl.minimum(step - 1 - tl.load(table.last_step + row, mask=mask, other=0), _LAST_POWER)
        decay_1 = tl.load(lanes.powers + _BETA_1_POWERS + idle_steps).to(tl.float32) * _BETA_1
        decay_2 = tl.load(lanes.powers + _BETA_2_POWERS + idle_steps).to(tl.float32) * _BETA_2
        mean = decay_1[:, None] * tl.load(table.mean + cell, mask=mask[:, None], other=0.0) + total_gradient * _GAIN_1
        square = (
            decay_2[:, None] * tl.load(table.square + cell, mask=mask[:, None], other=0.0)
            + total_gradient * total_gradient * _GAIN_2
        )
        root = tl.sqrt(square)
        tl.debug_barrier()  # a thread may store to what another thread loads: their layouts differ
        tl.store(table.sums + cell, sums * 0, mask=mask[:, None])
        tl.store(table.rows + cell, value - step_size * mean / (root * root_factor + _EPSILON), mask=updates[:, None])
        tl.store(table.mean + cell, mean, mask=updates[:, None])
        tl.store(table.square + cell, square, mask=updates[:, None])
        tl.store(table.direction + cell, mean / (root + idle_epsilon), mask=updates[:, None])
        tl.store(table.last_step + row, step, mask=updates)
        tl.store(table.pending + row, tl.load(rate + _TAIL_AFTER), mask=updates)


@triton.jit
def update_rows(lanes, users, items, DIM: tl.constexpr, TILE: tl.constexpr):
    """Update the rows with a gradient. Grid (PROGRAMS, L)."""
    lane = tl.program_id(1).to(tl.int64)
    n_lanes = tl.num_programs(1)
    programs = tl.num_programs(0)
    done = tl.load(lanes.progress + n_lanes + lane)
    if done == 0:
        return
    step = tl.load(lanes.int_params + lane * _N_INT_PARAMS + _STEPS_BEFORE).to(tl.int32) + done
    counts = lanes.counts + (((done - 1) % 2) * 2 * n_lanes + lane) * programs + tl.program_id(0)
    next_counts = lanes.counts + ((done % 2) * 2 * n_lanes + lane) * programs + tl.program_id(0)
    _update(users, lanes, lane, tl.load(counts + _USERS * n_lanes * programs), done - 1, step, DIM, TILE)
    _update(items, lanes, lane, tl.load(counts + _ITEMS * n_lanes * programs), done - 1, step, DIM, TILE)
    tl.store(next_counts + _USERS * n_lanes * programs, 0)
    tl.store(next_counts + _ITEMS * n_lanes * programs, 0)
    if tl.program_id(0) == 0:
        tl.store(lanes.progress + lane, done)
