"""Splits against values by hand, and rules for all of them."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from trainers import InputError, Interactions, hold_out
from trainers.data.splits import How, check_order, hold_out_counts, known_only, share_of_equal_times, share_sorted, split

Pair = tuple[int, int]


def pairs_of(interactions: Interactions) -> set[Pair]:
    return set(zip(interactions.users.tolist(), interactions.items.tolist(), strict=True))


def made(pairs: list[Pair], times: list[float] | None = None, ordered: bool = True) -> Interactions:
    """Interactions in the given order, or by times."""
    users, items = (np.array([pair[side] for pair in pairs], np.int64) for side in (0, 1))
    shape = int(users.max(initial=0)) + 1, int(items.max(initial=0)) + 1
    given_times = None if times is None else np.array(times, np.float64)
    return Interactions.from_pairs(users, items, *shape, ordered=ordered, times=given_times)


@st.composite
def histories(draw: st.DrawFn) -> Interactions:
    n_users, n_items = draw(st.integers(1, 8)), draw(st.integers(1, 40))
    pair = st.tuples(st.integers(0, n_users - 1), st.integers(0, n_items - 1), st.integers(0, 9))
    drawn = draw(st.lists(pair, max_size=120))
    users, items, times = (np.array([one[side] for one in drawn], np.int64) for side in (0, 1, 2))
    return Interactions.from_pairs(users, items, n_users, n_items, times=times)


@st.composite
def growing(draw: st.DrawFn) -> Interactions:
    """All users and items but the last of each have a pair at time 0. Further pairs come later."""
    n_users, n_items = draw(st.integers(3, 8)), draw(st.integers(3, 12))
    early = [*((user, 0, 0) for user in range(n_users - 1)), *((0, item, 0) for item in range(1, n_items - 1))]
    later = st.tuples(st.integers(1, n_users - 1), st.integers(1, n_items - 1), st.integers(1, 9))
    users, items, times = np.array(early + draw(st.lists(later, min_size=3, max_size=60)), np.int64).T
    return Interactions.from_pairs(users, items, n_users, n_items, times=times)


class TestRandom:
    def graph(self, sizes: list[int], n_items: int = 230) -> Interactions:
        users = np.repeat(np.arange(len(sizes)), sizes)
        items = np.concatenate([np.arange(size) for size in sizes])
        return Interactions.from_pairs(users, items, len(sizes), n_items)

    def test_ten_percent_rounded_up_are_held_out_and_one_pair_is_kept(self) -> None:
        sizes = [0, 1, 2, 9, 10, 11, 20, 21, 30, 100, 101, 200]
        expected = [0, 0, 1, 1, 1, 2, 2, 3, 3, 10, 11, 20]
        seen, held_out = hold_out(self.graph(sizes), seed=4)
        assert held_out.per_user.tolist() == expected
        assert (seen.per_user + held_out.per_user).tolist() == sizes

    def test_counts_may_be_given_by_user(self) -> None:
        """The pairs are those that a fraction would hold out, as long as the numbers are the same."""
        graph = self.graph([0, 1, 2, 10, 20])
        seen, held_out = hold_out_counts(graph, np.array([3, 3, 3, 1, 2]), seed=4)
        assert held_out.per_user.tolist() == [0, 0, 1, 1, 2]
        assert (seen.per_user + held_out.per_user).tolist() == [0, 1, 2, 10, 20]
        assert held_out.checksum == hold_out(graph, seed=4)[1].checksum
        assert held_out.checksum != hold_out_counts(graph, np.array([3, 3, 3, 1, 2]), seed=5)[1].checksum

    def test_a_large_fraction_keeps_one_pair(self) -> None:
        seen, held_out = hold_out(self.graph([0, 1, 2, 10]), seed=4, fraction=0.95)
        assert seen.per_user.tolist() == [0, 1, 1, 1]
        assert held_out.per_user.tolist() == [0, 0, 1, 9]

    @settings(max_examples=60)
    @given(graph=histories(), seed=st.integers(0, 2**40), fraction=st.floats(0.01, 0.99))
    def test_a_split_is_a_partition(self, graph: Interactions, seed: int, fraction: float) -> None:
        if (graph.per_user < 2).all():
            with pytest.raises(InputError, match="some user must have two"):
                hold_out(graph, seed=seed, fraction=fraction)
            return
        seen, held_out = hold_out(graph, seed=seed, fraction=fraction)
        assert not pairs_of(seen) & pairs_of(held_out), "disjoint"
        assert pairs_of(seen) | pairs_of(held_out) == pairs_of(graph), "no pair is lost"
        assert ((seen.per_user > 0) == (graph.per_user > 0)).all(), "each user keeps a pair"
        for part in (seen, held_out):
            assert (part.n_users, part.n_items) == (graph.n_users, graph.n_items)

    def test_the_split_depends_on_the_seed(self) -> None:
        graph = self.graph([40, 50, 60])
        first, again, other = (hold_out(graph, seed=seed)[1].checksum for seed in (1, 1, 2))
        assert first == again
        assert first != other

    def test_every_item_has_the_same_chance(self) -> None:
        """The first, the last and the popular items are not preferred: 1,000 users with the same 20 items hold out 2 each."""
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
    def test_a_fraction_out_of_range_is_refused(self, fraction: float) -> None:
        with pytest.raises(InputError, match=f"between 0 and 1, got {fraction}"):
            hold_out(self.graph([10]), fraction=fraction)

    @pytest.mark.parametrize("sizes", [[1, 1, 1], [0]])
    def test_users_with_a_single_pair_are_refused(self, sizes: list[int]) -> None:
        with pytest.raises(InputError, match="some user must have two interactions"):
            hold_out(self.graph(sizes))


def _first(interactions: Interactions) -> np.ndarray:
    return interactions.users == 0


# user 0 takes 5, 3, 9, 1, 7; user 1 takes 2, 8; user 2 takes only 4
LINE = [(0, 5), (1, 2), (0, 3), (0, 9), (2, 4), (0, 1), (1, 8), (0, 7)]


class TestLast:
    @pytest.mark.parametrize(
        ("fraction", "expected"),
        [
            (0.1, {(0, 7), (1, 8)}),
            (0.2, {(0, 7), (1, 8)}),
            (0.21, {(0, 7), (0, 1), (1, 8)}),
            (0.6, {(0, 7), (0, 1), (0, 9), (1, 8)}),
            (0.99, {(0, 7), (0, 1), (0, 9), (0, 3), (1, 8)}),
        ],
    )
    def test_the_last_pairs_of_each_user_are_held_out(self, fraction: float, expected: set[Pair]) -> None:
        """The fraction of each user's pairs is rounded up, and at least one pair is kept."""
        seen, held_out = hold_out(made(LINE), "last", fraction)
        assert pairs_of(held_out) == expected
        assert pairs_of(seen) == set(LINE) - expected

    def test_leave_one_out_holds_out_the_last_pair(self) -> None:
        assert pairs_of(split(made(LINE), "leave_one_out").held_out) == {(0, 7), (1, 8)}

    def test_pairs_are_ordered_by_time_and_then_by_their_line(self) -> None:
        """The last item of user 0 is 9 at time 50. The items of user 1 have the same time, and 8 is on the later line."""
        times = [10.0, 5.0, 20.0, 50.0, 1.0, 30.0, 5.0, 40.0]
        assert pairs_of(split(made(LINE, times), "last").held_out) == {(0, 9), (1, 8)}

    def test_a_repeated_pair_counts_where_it_comes_first(self) -> None:
        """Item 5 comes again at the end, and counts as the first item."""
        assert pairs_of(split(made([*LINE, (0, 5)]), "last").held_out) == {(0, 7), (1, 8)}
        late = made([(0, 5), (0, 3), (0, 5)], [1.0, 2.0, 3.0])
        assert pairs_of(split(late, "last").held_out) == {(0, 3)}

    def test_data_without_an_order_are_refused(self) -> None:
        with pytest.raises(InputError, match=r"split 'last' needs an order: the data have no order: give a time column"):
            split(made(LINE, ordered=False), "last")
        with pytest.raises(InputError, match=r"split 'leave_one_out' needs an order"):
            split(made(LINE, ordered=False), "leave_one_out")

    def test_sorted_items_do_not_count_as_an_order(self) -> None:
        """39 of 40 users have their items sorted."""
        pairs = [(user, item) for user in range(40) for item in range(4)]
        pairs[3], pairs[1] = pairs[1], pairs[3]
        graph = made(pairs)
        assert share_sorted(graph) == pytest.approx(39 / 40)
        with pytest.raises(InputError, match=r"must be in the order of time, and 98 % of the users"):
            split(graph, "last")
        for user in (1, 2):
            pairs[4 * user], pairs[4 * user + 3] = pairs[4 * user + 3], pairs[4 * user]
        assert share_sorted(made(pairs)) == pytest.approx(37 / 40)
        assert len(split(made(pairs), "last").held_out) == 40

    def test_sorted_items_with_times_are_accepted(self) -> None:
        pairs = [(user, item) for user in range(40) for item in range(4)]
        check_order(made(pairs, [float(number) for number in range(160)]))
        check_order(made(pairs, [0.0, 0.0, 1.0, 2.0] * 40))

    def test_equal_times_do_not_order_sorted_items(self) -> None:
        """Each user has one time, or three of four times alike: the last item would be the one with the highest id."""
        pairs = [(user, item) for user in range(40) for item in range(4)]
        assert share_of_equal_times(made(pairs, [0.0, 0.0, 1.0, 2.0] * 40)) == pytest.approx(1 / 3)
        for times, share in (([7.0] * 160, 100), ([0.0, 0.0, 0.0, 1.0] * 40, 67)):
            words = rf"must be in the order of time, {share} % of a user's successive times are equal, and 100 % of the users"
            with pytest.raises(InputError, match=words):
                split(made(pairs, times), "last")
        mixed = [(user, item) for user in range(40) for item in (2, 0, 3, 1)]
        assert len(split(made(mixed, [7.0] * 160), "last").held_out) == 40, "the lines are not sorted by id"

    def test_users_with_equal_times_at_the_boundary_are_counted(self) -> None:
        """Of four users with four pairs: no equal times, equal ones at the boundary, before it, and within the last half."""
        pairs = [(user, item) for user in range(4) for item in (3, 1, 2, 0)]
        times = [0.0, 1.0, 2.0, 3.0, 0.0, 2.0, 2.0, 3.0, 2.0, 2.0, 4.0, 5.0, 0.0, 1.0, 6.0, 6.0]
        assert split(made(pairs, times), "last", 0.5).tied == 1
        assert split(made(pairs, times), "leave_one_out").tied == 1, "the last two of the fourth user"
        assert split(made(pairs, times), "random", 0.5).tied == 0
        assert split(made(pairs, times), "time", 0.25).tied == 0
        assert split(made(pairs), "last", 0.5).tied == 0, "no times: the order of the lines is the order of time"

    def test_users_whose_tied_pair_is_dropped_are_not_counted(self) -> None:
        """The last pairs are (0, 5), (1, 1) and (2, 2). The first two are tied, and item 5 has no other pair."""
        pairs = [(0, 1), (0, 5), (1, 2), (1, 1), (2, 1), (2, 2)]
        parts = split(made(pairs, [0.0, 0.0, 0.0, 0.0, 0.0, 5.0]), "leave_one_out")
        assert (parts.tied, parts.unknown, len(parts.held_out)) == (2, 0, 3)
        left = known_only(parts)
        assert (left.tied, left.unknown, pairs_of(left.held_out)) == (1, 1, {(1, 1), (2, 2)})

    def test_users_with_two_items_do_not_show_whether_items_are_sorted(self) -> None:
        assert share_sorted(made([(0, 1), (0, 2), (1, 0), (1, 3)])) == 0.0

    @settings(max_examples=60)
    @given(graph=histories(), fraction=st.floats(0.01, 0.99))
    def test_held_out_pairs_come_after_the_seen_pairs_of_a_user(self, graph: Interactions, fraction: float) -> None:
        if (graph.per_user < 2).all():
            return
        seen, held_out = hold_out(graph, "last", fraction)
        assert pairs_of(seen) | pairs_of(held_out) == pairs_of(graph)
        assert not pairs_of(seen) & pairs_of(held_out)
        wanted = np.minimum(np.ceil(graph.per_user * fraction - 1e-9), graph.per_user - 1).clip(0)
        assert held_out.per_user.tolist() == wanted.tolist()
        assert seen.times is not None
        assert held_out.times is not None
        for user in np.flatnonzero(held_out.per_user):
            assert seen.times[seen.users == user].max() <= held_out.times[held_out.users == user].min()


class TestTime:
    # (user, item) by time: item 9 and user 3 do not occur before time 8
    PAIRS = (
        ((0, 1), 1.0),
        ((1, 1), 2.0),
        ((0, 2), 3.0),
        ((2, 2), 4.0),
        ((1, 2), 5.0),
        ((2, 1), 8.0),
        ((0, 9), 8.0),
        ((3, 1), 9.0),
    )

    def made(self) -> Interactions:
        return made([pair for pair, _ in self.PAIRS], [time for _, time in self.PAIRS])

    def test_one_moment_divides_all_users(self) -> None:
        """.375 of 8 pairs are 3, which begin at time 8. Two of them have an unknown user or item."""
        found = split(self.made(), "time", 0.375)
        assert found.moment == 8.0
        assert pairs_of(found.held_out) == {(2, 1)}
        assert pairs_of(found.seen) == {(0, 1), (1, 1), (0, 2), (2, 2), (1, 2)}
        assert found.unknown == 2

    def test_equal_times_stay_together(self) -> None:
        """A quarter of 8 pairs are 2. Two pairs have time 8, so the split has 3 pairs (from 8) or 1 (from 9)."""
        assert split(self.made(), "time", 0.25).moment == 8.0
        assert split(self.made(), "time", 0.5).moment == 5.0

    def test_dropped_pairs_give_a_message(self, caplog: pytest.LogCaptureFixture) -> None:
        hold_out(self.made(), "time", 0.375)
        assert "dropped 2 pairs whose user or item has no earlier pair" in caplog.text

    def test_data_without_times_are_refused(self) -> None:
        with pytest.raises(InputError, match=r"split 'time' needs times: give a time column"):
            split(made(LINE), "time")

    def test_data_with_a_single_time_are_refused(self) -> None:
        with pytest.raises(InputError, match=r"needs interactions of different times, all 8 have the time"):
            split(made(LINE, [3.0] * 8), "time")

    def test_a_test_period_with_only_unknown_users_or_items_is_refused(self) -> None:
        with pytest.raises(InputError, match=r"got none among the 1 pairs from 2 on"):
            split(made([(0, 0), (1, 1)], [1.0, 2.0]), "time")

    @settings(max_examples=60)
    @given(graph=growing(), fraction=st.floats(0.01, 0.99))
    def test_training_ends_before_the_test_period_begins(self, graph: Interactions, fraction: float) -> None:
        try:
            found = split(graph, "time", fraction)
        except InputError:  # all pairs of the test period may have the last user or item
            reject()
        assert found.seen.times is not None
        assert found.held_out.times is not None
        assert found.moment is not None
        assert found.seen.times.max() < found.moment <= found.held_out.times.min()
        assert len(found.seen) + len(found.held_out) + found.unknown == len(graph)
        known = found.seen.per_user[found.held_out.users], found.seen.per_item[found.held_out.items]
        assert all(counts.all() for counts in known)


@pytest.mark.parametrize("how", get_args(How))
def test_the_split_does_not_depend_on_the_order_of_the_file(how: How) -> None:
    """The times differ, so the order of the lines has no effect."""
    rng = np.random.default_rng(3)
    users, items, times = rng.integers(0, 20, 300), rng.integers(0, 30, 300), rng.permutation(300)
    shuffled = rng.permutation(300)
    one, other = (
        split(Interactions.from_pairs(users[order], items[order], 20, 30, times=times[order]), how, 0.2)
        for order in (np.arange(300), shuffled)
    )
    assert one.held_out.checksum == other.held_out.checksum
    assert one.seen.checksum == other.seen.checksum


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(InputError, match=r"unknown split 'lasst'; did you mean 'last'\?"):
        split(made(LINE), "lasst")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": -1}, "seed must be at least 0, got -1; give another"),
        ({"seed": 2**63}, f"seed must be below {2**63}, got {2**63}; give another"),
        ({"seed": 1.5}, "seed must be a whole number, got 1.5"),
        ({"fraction": "x"}, "the fraction held out must be a number between 0 and 1, got 'x'"),
        ({"fraction": 1.0}, "the fraction held out must be a number between 0 and 1, got 1.0"),
    ],
)
def test_bad_seeds_and_fractions_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        hold_out(made(LINE), **change)
