"""Whom the winner is compared with, and what is said of those who are left out."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hpo import confirm
from hpo.confirmation.results import Candidate
from hpo.confirmation.rivals import Contender, _published_found_by_search
from trainers.yaml_files import read_yaml

from ..conftest import Place
from ..outcomes import BSL_OF_YELP, CCL_OF_YELP, CONFIG, MML_OF_YELP, confirmed, said


def test_a_rival_of_fewer_trials_is_labelled_so(place: Place):
    place.run("--search-only", "--trials", "1", study="tiny_ccl.yaml")
    place.run("--confirm-seeds", "1", "--select-seeds", "1")
    assert "CCL tuned (1 trial, not 4)" in [method["method"] for method in confirmed(place)["test"]]


def test_a_rival_of_more_trials_is_labelled_so(place: Place):
    place.run("--search-only", "--trials", "6", study="tiny_ccl.yaml")
    place.run("--confirm-seeds", "1", "--select-seeds", "1")
    assert "CCL tuned (6 trials, not 4)" in [method["method"] for method in confirmed(place)["test"]]


def test_a_rival_with_fewer_seeds_is_labelled_so_and_not_judged(place: Place, fails: Callable[[int], str]):
    assert place.run("--rival-seeds", "bsl=1") == 0
    outcome = confirmed(place)
    seeds = {method["method"].split()[0]: list(method["by_seed"]) for method in outcome["test"]}
    assert seeds == {"MML": [201, 202], "CCL": [201, 202], "BSL": [201]}
    bsl = next(comparison for comparison in outcome["verdict"] if comparison["rival"].startswith("BSL"))
    assert bsl["rival"].endswith("(1 seed, not 2)")
    assert bsl["verdict"] == "no verdict"
    assert "unknown loss 'bls'; did you mean 'bsl'?" in fails(place.run("--rival-seeds", "bls=1"))
    assert "takes LOSS=N, such as bsl=1, separated by commas, got 'bsl'" in fails(place.run("--rival-seeds", "bsl"))


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ("{ccl: 50}", "study tiny_mml: confirm.rival_seeds ccl=50: a rival has at most the 2 seeds of the plan; give it fewer"),
        ("{bpr: 1}", "study tiny_mml: confirm.rival_seeds: unknown rival 'bpr'; known: bsl, ccl"),
    ],
)
def test_seeds_of_rivals_in_a_file_are_checked_as_those_of_the_flag(
    place: Place, fails: Callable[[int], str], counts: str, message: str
):
    place.run("--search-only", "--trials", "1")
    place.edit("seeds: 2, epochs: 4", f"seeds: 2, rival_seeds: {counts}, epochs: 4")
    assert message in fails(place.run())
    assert message in fails(confirm.main(["--study", str(place.study), *place.where]))


def test_a_flag_may_lower_the_seeds_below_those_of_a_rival_in_the_file(place: Place):
    """Of which it then has as many as the others."""
    place.edit("seeds: 2, epochs: 4", "seeds: 2, rival_seeds: {bsl: 2}, epochs: 4")
    assert place.run("--confirm-seeds", "1", "--trials", "1") == 0
    assert all(list(method["by_seed"]) == [201] for method in confirmed(place)["test"])


def test_a_study_is_not_its_own_rival(place: Place, fails: Callable[[int], str]):
    place.edit("tiny_ccl.yaml", "tiny_mml.yaml")
    assert "searches the same loss" in fails(place.run())


def test_a_tuned_rival_takes_part_once_its_study_has_run(place: Place):
    place.run("--search-only", study="tiny_ccl.yaml")
    place.run()
    outcome = confirmed(place)
    labels = [method["method"] for method in outcome["test"]]
    assert labels == ["MML tuned", MML_OF_YELP, "CCL tuned", BSL_OF_YELP], "CCL's published config is the one found"
    tuned = outcome["test"][2]["config"]
    assert tuned["loss"]["name"] == "ccl"
    assert tuned["epochs"] == 4


def test_a_rival_searched_in_another_way_is_left_out_and_said(place: Place):
    place.run("--search-only", "--epochs", "2", study="tiny_ccl.yaml")
    assert place.run() == 0
    outcome = confirmed(place)
    assert "CCL tuned" not in [method["method"] for method in outcome["test"]]
    expected = (
        "not tuned: CCL (rival study tiny_ccl differs in search.epochs (searched with 2, this study has 3)), "
        "BSL (rival study tiny_bsl has not run); a tuned loss"
    )
    assert [s for s in said(place) if s.startswith(expected)]


def test_a_rival_that_was_searched_by_another_sampler_is_left_out(place: Place):
    rival = place.root / "tiny_ccl.yaml"
    rival.write_text(rival.read_text().replace("search:\n", "search:\n  sampler: {name: random}\n"))
    place.run("--search-only", study="tiny_ccl.yaml")
    assert place.run() == 0
    assert [s for s in said(place) if s.startswith("not tuned: CCL (rival study tiny_ccl differs in search.sampler)")]


def test_a_budget_that_is_met_does_not_make_another_search_of_it(place: Place):
    """--tune-rivals finds the rival's budget met, and searches nothing: its trials stay those of another sampler."""
    rival = place.root / "tiny_ccl.yaml"
    rival.write_text(rival.read_text().replace("search:\n", "search:\n  sampler: {name: random}\n"))
    place.run("--search-only", study="tiny_ccl.yaml")
    assert place.run("--tune-rivals") == 0
    labels = [method["method"] for method in confirmed(place)["test"]]
    assert "BSL tuned" in labels
    assert "CCL tuned" not in labels
    assert [s for s in said(place) if s.startswith("not tuned: CCL (rival study tiny_ccl differs in search.sampler)")]


def test_a_search_that_changes_its_pruner_on_the_way_is_said(place: Place):
    place.run("--search-only", "--trials", "2")
    place.edit("name: median", "name: none")
    place.run("--trials", "4")
    assert "the pruner was changed during the search: trials before and after the change are not comparable" in said(place)


def test_a_rival_whose_file_has_changed_since_its_search_is_left_out(place: Place):
    place.run("--search-only", study="tiny_ccl.yaml")
    rival = place.root / "tiny_ccl.yaml"
    rival.write_text(rival.read_text().replace("learning_rate: 1.0e-2", "learning_rate: 2.0e-2"))
    assert place.run() == 0
    why = "differs in config.learning_rate (searched with 0.01, study file says 0.02)"
    assert [s for s in said(place) if s.startswith(f"not tuned: CCL (rival study tiny_ccl {why})")]


@pytest.mark.parametrize("now", [None, "cosine"])
def test_a_rival_that_was_searched_with_another_score_is_left_out(place: Place, now: str | None):
    """Whether its file now names the usual one, or none, which is the same."""
    rival = place.root / "tiny_ccl.yaml"
    without = rival.read_text()
    assert "config: {" in without
    rival.write_text(without.replace("config: {", "config: {score: inner_product, "))
    place.run("--search-only", study="tiny_ccl.yaml")
    rival.write_text(without if now is None else without.replace("config: {", f"config: {{score: {now}, "))
    assert place.run("--select-seeds", "1", "--confirm-seeds", "1") == 0
    why = "differs in config.score (searched with inner_product, study file says cosine)"
    assert [s for s in said(place) if s.startswith(f"not tuned: CCL (rival study tiny_ccl {why})")]


def test_a_rival_that_cannot_be_searched_as_ours_is_left_out(place: Place):
    rival = place.root / "tiny_ccl.yaml"
    rival.write_text(
        rival.read_text().replace("{name: ccl}", "{name: cml}").replace("config: {", "config: {score: euclidean, ")
    )
    place.edit("n_margins: 2}", "n_margins: 2, also: [dropout]}")
    place.run("--search-only", study="tiny_ccl.yaml")
    assert place.run() == 0
    (not_tuned,) = [s for s in said(place) if s.startswith("not tuned: ")]
    assert "CML (rival study tiny_ccl cannot be searched as ours is: study tiny_ccl: config: dropout scales" in not_tuned


def test_a_rival_without_a_complete_trial_is_named(place: Place):
    assert place.run("--search-only", "--timeout", "0.000001", study="tiny_ccl.yaml") == 1
    assert place.run() == 0
    assert [s for s in said(place) if s.startswith("not tuned: CCL (rival study tiny_ccl has no complete trial), BSL")]


def test_a_tuned_loss_against_untuned_ones_is_said(place: Place):
    assert place.run() == 0
    statements = said(place)
    both = "not tuned: CCL (rival study tiny_ccl has not run), BSL (rival study tiny_bsl has not run); a tuned loss against"
    assert [s for s in statements if s.startswith(both)]
    assert [s for s in statements if s.startswith("what is not tuned has a paper's settings of the loss, under the encoder's")]


def test_what_differs_beside_the_losses_is_said(place: Place):
    rival = place.root / "tiny_ccl.yaml"
    rival.write_text(rival.read_text().replace("dim: 8", "dim: 20").replace("count: 7", "count: 5"))
    assert place.run("--tune-rivals") == 0
    found = [s for s in said(place) if " from MML tuned in " in s]
    assert found == [
        f"{CCL_OF_YELP} and CCL tuned also differ from MML tuned in encoder.dim (20 vs 8); negatives.count (5 vs 7)"
    ]


def test_a_rival_whose_search_found_nothing_better_than_its_paper_is_compared_once(place: Place):
    place.run("--search-only", "--trials", "1", study="tiny_ccl.yaml")  # the published config is the first trial
    place.run("--trials", "1")
    outcome = confirmed(place)
    assert [m["method"] for m in outcome["test"] if m["method"].startswith("CCL")] == ["CCL tuned"]
    assert f"CCL tuned is the config of {CCL_OF_YELP}: its search found no better one" in said(place)
    assert set(outcome["validation of rivals"]) == {"CCL tuned"}


def test_a_published_config_that_overtakes_what_the_search_found_is_said():
    def rival(*values: tuple[float, float], label: str = "CCL tuned") -> Contender:
        candidates = [Candidate(trial, CONFIG, found, {0: {"ndcg@20": full}}) for trial, (found, full) in enumerate(values)]
        return Contender(label, CONFIG, 2, candidates=candidates)

    published = Contender("CCL published", CONFIG, 2)
    assert _published_found_by_search(rival((0.2, 0.3), (0.1, 0.2)), published) == (
        "CCL tuned is the config of CCL published: its search found no better one"
    )
    assert _published_found_by_search(rival((0.2, 0.3), (0.25, 0.29)), published) == (
        "CCL tuned is the config of CCL published: trial 1 was ahead of it in the search (validation ndcg@20 0.2500 against "
        "0.2000), but not at full epochs (0.2900 against 0.3000)"
    )


def test_a_rival_without_published_settings_that_has_not_run_is_named(place: Place):
    place.edit("tiny_ccl.yaml", "infonce")
    assert place.run() == 0
    statements = said(place)
    assert [
        s
        for s in statements
        if s.startswith("not tuned: InfoNCE (rival study tiny_mml_infonce has not run; not compared at all)")
    ]


def test_a_rival_that_our_engine_cannot_train_is_compared(place: Place):
    """In-batch negatives need the torch engine; the study itself has the fused one."""
    rival = place.root / "tiny_ccl.yaml"
    rival.write_text(rival.read_text().replace("{name: uniform, count: 7}", "{name: in_batch}"))
    assert place.run("--tune-rivals") == 0
    outcome = confirmed(place)
    assert outcome["definition"]["engine"] == "numba"
    labels = [method["method"] for method in outcome["test"]]
    assert "CCL (in_batch negatives) tuned" in labels
    assert "CCL (in_batch negatives) tuned" in [comparison["rival"] for comparison in outcome["verdict"]]


def test_what_the_reader_must_know_of_the_search(place: Place):
    place.edit("{name: mml, n_margins: 2}", "{name: mml, n_margins: 2, also: [learning_rate, l2]}")
    place.run("--search-only")
    place.run()
    statements = said(place)
    assert [
        s
        for s in statements
        if s.startswith("the search of 4 trials is no longer than the 20 that sampler tpe draws at random")
    ]
    assert [
        s
        for s in statements
        if s.startswith("learning_rate, l2 searched: methods that are not tuned have what their study file")
    ]
    assert "| learning_rate |" in (place.output / "tiny_mml" / "report.md").read_text()


def test_a_rival_on_other_data_is_refused(place: Place, fails: Callable[[int], str]):
    rival = place.root / "tiny_ccl.yaml"
    rival.write_text(rival.read_text().replace("dataset: tiny", "dataset: demo"))
    assert "is a study of demo, not of tiny" in fails(place.run())


def test_a_winner_that_is_the_published_config_is_not_compared_with_itself(place: Place):
    place.edit("n_margins: 2", "n_margins: 4")  # holds yelp2018's settings, the first trial
    place.run("--trials", "1")
    outcome = confirmed(place)
    labels = [method["method"] for method in outcome["test"]]
    assert labels == ["MML tuned", CCL_OF_YELP, BSL_OF_YELP]
    assert "MML tuned is the config of MML with settings for yelp2018: its search found no better one" in said(place)


def test_two_rivals_of_one_loss_are_refused(place: Place, fails: Callable[[int], str]):
    place.edit("tiny_bsl.yaml", "ccl")
    assert "two rivals search loss ccl" in fails(place.run())


def test_rivals_tuned_with_our_budget(place: Place):
    for loss in ("ccl", "bsl"):  # their files ask for something else
        path = place.root / f"tiny_{loss}.yaml"
        path.write_text(path.read_text().replace("trials: 4", "trials: 7").replace("epochs: 3", "epochs: 2"))
    assert place.run("--tune-rivals") == 0
    outcome = confirmed(place)
    labels = [method["method"] for method in outcome["test"]]
    assert labels == [
        "MML tuned",
        MML_OF_YELP,
        "CCL tuned",  # both are their published config here
        "BSL tuned",
    ]
    costs = {method["method"]: method["search"] for method in outcome["test"]}
    assert {costs[f"{name} tuned"]["trials"] for name in ("MML", "CCL", "BSL")} == {4}
    assert costs[MML_OF_YELP]["trials"] == 0


def test_a_second_variant_finds_the_rivals_of_the_first(place: Place, fails: Callable[[int], str]):
    flags = ["--trials", "1", "--search-only", "--tune-rivals"]
    assert place.run(*flags) == 0
    message = fails(place.run(*flags, "--study-name", "second", "--seed", "5"))
    assert "study 'tiny_ccl' exists with another definition (search.seed: was 0, now 5)" in message
    assert "name rivals by their spaces, rivals: [ccl, ...]" in message
    assert "--study-name" not in message


def test_a_rival_named_by_its_space_is_our_study_with_that_space(place: Place, fails: Callable[[int], str]):
    place.edit("rivals: [tiny_ccl.yaml, tiny_bsl.yaml]", "rivals: [ccl]")
    place.edit("n_margins: 2}", "n_margins: 2, also: [learning_rate]}")
    assert place.run("--tune-rivals", "--confirm-seeds", "2") == 0
    labels = [method["method"] for method in confirmed(place)["test"]]
    assert labels == ["MML tuned", MML_OF_YELP, "CCL tuned"]
    tuned = read_yaml(place.output / "tiny_mml_ccl" / "best.yaml")["config"]
    assert tuned["loss"]["name"] == "ccl"
    assert tuned["encoder"]["dim"] == 8
    place.edit("rivals: [ccl]", "rivals: [mml]")
    assert "searches the same loss" in fails(place.run("--study-name", "other"))


def test_a_rival_without_settings_has_its_learning_rate_searched(place: Place):
    place.edit("rivals: [tiny_ccl.yaml, tiny_bsl.yaml]", "rivals: [bpr]")
    assert place.run("--tune-rivals") == 0
    assert "BPR tuned" in [method["method"] for method in confirmed(place)["test"]]
    assert [s for s in said(place) if " from MML tuned in " in s and "learning_rate" in s]
