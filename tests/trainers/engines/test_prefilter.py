"""The prefilter keeps every negative with a gradient, for any vectors and any number of pending Adam updates since the codes.

Scores are computed exactly, in float64, and in float32 as in the step.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from trainers.engines.lazy_adam import RATIO, powers, rates
from trainers.engines.numba_engine import NumbaEngine, kernels
from trainers.engines.numba_engine.fingerprint import fingerprint
from trainers.engines.numba_engine.intrinsics import dot
from trainers.engines.numba_engine.prefilter import draw_and_filter, extra_rounding
from trainers.engines.numba_engine.table import INVERSE_NORM, N_POWERS, EmbeddingTable, Floats, adam_step, flush, new_table
from trainers.jit import compiled
from trainers.scores import NORM_FLOOR

from .cases import MML, config, data, started

WIDTH, N_USERS, N_ITEMS, N_STEPS = 8, 4, 12, 600
LENGTHS = [0.0, 1e-44, 1e-38, 1e-30, 1e-22, 1e-13, 0.9e-12, 1.1e-12, 1e-6, 1e-3, 1.0, 30.0, 1e6, 1e17, 1e18, 3e19, 1e30]


class Compiled(NamedTuple):
    train: Any
    passes: Any
    score: Any


def _build(width: int, version: int) -> Compiled:
    @compiled(version, width, error_model="numpy")
    def train(table, gradients, step, rate, power):  # type: ignore[no-untyped-def]
        if version:
            for i in range(gradients.shape[0]):
                adam_step(table, i, gradients, i, np.float32(0.0), step, rate, np.float32(0.0), power, width)

    @compiled(version, width, error_model="numpy")
    def passes(batch, size, arguments, users, items):  # type: ignore[no-untyped-def]
        if version:
            draw_and_filter(batch, 0, size, np.uint64(0), arguments, users, items, np.uint64(items.last_step.size), width)

    @compiled(version, width, error_model="numpy")
    def score(batch, table, step, tail, power, out):  # type: ignore[no-untyped-def]
        if version:
            for i in range(out.shape[1]):
                flush(table, i, step, tail, power, width)
                for b in range(out.shape[0]):
                    out[b, i] = dot(batch.vectors, b, table.rows, i, width) * table.scale[i, INVERSE_NORM]

    return Compiled(train, passes, score)


@cache
def functions() -> Compiled:
    """The compiled functions. Their version depends on the source files of the step and on this file."""
    return _build(WIDTH, fingerprint(kernels._build_sparse) + crc32(Path(__file__).read_bytes()))


@cache
def engine() -> NumbaEngine:
    """An engine that gives arguments and scratch memory. Each user has all items as negatives."""
    seen = data(N_USERS, N_ITEMS, 40)
    one: NumbaEngine = started(NumbaEngine, seen, config(MML, count=N_ITEMS, dim=WIDTH, batch_size=N_USERS))
    return one


def rows_of(rng: np.random.Generator, lengths: list[float], like: Floats | None, kinds: list[str]) -> Floats:
    """Rows (n, WIDTH) with these lengths and these kinds of directions.

    A direction is random, or that of a row of `like`, the opposite or close to it. It may have equal entries, or entries
    between two codes. For the kind worst, codes give a score that is too low by the maximum.
    """
    with np.errstate(all="ignore"):
        rows = []
        for length, kind in zip(lengths, kinds, strict=True):
            direction = rng.normal(size=WIDTH)
            if kind == "between":
                direction = (rng.integers(-127, 127, WIDTH) + 0.5) / 127.0
                direction[rng.integers(WIDTH)] = 1.0
            if kind == "worst":  # all codes of users and items have an error in the same direction
                direction = -(rng.integers(118, 127, WIDTH) + 0.45) / 127.0
                direction[rng.integers(WIDTH)] = -1.0
            if kind == "flat":
                direction = np.sign(direction)
            if like is not None and kind in ("same", "opposite", "near"):
                other = like[rng.integers(len(like))].astype(np.float64)
                size = np.linalg.norm(other)
                other = other / size if 0.0 < size < np.inf else direction
                direction = {"same": other, "opposite": -other, "near": other + 1e-3 * direction}[kind]
            rows.append(direction / np.linalg.norm(direction) * length)
        return np.array(rows).astype(np.float32)


KINDS = st.sampled_from(["any", "same", "opposite", "near", "flat", "between", "worst"])


class Catalogue(NamedTuple):
    """Items after some steps of training and some steps without a gradient. `exact` has them with all pending updates."""

    table: EmbeddingTable
    step: int
    tail: float
    exact: NDArray[np.float64]


def trained(rng: np.random.Generator, rows: Floats, learning_rate: float, push: float, steps: int, rest: int) -> Catalogue:
    table = new_table(rows, with_codes=True)
    settings = config(MML, dim=WIDTH, learning_rate=learning_rate, epochs=100)
    lines = rates(settings, 40, 0, N_STEPS)
    for step in range(1, steps + 1):
        gradients = (rng.normal(size=rows.shape) * push).astype(np.float32)
        functions().train(table, gradients, step, lines[step - 1], powers(N_POWERS))
    now = steps + rest
    tail = float(lines[now, 2])
    left = table.pending - RATIO ** (now - table.last_step).astype(np.float64) * tail
    left[table.pending == 0.0] = 0.0
    exact = table.rows.astype(np.float64) - left[:, None] * table.state[:, 2 * WIDTH :].astype(np.float64)
    return Catalogue(table, now, tail, exact)


def kept(users: Floats, items: EmbeddingTable, cutoff: float) -> tuple[list[set[int]], Any]:
    """The items that pass for each user, and the scratch memory with the vectors of the users."""
    one = engine()
    given = np.tile(np.arange(N_ITEMS, dtype=np.int32), (N_USERS, 1))
    arguments = one._arguments(one.config, 0, 1)._replace(given_negatives=given, cutoff=np.float32(cutoff))  # type: ignore[arg-type]
    batch = one.batch
    batch.users[:] = np.arange(N_USERS)
    functions().passes(batch, N_USERS, arguments, new_table(users, with_codes=False), items)
    return [set(batch.items[b, : batch.n_passed[b]].tolist()) for b in range(N_USERS)], batch


@settings(max_examples=400)
@given(
    seed=st.integers(0, 2**32 - 1),
    user_lengths=st.lists(st.sampled_from(LENGTHS), min_size=N_USERS, max_size=N_USERS),
    item_lengths=st.lists(st.sampled_from(LENGTHS), min_size=N_ITEMS, max_size=N_ITEMS),
    kinds=st.lists(KINDS, min_size=N_ITEMS, max_size=N_ITEMS),
    learning_rate=st.sampled_from([1e-12, 1e-5, 1e-3, 0.1, 10.0]),
    push=st.sampled_from([0.0, 1e-20, 1e-8, 1e-3, 1.0, 1e6]),
    steps=st.integers(0, 4),
    rest=st.sampled_from([0, 1, 5, 100, 550]),
    pick=st.integers(0, N_USERS * N_ITEMS - 1),
    below=st.sampled_from([0.0, 1e-7, 1e-3]),
)
def test_no_negative_with_a_gradient_is_dropped(  # type: ignore[no-untyped-def]
    seed, user_lengths, item_lengths, kinds, learning_rate, push, steps, rest, pick, below
) -> None:
    """The cutoff is just below one of the scores. So a bound that is a little too narrow would drop that item."""
    rng = np.random.default_rng(seed)
    users = rows_of(rng, user_lengths, None, kinds[:N_USERS])
    catalogue = trained(rng, rows_of(rng, item_lengths, users, kinds), learning_rate, push, steps, rest)
    _, batch = kept(users, catalogue.table, -2.0)
    vectors = batch.vectors[:N_USERS].astype(np.float64)
    with np.errstate(all="ignore"):
        lengths = np.linalg.norm(catalogue.exact, axis=1, keepdims=True)
        exact = vectors @ (catalogue.exact / np.maximum(lengths, NORM_FLOOR)).T
    cutoff = float(exact.ravel()[pick]) - below
    if not -1.0 < cutoff < 1.0:
        cutoff = 0.5
    found, batch = kept(users, catalogue.table, cutoff)
    rounded = np.zeros((N_USERS, N_ITEMS), np.float32)
    functions().score(batch, catalogue.table, catalogue.step, catalogue.tail, powers(N_POWERS), rounded)
    cutoff32 = np.float32(cutoff)
    for b in range(N_USERS):
        for name, scores in (("exact", exact[b]), ("float32", rounded[b])):
            lost = set(np.flatnonzero(~(scores <= cutoff32)).tolist()) - found[b]  # NaN has a gradient, too
            details = [(i, scores[i], catalogue.table.scale[i].tolist()) for i in sorted(lost)]
            assert not lost, f"user {b} loses items with a {name} score above {cutoff32!r}: {details}"


def test_most_of_what_is_far_below_the_cutoff_is_dropped() -> None:
    """A prefilter that keeps all negatives would fail here."""
    rng = np.random.default_rng(0)
    users = rows_of(rng, [1.0] * N_USERS, None, ["any"] * N_USERS)
    catalogue = trained(rng, rows_of(rng, [1.0] * N_ITEMS, users, ["any"] * N_ITEMS), 1e-3, 1e-3, 2, 5)
    found, batch = kept(users, catalogue.table, 0.6)
    exact = batch.vectors[:N_USERS] @ (catalogue.exact / np.linalg.norm(catalogue.exact, axis=1, keepdims=True)).T
    assert 0 < sum(map(len, found)) <= (exact > 0.55).sum() < N_USERS * N_ITEMS / 2


def test_rounding_of_wide_rows() -> None:
    """The error of a float32 sum of `width` products is at most width + 2 units of 2^-24.

    There are two such sums: that of the prefilter and that of the training. ROUNDING is enough for narrow rows, and
    `extra_rounding` is the missing part for wide ones.
    """
    for width in (8, 64, 70, 128, 512, 4096):
        assert 1e-5 + extra_rounding(width) >= 2 * (width + 4) * 2.0**-24
    assert extra_rounding(64) == 0.0
