"""A sample of the held-out users."""

from __future__ import annotations

import numpy as np
import pytest

from trainers.metrics.sample import of_some_users

from ..engines.cases import data

HELD_OUT = data(300, 50, 400)
USERS = np.flatnonzero(HELD_OUT.per_user)


@pytest.mark.parametrize("count", [1, 7, len(USERS) - 1])
def test_a_sample_has_the_given_number_of_users_with_all_their_pairs(count: int):
    some = of_some_users(HELD_OUT, count, seed=3)
    chosen = np.flatnonzero(some.per_user)
    assert len(chosen) == some.n_users_with_pairs == count
    assert (some.n_users, some.n_items) == (HELD_OUT.n_users, HELD_OUT.n_items)
    assert (some.per_user[chosen] == HELD_OUT.per_user[chosen]).all()
    assert HELD_OUT.contains(some.users, some.items).all()


def test_a_large_sample_has_all_users():
    assert of_some_users(HELD_OUT, len(USERS), seed=3) is of_some_users(HELD_OUT, 10**6, seed=3) is HELD_OUT


def test_the_sample_depends_on_the_seed():
    """Each user is drawn about equally often."""
    assert of_some_users(HELD_OUT, 50, seed=3).checksum == of_some_users(HELD_OUT, 50, seed=3).checksum
    drawn = np.stack([of_some_users(HELD_OUT, 50, seed).per_user > 0 for seed in range(200)]).mean(0)[USERS]
    assert len({of_some_users(HELD_OUT, 50, seed).checksum for seed in range(20)}) == 20
    assert np.abs(drawn - 50 / len(USERS)).max() < 5 * np.sqrt(0.25 / 200)
