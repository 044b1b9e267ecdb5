"""The number of seeds that would suffice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hpo.confirmation.evidence import ALPHA, detectable_effect
from hpo.confirmation.headlines import headline
from hpo.confirmation.repeats import Repeats, repeats_by_pair
from hpo.confirmation.statements import COMPARE, verdict
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
    said = verdict(comparison, "ndcg@20", repeats)
    assert said.endswith(f"needs about {repeats.enough} of B (--rival-seeds LOSS={repeats.enough})"), "not fewer of A"


def test_both_methods_need_more_seeds_than_either_has():
    """`--confirm-seeds` alone would leave the rival with its own number."""
    repeats = Repeats(("seed", "seed"), (5, 2), 9)
    comparison, _ = compared([[0.4, 0.9, 0.8]], [[0.2, 0.21, 0.25]], lift=0.48)
    assert verdict(comparison, "ndcg@20", repeats).endswith("about 9 of each (--confirm-seeds 9 --rival-seeds LOSS=9)")
    assert verdict(comparison, "ndcg@20", repeats, COMPARE).endswith("about 9 of each (NAME=SEED1.csv,...,SEED9.csv)")


def test_two_deterministic_methods_have_nothing_to_repeat():
    users = np.where(np.arange(len(USERS)) % 2, USERS + 0.3, USERS - 0.298)
    first, second = (Measured(name, of, [of.mean(keepdims=True)], True) for name, of in (("A", users), ("B", USERS)))
    (found,) = compare(first, [second])
    assert found.word is Word.UNDECIDED
    assert repeats_by_pair([found], {"A": [[0.5]], "B": [[0.5]]}) == {}


def test_a_deterministic_rival_does_not_vary():
    comparison, repeats = compared([[0.4, 0.9, 0.8]], [[0.2]], lift=0.5, fixed=True)
    assert comparison.word is Word.UNDECIDED
    assert (repeats.said(), repeats.only, repeats.enough is not None) == ("3 seeds", "A", True)
    advice = f"needs about {repeats.enough} of A (--confirm-seeds {repeats.enough})"
    assert verdict(comparison, "ndcg@20", repeats, deterministic=["B"]).endswith(advice), "B has no seeds"
    assert headline(comparison, repeats).endswith(f"about {repeats.enough} seeds of A would be enough")
    more = Repeats(("seed", "seed"), (3, 3), None, "A")
    assert "even 50 seeds of A would not settle" in verdict(comparison, "ndcg@20", more, deterministic=["B"])
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


def test_a_difference_that_no_number_of_seeds_decides_gets_no_number():
    comparison, repeats = compared([[0.5, 0.51, 0.52]], [[0.5, 0.51, 0.519]], lift=0.0)
    assert (comparison.word, repeats.enough) == (Word.UNDECIDED, None)
    small = "seeds of each method would not settle a difference as small as this one"
    assert verdict(comparison, "ndcg@20", repeats).endswith(f"; even 50 {small}; more test users might")
    more = replace(repeats, counts=(60, 60))
    assert f"; even 60 {small}" in verdict(comparison, "ndcg@20", more)


def test_searches_are_not_advised_beyond_their_largest_number():
    """Searches vary so much that 50 of them would do and 20 would not. Users do not matter: they hardly differ."""
    ours, rival = [[0.5], [0.54], [0.46]], [[0.5], [0.54], [0.466]]
    comparison, repeats = compared(ours, rival, lift=0.025)
    assert (comparison.word, repeats.enough, repeats.more_users) == (Word.UNDECIDED, None, False)
    assert verdict(comparison, "ndcg@20", repeats).endswith(
        f"; even {MAX_SEARCHES} searches of each method would not settle a difference as small as this one"
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
