"""Parts of the step of dense losses: the order of the slots and the sums over an item's slots."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from trainers.engines.numba_engine.batch import new_batch, stride_bits
from trainers.engines.numba_engine.dense import order_slots
from trainers.engines.numba_engine.intrinsics import KERNEL
from trainers.engines.numba_engine.slots import add_slots
from trainers.jit import compiled

WIDTH = 20  # not a multiple of a vector of the processor
OPTIONS: Any = KERNEL | {"parallel": False}  # the rounding of the step


@compiled(**OPTIONS)
def ordered(batch: Any, size: int, count: int, shift: int, head: Any) -> Any:
    return order_slots(batch, size, count, shift, head)


@compiled(**OPTIONS)
def summed(gradients: Any, parts: Any, vectors: Any, rows: Any, scores: Any, slots: Any, n: int, shift: int) -> Any:
    return add_slots(gradients, 1, parts, 2, vectors, rows, 3, np.float32(0.5), scores, slots, 1, n, shift, WIDTH)


@pytest.mark.parametrize(
    ("n_items", "is_sorted"),
    [(5, True), (120, True), (330, False), (100_000, False)],  # 330: 42 slots are more than an eighth, 40 items are not
)
def test_slots_are_grouped_by_item(n_items: int, is_sorted: bool) -> None:
    size, count = 6, 6
    batch, head = new_batch(size, count, 4, False, n_items, dense=True), np.full(n_items, -1, np.int32)
    drawn = np.random.default_rng(3).permutation(max(n_items, 42))[:42].reshape(size, count + 1) % n_items
    drawn[0, 1], drawn[5, 3] = drawn[2, 2], drawn[1, 6]
    batch.items[:, :count], batch.positives[:] = drawn[:, :count], drawn[:, count]
    n = ordered(batch, size, count, stride_bits(count), head)

    found = list(dict.fromkeys(drawn.ravel().tolist()))
    expected = sorted(found) if is_sorted else found
    assert (len(found) * 8 > n_items) == is_sorted, "the case is what it says"
    assert batch.work_items[:n].tolist() == expected
    numbers = (np.arange(size)[:, None] << stride_bits(count)) + np.arange(count + 1)
    groups = [batch.slots[batch.starts[i] : batch.starts[i + 1]].tolist() for i in range(n)]
    assert groups == [numbers[drawn == item].tolist() for item in expected]
    assert (head == -1).all()


def test_sums_over_the_slots_of_an_item() -> None:
    rng = np.random.default_rng(1)
    vectors, rows, parts = (rng.normal(size=(n, WIDTH)).astype(np.float32) for n in (3, 4, 5))
    scores = np.array([[9.0, 0.5, 0.0, 9.0], [9.0, 9.0, -2.0, 9.0], [3.0, 9.0, 9.0, 9.0]], np.float32)
    slots = np.array([0, 1, 2, 6, 8, 3], np.int32)  # the first and the last belong to other items, the third has no gradient
    gradients, before = np.ones((2, WIDTH), np.float32), parts.copy()
    total, found = summed(gradients, parts, vectors, rows, scores, slots, 5, 2)
    assert (total, found) == (1.5, True)
    np.testing.assert_allclose(gradients[1], 0.5 * vectors[0] - 2.0 * vectors[1] + 3.0 * vectors[2], rtol=1e-5, atol=1e-6)
    assert (gradients[0] == 1.0).all()
    added = np.array([0.0, 0.0, 0.5, -2.0, 3.0])[:, None] * 0.5 * rows[3]
    np.testing.assert_allclose(parts - before, added, rtol=1e-4, atol=1e-6)
    assert not summed(gradients, parts, vectors, rows, np.zeros_like(scores), slots, 5, 2)[1]
