"""Interactions: pairs in CSR arrays, with their order and their times."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainers import InputError, Interactions, rng
from trainers.rng import Purpose

N_USERS, N_ITEMS = 6, 9
USERS = np.array([4, 0, 2, 0, 4, 4, 0])
ITEMS = np.array([8, 3, 5, 1, 0, 8, 3])


def pairs_of(interactions: Interactions) -> set[tuple[int, int]]:
    return set(zip(interactions.users.tolist(), interactions.items.tolist(), strict=True))


@st.composite
def graphs(draw: st.DrawFn) -> Interactions:
    n_users, n_items = draw(st.integers(1, 8)), draw(st.integers(1, 40))
    pair = st.tuples(st.integers(0, n_users - 1), st.integers(0, n_items - 1))
    pairs = draw(st.lists(pair, max_size=120))
    users, items = (np.array([one[side] for one in pairs], dtype=np.int64) for side in (0, 1))
    return Interactions.from_pairs(users, items, n_users, n_items)


class TestInteractions:
    def test_sorted_without_duplicates(self) -> None:
        got = Interactions.from_pairs(USERS, ITEMS, N_USERS, N_ITEMS)
        assert len(got) == 5
        assert got.users.tolist() == [0, 0, 2, 4, 4]
        assert got.items.tolist() == [1, 3, 5, 0, 8]
        assert got.indptr.tolist() == [0, 2, 2, 3, 3, 5, 5]
        assert (got.indptr.dtype, got.items.dtype) == (np.int64, np.int32)

    def test_counts(self) -> None:
        got = Interactions.from_pairs(USERS, ITEMS, N_USERS, N_ITEMS)
        assert got.per_user.tolist() == [2, 0, 1, 0, 2, 0]
        assert got.per_item.tolist() == [1, 1, 0, 1, 0, 1, 0, 0, 1]

    @pytest.mark.parametrize("kind", [np.int32, np.int64, np.uint16])
    def test_sizes_may_be_integers_of_numpy(self, kind: type[np.integer]) -> None:
        """`ids.max() + 1` gives such a size. Random draws use its bits."""
        got = Interactions.from_pairs(USERS, ITEMS, kind(N_USERS), kind(N_ITEMS))
        assert (type(got.n_users), type(got.n_items)) == (int, int)
        assert got.checksum == Interactions.from_pairs(USERS, ITEMS, N_USERS, N_ITEMS).checksum
        shuffled = rng.permuted(rng.key(1, Purpose.SHUFFLE), np.arange(got.n_items), got.n_items)
        assert sorted(shuffled.tolist()) == list(range(N_ITEMS))

    def test_where_keeps_the_marked_pairs(self) -> None:
        got = Interactions.from_pairs(USERS, ITEMS, N_USERS, N_ITEMS)
        chosen = got.where(np.array([True, False, False, True, True]))
        assert pairs_of(chosen) == {(0, 1), (4, 0), (4, 8)}
        assert (chosen.n_users, chosen.n_items) == (N_USERS, N_ITEMS)

    def test_a_repeated_pair_counts_at_its_first_position(self) -> None:
        """The pairs are (4, 8), (0, 3), (2, 5), (0, 1), (4, 0), then (4, 8) and (0, 3) again."""
        got = Interactions.from_pairs(USERS, ITEMS, N_USERS, N_ITEMS, ordered=True)
        assert list(zip(got.users.tolist(), got.items.tolist(), strict=True)) == [(0, 1), (0, 3), (2, 5), (4, 0), (4, 8)]
        assert got.order is not None
        assert got.order.tolist() == [3, 1, 2, 4, 0]
        assert got.times is None
        assert Interactions.from_pairs(USERS, ITEMS, N_USERS, N_ITEMS).order is None

    def test_a_missing_date_is_refused(self) -> None:
        times = np.array(["2026-01-02", "NaT"], "datetime64[s]")
        with pytest.raises(InputError, match="times must be dates, got NaT; drop these pairs"):
            Interactions.from_pairs(np.array([0, 0]), np.array([0, 1]), 1, 2, times=times)

    def test_times_order_pairs_and_a_pair_has_its_earliest_time(self) -> None:
        """(4, 8) has the times 9 and 2, (0, 3) has 7 and 8, and (0, 1) has 7, later in the file."""
        times = np.array([9, 7, 5, 7, 1, 2, 8])
        got = Interactions.from_pairs(USERS, ITEMS, N_USERS, N_ITEMS, times=times)
        assert got.times is not None
        assert got.order is not None
        assert got.times.tolist() == [7, 7, 5, 1, 2]
        of_user_0, of_user_4 = got.order[:2].tolist(), got.order[3:].tolist()
        assert of_user_0 == sorted(of_user_0, reverse=True), "items 3 and 1 have the same time, and 3 comes first in the file"
        assert of_user_4 == sorted(of_user_4), "item 0 has time 1, item 8 has time 2"

    @pytest.mark.parametrize("bad", [float("nan"), float("inf")])
    def test_invalid_times_are_refused(self, bad: float) -> None:
        with pytest.raises(InputError, match=f"times must be finite numbers, got {bad}"):
            Interactions.from_pairs(USERS[:2], ITEMS[:2], N_USERS, N_ITEMS, times=np.array([1.0, bad]))

    def test_order_and_times_stay_with_their_pairs(self) -> None:
        got = Interactions.from_pairs(USERS, ITEMS, N_USERS, N_ITEMS, times=np.arange(7))
        chosen = got.where(got.users == 4)
        assert chosen.order is not None
        assert chosen.times is not None
        assert (chosen.items.tolist(), chosen.order.tolist(), chosen.times.tolist()) == ([0, 8], [4, 0], [4, 0])

    def test_restricted_to_keeps_users_and_items_with_new_ids(self) -> None:
        """Users 0 and 4 become 0 and 1, items 3 and 8 become 0 and 1."""
        got = Interactions.from_pairs(USERS, ITEMS, N_USERS, N_ITEMS, ordered=True)
        left = got.restricted_to(np.array([0, 4]), np.array([3, 8]))
        assert (left.n_users, left.n_items) == (2, 2)
        assert (left.indptr.tolist(), left.items.tolist()) == ([0, 1, 2], [0, 1])
        assert left.order is not None
        assert left.order.tolist() == [1, 0]

    def test_interactions_may_have_no_pairs(self) -> None:
        none = np.empty(0, np.int64)
        got = Interactions.from_pairs(none, none, N_USERS, N_ITEMS)
        assert len(got) == 0
        assert got.indptr.tolist() == [0] * (N_USERS + 1)
        assert got.per_item.tolist() == [0] * N_ITEMS

    def test_indices_of_pairs(self) -> None:
        got = Interactions.from_pairs(USERS, ITEMS, N_USERS, N_ITEMS)
        assert got.keys.tolist() == [1, 3, 23, 36, 44]
        asked = np.array([[4, 0, 0], [2, 5, 0]], np.int32), np.array([[8, 1, 2], [5, 8, 0]], np.int32)
        assert got.indices_of(*asked).tolist() == [[4, 0, 5], [2, 5, 5]]
        assert got.contains(*asked).tolist() == [[True, True, False], [True, False, False]]
        none = got.where(np.zeros(5, np.bool_))
        assert none.indices_of(*asked).tolist() == [[0] * 3] * 2, "the number of pairs means that a pair is missing"
        assert not none.contains(*asked).any()

    def test_many_users_do_not_overflow(self) -> None:
        """user * n_items exceeds 2^31 and 2^32."""
        n = 100_000
        users, items = np.array([n - 1, 0], np.int32), np.array([n - 2, 1], np.int32)
        assert pairs_of(Interactions.from_pairs(users, items, n, n)) == {(n - 1, n - 2), (0, 1)}

    @pytest.mark.parametrize(
        ("users", "items", "words"),
        [
            ([0, 6], [0, 0], ["user ids", "0 and 5", "6"]),
            ([-1, 0], [0, 0], ["user ids", "0 and 5", "-1"]),
            ([0, 1], [0, 9], ["item ids", "0 and 8", "9"]),
            ([0, 1], [-3, 0], ["item ids", "0 and 8", "-3"]),
        ],
    )
    def test_ids_out_of_range_are_refused(self, users: list[int], items: list[int], words: list[str]) -> None:
        """Without the check such a pair would become that of another user."""
        with pytest.raises(InputError) as caught:
            Interactions.from_pairs(np.array(users), np.array(items), N_USERS, N_ITEMS)
        missing = [word for word in words if word not in str(caught.value)]
        assert not missing, f"the message lacks {missing}: {caught.value}"

    def test_ids_that_are_no_whole_numbers_are_refused(self) -> None:
        with pytest.raises(InputError, match="user ids must be whole numbers, got float64"):
            Interactions.from_pairs(np.array([0.0, 1.9]), np.array([0, 1]), 3, 3)

    @pytest.mark.parametrize(
        ("users", "items", "times", "shapes"),
        [
            ([0, 1, 2], [0, 1, 2], [5.0, 6.0], r"\(3,\), \(3,\), \(2,\)"),
            ([0], [0, 1, 2], None, r"\(1,\), \(3,\)"),
            ([[0, 1]], [[0, 1]], None, r"\(1, 2\), \(1, 2\)"),
            (0, 1, None, r"\(\), \(\)"),
        ],
    )
    def test_every_pair_needs_a_user_an_item_and_a_time(self, users: Any, items: Any, times: Any, shapes: str) -> None:
        with pytest.raises(InputError, match=f"one value for each pair, got arrays of the shapes {shapes}; give lists"):
            Interactions.from_pairs(users, items, 3, 3, times=times)

    def test_lists_are_pairs_too(self) -> None:
        got = Interactions.from_pairs([1, 0], [2, 1], 3, 3, times=[7, 5])  # type: ignore[arg-type]
        assert pairs_of(got) == {(1, 2), (0, 1)}
        assert got.times is not None
        assert got.times.tolist() == [5.0, 7.0]

    def test_the_checksum_does_not_depend_on_the_order_of_pairs(self) -> None:
        one = Interactions.from_pairs(USERS, ITEMS, N_USERS, N_ITEMS)
        order = np.array([3, 6, 0, 5, 1, 4, 2])
        assert Interactions.from_pairs(USERS[order], ITEMS[order], N_USERS, N_ITEMS).checksum == one.checksum

    def test_every_change_of_the_pairs_changes_the_checksum(self) -> None:
        checksums = {
            Interactions.from_pairs(np.array(users), np.array(items), n_users, n_items).checksum
            for users, items, n_users, n_items in [
                ([0, 1], [0, 1], 3, 4),
                ([0, 1], [0, 2], 3, 4),
                ([0, 2], [0, 1], 3, 4),
                ([0, 0], [0, 1], 3, 4),
                ([0], [0], 3, 4),
                ([0, 1], [0, 1], 4, 4),
                ([0, 1], [0, 1], 3, 5),
            ]
        }
        assert len(checksums) == 7

    def test_the_checksum_agrees_with_its_definition(self) -> None:
        """It is part of a study's identity and of every output. So it must not change between versions."""
        starts, items = [0, 2, 2, 3, 3, 5, 5], [1, 3, 5, 0, 8]
        text = b"6 9 5" + b"".join(one.to_bytes(8, "little") for one in starts)
        text += b"".join(one.to_bytes(4, "little") for one in items)
        assert Interactions.from_pairs(USERS, ITEMS, N_USERS, N_ITEMS).checksum == hashlib.sha256(text).hexdigest()

    @settings(max_examples=60)
    @given(graph=graphs())
    def test_csr_and_pairs_agree(self, graph: Interactions) -> None:
        again = Interactions.from_pairs(graph.users, graph.items, graph.n_users, graph.n_items)
        assert again.checksum == graph.checksum
        assert graph.indptr[0] == 0
        assert graph.indptr[-1] == len(graph)
        for user in range(graph.n_users):
            own = graph.items[graph.indptr[user] : graph.indptr[user + 1]].tolist()
            assert own == sorted(set(own)), "ascending, no duplicates"
            assert {(user, item) for item in own} == {pair for pair in pairs_of(graph) if pair[0] == user}
