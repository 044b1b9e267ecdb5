"""Row-wise Adam, as `trainers.engines.lazy_adam` derives it, on tables in memory."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trainers.engines.lazy_adam import BETAS, EPSILON, HORIZON, RATIO
from trainers.engines.numba_engine.intrinsics import aligned, inlined, largest, prefetch
from trainers.scores import NORM_FLOOR

Floats = NDArray[np.float32]

BETA_1, BETA_2 = np.float32(BETAS[0]), np.float32(BETAS[1])
GAIN_1, GAIN_2 = np.float32(1.0 - BETAS[0]), np.float32(1.0 - BETAS[1])
N_POWERS = 4096
ROUNDING = np.float32(1e-5)  # more than the float32 error of two scores of unit vectors, see `prefilter`
LARGEST_INVERSE = np.float32(1.0 / NORM_FLOOR)

INVERSE, SLACK, PACE, CODE_STEP = 0, 1, 2, 3  # columns of EmbeddingTable.scale
HALF_SQUARE = SLACK  # of rows that are scored as they are
CODE_MAX, CODE_ZERO = 127, 128


class EmbeddingTable(NamedTuple):
    """An embedding table with its Adam state, one row per user or item.

    Attributes:
        rows: parameters (n, dim), each row as of the step up to which it has been caught up.
        state: (n, 3 dim), side by side: Adam's moments, mean and square, as of the row's last gradient, and the direction
            along which a row without gradient coasts. One array, so that the compiler sees that they do not overlap.
        scale: (n, 4): inverse norm; bound on how far the unit vector still coasts; norm of the direction; unit
            of the codes. Of rows that are scored as they are, 1 and half the squared norm come first.
        last: int32 (n,), the step of the row's last gradient, 0 for never.
        ahead: (n,), how many directions the row has still to coast. It lies beside the row's `scale` and `last`: a row's
            numbers are read together, and cost one cache line.
        codes: uint8 (n, dim), the unit vectors in multiples of CODE_STEP, plus CODE_ZERO: a quarter of the memory traffic;
            (0, dim) for none.
        head: int32 (n,), the kernel's linked lists, -1 between steps.
        raw: whether rows are scored as they are, and not their directions.
        max_norm: to which rows are shortened after an update.
    """

    rows: Floats
    state: Floats
    scale: Floats
    last: NDArray[np.int32]
    ahead: NDArray[np.float64]
    codes: NDArray[np.uint8]
    head: NDArray[np.int32]
    raw: bool
    max_norm: float


def new_table(rows: Floats, with_codes: bool, raw: bool = False, max_norm: float = math.inf) -> EmbeddingTable:
    """A table before its first step."""
    n, dim = rows.shape
    own = aligned((n, dim))
    own[:] = rows
    if max_norm < math.inf:
        own *= max_norm / np.maximum(np.sqrt((rows * rows).sum(1, keepdims=True)), max_norm)
    about = aligned((n, 8))
    scale, last, ahead = about[:, :4], about.view(np.int32)[:, 4], about.view(np.float64)[:, 3]
    codes = aligned((n if with_codes else 0, dim), np.uint8)
    table = EmbeddingTable(own, aligned((n, 3 * dim)), scale, last, ahead, codes, np.full(n, -1, np.int32), raw, max_norm)
    _measure_all(table)
    return table


def put_rows(table: EmbeddingTable, rows: Floats, step: int, tail: float) -> None:
    """Let the rows be these after step `step`; what they coast from there follows `tail`, tail(step). The moments stay."""
    table.rows[:] = rows
    table.ahead[:] = np.where(table.ahead == 0.0, 0.0, RATIO ** (step - table.last).astype(np.float64) * tail)
    _measure_all(table)


def table_state(table: EmbeddingTable) -> dict[str, NDArray[Any]]:
    """What training has changed in a table, by name: the arrays themselves, no copies."""
    return {name: getattr(table, name) for name in ("rows", "state", "scale", "last", "ahead", "codes")}


def _measure_all(table: EmbeddingTable) -> None:
    """What `_measure` and `_encode` do to a row."""
    with np.errstate(over="ignore", invalid="ignore"):
        norms = np.sqrt((table.rows * table.rows).sum(1))
        table.scale[:, INVERSE] = np.where(norms < np.inf, 1.0 / np.maximum(norms, np.float32(NORM_FLOOR)), np.nan)
        drift = np.abs(table.ahead.astype(np.float32)) * table.scale[:, PACE]
        slack = 2.0 * drift / np.maximum(2.0 * norms - drift, np.float32(NORM_FLOOR))
        table.scale[:, SLACK] = np.where((drift > 0.0) & (norms <= drift), 2.0, slack) + ROUNDING
        if table.raw:
            table.scale[:, INVERSE], table.scale[:, HALF_SQUARE] = 1.0, 0.5 * norms * norms
    if len(table.codes):
        unit = table.rows * table.scale[:, :1]
        step = np.maximum(np.abs(unit).max(1, keepdims=True) / CODE_MAX, np.float32(NORM_FLOOR))
        table.codes[:] = np.clip(np.rint(np.nan_to_num(unit / step)), -CODE_MAX, CODE_MAX) + CODE_ZERO
        table.scale[:, CODE_STEP] = step[:, 0]


def caught_up(table: EmbeddingTable, step: int, tail: float) -> Floats:
    """The rows (n, dim) as they stand after step `step`, in a copy: asking never changes how training goes on."""
    rest = RATIO ** (step - table.last).astype(np.float64) * tail
    rows: Floats = table.rows - (table.ahead - rest).astype(np.float32)[:, None] * table.state[:, 2 * table.rows.shape[1] :]
    return rows


@inlined
def catch_up(table, row, step, tail, power, width):
    """Bring `table.rows[row]` to where it stands after step `step`; `tail` is tail(step)."""
    before = table.ahead[row]
    if before == 0.0:
        return
    idle = step - table.last[row]
    rest = power[2, idle] * tail if idle < HORIZON else 0.0
    table.ahead[row] = rest
    way = np.float32(before - rest)
    if way == np.float32(0.0):
        return
    squares = np.float32(0.0)
    for d in range(width):
        value = table.rows[row, d] - way * table.state[row, 2 * width + d]
        table.rows[row, d] = value
        squares += value * value
    _measure(table, row, squares, np.float32(rest))
    _encode(table, row, width)


@inlined
def _measure(table, row, squares, ahead):
    """Refresh the inverse norm and the slack of a row, given its squared norm and the way ahead of it.

    Slack: |x / |x| - y / |y|| <= 2 |x - y| / (|x| + |y|), and |x - y| is at most the way ahead, `drift`, so |x| + |y| at least
    2 |x| - drift; two unit vectors are never more than 2 apart. NaN and infinite rows get NaN.
    """
    norm = np.sqrt(squares)
    if table.raw:
        table.scale[row, INVERSE] = np.float32(1.0) if norm < np.inf else np.float32(np.nan)
        table.scale[row, HALF_SQUARE] = np.float32(0.5) * squares
        return
    drift = abs(ahead) * table.scale[row, PACE]
    table.scale[row, INVERSE] = np.float32(1.0) / max(norm, np.float32(NORM_FLOOR)) if norm < np.inf else np.float32(np.nan)
    if norm <= drift:
        table.scale[row, SLACK] = np.float32(2.0) + ROUNDING
    else:
        table.scale[row, SLACK] = np.float32(2.0) * drift / (np.float32(2.0) * norm - drift) + ROUNDING


@inlined
def _encode(table, row, width):
    """Refresh the row's codes. Those of NaN are arbitrary, but their step is NaN."""
    if table.codes.shape[0] == 0:
        return
    peak = largest(table.rows, row, width)
    inverse = table.scale[row, INVERSE]
    table.scale[row, CODE_STEP] = max(peak * inverse / np.float32(CODE_MAX), np.float32(NORM_FLOOR))
    factor = np.float32(CODE_MAX) / peak if peak > np.float32(0.0) else np.float32(0.0)
    if not inverse < np.inf:
        table.scale[row, CODE_STEP] = np.float32(np.nan)
    for d in range(width):
        table.codes[row, d] = np.uint8(np.int32(table.rows[row, d] * factor + np.float32(CODE_ZERO + 0.5)))


@inlined
def power_of(power, which, base, exponent):
    """base^exponent from the table of powers."""
    if exponent < N_POWERS:
        return np.float32(power[which, exponent])
    return np.float32(base**exponent)


@inlined
def adam_step(table, row, gradient, g, pull, step, rate, l2, power, width):
    """Adam's step number `step` for an up-to-date row; `rate` is the step's line of `rates`.

    gradient[g] (width,) is dL/d(row/|row|); for raw tables dL/drow = gradient[g] - pull * row.
    """
    inverse = table.scale[row, INVERSE]
    along = pull
    if inverse < LARGEST_INVERSE and not table.raw:  # through the normalisation; shorter rows are divided by a constant
        for d in range(width):
            along += gradient[g, d] * table.rows[row, d]
        along *= inverse * inverse
    idle = step - 1 - table.last[row]
    keep_1 = BETA_1 * power_of(power, 0, BETAS[0], idle)
    keep_2 = BETA_2 * power_of(power, 1, BETAS[1], idle)
    speed, correction = np.float32(rate[0]), np.float32(rate[1])
    epsilon, coasting_epsilon = np.float32(EPSILON), np.float32(EPSILON / rate[1])
    squares = np.float32(0.0)
    pace = np.float32(0.0)
    for d in range(width):
        value = table.rows[row, d]
        total_gradient = (gradient[g, d] - along * value) * inverse + l2 * value
        mean = keep_1 * table.state[row, d] + GAIN_1 * total_gradient
        square = keep_2 * table.state[row, width + d] + GAIN_2 * total_gradient * total_gradient
        root = np.sqrt(square)
        value -= speed * mean / (root * correction + epsilon)
        direction = mean / (root + coasting_epsilon)
        table.state[row, d] = mean
        table.state[row, width + d] = square
        table.state[row, 2 * width + d] = direction
        table.rows[row, d] = value
        squares += value * value
        pace += direction * direction
    if squares > table.max_norm * table.max_norm:
        shorter = np.float32(table.max_norm) / np.sqrt(squares)
        squares = np.float32(0.0)
        for d in range(width):
            table.rows[row, d] *= shorter
            squares += table.rows[row, d] * table.rows[row, d]
    table.last[row] = step
    table.ahead[row] = rate[3]
    table.scale[row, PACE] = np.sqrt(pace)
    _measure(table, row, squares, np.float32(rate[3]))
    _encode(table, row, width)


@inlined
def prefetch_state(table, row, width):
    """Ask for what `catch_up` reads."""
    prefetch(table.rows, row, 0, width)
    prefetch(table.state, row, 2 * width, width)
    prefetch(table.scale, row, 0, 1)


@inlined
def prefetch_all(table, row, width):
    """Ask for what `adam_step` reads."""
    prefetch(table.rows, row, 0, width)
    prefetch(table.state, row, 0, 3 * width)
    prefetch(table.scale, row, 0, 1)


@inlined
def prefetch_score(table, row, width):
    """Ask for what a score reads."""
    prefetch(table.rows, row, 0, width)
    prefetch(table.scale, row, 0, 1)
