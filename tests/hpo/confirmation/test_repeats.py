"""The number of seeds that would suffice."""

from __future__ import annotations

import numpy as np
import pytest

from hpo.confirmation.advice import COMPARE, PlannedSeeds
from hpo.confirmation.evidence import ALPHA, detectable_effect
from hpo.confirmation.headlines import headline
from hpo.confirmation.repeats import Repeats, repeats_by_pair
from hpo.confirmation.statements import verdict
from hpo.confirmation.statistics import Comparison, Measured, Word, compare
from hpo.study.names import MAX_SEARCHES

USERS = np.linspace(0.1, 0.9, 500)


def compared(ours: list[list[float]], rival: list[list[float]], lift: float, fixed: bool = False) -> tuple[Comparison, Repeats]:
    """Two methods. Their users differ by `lift` on average. The second method may be deterministic."""
    noise = np.random.default_rng(0).normal(0.0, 0.01, len(USERS))
    first, second = (
        Measured(name, users, [np.array(runs) for runs in each], is_deterministic=fixed and name == "B")
        for name, users, each in (("A", USERS + lift + noise - noise.mean(), ours), ("B", USERS, rival))
    )
    (found,) = compare(first, [second])
    return found, repeats_by_pair([found], {"A": ours, "B": rival})["A", "B"]


def test_an_undecided_comparison_advises_a_number_of_seeds():
    """One of three seeds is far off. The advice is the least number with a detectable effect below the difference."""
    comparison, repeats = compared([[0.4, 0.9, 0.8]], [[0.2, 0.21, 0.25]], lift=0.48)
    assert comparison.word is Word.UNDECIDED
    assert (repeats.unit, repeats.kinds, repeats.counts) == ("seed", ("seed", "seed"), (3, 3))
    assert repeats.enough is not None
    variances = np.var([[0.4, 0.9, 0.8], [0.2, 0.21, 0.25]], axis=1, ddof=1)
    for count, does in ((repeats.enough, True), (repeats.enough - 1, False)):
        degrees = (count - 1) * variances.sum() ** 2 / (variances**2).sum()
        detectable = detectable_effect(comparison.users.error, np.sqrt(variances.sum() / count), degrees, ALPHA)
        assert (detectable <= comparison.difference) == does
    advice = f"3 seeds are too few: a difference as large as this one needs about {repeats.enough} of each "
    assert f"; {advice}(--confirm-seeds {repeats.enough})" in verdict(comparison, "ndcg@20", repeats)
    assert headline(comparison, repeats).startswith("A is not distinguishable from B with 3 seeds: +96.0 % (95 % interval ")


def test_a_method_with_more_seeds_than_the_advised_number_keeps_them():
    """The methods have ten seeds and two, as `--rival-seeds LOSS=2` gives. A few more of the second one suffice."""
    ours = [[0.5 + 0.01 * (seed % 3) for seed in range(10)]]
    comparison, repeats = compared(ours, [[0.44, 0.47]], lift=0.055)
    assert comparison.word is Word.UNDECIDED
    assert repeats.enough is not None
    assert (2 < repeats.enough < 10, repeats.only) == (True, "B")
    of_ours, of_rival = np.var(ours, ddof=1) / 10, np.var([0.44, 0.47], ddof=1)
    for count, does in ((repeats.enough, True), (repeats.enough - 1, False)):
        grown = of_rival / count
        degrees = (of_ours + grown) ** 2 / (of_ours**2 / 9 + grown**2 / (count - 1))
        detectable = detectable_effect(comparison.users.error, np.sqrt(of_ours + grown), degrees, ALPHA)
        assert (detectable <= comparison.difference) == does
    said = verdict(comparison, "ndcg@20", repeats, seeds=PlannedSeeds(10, frozenset("B")))
    assert said.endswith(f"needs about {repeats.enough} of B (--rival-seeds LOSS={repeats.enough})"), "not fewer of A"


@pytest.mark.parametrize(
    ("counts", "only", "enough", "limited", "flags"),
    [
        ((5, 2), "", 9, "B", "9 of each (--confirm-seeds 9 --rival-seeds LOSS=9)"),
        ((5, 2), "B", 4, "B", "4 of B (--rival-seeds LOSS=4)"),
        ((2, 2), "", 4, "AB", "4 of each (--rival-seeds LOSS=4)"),
        ((2, 2), "A", 7, "A", "7 of A (--confirm-seeds 7 --rival-seeds LOSS=7)"),
        ((5, 8), "A", 6, "", "6 of A (--confirm-seeds 6)"),
        ((5, 8), "", 11, "", "11 of each (--confirm-seeds 11)"),
    ],
)
def test_a_rival_with_seeds_of_its_own_needs_its_own_flag(
    counts: tuple[int, int], only: str, enough: int, limited: str, flags: str
):
    """The plan has five seeds. iALS may have more than the other methods without a flag."""
    comparison, _ = compared([[0.4, 0.9, 0.8]], [[0.2, 0.21, 0.25]], lift=0.48)
    repeats, seeds = Repeats(("seed", "seed"), counts, enough, only), PlannedSeeds(5, frozenset(limited))
    assert verdict(comparison, "ndcg@20", repeats, seeds=seeds).endswith(f"about {flags}")
    of_files = verdict(comparison, "ndcg@20", repeats, COMPARE)
    assert of_files.endswith(f"of {only or 'each'} (NAME=SEED1.csv,...,SEED{enough}.csv)")


def test_a_rival_with_one_seed_of_its_own_needs_its_own_flag():
    comparison, repeats = compared([[0.5, 0.51, 0.52, 0.5, 0.5]], [[0.4]], lift=0.1)
    assert comparison.word is Word.NO_VERDICT
    said = verdict(comparison, "ndcg@20", repeats, seeds=PlannedSeeds(5, frozenset("B")))
    assert said.endswith(
        "one seed of B does not show how much training runs vary; confirm with 3 seeds or more (--rival-seeds LOSS=3)"
    )
    alike = verdict(comparison, "ndcg@20", repeats)
    assert alike.endswith("confirm with 3 seeds or more (--confirm-seeds 3)")


def test_the_advised_searches_are_not_fewer_than_a_method_has():
    comparison, _ = compared([[0.4, 0.9, 0.8]], [[0.2, 0.21, 0.25]], lift=0.48)
    repeats = Repeats(("search", "search"), (5, 3), 4, "B")
    assert verdict(comparison, "ndcg@20", repeats).endswith("needs about 4 of B (--searches 5)")


@pytest.mark.parametrize("scale", [1e89, 1e-90])
def test_figures_of_any_size_get_the_same_advice(scale: float):
    ours, rival = np.array([[0.4, 0.9, 0.8]]), np.array([[0.2, 0.21, 0.25]])
    first, second = (
        Measured(name, scale * users, [scale * runs[0]])
        for name, users, runs in (("A", USERS + 0.48, ours), ("B", USERS, rival))
    )
    (found,) = compare(first, [second])
    advised = repeats_by_pair([found], {"A": scale * ours, "B": scale * rival})["A", "B"]
    (plain,) = compare(Measured("A", USERS + 0.48, [ours[0]]), [Measured("B", USERS, [rival[0]])])
    assert advised == repeats_by_pair([plain], {"A": ours, "B": rival})["A", "B"]
    assert advised.enough is not None


def test_equal_methods_get_no_advice():
    (same,) = compare(Measured("A", USERS, [np.full(3, 0.5)]), [Measured("B", USERS, [np.full(3, 0.5)])])
    assert same.word is Word.UNDECIDED
    assert repeats_by_pair([same], {"A": [[0.5] * 3], "B": [[0.5] * 3]}) == {}


def test_two_deterministic_methods_have_nothing_to_repeat():
    users = np.where(np.arange(len(USERS)) % 2, USERS + 0.3, USERS - 0.298)
    first, second = (Measured(name, of, [of.mean(keepdims=True)], True) for name, of in (("A", users), ("B", USERS)))
    (found,) = compare(first, [second])
    assert found.word is Word.UNDECIDED
    assert repeats_by_pair([found], {"A": [[0.5]], "B": [[0.5]]}) == {}
    assert verdict(found, "ndcg@20", None, COMPARE, ["A", "B"]).endswith("; only more test users could settle it")


def test_a_deterministic_rival_does_not_vary():
    comparison, repeats = compared([[0.4, 0.9, 0.8]], [[0.2]], lift=0.5, fixed=True)
    assert comparison.word is Word.UNDECIDED
    assert (repeats.said(), repeats.only, repeats.enough is not None) == ("3 seeds", "A", True)
    advice = f"needs about {repeats.enough} of A (--confirm-seeds {repeats.enough})"
    assert verdict(comparison, "ndcg@20", repeats, deterministic=["B"]).endswith(advice), "B has no seeds"
    assert headline(comparison, repeats).endswith(f"about {repeats.enough} seeds of A would show a difference of this size")
    more = Repeats(("seed", "seed"), (3, 3), None, "A", 50)
    assert "even 50 seeds of A would not be enough" in verdict(comparison, "ndcg@20", more, deterministic=["B"])
    error = np.std([0.4, 0.9, 0.8], ddof=1) / np.sqrt(repeats.enough)
    assert detectable_effect(comparison.users.error, error, repeats.enough - 1, ALPHA) <= comparison.difference


def test_beside_searches_the_runs_of_a_method_without_searches_stay_as_they_are():
    """The second method has no search to repeat: its variance of the mean stays var / 3, with two degrees of freedom."""
    ours, rival = [[0.4, 0.5], [0.9, 0.8], [0.7, 0.9]], [[0.2, 0.21, 0.25]]
    comparison, repeats = compared(ours, rival, lift=0.48)
    assert comparison.word is Word.UNDECIDED
    assert (repeats.said(), repeats.only, repeats.unit) == ("3 searches and 3 seeds", "A", "search")
    assert repeats.enough is not None
    of_searches, fixed = np.var([0.45, 0.85, 0.8], ddof=1), np.var(rival[0], ddof=1) / 3
    for count, does in ((repeats.enough, True), (repeats.enough - 1, False)):
        grown = of_searches / count
        degrees = (grown + fixed) ** 2 / (grown**2 / (count - 1) + fixed**2 / 2)
        detectable = detectable_effect(comparison.users.error, np.sqrt(grown + fixed), degrees, ALPHA)
        assert (detectable <= comparison.difference) == does
    advice = f"3 searches and 3 seeds are too few: a difference as large as this one needs about {repeats.enough} of A "
    assert f"; {advice}(--searches {repeats.enough})" in verdict(comparison, "ndcg@20", repeats)


def test_seeds_of_a_method_without_searches_are_advised_if_they_limit_the_verdict():
    """The two seeds of B vary by .05, the three searches of A by .001. Without growth of B no number of searches would do."""
    ours, rival = [[0.5], [0.501], [0.502]], [[0.45, 0.5]]
    comparison, repeats = compared(ours, rival, lift=0.05)
    assert comparison.word is Word.UNDECIDED
    assert (repeats.only, repeats.other, repeats.unit) == ("B", "B", "search")
    assert repeats.enough is not None
    fixed = np.var([0.5, 0.501, 0.502], ddof=1) / 3
    for count, does in ((repeats.enough, True), (repeats.enough - 1, False)):
        grown = np.var(rival[0], ddof=1) / count
        degrees = (grown + fixed) ** 2 / (grown**2 / (count - 1) + fixed**2 / 2)
        detectable = detectable_effect(comparison.users.error, np.sqrt(grown + fixed), degrees, ALPHA)
        assert (detectable <= abs(comparison.difference)) == does
    assert f"about {repeats.enough} seeds of B would show a difference of this size" in headline(comparison, repeats)
    advice = f"needs about {repeats.enough} seeds of B (--confirm-seeds {repeats.enough})"
    assert verdict(comparison, "ndcg@20", repeats).endswith(advice)


def test_searches_and_seeds_together_are_named_if_neither_alone_would_do():
    """Both vary by about .05, and the difference is .05: 20 searches and 50 seeds would do, neither with the other's few."""
    ours, rival = [[0.45], [0.5], [0.55]], [[0.449, 0.499]]
    comparison, repeats = compared(ours, rival, lift=0.05)
    assert (comparison.word, repeats.enough, repeats.other) == (Word.UNDECIDED, None, "B")
    small = "even 20 searches of A would not be enough to settle this difference"
    assert f"{small}; as many searches and more seeds of B might" in verdict(comparison, "ndcg@20", repeats)


def test_a_difference_that_no_number_of_seeds_decides_gets_no_number():
    small = "seeds of each method would not be enough to settle this difference"
    for spread, lift, ending in ((0.0005, 0.0005, "; more test users might"), (0.2, 0.0005, "")):
        ours, rival = [[0.5, 0.5 + spread, 0.5 - spread]], [[0.5, 0.5 + spread, 0.5 - spread]]
        comparison, repeats = compared(ours, rival, lift)
        assert (comparison.word, repeats.enough) == (Word.UNDECIDED, None)
        assert verdict(comparison, "ndcg@20", repeats).endswith(f"; even 50 {small}{ending}"), "users help if seeds suffice"
    many = [0.5 + 0.2 * (-1) ** seed for seed in range(60)]
    comparison, repeats = compared([many], [many[1:]], lift=0.0005)
    assert f"; even 60 {small}" in verdict(comparison, "ndcg@20", repeats)


def test_searches_are_not_advised_beyond_their_largest_number():
    """Searches vary so much that 50 of them would do and 20 would not. Users do not matter: they hardly differ."""
    ours, rival = [[0.5], [0.54], [0.46]], [[0.5], [0.54], [0.466]]
    comparison, repeats = compared(ours, rival, lift=0.025)
    assert (comparison.word, repeats.enough, repeats.more_users) == (Word.UNDECIDED, None, False)
    assert verdict(comparison, "ndcg@20", repeats).endswith(
        f"; even {MAX_SEARCHES} searches of each method would not be enough to settle this difference"
    )


@pytest.mark.parametrize(
    ("ours", "rival", "words"),
    [
        ([[0.5, 0.6], [0.5, 0.7], [0.4, 0.5]], [[0.5, 0.6], [0.5, 0.7], [0.4, 0.6]], "3 searches"),
        ([[0.5, 0.6], [0.5, 0.7], [0.4, 0.5]], [[0.5, 0.55, 0.6]], "3 searches and 3 seeds"),
        ([[0.5, 0.55, 0.6, 0.5]], [[0.5, 0.6], [0.5, 0.7], [0.4, 0.5]], "4 seeds and 3 searches"),
        ([[0.5, 0.6, 0.4]], [[0.5, 0.51]], "3 and 2 seeds"),
    ],
)
def test_the_units_of_repetition_are_named(ours: list[list[float]], rival: list[list[float]], words: str):
    assert compared(ours, rival, lift=0.0)[1].said() == words


def test_a_decided_or_unjudged_comparison_gets_no_advice():
    for runs in ([[0.9, 0.901, 0.902]], [[0.9]]):
        comparison, repeats = compared(runs, [[0.5, 0.501, 0.502]], lift=0.4)
        assert comparison.word in (Word.BETTER, Word.NO_VERDICT)
        assert repeats.enough is None
