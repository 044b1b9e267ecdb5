"""Lazy Adam on embedding tables in memory, as `trainers.engines.lazy_adam` derives it."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trainers.engines.lazy_adam import (
    BETA_1_POWERS,
    BETA_2_POWERS,
    BETAS,
    EPSILON,
    HORIZON,
    RATIO,
    RATIO_POWERS,
    ROOT_FACTOR,
    STEP_SIZE,
    TAIL_AFTER,
)
from trainers.engines.numba_engine.intrinsics import aligned, inlined, largest, prefetch
from trainers.scores import NORM_FLOOR

Floats = NDArray[np.float32]

BETA_1, BETA_2 = np.float32(BETAS[0]), np.float32(BETAS[1])
GAIN_1, GAIN_2 = np.float32(1.0 - BETAS[0]), np.float32(1.0 - BETAS[1])  # weights of the new gradient in the moments
N_POWERS = 4096
ROUNDING = np.float32(1e-5)  # above the float32 error of two scores of unit vectors, see `prefilter`
LARGEST_INVERSE = np.float32(1.0 / NORM_FLOOR)

INVERSE_NORM, SLACK, DIRECTION_NORM, CODE_UNIT = 0, 1, 2, 3  # columns of EmbeddingTable.scale
HALF_SQUARE = SLACK  # the same column of raw tables
CODE_MAX, CODE_ZERO = 127, 128  # the largest code, and the zero point of unsigned codes


class EmbeddingTable(NamedTuple):
    """An embedding table with its Adam state, one row per user or item. Arrays are float32 unless noted.

    Attributes:
        rows: parameters (n, dim), each row as of the step to which it was last flushed.
        state: (n, 3 dim), side by side: Adam's first and second moments as of the row's last gradient, and the direction in
            which a row without gradient moves. One array, so that the compiler sees that the parts do not overlap.
        scale: (n, 4), columns: inverse norm; bound on the distance that the unit vector still moves; norm of the direction;
            unit of the codes. The first two columns of raw tables are 1 and half the squared norm.
        last_step: int32 (n,), the step of the row's last gradient, 0 for none.
        pending: float64 (n,), the row's pending displacement in multiples of its direction. It shares memory with `scale` and
            `last_step`: the scalars of a row are read together, from one cache line.
        codes: uint8 (n, dim), the unit vectors in multiples of CODE_UNIT, plus CODE_ZERO: a quarter of the memory traffic;
            (0, dim) without codes.
        head: int32 (n,), the heads of the kernel's linked lists, -1 between steps.
        raw: whether scores use the rows themselves instead of their unit vectors.
        max_norm: largest norm of a row; longer rows are scaled down after an update.
    """

    rows: Floats
    state: Floats
    scale: Floats
    last_step: NDArray[np.int32]
    pending: NDArray[np.float64]
    codes: NDArray[np.uint8]
    head: NDArray[np.int32]
    raw: bool
    max_norm: float


def new_table(rows: Floats, with_codes: bool, raw: bool = False, max_norm: float = math.inf) -> EmbeddingTable:
    """A table with a copy of `rows` (n, dim), before its first step."""
    n, dim = rows.shape
    copy = aligned((n, dim))
    copy[:] = rows
    if max_norm < math.inf:
        copy *= max_norm / np.maximum(np.sqrt((rows * rows).sum(1, keepdims=True)), max_norm)
    scalars = aligned((n, 8))  # 32 bytes per row: 4 floats, an int32, 4 unused bytes, a float64
    scale, last_step, pending = scalars[:, :4], scalars.view(np.int32)[:, 4], scalars.view(np.float64)[:, 3]
    codes = aligned((n if with_codes else 0, dim), np.uint8)
    head = np.full(n, -1, np.int32)
    table = EmbeddingTable(copy, aligned((n, 3 * dim)), scale, last_step, pending, codes, head, raw, max_norm)
    _measure_all(table)
    return table


def put_rows(table: EmbeddingTable, rows: Floats, step: int, tail: float) -> None:
    """Replace the rows (n, dim) after step `step`. The moments stay; `tail`, which is tail(step), gives the new pending
    displacements.
    """
    table.rows[:] = rows
    table.pending[:] = np.where(table.pending == 0.0, 0.0, RATIO ** (step - table.last_step).astype(np.float64) * tail)
    _measure_all(table)


def table_state(table: EmbeddingTable) -> dict[str, NDArray[Any]]:
    """The arrays that training changes, by name, without copying them."""
    return {name: getattr(table, name) for name in ("rows", "state", "scale", "last_step", "pending", "codes")}


def _measure_all(table: EmbeddingTable) -> None:
    """Apply `_measure` and `_encode` to all rows."""
    with np.errstate(over="ignore", invalid="ignore"):
        norms = np.sqrt((table.rows * table.rows).sum(1))
        table.scale[:, INVERSE_NORM] = np.where(norms < np.inf, 1.0 / np.maximum(norms, np.float32(NORM_FLOOR)), np.nan)
        distance = np.abs(table.pending.astype(np.float32)) * table.scale[:, DIRECTION_NORM]
        slack = 2.0 * distance / np.maximum(2.0 * norms - distance, np.float32(NORM_FLOOR))
        table.scale[:, SLACK] = np.where((distance > 0.0) & (norms <= distance), 2.0, slack) + ROUNDING
        if table.raw:
            table.scale[:, INVERSE_NORM], table.scale[:, HALF_SQUARE] = 1.0, 0.5 * norms * norms
    if len(table.codes):
        unit = table.rows * table.scale[:, :1]
        code_unit = np.maximum(np.abs(unit).max(1, keepdims=True) / CODE_MAX, np.float32(NORM_FLOOR))
        table.codes[:] = np.clip(np.rint(np.nan_to_num(unit / code_unit)), -CODE_MAX, CODE_MAX) + CODE_ZERO
        table.scale[:, CODE_UNIT] = code_unit[:, 0]


def flushed_rows(table: EmbeddingTable, step: int, tail: float) -> Floats:
    """A copy of the rows (n, dim), flushed to step `step`; `tail` is tail(step). The table is not changed."""
    remaining = RATIO ** (step - table.last_step).astype(np.float64) * tail
    direction = table.state[:, 2 * table.rows.shape[1] :]
    rows: Floats = table.rows - (table.pending - remaining).astype(np.float32)[:, None] * direction
    return rows


@inlined
def flush(table, row, step, tail, powers, width):
    """Move `table.rows[row]` to its position after step `step`; `tail` is tail(step)."""
    before = table.pending[row]
    if before == 0.0:
        return
    idle_steps = step - table.last_step[row]
    remaining = powers[RATIO_POWERS, idle_steps] * tail if idle_steps < HORIZON else 0.0
    table.pending[row] = remaining
    displacement = np.float32(before - remaining)
    if displacement == np.float32(0.0):
        return
    squares = np.float32(0.0)
    for d in range(width):
        value = table.rows[row, d] - displacement * table.state[row, 2 * width + d]
        table.rows[row, d] = value
        squares += value * value
    _measure(table, row, squares, np.float32(remaining))
    _encode(table, row, width)


@inlined
def _measure(table, row, squares, pending):
    """Update the inverse norm and the slack of a row, from its squared norm and its pending displacement.

    Slack: |x / |x| - y / |y|| <= 2 |x - y| / (|x| + |y|). |x - y| is at most the pending `distance`, so |x| + |y| is at least
    2 |x| - distance. Two unit vectors are at most 2 apart. NaN and infinite rows get NaN.
    """
    norm = np.sqrt(squares)
    if table.raw:
        table.scale[row, INVERSE_NORM] = np.float32(1.0) if norm < np.inf else np.float32(np.nan)
        table.scale[row, HALF_SQUARE] = np.float32(0.5) * squares
        return
    distance = abs(pending) * table.scale[row, DIRECTION_NORM]
    table.scale[row, INVERSE_NORM] = (
        np.float32(1.0) / max(norm, np.float32(NORM_FLOOR)) if norm < np.inf else np.float32(np.nan)
    )
    if norm <= distance:
        table.scale[row, SLACK] = np.float32(2.0) + ROUNDING
    else:
        table.scale[row, SLACK] = np.float32(2.0) * distance / (np.float32(2.0) * norm - distance) + ROUNDING


@inlined
def _encode(table, row, width):
    """Update the row's codes. Codes of NaN are arbitrary, but their unit is NaN."""
    if table.codes.shape[0] == 0:
        return
    peak = largest(table.rows, row, width)
    inverse = table.scale[row, INVERSE_NORM]
    table.scale[row, CODE_UNIT] = max(peak * inverse / np.float32(CODE_MAX), np.float32(NORM_FLOOR))
    factor = np.float32(CODE_MAX) / peak if peak > np.float32(0.0) else np.float32(0.0)
    if not inverse < np.inf:
        table.scale[row, CODE_UNIT] = np.float32(np.nan)
    for d in range(width):
        table.codes[row, d] = np.uint8(np.int32(table.rows[row, d] * factor + np.float32(CODE_ZERO + 0.5)))


@inlined
def power_of(powers, which, base, exponent):
    """base^exponent, from row `which` of the table of powers if it is long enough."""
    if exponent < N_POWERS:
        return np.float32(powers[which, exponent])
    return np.float32(base**exponent)


@inlined
def adam_step(table, row, gradient, g, gradient_sum, step, rate, l2, powers, width):
    """Adam's step number `step` (from 1) of a flushed row. `rate` is the step's row of `lazy_adam.rates`.

    gradient[g] (width,) is dL/d(row / |row|). For raw tables dL/drow = gradient[g] - gradient_sum * row, where `gradient_sum`
    is the sum of dL/dscore for score euclidean, and 0 for inner products.
    """
    inverse = table.scale[row, INVERSE_NORM]
    radial = gradient_sum
    if inverse < LARGEST_INVERSE and not table.raw:  # project out the row; shorter rows are divided by a constant
        for d in range(width):
            radial += gradient[g, d] * table.rows[row, d]
        radial *= inverse * inverse
    idle_steps = step - 1 - table.last_step[row]
    decay_1 = BETA_1 * power_of(powers, BETA_1_POWERS, BETAS[0], idle_steps)
    decay_2 = BETA_2 * power_of(powers, BETA_2_POWERS, BETAS[1], idle_steps)
    step_size, root_factor = np.float32(rate[STEP_SIZE]), np.float32(rate[ROOT_FACTOR])
    epsilon, idle_epsilon = np.float32(EPSILON), np.float32(EPSILON / rate[ROOT_FACTOR])
    squares = np.float32(0.0)
    direction_squares = np.float32(0.0)
    for d in range(width):
        value = table.rows[row, d]
        total_gradient = (gradient[g, d] - radial * value) * inverse + l2 * value
        mean = decay_1 * table.state[row, d] + GAIN_1 * total_gradient
        square = decay_2 * table.state[row, width + d] + GAIN_2 * total_gradient * total_gradient
        root = np.sqrt(square)
        value -= step_size * mean / (root * root_factor + epsilon)
        direction = mean / (root + idle_epsilon)
        table.state[row, d] = mean
        table.state[row, width + d] = square
        table.state[row, 2 * width + d] = direction
        table.rows[row, d] = value
        squares += value * value
        direction_squares += direction * direction
    if squares > table.max_norm * table.max_norm:
        factor = np.float32(table.max_norm) / np.sqrt(squares)
        squares = np.float32(0.0)
        for d in range(width):
            table.rows[row, d] *= factor
            squares += table.rows[row, d] * table.rows[row, d]
    table.last_step[row] = step
    table.pending[row] = rate[TAIL_AFTER]
    table.scale[row, DIRECTION_NORM] = np.sqrt(direction_squares)
    _measure(table, row, squares, np.float32(rate[TAIL_AFTER]))
    _encode(table, row, width)


@inlined
def prefetch_state(table, row, width):
    """Prefetch what `flush` reads."""
    prefetch(table.rows, row, 0, width)
    prefetch(table.state, row, 2 * width, width)
    prefetch(table.scale, row, 0, 1)


@inlined
def prefetch_all(table, row, width):
    """Prefetch what `adam_step` reads."""
    prefetch(table.rows, row, 0, width)
    prefetch(table.state, row, 0, 3 * width)
    prefetch(table.scale, row, 0, 1)


@inlined
def prefetch_score(table, row, width):
    """Prefetch what a score reads."""
    prefetch(table.rows, row, 0, width)
    prefetch(table.scale, row, 0, 1)
