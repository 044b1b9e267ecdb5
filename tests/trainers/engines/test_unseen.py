"""The compiled draws of unseen items against the sampler's own."""

from __future__ import annotations

import numpy as np
import pytest

from trainers import Interactions
from trainers.engines.numba_engine.unseen import drawn_unseen
from trainers.negatives import Step, Unseen


def directions() -> np.ndarray:
    raise AssertionError("unseen items do not depend on the model")


@pytest.mark.parametrize("count", [1, 7])
def test_compiled_draws_are_those_of_the_sampler(count: int) -> None:
    """Users 0 to 40 have seen as many of the 41 items as their number; the last one has seen all but one."""
    n_items = 41
    pairs = [(user, (7 * item + user) % n_items) for user in range(n_items) for item in range(user)]
    seen = Interactions.from_pairs(*np.array(pairs).T, n_items, n_items)
    users = np.tile(np.arange(n_items, dtype=np.int32), 9)
    rows = np.arange(100, 100 + len(users))
    sampler = Unseen(count=count).sampler(seen)
    step = Step(5, 2, 0, rows, users, users, directions)
    drawn = drawn_unseen(sampler, step)
    np.testing.assert_array_equal(drawn, sampler.draw(step))
    assert not set(zip(np.repeat(users, count).tolist(), drawn.ravel().tolist(), strict=True)) & set(pairs)
