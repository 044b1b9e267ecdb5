"""Filters against values by hand and against a plain loop."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainers.data.filters import often_enough

# User 0 has items 0, 1, 2; user 1 has 0, 1; user 2 has 2, 3; user 3 has 3.
USERS, ITEMS = np.array([0, 0, 0, 1, 1, 2, 2, 3]), np.array([0, 1, 2, 0, 1, 2, 3, 3])


@pytest.mark.parametrize(
    ("fewest", "expected"),
    [
        ((1, 1), [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (2, 2), (2, 3), (3, 3)]),
        # user 3 is dropped, then item 3 has too few users, then user 2 too few items, then item 2 too few users
        ((2, 2), [(0, 0), (0, 1), (1, 0), (1, 1)]),
        ((3, 1), [(0, 0), (0, 1), (0, 2)]),
        ((1, 3), []),
        ((3, 3), []),
    ],
)
def test_cores_agree_with_values_by_hand(fewest: tuple[int, int], expected: list[tuple[int, int]]) -> None:
    kept = often_enough(USERS, ITEMS, *fewest)
    assert list(zip(USERS[kept].tolist(), ITEMS[kept].tolist(), strict=True)) == expected


@given(
    pairs=st.sets(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=60),
    fewest=st.tuples(st.integers(1, 5), st.integers(1, 5)),
)
def test_cores_agree_with_a_plain_loop(pairs: set[tuple[int, int]], fewest: tuple[int, int]) -> None:
    left = set(pairs)
    while True:
        rare_users = {user for user, _ in left if sum(other == user for other, _ in left) < fewest[0]}
        rare_items = {item for _, item in left if sum(other == item for _, other in left) < fewest[1]}
        if not rare_users and not rare_items:
            break
        left = {(user, item) for user, item in left if user not in rare_users and item not in rare_items}
    users, items = (np.array([pair[side] for pair in sorted(pairs)], np.int64) for side in (0, 1))
    kept = often_enough(users, items, *fewest)
    assert set(zip(users[kept].tolist(), items[kept].tolist(), strict=True)) == left
