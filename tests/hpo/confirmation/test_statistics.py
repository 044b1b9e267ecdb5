"""The verdict: known answers, its words, and its error rate in simulations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from hpo.confirmation.evidence import BOOTSTRAP_SEED, POWER, Evidence, Floats, over_runs, over_users
from hpo.confirmation.statements import verdict
from hpo.confirmation.statistics import Comparison, Measured, Word, compare, compare_all, holm


def measured(label: str, users: list[float] | Floats, *searches: list[float] | Floats) -> Measured:
    return Measured(label, np.asarray(users, float), [np.asarray(runs, float) for runs in searches])


def with_p(p: float, runs: bool = True) -> Comparison:
    nothing = Evidence(0.1, 0.1, p, 0.1)
    return Comparison("a", "b", 0.1, 1.0, nothing, p, p, *((nothing, nothing) if runs else (None, None)), 0.1)


def test_holm_agrees_with_a_computation_by_hand():
    """.01 x 3, .02 x 2, and .04 x 1, but never below the p before it. The input keeps its order."""
    assert [c.p for c in holm([with_p(0.04), with_p(0.01), with_p(0.02)])] == pytest.approx([0.04, 0.03, 0.04])
    assert [c.p for c in holm([with_p(0.5), with_p(0.9)])] == pytest.approx([1.0, 1.0])
    assert holm([]) == []


def test_a_rival_without_evidence_does_not_count_for_holm():
    first, second, third = holm([with_p(0.01), with_p(1.0, runs=False), with_p(0.02)])
    assert [first.p, second.p, third.p] == pytest.approx([0.02, 1.0, 0.02])
    assert (first.family, second.word) == (2, Word.NO_VERDICT)


@pytest.mark.parametrize("rival", [[0.25, 0.25], [0.25, 0.25 + 2**-54]])
def test_almost_equal_seeds_give_no_warning(rival: list[float]):
    """With few hits the means differ in the last digit at most. The test of scipy would warn."""
    evidence = over_runs(np.array([0.30, 0.34]), np.array(rival))
    assert (evidence.low, evidence.high) == pytest.approx((0.07 - 0.02 * 12.7062, 0.07 + 0.02 * 12.7062), abs=1e-5)


def test_a_deterministic_rival_is_a_constant():
    """Runs 1, 2, 3 against 0: the error is sqrt(1/3), and t = 3.464 with 2 degrees of freedom.

    If the rival is not marked as deterministic, its one run is no evidence.
    """
    ours, users = measured("a", [2.0, 2.1, 1.9], [1.0, 2.0, 3.0]), np.zeros(3)
    fixed = Measured("b", users, [np.zeros(1)], is_deterministic=True)
    evidence = compare(ours, [fixed])[0].runs
    assert evidence is not None
    assert (evidence.error, evidence.p) == pytest.approx((3**-0.5, 2 * stats.t.sf(12**0.5, 2)))
    assert compare(fixed, [ours])[0].runs.p == evidence.p
    assert compare(ours, [measured("b", users, [0.0])])[0].word is Word.NO_VERDICT


def test_two_deterministic_methods_vary_only_over_users():
    users = np.random.default_rng(1).normal(0.3, 1.0, 200)
    a, b = (Measured(name, values, [values[:1]], is_deterministic=True) for name, values in (("a", users), ("b", 0 * users)))
    one = compare(a, [b])[0]
    assert one.word is Word.BETTER
    assert one.runs is not None
    assert (one.p, one.runs.error) == (max(one.users.p, one.both.p), 0.0)


def test_a_p_below_the_range_of_the_resamples_comes_from_students_t():
    """100 users have mean 1 and sd 1: t is about 10. 4,000 resamples cannot give a p below 2 / 4001."""
    users = np.tile([0.0, 2.0], 50)
    evidence = over_users([users])[0]
    assert evidence.p == pytest.approx(2 * stats.t(99).sf(1.0 / evidence.error), rel=1e-6, abs=0.0)
    assert 0.0 < evidence.p < 1e-12
    weak = over_users([users - 0.75])[0]  # t is about 2.5: some resamples are below zero
    assert 2 / 4001 < weak.p < 0.05
    assert over_users([np.full(50, 0.5)])[0].p == pytest.approx(2 / 4001), "all users are equal"


def test_students_t_of_few_users_has_one_degree_of_freedom_less_than_users():
    """20 users have mean 1 and sd 1: the error is about sqrt(1 / 20), t is about 4.5, and no resample is below zero."""
    (evidence,) = over_users([np.tile([0.0, 2.0], 10)])
    assert evidence.error == pytest.approx(20**-0.5, rel=0.05)
    assert evidence.p == pytest.approx(2 * stats.t(19).sf(1.0 / evidence.error), rel=1e-6, abs=0.0)
    assert 1e-4 < evidence.p < 2 / 4001


@pytest.mark.parametrize("scale", [1e-90, 1e80])
def test_figures_may_have_any_size(scale: float):
    ours, rival = (
        measured(name, [scale * each for each in runs], [scale * each for each in runs])
        for name, runs in (("a", [1.0, 2.0, 3.0]), ("b", [4.0, 5.0, 6.0]))
    )
    small = compare(measured("a", [1.0, 2.0, 3.0], [1.0, 2.0, 3.0]), [measured("b", [4.0, 5.0, 6.0], [4.0, 5.0, 6.0])])[0]
    assert compare(ours, [rival])[0].runs.p == pytest.approx(small.runs.p)


def test_welch_agrees_with_a_computation_by_hand():
    """Means 2 and 5, variances 1 and 1, n = 3: the error is sqrt(2/3), and t = -3.674 with 4 degrees of freedom."""
    evidence = over_runs(np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0]))
    assert evidence.error == pytest.approx((2 / 3) ** 0.5)
    assert evidence.p == pytest.approx(2 * stats.t.sf(3 / (2 / 3) ** 0.5, 4))
    half = stats.t.ppf(0.975, 4) * (2 / 3) ** 0.5
    assert (evidence.low, evidence.high) == pytest.approx((-3 - half, -3 + half))


def test_one_seed_gives_no_evidence_and_no_verdict():
    users = np.linspace(0.1, 0.9, 500)
    only = compare(measured("a", users + 0.2, [0.7]), [measured("b", users, [0.5])])[0]
    assert (only.word, only.runs, only.both, only.detectable, only.p) == (Word.NO_VERDICT, None, None, None, 1.0)
    assert verdict(only, "ndcg@20").startswith("no verdict on a and b: ndcg@20 +40.0 % (95 % interval over users +40.0 to")


def test_a_rival_of_mean_zero_is_compared_without_percent():
    users = np.linspace(0.1, 0.9, 500)
    only = compare(measured("a", users, [0.51, 0.49]), [measured("b", np.zeros(500), [0.0, 0.0])])[0]
    assert verdict(only, "ndcg@20").startswith("a is better than b: ndcg@20 +0.5000 (95 % interval of this pair +0.")


def test_one_search_gives_recorded_numbers():
    """The numbers were recorded before a method could have several searches."""
    rng = np.random.default_rng(11)
    users = rng.uniform(0.0, 1.0, 300)
    ours = measured("a", users + rng.normal(0.01, 0.1, 300), [0.51, 0.52, 0.505])
    found = compare(ours, [measured("b", users, [0.5, 0.503])])[0]
    assert found.runs == Evidence(-0.006858919942256344, 0.02719225327558966, 0.13809944443528438, 0.004657729537494044)
    assert found.both is not None
    assert found.both.error == 0.007484751205241763
    squared = found.users.error**2, found.runs.error**2  # with 299 and Welch's degrees of freedom
    variances = np.var([0.51, 0.52, 0.505], ddof=1) / 3, np.var([0.5, 0.503], ddof=1) / 2
    of_runs = sum(variances) ** 2 / (variances[0] ** 2 / 2 + variances[1] ** 2)
    degrees = sum(squared) ** 2 / (squared[0] ** 2 / 299 + squared[1] ** 2 / of_runs)
    assert found.p == found.both.p == pytest.approx(2 * stats.t.sf(found.difference / found.both.error, degrees))
    half = stats.t.ppf(0.975, degrees) * found.both.error
    assert (found.both.low, found.both.high) == pytest.approx((found.difference - half, found.difference + half))
    limits = [stats.t.ppf(0.975, each) * squared[i] ** 0.5 for i, each in enumerate((299, of_runs))]
    power = stats.t.ppf(0.8, degrees) * found.both.error
    assert found.detectable == pytest.approx(max(*limits, half) + power)


def test_the_variance_of_several_searches_is_that_of_their_means():
    """Search means 2, 3, 7 (variance 7) against runs 1, 2, 3 (variance 1): the squared errors are 7 / 3 and 1 / 3."""
    users = np.linspace(0.1, 0.9, 500)
    ours = measured("a", users + 0.2, [1.0, 3.0], [3.0, 3.0, 3.0], [7.0])
    found = compare(ours, [measured("b", users, [1.0, 2.0, 3.0])])[0]
    degrees = (8 / 3) ** 2 / ((7 / 3) ** 2 / 2 + (1 / 3) ** 2 / 2)
    assert found.runs is not None
    assert found.runs.error == pytest.approx((8 / 3) ** 0.5)
    assert found.runs.p == pytest.approx(2 * stats.t.sf(2 / (8 / 3) ** 0.5, degrees))
    assert (found.runs.low + found.runs.high) / 2 == pytest.approx(2.0), "each search counts once, with any number of runs"


@pytest.mark.parametrize("searches", [[[0.7, 0.71], [0.7, 0.72]], [[0.7], [0.71]], [[0.7, 0.71], [0.7, 0.72], [0.7, 0.71]]])
def test_two_searches_give_no_verdict_and_three_do(searches: list[list[float]]):
    users = np.linspace(0.1, 0.9, 500)
    for runs in (searches, [[mean] for mean, *_ in searches]):
        only = compare(measured("a", users + 0.2, *runs), [measured("b", users, [0.5, 0.51, 0.52])])[0]
        assert (only.word == Word.NO_VERDICT) == (len(searches) == 2)


def test_equal_seeds_have_no_error():
    same = over_runs(np.array([0.5, 0.5]), np.array([0.5, 0.5]))
    other = over_runs(np.array([0.6, 0.6]), np.array([0.5, 0.5]))
    assert (same.p, other.p) == (1.0, 0.0)


def test_the_bootstrap_is_that_of_scipy_whatever_the_other_pairs():
    """Two pairs share the resamples, and 150,000 users are drawn one resample at a time."""
    rng = np.random.default_rng(5)
    for n_users, resamples in ((40, 400), (150_000, 3)):
        pairs = [rng.normal(0.05, 1.0, n_users), rng.exponential(0.2, n_users) - 0.19]
        found = over_users(pairs, resamples)
        assert found == [over_users([each], resamples)[0] for each in pairs]
        for each, evidence in zip(pairs, found, strict=True):
            drawn = np.random.default_rng(BOOTSTRAP_SEED)
            known = stats.bootstrap((each,), np.mean, n_resamples=resamples, batch=7, method="percentile", rng=drawn)
            assert (evidence.low, evidence.high) == pytest.approx((*known.confidence_interval,), rel=1e-9, abs=1e-12)
            assert evidence.error == pytest.approx(known.standard_error)


def test_the_bootstrap_agrees_with_the_normal_distribution():
    differences = np.random.default_rng(3).normal(0.1, 1.0, 4000)
    (evidence,) = over_users([differences])
    error = differences.std(ddof=1) / np.sqrt(len(differences))
    assert evidence.error == pytest.approx(error, rel=0.05)
    assert evidence.low == pytest.approx(differences.mean() - 1.96 * error, abs=0.1 * error)
    assert evidence.high == pytest.approx(differences.mean() + 1.96 * error, abs=0.1 * error)
    assert evidence.p < 0.001
    assert over_users([differences]) == [evidence], "the same numbers every time"
    assert over_users([np.zeros(10)])[0].p == 1.0


@pytest.mark.parametrize("n_users", [1, 2])
def test_so_few_users_have_numbers_and_no_error(n_users: int):
    """There is no verdict on them, but their figures are shown."""
    users = np.linspace(0.1, 0.9, n_users)
    (found,) = compare(measured("a", users + 0.2, [0.7, 0.71]), [measured("b", users, [0.5, 0.52])])
    assert found.detectable is not None
    assert np.isfinite(found.detectable)


def test_a_verdict_needs_evidence_from_users_and_from_runs():
    rng = np.random.default_rng(0)
    users = rng.uniform(0.0, 1.0, 2000)
    clear, vague = [0.55, 0.551, 0.552], [0.40, 0.55, 0.70]
    rival = measured("rival", users, [0.5, 0.501, 0.502])
    shifted = users + rng.normal(0.05, 0.1, 2000)
    same_users = users + rng.normal(0.0, 0.1, 2000)
    assert compare(measured("ours", shifted, clear), [rival])[0].word == Word.BETTER
    assert compare(measured("ours", shifted, vague), [rival])[0].word == Word.UNDECIDED, "seeds disagree"
    assert compare(measured("ours", same_users - same_users.mean() + users.mean(), clear), [rival])[0].word == Word.UNDECIDED
    worse = compare(rival, [measured("ours", shifted, clear)])[0]
    assert worse.word == Word.WORSE
    assert verdict(worse, "ndcg@20").startswith("rival is worse than ours: ndcg@20 -")


def test_an_undecided_sentence_has_the_detectable_effect():
    rng = np.random.default_rng(1)
    users = rng.uniform(0.0, 1.0, 1000)
    comparison = compare(measured("A", users, [0.50, 0.52]), [measured("B", users + rng.normal(0, 0.1, 1000), [0.51, 0.50])])[0]
    sentence = verdict(comparison, "ndcg@20")
    assert sentence.startswith("A and B are not distinguishable: ndcg@20 ")
    assert (
        f"; minimum detectable effect about {comparison.percent(comparison.detectable):.1f} % (80 % power at most)" in sentence
    )
    assert comparison.detectable > 2.8 * max(comparison.users.error, comparison.runs.error)


def test_the_detectable_effect_is_found_in_80_percent_of_experiments():
    """The true difference is the mean detectable effect of similar experiments. There are 5 seeds, and equal errors."""
    rng = np.random.default_rng(2)

    def experiment(lift: float) -> Comparison:
        base = rng.uniform(0.0, 1.0, 500)
        users = base + rng.normal(lift, 0.02 * 500**0.5, 500)
        ours, rival = rng.normal(0.0, 0.02 * 2.5**0.5, (2, 5))
        shift = lift + ours.mean() - rival.mean()
        return compare(
            measured("a", users + shift - lift, ours + users.mean()), [measured("b", base, rival + base.mean())], 400
        )[0]

    found = [experiment(experiment(0.0).detectable).word == Word.BETTER for _ in range(200)]
    assert np.mean(found) == pytest.approx(POWER, abs=0.1)


def test_methods_with_different_users_are_refused():
    with pytest.raises(ValueError, match="measured on 3 and 2 users"):
        compare(measured("a", [1.0, 2.0, 3.0], [1.0, 2.0]), [measured("b", [1.0, 2.0], [1.0, 2.0])])


def test_many_rivals_are_compared_in_parts_with_the_same_result(monkeypatch: pytest.MonkeyPatch):
    rng = np.random.default_rng(8)
    ours, *rivals = (measured(name, rng.uniform(0.0, 1.0, 50), rng.uniform(0.0, 1.0, 3)) for name in "abcdef")
    whole = compare(ours, rivals, 100)
    assert [one.rival for one in whole] == [*"bcdef"]
    for at_once in (49, 100):  # differences: one pair at once, and two
        monkeypatch.setattr("hpo.confirmation.statistics.AT_ONCE", at_once)
        assert compare(ours, rivals, 100) == whole


def test_a_rival_that_cannot_be_judged_does_not_raise_the_detectable_effect():
    users = np.random.default_rng(9).uniform(0.0, 1.0, 50)
    ours, rival, other = (measured(name, users, [0.5, 0.52, 0.51]) for name in "abc")
    alone = compare(ours, [rival], 100)[0].detectable
    assert compare(ours, [rival, measured("one seed", users, [0.5])], 100)[0].detectable == alone
    assert compare(ours, [rival, other], 100)[0].detectable > alone


def test_all_pairs_are_one_family_and_the_higher_mean_comes_first():
    rng = np.random.default_rng(4)
    base = rng.uniform(0.2, 0.6, 500)
    users = {label: base + rng.normal(by, 0.05, 500) for label, by in (("low", -0.05), ("high", 0.05), ("middle", 0.0))}
    methods = [measured(label, one, one.mean() + np.array([-1e-4, 0.0, 1e-4])) for label, one in users.items()]
    found = compare_all(methods)
    assert [(one.ours, one.rival) for one in found] == [("high", "middle"), ("high", "low"), ("middle", "low")]
    alone = [compare(*_rivals((methods[1], methods[2])))[0], compare(*_rivals((methods[1], methods[0])))[0]]
    assert [one.both for one in found[:2]] == [one.both for one in alone]
    assert {one.family for one in found} == {3}
    assert found[0].detectable > alone[0].detectable, "the level is divided by the number of pairs"
    assert compare_all(methods[:1]) == []


class World:
    """Simulated experiments with a known truth: zero-inflated recalls that vary by user and method, by user and run, and by
    run.

    All users of a run share its luck.
    """

    N_USERS, N_SEEDS = 4000, 5
    INTERACTION, RUN_LUCK, NOISE = 0.014, 0.00035, 0.015  # the errors are those of about 30,000 users with an sd of a third

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def experiment(self, lift: float) -> tuple[Measured, Measured]:
        """Two methods on the same users. The true mean of the first is better by the share `lift`."""
        rng = self.rng
        hit = rng.uniform(size=self.N_USERS) < 0.4
        level = np.where(hit, rng.beta(2.0, 5.0, self.N_USERS), 0.0)
        return tuple(self._method(label, level * (1 + by), hit) for label, by in (("A", lift), ("B", 0.0)))  # type: ignore[return-value]

    def _method(self, label: str, level: Floats, hit: np.ndarray) -> Measured:
        rng = self.rng
        liking = self.INTERACTION * rng.normal(size=self.N_USERS)
        luck = self.RUN_LUCK * rng.normal(size=(self.N_SEEDS, 1))
        noise = self.NOISE * rng.normal(size=(self.N_SEEDS, self.N_USERS))
        values = np.where(hit, level + liking + noise, 0.0) + luck
        return Measured(label, values.mean(0), [values.mean(1)])


def test_wrong_verdicts_stay_below_five_percent():
    """600 true null hypotheses. The limit is the 99 % quantile of a binomial distribution with p = 5 %."""
    world, n = World(5), 600
    results = [compare(*_rivals(world.experiment(0.0)), resamples=400)[0] for _ in range(n)]
    band = stats.binom.ppf(0.99, n, 0.05)
    assert sum(result.word != Word.UNDECIDED for result in results) <= band
    assert sum(result.users.p <= 0.05 for result in results) > band, "a test over users alone is wrong too often"
    assert sum(result.runs.p <= 0.05 for result in results if result.runs) > band, "so is a test over seeds alone"


def test_few_wrong_verdicts_with_40_users_and_three_runs():
    """200 true null hypotheses. All users of a run share its luck. The limit is twice the level."""
    rng, wrong = np.random.default_rng(0), 0
    for _ in range(200):
        level = rng.beta(2.0, 5.0, 40)
        runs = level + rng.normal(0.0, 0.05, (2, 1, 40)) + rng.normal(0.0, 0.02, (2, 3, 40)) + rng.normal(0.0, 0.01, (2, 3, 1))
        (found,) = compare_all([measured(name, one.mean(0), one.mean(1)) for name, one in zip("ab", runs, strict=True)], 400)
        wrong += found.word is Word.BETTER
    assert 0 < wrong <= 20


def test_a_true_difference_of_one_percent_is_found():
    world, n = World(6), 100
    words = [compare(*_rivals(world.experiment(0.01)), resamples=400)[0].word for _ in range(n)]
    assert words.count(Word.BETTER) > 0.7 * n
    assert words.count(Word.WORSE) == 0


def _rivals(pair: tuple[Measured, Measured]) -> tuple[Measured, list[Measured]]:
    return pair[0], [pair[1]]
