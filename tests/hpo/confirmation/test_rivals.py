"""The rivals that the winner is compared with, and the caveats about rivals that are left out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import optuna
import pytest

from hpo import confirm, run
from hpo.confirmation.caveats import CaveatKind
from hpo.confirmation.contenders import Contender
from hpo.confirmation.results import Finalist, SearchCost
from hpo.confirmation.rivals import _model_differences, published_found_by_search
from hpo.confirmation.searches import Found, Search
from hpo.confirmation.statistics import Word
from hpo.storage.open import open_storage
from hpo.study.spec import StudySpec
from trainers import TrainConfig
from trainers.yaml_files import read_yaml

from ..conftest import Place
from ..outcomes import BSL_OF_YELP, CCL_OF_YELP, CONFIG, MML_OF_YELP, confirmed, facts, labels


def not_tuned(place: Place) -> dict[str, tuple[str, list[Any]]]:
    """For each study that is not tuned: the reason and the details."""
    return {found["study"]: (found["reason"], found["details"]) for _, found in facts(place, CaveatKind.NOT_TUNED)}


def test_the_label_of_a_rival_with_fewer_trials_has_their_number(place: Place):
    place.run("--search-only", "--trials", "1", study="tiny_ccl.yaml")
    place.run("--confirm-seeds", "1", "--select-seeds", "1")
    assert "CCL tuned (1 trial, not 4)" in labels(confirmed(place))


def test_the_label_of_a_rival_with_more_trials_has_their_number(place: Place):
    place.run("--search-only", "--trials", "6", study="tiny_ccl.yaml")
    place.run("--confirm-seeds", "1", "--select-seeds", "1")
    assert "CCL tuned (6 trials, not 4)" in labels(confirmed(place))


def test_a_rival_with_fewer_seeds_gets_a_label_and_no_verdict(place: Place, fails: Callable[[int], str]):
    assert place.run("--rival-seeds", "bsl=1") == 0
    outcome = confirmed(place)
    seeds = {method.label.split()[0]: list(method.by_seed) for method in outcome.methods}
    assert seeds == {"MML": [201, 202], "CCL": [201, 202], "BSL": [201]}
    validated = {label.split()[0]: [list(each.by_seed) for each in found] for label, found in outcome.validated.items()}
    assert (validated["CCL"], validated["BSL"]) == ([[101, 102]], [[101]])
    bsl = next(comparison for comparison in outcome.comparisons if comparison.rival.startswith("BSL"))
    assert bsl.rival.endswith("(1 seed, not 2)")
    assert bsl.word is Word.NO_VERDICT
    assert "unknown loss 'bls'; did you mean 'bsl'?" in fails(place.run("--rival-seeds", "bls=1"))
    assert "must be LOSS=N,..., such as bsl=1,ccl=2, each loss once, got 'bsl'" in fails(place.run("--rival-seeds", "bsl"))
    assert "each loss once, got 'bsl=1, bsl=2'" in fails(place.run("--rival-seeds", "bsl=1, bsl=2"))


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (
            "{ccl: 50}",
            "study tiny_mml: confirm.rival_seeds ccl=50: a rival may have at most the 2 seeds",
        ),
        ("{bpr: 1}", "study tiny_mml: confirm.rival_seeds: unknown rival 'bpr'; known: bsl, ccl"),
    ],
)
def test_rival_seeds_in_a_file_are_checked_like_the_flag(place: Place, fails: Callable[[int], str], counts: str, message: str):
    place.run("--search-only", "--trials", "1")
    place.edit("seeds: 2, epochs: 4", f"seeds: 2, rival_seeds: {counts}, epochs: 4")
    assert message in fails(place.run())
    assert message in fails(confirm.main(["--study", str(place.study), *place.where]))


def test_a_flag_may_lower_the_seeds_below_those_of_a_rival_in_the_file(place: Place):
    """The rival then has as many seeds as the other methods."""
    place.edit("seeds: 2, epochs: 4", "seeds: 2, rival_seeds: {bsl: 2}, epochs: 4")
    assert place.run("--confirm-seeds", "1", "--trials", "1") == 0
    assert all(list(method.by_seed) == [201] for method in confirmed(place).methods)


def test_a_study_is_not_its_own_rival(place: Place, fails: Callable[[int], str]):
    place.edit("tiny_ccl.yaml", "tiny_mml.yaml")
    assert "has the same, mml" in fails(place.run())


def test_a_tuned_rival_takes_part_once_its_study_has_run(place: Place):
    place.run("--search-only", study="tiny_ccl.yaml")
    place.run()
    outcome = confirmed(place)
    found = labels(outcome)
    assert found == ["MML tuned", MML_OF_YELP, CCL_OF_YELP, "CCL tuned", BSL_OF_YELP]
    tuned = outcome.methods[3].config
    assert tuned.loss.name == "ccl"
    assert tuned.epochs == 4


def test_a_rival_with_another_search_is_left_out_with_a_caveat(place: Place):
    place.run("--search-only", "--epochs", "2", study="tiny_ccl.yaml")
    assert place.run() == 0
    outcome = confirmed(place)
    assert "CCL tuned" not in labels(outcome)
    assert not_tuned(place) == {"tiny_ccl": ("differs", [["search.epochs", 2, 3]]), "tiny_bsl": ("has not run", [])}
    assert facts(place, CaveatKind.UNTUNED_RIVALS) == [("MML tuned", {"to_delete": ["tiny_ccl"]})]


def test_a_rival_with_another_sampler_is_left_out(place: Place):
    rival = place.root / "tiny_ccl.yaml"
    rival.write_text(rival.read_text().replace("search:\n", "search:\n  sampler: {name: random}\n"))
    place.run("--search-only", study="tiny_ccl.yaml")
    assert place.run() == 0
    assert not_tuned(place)["tiny_ccl"] == ("differs", [["search.sampler.name", "random", "tpe"]])


def test_a_rival_must_search_the_ranges_of_our_study(place: Place):
    place.run("--search-only", study="tiny_ccl.yaml")
    place.edit("n_margins: 2", "n_margins: 2, ranges: {negative_ratio: [2, 20]}")
    assert place.run() == 0
    changed = [["space.ranges.negative_weight.high", 10_000.0, 20.0], ["space.ranges.negative_weight.low", 1.0, 2.0]]
    assert not_tuned(place)["tiny_ccl"] == ("differs", changed)


def test_a_rival_with_a_changed_file_since_its_search_is_left_out(place: Place):
    place.run("--search-only", study="tiny_ccl.yaml")
    rival = place.root / "tiny_ccl.yaml"
    rival.write_text(rival.read_text().replace("learning_rate: 1.0e-2", "learning_rate: 2.0e-2"))
    assert place.run() == 0
    assert not_tuned(place)["tiny_ccl"] == ("differs", [["config.learning_rate", 0.01, 0.02]])


@pytest.mark.parametrize("now", [None, "cosine"])
def test_a_rival_with_another_score_in_its_search_is_left_out(place: Place, now: str | None):
    """Its file now has the default score, or no score, which means the same."""
    rival = place.root / "tiny_ccl.yaml"
    without = rival.read_text()
    assert "config: {" in without
    rival.write_text(without.replace("config: {", "config: {score: inner_product, "))
    place.run("--search-only", study="tiny_ccl.yaml")
    rival.write_text(without if now is None else without.replace("config: {", f"config: {{score: {now}, "))
    assert place.run("--select-seeds", "1", "--confirm-seeds", "1") == 0
    assert not_tuned(place)["tiny_ccl"] == ("differs", [["config.score", "inner_product", "cosine"]])


def test_a_rival_of_an_earlier_rule_of_evaluation_is_tuned(place: Place, monkeypatch: pytest.MonkeyPatch):
    """The rule has changed since our search and that of the rival."""
    assert place.run("--search-only", "--tune-rivals") == 0
    monkeypatch.setattr("hpo.study.plan.SAMPLE_RULE", 7)
    assert confirm.main(["--study", "tiny_mml", *place.where, "--select-seeds", "1", "--confirm-seeds", "1"]) == 0
    assert not_tuned(place) == {}


def test_a_rival_that_cannot_be_searched_as_ours_is_left_out(place: Place):
    rival = place.root / "tiny_ccl.yaml"
    rival.write_text(
        rival.read_text().replace("{name: ccl}", "{name: cml}").replace("config: {", "config: {score: euclidean, ")
    )
    place.edit("n_margins: 2}", "n_margins: 2, also: [dropout]}")
    place.run("--search-only", study="tiny_ccl.yaml")
    assert place.run() == 0
    reason, (detail,) = not_tuned(place)["tiny_ccl"]
    assert reason == "cannot be searched"
    assert detail.startswith("study tiny_ccl: config: dropout changes")


def test_a_rival_without_a_complete_trial_is_named(place: Place):
    assert place.run("--search-only", "--timeout", "0.000001", study="tiny_ccl.yaml") == 1
    assert place.run() == 0
    assert not_tuned(place)["tiny_ccl"] == ("no complete trial", [])


def test_a_tuned_loss_against_untuned_rivals_is_a_caveat(place: Place):
    assert place.run() == 0
    assert not_tuned(place) == {name: ("has not run", []) for name in ("tiny_ccl", "tiny_bsl")}
    assert [subject for subject, _ in facts(place, CaveatKind.NOT_TUNED)] == ["CCL", "BSL"]
    assert facts(place, CaveatKind.UNTUNED_RIVALS) == [("MML tuned", {"to_delete": []})]
    assert facts(place, CaveatKind.PAPER_SETTINGS) == [("tiny_mml", {})]


def test_settings_that_differ_in_more_than_the_loss_are_a_caveat(place: Place):
    rival = place.root / "tiny_ccl.yaml"
    rival.write_text(rival.read_text().replace("dim: 8", "dim: 20").replace("count: 7", "count: 5"))
    assert place.run("--tune-rivals") == 0
    differences = [["encoder.dim", 20, 8], ["negatives.count", 5, 7]]
    expected = ("MML tuned", {"methods": [CCL_OF_YELP, "CCL tuned"], "differences": differences})
    assert facts(place, CaveatKind.DIFFERENT_SETTINGS) == [expected]


def test_a_rival_is_compared_once_if_its_search_found_only_the_published_config(place: Place):
    place.run("--search-only", "--trials", "1", study="tiny_ccl.yaml")  # the published config is the first trial
    place.run("--trials", "1")
    outcome = confirmed(place)
    assert [label for label in labels(outcome) if label.startswith("CCL")] == ["CCL tuned"]
    assert ("CCL tuned", {"published": CCL_OF_YELP}) in facts(place, CaveatKind.FOUND_PUBLISHED)
    assert len(outcome.validated["CCL tuned"]) == 1


def test_a_published_config_among_the_finalists_is_a_caveat():
    spec = StudySpec.model_validate({"name": "s", "dataset": "demo", "space": {"name": "ccl"}})
    search = Search(spec, optuna.create_study())

    def rival(*values: tuple[float, float], label: str = "CCL tuned") -> Contender:
        finalists = [Finalist(trial, CONFIG, found, {0: {"ndcg@20": full}}) for trial, (found, full) in enumerate(values)]
        return Contender(label, CONFIG, 2, [Found(search, SearchCost(), finalists)])

    published = Contender("CCL published", CONFIG, 2)
    first = published_found_by_search(rival((0.2, 0.3), (0.1, 0.2)), published, "ndcg@20")
    assert (first.kind, first.subject, first.facts) == (
        CaveatKind.FOUND_PUBLISHED,
        "CCL tuned",
        {"published": "CCL published"},
    )
    second = published_found_by_search(rival((0.2, 0.3), (0.25, 0.29)), published, "ndcg@20")
    assert second.facts == {
        "published": "CCL published",
        "trial": 1,
        "failure": "",
        "value": 0.29,
        "search_value": 0.25,
        "chosen_search_value": 0.2,
        "chosen_value": 0.3,
    }


def test_a_rival_without_published_settings_that_has_not_run_is_named(place: Place):
    place.edit("tiny_ccl.yaml", "infonce")
    assert place.run() == 0
    ((subject, found), _) = facts(place, CaveatKind.NOT_TUNED)
    assert subject == "InfoNCE"
    assert found == {"study": "tiny_mml_infonce", "reason": "has not run", "details": [], "compared": False}


def test_a_rival_that_our_engine_cannot_train_is_compared(place: Place):
    """In-batch negatives need the torch engine. The study itself has a fused engine."""
    rival = place.root / "tiny_ccl.yaml"
    rival.write_text(rival.read_text().replace("{name: uniform, count: 7}", "{name: in_batch}"))
    assert place.run("--tune-rivals") == 0
    outcome = confirmed(place)
    assert outcome.definition.engine == "numba"
    found = labels(outcome)
    assert "CCL (in_batch negatives) tuned" in found
    assert "CCL (in_batch negatives) tuned" in [comparison.rival for comparison in outcome.comparisons]


def test_a_short_search_and_parameters_of_few_methods_are_caveats(place: Place):
    place.edit("{name: mml, n_margins: 2}", "{name: mml, n_margins: 2, also: [learning_rate, l2]}")
    place.run("--search-only")
    place.run()
    assert facts(place, CaveatKind.SHORT_SEARCH) == [("MML tuned", {"sampler": "tpe", "trials": 4, "random_trials": 22})]
    assert facts(place, CaveatKind.NOT_SEARCHED_BY_ALL) == [("tiny_mml", {"fields": ["l2", "learning_rate"]})]


def test_a_rival_on_other_data_is_refused(place: Place, fails: Callable[[int], str]):
    rival = place.root / "tiny_ccl.yaml"
    rival.write_text(rival.read_text().replace("dataset: tiny", "dataset: demo"))
    assert "must have the study's dataset, tiny, and rival" in fails(place.run())


def test_a_winner_that_is_the_published_config_is_not_compared_with_itself(place: Place):
    place.edit("n_margins: 2", "n_margins: 4")  # this space has the settings of yelp2018, as its first trial
    place.run("--trials", "1")
    outcome = confirmed(place)
    found = labels(outcome)
    assert found == ["MML tuned", CCL_OF_YELP, BSL_OF_YELP]
    assert ("MML tuned", {"published": MML_OF_YELP}) in facts(place, CaveatKind.FOUND_PUBLISHED)


def test_two_rivals_of_one_loss_are_refused(place: Place, fails: Callable[[int], str]):
    place.edit("tiny_bsl.yaml", "ccl")
    assert "each rival must have another loss, and two of" in fails(place.run())


def test_rivals_are_tuned_with_our_budget(place: Place):
    for loss in ("ccl", "bsl"):  # their files have another budget
        path = place.root / f"tiny_{loss}.yaml"
        path.write_text(path.read_text().replace("trials: 4", "trials: 7").replace("epochs: 3", "epochs: 2"))
    assert place.run("--tune-rivals") == 0
    outcome = confirmed(place)
    assert [label for label in labels(outcome) if "tuned" in label] == ["MML tuned", "CCL tuned", "BSL tuned"]
    costs = {method.label: method.search for method in outcome.methods}
    assert {costs[f"{name} tuned"].trials for name in ("MML", "CCL", "BSL")} == {4}
    assert {cost.trials for label, cost in costs.items() if "tuned" not in label} <= {0}


def test_a_rivals_own_rivals_are_not_read(place: Place, capsys: pytest.CaptureFixture[str]):
    """They are read when the rival itself is confirmed."""
    rival = place.root / "tiny_ccl.yaml"
    rival.write_text(rival.read_text() + "rivals: [absent.yaml]\n")
    place.edit("rivals: [tiny_ccl.yaml, tiny_bsl.yaml]", "rivals: [tiny_ccl.yaml]")
    few = ["--trials", "1", "--search-only", "--tune-rivals"]
    assert place.run(*few) == 0
    other = place.root / "absent.yaml"
    other.write_text((place.root / "tiny_bsl.yaml").read_text())
    capsys.readouterr()
    assert run.main(["--study", "tiny_ccl", *place.where, "--dry-run"]) == 0
    assert "# rival absent" in capsys.readouterr().out
    where = ["--study", "tiny_ccl", *place.where]
    assert confirm.main([*where, "--select-seeds", "1", "--confirm-seeds", "1"]) == 0
    assert labels(confirmed(place, "tiny_ccl")) == ["CCL tuned", BSL_OF_YELP]


def test_negatives_that_a_loss_does_not_need_are_no_different_setting():
    losses = [{"name": "directau", "gamma": 1.0}, {"name": "ccl", "margin": 0.5, "negative_weight": 3.0}]
    ours, other = (Contender(loss["name"], TrainConfig.from_dict({"loss": loss}), 1) for loss in losses)
    smaller = replace(other, config=other.config.replace(batch_size=64))
    for one, two in ((ours, other), (other, ours)):
        assert [*_model_differences(one, [two], [])] == []
    (caveat,) = _model_differences(ours, [smaller], [])
    assert caveat.facts["differences"] == [["batch_size", 64, 512]]


def test_a_second_variant_of_a_study_is_refused_with_the_rivals_of_the_first(place: Place, fails: Callable[[int], str]):
    flags = ["--trials", "1", "--search-only", "--tune-rivals"]
    assert place.run(*flags) == 0
    message = fails(place.run(*flags, "--study-name", "second", "--seed", "5"))
    assert "study 'tiny_ccl' exists with another definition (search.seed: was 0, now 5)" in message
    assert "second" not in optuna.get_all_study_names(open_storage(str(place.output / "journal.log"))), "nothing was searched"
    assert "name rivals by their spaces (rivals: [ccl, ...])" in message
    assert "--study-name" not in message
    assert f"remove the old one with `python -m hpo.studies delete tiny_ccl --output {place.output}`" in message


def test_a_rival_that_another_process_has_just_created_is_searched(place: Place):
    """It has no definition yet. Its creator may have died."""
    optuna.create_study(study_name="tiny_ccl", storage=open_storage(str(place.output / "journal.log")), direction="maximize")
    place.edit("rivals: [tiny_ccl.yaml, tiny_bsl.yaml]", "rivals: [tiny_ccl.yaml]")
    assert place.run("--trials", "1", "--search-only", "--tune-rivals") == 0


def test_a_rival_with_the_name_of_a_space_is_our_study_with_that_space(place: Place, fails: Callable[[int], str]):
    place.edit("rivals: [tiny_ccl.yaml, tiny_bsl.yaml]", "rivals: [ccl]")
    place.edit("n_margins: 2}", "n_margins: 2, also: [learning_rate]}")
    assert place.run("--tune-rivals", "--confirm-seeds", "2") == 0
    assert [label for label in labels(confirmed(place)) if "tuned" in label] == ["MML tuned", "CCL tuned"]
    tuned = read_yaml(place.output / "tiny_mml_ccl" / "best.yaml")["config"]
    assert tuned["loss"]["name"] == "ccl"
    assert tuned["encoder"]["dim"] == 8
    place.edit("rivals: [ccl]", "rivals: [mml]")
    assert "has the same, mml" in fails(place.run("--study-name", "other"))


def test_the_learning_rate_of_a_rival_without_settings_is_searched(place: Place):
    place.edit("rivals: [tiny_ccl.yaml, tiny_bsl.yaml]", "rivals: [bpr]")
    assert place.run("--tune-rivals") == 0
    assert "BPR tuned" in labels(confirmed(place))
    differences = [found["differences"] for _, found in facts(place, CaveatKind.DIFFERENT_SETTINGS)]
    assert "learning_rate" in [key for each in differences for key, _, _ in each]
