"""Interactions and hold_out."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainers import InputError, Interactions, hold_out, rng
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
    def test_sizes_of_numpy(self, kind: type[np.integer]) -> None:
        """As `ids.max() + 1` gives them; draws take their bits."""
        got = Interactions.from_pairs(USERS, ITEMS, kind(N_USERS), kind(N_ITEMS))
        assert (type(got.n_users), type(got.n_items)) == (int, int)
        assert got.checksum == Interactions.from_pairs(USERS, ITEMS, N_USERS, N_ITEMS).checksum
        shuffled = rng.permuted(rng.key(1, Purpose.SHUFFLE), np.arange(got.n_items), got.n_items)
        assert sorted(shuffled.tolist()) == list(range(N_ITEMS))

    def test_where(self) -> None:
        got = Interactions.from_pairs(USERS, ITEMS, N_USERS, N_ITEMS)
        chosen = got.where(np.array([True, False, False, True, True]))
        assert pairs_of(chosen) == {(0, 1), (4, 0), (4, 8)}
        assert (chosen.n_users, chosen.n_items) == (N_USERS, N_ITEMS)

    def test_no_pairs(self) -> None:
        none = np.empty(0, np.int64)
        got = Interactions.from_pairs(none, none, N_USERS, N_ITEMS)
        assert len(got) == 0
        assert got.indptr.tolist() == [0] * (N_USERS + 1)
        assert got.per_item.tolist() == [0] * N_ITEMS

    def test_places(self) -> None:
        got = Interactions.from_pairs(USERS, ITEMS, N_USERS, N_ITEMS)
        assert got.keys.tolist() == [1, 3, 23, 36, 44]
        asked = np.array([[4, 0, 0], [2, 5, 0]], np.int32), np.array([[8, 1, 2], [5, 8, 0]], np.int32)
        assert got.indices_of(*asked).tolist() == [[4, 0, 5], [2, 5, 5]]
        assert got.contains(*asked).tolist() == [[True, True, False], [True, False, False]]
        none = got.where(np.zeros(5, np.bool_))
        assert none.indices_of(*asked).tolist() == [[0] * 3] * 2, "as many as there are pairs"
        assert not none.contains(*asked).any()

    def test_many_users_do_not_overflow(self) -> None:
        """user * n_items passes 2^31 and 2^32."""
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
    def test_ids_out_of_range(self, users: list[int], items: list[int], words: list[str]) -> None:
        """Else they would silently become another user's pair."""
        with pytest.raises(InputError) as caught:
            Interactions.from_pairs(np.array(users), np.array(items), N_USERS, N_ITEMS)
        missing = [word for word in words if word not in str(caught.value)]
        assert not missing, f"the message lacks {missing}: {caught.value}"

    def test_checksum_sees_pairs_not_their_order(self) -> None:
        one = Interactions.from_pairs(USERS, ITEMS, N_USERS, N_ITEMS)
        order = np.array([3, 6, 0, 5, 1, 4, 2])
        assert Interactions.from_pairs(USERS[order], ITEMS[order], N_USERS, N_ITEMS).checksum == one.checksum

    def test_checksum_sees_every_change(self) -> None:
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

    def test_checksum_by_definition(self) -> None:
        """It is part of a study's identity and of every output: it must stay what it is across versions."""
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


class TestHoldOut:
    def graph(self, sizes: list[int], n_items: int = 230) -> Interactions:
        users = np.repeat(np.arange(len(sizes)), sizes)
        items = np.concatenate([np.arange(size) for size in sizes])
        return Interactions.from_pairs(users, items, len(sizes), n_items)

    def test_ceil_of_ten_percent_and_one_stays(self) -> None:
        sizes = [0, 1, 2, 9, 10, 11, 20, 21, 30, 100, 101, 200]
        expected = [0, 0, 1, 1, 1, 2, 2, 3, 3, 10, 11, 20]
        seen, held_out = hold_out(self.graph(sizes), seed=4)
        assert held_out.per_user.tolist() == expected
        assert (seen.per_user + held_out.per_user).tolist() == sizes

    def test_a_large_fraction_leaves_one(self) -> None:
        seen, held_out = hold_out(self.graph([0, 1, 2, 10]), seed=4, fraction=0.95)
        assert seen.per_user.tolist() == [0, 1, 1, 1]
        assert held_out.per_user.tolist() == [0, 0, 1, 9]

    @settings(max_examples=60)
    @given(graph=graphs(), seed=st.integers(0, 2**40), fraction=st.floats(0.01, 0.99))
    def test_a_partition(self, graph: Interactions, seed: int, fraction: float) -> None:
        if (graph.per_user < 2).all():
            with pytest.raises(InputError, match="no user has two"):
                hold_out(graph, seed=seed, fraction=fraction)
            return
        seen, held_out = hold_out(graph, seed=seed, fraction=fraction)
        assert not pairs_of(seen) & pairs_of(held_out), "disjoint"
        assert pairs_of(seen) | pairs_of(held_out) == pairs_of(graph), "nothing is lost"
        assert ((seen.per_user > 0) == (graph.per_user > 0)).all(), "at least one stays"
        for part in (seen, held_out):
            assert (part.n_users, part.n_items) == (graph.n_users, graph.n_items)

    def test_a_seed_decides(self) -> None:
        graph = self.graph([40, 50, 60])
        first, again, other = (hold_out(graph, seed=seed)[1].checksum for seed in (1, 1, 2))
        assert first == again
        assert first != other

    def test_every_item_has_the_same_chance(self) -> None:
        """Not the first, the last or the most popular: 1,000 users with the same 20 items hold out 2 each."""
        graph = self.graph([20] * 1_000, n_items=20)
        counts = hold_out(graph, seed=3)[1].per_item
        assert counts.sum() == 2_000
        spread = np.sqrt(1_000 * 0.1 * 0.9)
        assert np.abs(counts - 100).max() < 4 * spread, counts.tolist()

    def test_a_users_split_does_not_depend_on_other_users(self) -> None:
        both, alone = self.graph([30, 40]), self.graph([30])
        held_of_first = [
            pairs_of(hold_out(graph, seed=5)[1].where(_first(hold_out(graph, seed=5)[1]))) for graph in (both, alone)
        ]
        assert held_of_first[0] == held_of_first[1]

    @pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 1.5, float("nan")])
    def test_fraction_out_of_range(self, fraction: float) -> None:
        with pytest.raises(InputError, match=f"between 0 and 1, got {fraction}"):
            hold_out(self.graph([10]), fraction=fraction)

    @pytest.mark.parametrize("sizes", [[1, 1, 1], [0]])
    def test_nothing_to_hold_out(self, sizes: list[int]) -> None:
        with pytest.raises(InputError, match="no user has two interactions"):
            hold_out(self.graph(sizes))


def _first(interactions: Interactions) -> np.ndarray:
    return interactions.users == 0
