"""The gain of each search on both splits, and the gain of its last trials."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from hpo.confirmation.contenders import Contender, FirstTrial
from hpo.confirmation.results import BestSoFar, Finalist, SearchCost, best_so_far
from hpo.confirmation.searches import Found, Search
from hpo.confirmation.tuning import Tuning, tunings
from hpo.study.spec import StudySpec
from trainers import TrainConfig

from ..conftest import Place
from ..outcomes import CCL_OF_YELP, CONFIG, MML_OF_YELP, confirmed, files
from .test_outcome import NDCG, method

RISES = BestSoFar(30, {1: 0.1})


def of(weight: float) -> TrainConfig:
    return CONFIG.replace(loss={"name": "ccl", "margin": 0.5, "negative_weight": weight})


def finalist(trial: int | None, weight: float, value: float) -> Finalist:
    return Finalist(trial, of(weight), 0.1, {101: {NDCG: value}})


def tuned(*finalists: Finalist) -> Contender:
    return searched(finalists)


def searched(*searches: Sequence[Finalist]) -> Contender:
    """A method with a search for each argument."""
    spec = StudySpec.model_validate({"name": "s", "dataset": "demo", "space": {"name": "ccl"}})
    study, firsts = optuna.create_study(), [FirstTrial("trial 0, its first", 0)] * len(searches)
    found = [Found(Search(spec, study, number), SearchCost(4), finalists) for number, finalists in enumerate(searches, start=1)]
    return Contender("CCL tuned", of(2.0), 2, found, firsts, [RISES] * len(searches))


@pytest.mark.parametrize(
    ("on_test", "published_on_test", "error", "overtuned"),
    [
        ((0.189, 0.191), (0.199, 0.201), 100 * 4.302653 * 0.001 * 2**0.5 / 0.2, True),
        ((0.18, 0.20), (0.19, 0.21), 100 * 4.302653 * 0.01 * 2**0.5 / 0.2, False),
        ((0.219, 0.221), (0.199, 0.201), 100 * 4.302653 * 0.001 * 2**0.5 / 0.2, False),
        ((0.19,), (0.2,), None, False),
    ],
    ids=["less on test", "less within the error of two runs", "more on test", "no error of one run"],
)
def test_the_gain_of_a_search_is_over_the_published_config(
    on_test: tuple[float, ...], published_on_test: tuple[float, ...], error: float | None, overtuned: bool
):
    """On validation .3 is compared with .25. The published config may be outside the space, so it may be no finalist.

    The error is t with 2 degrees of freedom (4.302653) times the standard error of the difference of two means of two runs.
    """
    contender, published = tuned(finalist(4, 2.0, 0.3), finalist(0, 5.0, 0.1)), Contender("CCL published", of(1.0), 2)
    validated = {"CCL tuned": contender.finalists, "CCL published": [finalist(None, 1.0, 0.25)]}
    methods = [method("CCL tuned", *on_test, config=of(2.0)), method("CCL published", *published_on_test, config=of(1.0))]
    (found,) = tunings([contender, published], methods, validated, NDCG)
    assert (found.label, found.over, found.is_same, found.searches) == ("CCL tuned", "CCL published", False, [RISES])
    assert found.validation_percent == pytest.approx(20.0)
    assert found.test_percent == pytest.approx(100 * (fmean(on_test) / fmean(published_on_test) - 1))
    assert found.test_error_percent == (None if error is None else pytest.approx(error, rel=1e-6))
    assert found.is_overtuned == overtuned


def test_without_a_published_config_the_gain_is_over_the_first_trial_on_validation():
    contender = tuned(finalist(4, 2.0, 0.3), finalist(0, 1.0, 0.25))
    (found,) = tunings([contender], [method("CCL tuned", 0.2, config=of(2.0))], {"CCL tuned": contender.finalists}, NDCG)
    assert (found.over, found.is_same, found.test_percent) == ("trial 0, its first", False, None)
    assert found.validation_percent == pytest.approx(20.0)


@pytest.mark.parametrize("with_published", [True, False])
def test_the_gain_of_several_searches_is_that_of_their_means(with_published: bool):
    """.3 and .36 over the published .25, or over the first trials with .2 and .3."""
    one, other = (finalist(4, 2.0, 0.3), finalist(0, 1.0, 0.2)), (finalist(7, 3.0, 0.36), finalist(0, 1.0, 0.3))
    contender, published = searched(one, other), Contender("CCL published", of(1.0), 2)
    validated = {"CCL tuned": contender.finalists, "CCL published": [finalist(None, 1.0, 0.25)]}
    methods = [method("CCL tuned", 0.24, config=of(2.0)), method("CCL published", 0.2, config=of(1.0))]
    both = [contender, published] if with_published else [contender]
    (found,) = tunings(both, methods[: len(both)], validated, NDCG)
    assert found.validation_percent == pytest.approx(32.0)
    assert found.test_percent == (pytest.approx(20.0) if with_published else None)
    assert (found.is_same, found.searches) == (False, [RISES, RISES])


def test_the_gain_on_validation_is_over_the_same_seeds():
    """Seeds 1101 are easy. The first search gains .02 of .2, the second .04 of .4: .06 of .6 in all. The published config has
    been measured with the seeds of both searches; over the mean of all its seeds the first search alone would have lost."""
    one = Finalist(4, of(2.0), 0.1, {101: {NDCG: 0.22}})
    other = Finalist(7, of(3.0), 0.1, {1101: {NDCG: 0.44}})
    contender, published = searched([one], [other]), Contender("CCL published", of(1.0), 2)
    methods = [method("CCL tuned", 0.24, config=of(2.0)), method("CCL published", 0.2, config=of(1.0))]
    every = {101: {NDCG: 0.2}, 1101: {NDCG: 0.4}, 2101: {NDCG: 0.9}}
    validated = {"CCL tuned": contender.finalists, "CCL published": [Finalist(None, of(1.0), 0.0, every)]}
    (found,) = tunings([contender, published], methods, validated, NDCG)
    assert found.validation_percent == pytest.approx(10.0)


def test_a_search_that_chose_its_first_trial_has_no_gain():
    contender = tuned(finalist(4, 2.0, 0.3), finalist(0, 1.0, 0.35))
    found = tunings([contender], [method("CCL tuned", 0.2, config=of(1.0))], {"CCL tuned": contender.finalists}, NDCG)
    assert found == [Tuning("CCL tuned", "trial 0, its first", True, 0.0, 0.0, searches=[RISES])]


def test_a_diverged_method_has_no_gain():
    contender, published = tuned(finalist(4, 2.0, 0.3)), Contender("CCL published", of(1.0), 2)
    methods = [method("CCL tuned", 0.2, config=of(2.0)), method("CCL published", config=of(1.0), failure="nan")]
    for other in (finalist(None, 1.0, 0.0), Finalist(None, of(1.0), 0.0, {101: {}}, failure="nan")):
        validated = {"CCL tuned": contender.finalists, "CCL published": [other]}
        (found,) = tunings([contender, published], methods, validated, NDCG)
        assert (found.over, found.validation_percent, found.test_percent) == ("CCL published", None, None)


def test_the_best_value_after_each_trial():
    """Pruned trials count as trials, and have no value."""
    study = optuna.create_study(direction="maximize")
    for value in (None, 0.1, 0.05, 0.2, None, 0.21):
        state = TrialState.COMPLETE if value else TrialState.PRUNED
        study.add_trial(create_trial(value=value or 0.9, state=state) if value else create_trial(state=state))
    study.add_trial(create_trial(state=TrialState.FAIL))
    found = best_so_far(study)
    assert found == BestSoFar(6, {2: 0.1, 4: 0.2, 6: 0.21})
    assert [found.after(trials) for trials in (1, 2, 5, 6)] == [None, 0.1, 0.2, 0.21]
    assert found.late_percent == pytest.approx(5.0), "the rise in the last two of six trials"


@pytest.mark.parametrize(("search", "percent"), [(BestSoFar(2, {1: 0.1}), None), (BestSoFar(3, {3: 0.1}), None), (RISES, 0.0)])
def test_too_few_values_give_no_rise(search: BestSoFar, percent: float | None):
    assert search.late_percent == percent


def test_a_confirmation_prints_the_gain_of_each_search(place: Place, capsys: pytest.CaptureFixture[str]):
    place.edit("rivals: [tiny_ccl.yaml, tiny_bsl.yaml]", "rivals: [tiny_ccl.yaml, infonce]")
    assert place.run("--tune-rivals", "--confirm-seeds", "1") == 0
    shown, outcome = capsys.readouterr().out, confirmed(place)
    ours, ccl, infonce = outcome.tuning
    assert [each.label for each in (ours, ccl, infonce)] == ["MML tuned", "CCL tuned", "InfoNCE tuned"]
    means = {m.label: m.mean(NDCG) for m in outcome.methods}
    assert ours.over == MML_OF_YELP
    assert ours.test_percent == pytest.approx(100 * (means["MML tuned"] / means[MML_OF_YELP] - 1))
    assert ccl.over == CCL_OF_YELP
    assert (infonce.over, infonce.test_percent) == ("trial 0, its first", 0.0 if infonce.is_same else None)
    assert 0 in [one.trial for one in outcome.validated["InfoNCE tuned"]], "the first trial is a finalist"
    markdown, html = files(place)
    for sentence in outcome.brought():
        assert f"- {sentence}" in markdown
        assert f"<li>{sentence.replace('>', '&gt;')}</li>" in html
        assert f"- {sentence}" in shown
    assert "tiny_mml: 4 trials are too few to tell whether more would help\n" in shown, "printed after the search, too"
