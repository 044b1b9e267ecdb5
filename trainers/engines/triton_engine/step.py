"""The training step of all lanes, as two kernels; what they share are the arrays of `pool.Pool`.

    shuffle_pairs   once an epoch: the training pairs in the order in which it takes them
    train_rows      a program per row of a lane's batch: draws its negatives, scores them, and adds its gradients to sums
    update_rows     the rows that got a gradient, each in one program: Adam, and the sums are zero again

A row is never caught up in place: whoever reads it adds its displacement since (`trainers.engines.lazy_adam`). So train_rows
writes nothing that another of its programs reads, but for what it adds by atomics. Gradients are summed as whole numbers, in
units of 1 / SCALE: such sums are the same in any order, so no run's bits depend on timing or on other lanes. For the same
reason the compiler may not fuse products and sums as it likes (ROUNDING): it does so in one row of a tile and not in another,
and a row's position in its tile depends on timing.

The rows with a gradient are listed in PROGRAMS lists per lane, list p for the batch's rows p, p + PROGRAMS, and so on: a single
counter would be added to thousands of times a step. Program p of update_rows takes list p.

How far an epoch is stands in memory, so that a step can be replayed from a CUDA graph. `ticks[0]` is read by train_rows and
written by update_rows, `ticks[1]` the other way round; of the two sets of counters one is filled while the other is cleared.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import triton
import triton.language as tl

from trainers import scores
from trainers.engines import lazy_adam as adam
from trainers.engines.triton_engine.arrays import (
    BEFORE,
    COUNT,
    DROPOUT,
    FACTOR,
    L2,
    N_FACTORS,
    N_NUMBERS,
    NEGATIVES,
    SCALE,
    SHUFFLE,
    STEPS,
    SUMMED,
    THRESHOLD,
)
from trainers.engines.triton_engine.limits import N_SETTINGS
from trainers.engines.triton_engine.rng import below, bits, permuted, weighted, word
from trainers.engines.triton_engine.row_functions import row_loss

N_POWERS = 2**17  # b2^(2^17) is no longer a float32
# The fastest sizes on an H200 of those that `benchmarks.cuda_tune` tries. Another size is another order of sums.
CHUNK, ROW_WARPS = 8, 2  # of train_rows: negatives whose rows are read at once, and warps of a program
WIDE, WIDE_CHUNK, WIDE_WARPS = 256, 16, 4  # the same with more negatives than this
TILE, UPDATE_WARPS = 8, 4  # of update_rows: rows that are updated at once, and warps of a program
PROGRAMS = 128  # of update_rows, and lists of rows with a gradient, per lane
SHUFFLED = 128  # pairs that a program of shuffle_pairs orders
ROUNDING = {"enable_fp_fusion": False}  # every product and every sum is rounded on its own, where no tl.fma says otherwise

_SHUFFLE, _NEGATIVES, _DROPOUT, _THRESHOLD = (tl.constexpr(column) for column in (SHUFFLE, NEGATIVES, DROPOUT, THRESHOLD))
_COUNT, _STEPS, _BEFORE, _SUMMED, _N_NUMBERS = (tl.constexpr(column) for column in (COUNT, STEPS, BEFORE, SUMMED, N_NUMBERS))
_FACTOR, _L2, _SCALE, _N_FACTORS = (tl.constexpr(column) for column in (FACTOR, L2, SCALE, N_FACTORS))
_N_SETTINGS, _LAST_POWER = tl.constexpr(N_SETTINGS), tl.constexpr(N_POWERS - 1)
_USERS, _ITEMS = tl.constexpr(0), tl.constexpr(1)
_FLOOR = tl.constexpr(scores.NORM_FLOOR)
_BETA_1, _BETA_2 = tl.constexpr(adam.BETAS[0]), tl.constexpr(adam.BETAS[1])
_GAIN_1, _GAIN_2 = tl.constexpr(1.0 - adam.BETAS[0]), tl.constexpr(1.0 - adam.BETAS[1])
_EPSILON = tl.constexpr(adam.EPSILON)


@triton.jit
def _way(table, lanes, row, there, step, tail):
    """How many directions rows (R,) have gone after a step, float32; `row` counts over all lanes."""
    ahead = tl.load(table.ahead + row, mask=there, other=0.0)
    idle = step - tl.load(table.last + row, mask=there, other=0)
    rest = tl.load(lanes.power + (2 * (_LAST_POWER + 1)) + tl.minimum(idle, _LAST_POWER)) * tail
    return tl.where(ahead == 0.0, 0.0, ahead - rest).to(tl.float32)


@triton.jit
def _moved(table, row, there, way, DIM: tl.constexpr):
    """Rows (R, DIM) as they stand after they have gone `way` (R,) directions."""
    cell = row[:, None] * DIM + tl.arange(0, DIM)[None, :]
    values = tl.load(table.rows + cell, mask=there[:, None], other=0.0)
    return tl.fma(-way[:, None], tl.load(table.direction + cell, mask=there[:, None], other=0.0), values)


@triton.jit
def _current(table, lanes, row, there, step, tail, DIM: tl.constexpr):
    """Rows (R, DIM) as they stand after a step."""
    return _moved(table, row, there, _way(table, lanes, row, there, step, tail), DIM)


@triton.jit
def _inverse_norm(values):
    """1 / norm of rows (R, DIM), NaN where that is infinite."""
    norm = tl.sqrt(tl.sum(values * values, 1))
    return tl.where(norm < float("inf"), 1.0 / tl.maximum(norm, _FLOOR), float("nan"))


@triton.jit
def _unit(values):
    return values * _inverse_norm(values)[:, None]


@triton.jit
def _kept(numbers, factors, position, DIM: tl.constexpr, TRUE_DIM: tl.constexpr):
    """Dropout of a row's user: what each unit is multiplied with, (1, DIM)."""
    coins = bits(word(tl.load(numbers + _DROPOUT)), position * TRUE_DIM + tl.arange(0, DIM)) >> 32
    return tl.where(coins >= word(tl.load(numbers + _THRESHOLD)), tl.load(factors + _FACTOR), 0.0)[None, :]


@triton.jit
def _draw(data, lanes, lane, drawn, there, WEIGHTED: tl.constexpr):
    """The items (R,) that random words choose."""
    if WEIGHTED:
        ids = weighted(drawn, lanes.keep + lane * data.n_items, lanes.other + lane * data.n_items, data.n_items, there)
    else:
        ids = below(drawn, data.n_items)
    return ids.to(tl.int64)


@triton.jit
def _add(table, lane, list_, counts, ids, there, gradients, scale, step, DIM: tl.constexpr, PROGRAMS: tl.constexpr):
    """Add gradients (R, DIM) to the sums of rows `ids` (R,), and list the rows that are not yet listed in this step."""
    row = lane * table.n + ids
    cell = row[:, None] * DIM + tl.arange(0, DIM)[None, :]
    tl.atomic_add(table.sums + cell, (gradients * scale).to(tl.int64), mask=there[:, None], sem="relaxed")
    first = there & (tl.atomic_xchg(table.stamps + row, step, mask=there, sem="relaxed") != step)
    numbers = tl.cumsum(first.to(tl.int32), 0)
    start = tl.atomic_add(counts + list_, tl.max(numbers, 0), sem="relaxed")
    tl.store(table.work + (lane * PROGRAMS + list_) * table.room + start + numbers - 1, ids.to(tl.int32), mask=first)


@triton.jit
def shuffle_pairs(data, lanes, SHUFFLED: tl.constexpr):
    """Grid (n_rows / SHUFFLED, L)."""
    lane = tl.program_id(1).to(tl.int64)
    numbers = lanes.numbers + lane * _N_NUMBERS
    if tl.load(numbers + _STEPS) == 0:
        return
    positions = tl.program_id(0).to(tl.int64) * SHUFFLED + tl.arange(0, SHUFFLED)
    there = positions < data.n_rows
    pairs = permuted(word(tl.load(numbers + _SHUFFLE)), tl.where(there, positions, 0), data.n_rows, data.half_bits)
    tl.store(lanes.users + lane * data.n_rows + positions, tl.load(data.users + pairs), mask=there)
    tl.store(lanes.items + lane * data.n_rows + positions, tl.load(data.items + pairs), mask=there)


@triton.jit
def _score(items, scratch, lane, own, count, user_vector, DIM: tl.constexpr, CHUNK: tl.constexpr):
    """Scores of a batch row's negatives go to its slot in the scratch."""
    for first in range(0, count, CHUNK):
        at = first + tl.arange(0, CHUNK)
        ids = tl.load(scratch.ids + own + at, mask=at < count, other=0).to(tl.int64)
        way = tl.load(scratch.ways + own + at, mask=at < count, other=0.0)
        values = _moved(items, lane * items.n + ids, at < count, way, DIM)
        tl.store(scratch.scores + own + at, tl.sum(values * user_vector, 1) * _inverse_norm(values), mask=at < count)


@triton.jit
def _pack(scratch, own, there, ids, ways, pull):
    """Write a batch row's negatives with a gradient to the front of its slot in the scratch, in order; returns their number."""
    steep = there & (pull != 0.0)
    numbers = tl.cumsum(steep.to(tl.int32), 0)
    tl.debug_barrier()
    tl.store(scratch.scores + own + numbers - 1, pull, mask=steep)
    tl.store(scratch.ids + own + numbers - 1, ids.to(tl.int32), mask=steep)
    tl.store(scratch.ways + own + numbers - 1, ways, mask=steep)
    tl.debug_barrier()
    return tl.max(numbers, 0)


@triton.jit
def _pull(
    items, scratch, lane, list_, own, n_pulled, counts, user_vector, scale, step,
    DIM: tl.constexpr, CHUNK: tl.constexpr, PROGRAMS: tl.constexpr,
):  # fmt: skip
    """Add the gradients of a row's first negatives in the scratch; returns that of the user's vector, (1, DIM)."""
    gradient = tl.zeros([1, DIM], tl.float32)
    for first in range(0, n_pulled, CHUNK):
        at = first + tl.arange(0, CHUNK)
        there = at < n_pulled
        pull = tl.load(scratch.scores + own + at, mask=there, other=0.0)
        ids = tl.load(scratch.ids + own + at, mask=there, other=0).to(tl.int64)
        way = tl.load(scratch.ways + own + at, mask=there, other=0.0)
        vectors = _unit(_moved(items, lane * items.n + ids, there, way, DIM))
        gradient += tl.sum(tl.where(there[:, None], pull[:, None] * vectors, 0.0), 0)[None, :]
        _add(items, lane, list_, counts, ids, there, pull[:, None] * user_vector, scale, step, DIM, PROGRAMS)
    return gradient


@triton.jit
def train_rows(
    data, lanes, users, items, scratch, KIND: tl.constexpr, DIM: tl.constexpr, BLOCK: tl.constexpr, CHUNK: tl.constexpr,
    WEIGHTED: tl.constexpr, TRUE_DIM: tl.constexpr, PROGRAMS: tl.constexpr,
):  # fmt: skip
    """Grid (batch_size, L)."""
    b = tl.program_id(0)
    lane = tl.program_id(1).to(tl.int64)
    n_lanes = tl.num_programs(1)
    done = tl.load(lanes.ticks + lane)
    numbers = lanes.numbers + lane * _N_NUMBERS
    runs = done < tl.load(numbers + _STEPS)
    if b == 0:
        tl.store(lanes.ticks + n_lanes + lane, tl.where(runs, done + 1, 0))
    position = done.to(tl.int64) * data.batch_size + b
    if (not runs) | (position >= data.n_rows):
        return
    step = tl.load(numbers + _BEFORE).to(tl.int32) + done + 1
    tail = tl.load(lanes.rates + (lane * lanes.n_rates + done) * 4 + 2)
    counts = lanes.counts + ((done % 2) * 2 * n_lanes + lane) * PROGRAMS
    counts_of_items = counts + _ITEMS * n_lanes * PROGRAMS
    factors = lanes.factors + lane * _N_FACTORS
    scale = tl.load(factors + _SCALE)
    count = tl.load(numbers + _COUNT).to(tl.int32)
    list_ = b % PROGRAMS

    own = (lane * data.batch_size + b) * BLOCK
    j = tl.arange(0, BLOCK)
    drawn = bits(word(tl.load(numbers + _NEGATIVES)), position * count + j)
    ids = _draw(data, lanes, lane, drawn, j < count, WEIGHTED)
    ways = _way(items, lanes, lane * items.n + ids, j < count, step - 1, tail)
    tl.store(scratch.ids + own + j, ids.to(tl.int32), mask=j < count)
    tl.store(scratch.ways + own + j, ways, mask=j < count)

    one = tl.zeros([1], tl.int64)
    user = one + tl.load(lanes.users + lane * data.n_rows + position)
    match = one + tl.load(lanes.items + lane * data.n_rows + position)
    kept = _kept(numbers, factors, position, DIM, TRUE_DIM)
    user_vector = _unit(_current(users, lanes, lane * users.n + user, one == 0, step - 1, tail, DIM)) * kept
    match_unit = _unit(_current(items, lanes, lane * items.n + match, one == 0, step - 1, tail, DIM))
    positive = tl.sum(tl.sum(match_unit * user_vector, 1), 0)
    tl.debug_barrier()
    _score(items, scratch, lane, own, count, user_vector, DIM, CHUNK)
    tl.debug_barrier()

    found = tl.load(scratch.scores + own + j, mask=j < count, other=0.0)
    loss, positive_gradient, score_gradients = row_loss(
        KIND, lanes.settings + lane * _N_SETTINGS, count.to(tl.float32), positive, found, j < count
    )
    size = tl.minimum(data.batch_size, data.n_rows - done.to(tl.int64) * data.batch_size)
    share = tl.where(tl.load(numbers + _SUMMED) != 0, 1.0, 1.0 / size.to(tl.float32))
    tl.store(lanes.losses + lane * data.batch_size + b, tl.load(lanes.losses + lane * data.batch_size + b) + loss)
    n_pulled = _pack(scratch, own, j < count, ids, ways, score_gradients * share)

    push = tl.zeros([1], tl.float32) + positive_gradient * share
    _add(items, lane, list_, counts_of_items, match, push != 0.0, push[:, None] * user_vector, scale, step, DIM, PROGRAMS)
    gradient = push[:, None] * match_unit
    gradient += _pull(
        items, scratch, lane, list_, own, n_pulled, counts_of_items, user_vector, scale, step, DIM, CHUNK, PROGRAMS
    )
    _add(users, lane, list_, counts, user, one == 0, gradient * kept, scale, step, DIM, PROGRAMS)


@triton.jit
def _update(table, lanes, lane, n_work, number, step, DIM: tl.constexpr, TILE: tl.constexpr):
    """The rows of a table's list: `number` counts over a lane's steps of this epoch, `step` over all."""
    factors = lanes.factors + lane * _N_FACTORS
    rate = lanes.rates + (lane * lanes.n_rates + number) * 4
    speed = tl.load(rate).to(tl.float32)
    correction = tl.load(rate + 1).to(tl.float32)
    unit = 1.0 / tl.load(factors + _SCALE).to(tl.float64)  # a power of two, so that products with it are exact
    idle_epsilon = (1.0 / tl.load(rate + 1) * _EPSILON).to(tl.float32)
    work = table.work + (lane * tl.num_programs(0) + tl.program_id(0)) * table.room
    for first in range(0, n_work, TILE):
        i = first + tl.arange(0, TILE)
        there = i < n_work
        row = lane * table.n + tl.load(work + i, mask=there, other=0)
        cell = row[:, None] * DIM + tl.arange(0, DIM)[None, :]
        sums = tl.load(table.sums + cell, mask=there[:, None], other=0)
        value = _current(table, lanes, row, there, step - 1, tl.load(rate + 2), DIM)
        moved = there & (tl.max((sums != 0).to(tl.int32), 1) > 0)
        gradient = (sums.to(tl.float64) * unit).to(tl.float32)
        inverse = _inverse_norm(value)
        along = tl.where(inverse < 1.0 / _FLOOR, tl.sum(gradient * value, 1) * inverse * inverse, 0.0)
        total_gradient = (gradient - along[:, None] * value) * inverse[:, None] + tl.load(factors + _L2) * value
        idle = tl.minimum(step - 1 - tl.load(table.last + row, mask=there, other=0), _LAST_POWER)
        keep_1 = tl.load(lanes.power + idle).to(tl.float32) * _BETA_1
        keep_2 = tl.load(lanes.power + (_LAST_POWER + 1) + idle).to(tl.float32) * _BETA_2
        mean = keep_1[:, None] * tl.load(table.mean + cell, mask=there[:, None], other=0.0) + total_gradient * _GAIN_1
        square = (
            keep_2[:, None] * tl.load(table.square + cell, mask=there[:, None], other=0.0)
            + total_gradient * total_gradient * _GAIN_2
        )
        root = tl.sqrt(square)
        tl.debug_barrier()  # threads write what others have read: loads and stores have layouts of their own
        tl.store(table.sums + cell, sums * 0, mask=there[:, None])
        tl.store(table.rows + cell, value - speed * mean / (root * correction + _EPSILON), mask=moved[:, None])
        tl.store(table.mean + cell, mean, mask=moved[:, None])
        tl.store(table.square + cell, square, mask=moved[:, None])
        tl.store(table.direction + cell, mean / (root + idle_epsilon), mask=moved[:, None])
        tl.store(table.last + row, step, mask=moved)
        tl.store(table.ahead + row, tl.load(rate + 3), mask=moved)


@triton.jit
def update_rows(lanes, users, items, DIM: tl.constexpr, TILE: tl.constexpr):
    """Grid (PROGRAMS, L)."""
    lane = tl.program_id(1).to(tl.int64)
    n_lanes = tl.num_programs(1)
    programs = tl.num_programs(0)
    done = tl.load(lanes.ticks + n_lanes + lane)
    if done == 0:
        return
    step = tl.load(lanes.numbers + lane * _N_NUMBERS + _BEFORE).to(tl.int32) + done
    counts = lanes.counts + (((done - 1) % 2) * 2 * n_lanes + lane) * programs + tl.program_id(0)
    after = lanes.counts + ((done % 2) * 2 * n_lanes + lane) * programs + tl.program_id(0)
    _update(users, lanes, lane, tl.load(counts + _USERS * n_lanes * programs), done - 1, step, DIM, TILE)
    _update(items, lanes, lane, tl.load(counts + _ITEMS * n_lanes * programs), done - 1, step, DIM, TILE)
    tl.store(after + _USERS * n_lanes * programs, 0)
    tl.store(after + _ITEMS * n_lanes * programs, 0)
    if tl.program_id(0) == 0:
        tl.store(lanes.ticks + lane, done)
