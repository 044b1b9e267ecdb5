"""A method may have several searches. They are continued and confirmed. An unusable one is a caveat."""

from __future__ import annotations

import argparse
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import optuna
import pytest

from hpo import confirm, studies
from hpo.cli.context import existing_workspace
from hpo.cli.flags import add_location_arguments, add_study_arguments
from hpo.confirmation.caveats import CaveatKind
from hpo.confirmation.outcome import Confirmation
from hpo.confirmation.results import Finalist, Method, SearchCost
from hpo.confirmation.searches import Found, Search, Searches, Unusable, of_winner, same_budget
from hpo.confirmation.statistics import Word
from hpo.reporting.export import export_confirmed
from hpo.reporting.figures import CURVES, SHAPE, pictures
from hpo.reporting.overview import BROUGHT_NOTE, SEARCHES_NOTE
from hpo.storage.open import open_storage
from hpo.study.stored import stored_spec
from trainers import TrainConfig
from trainers.yaml_files import read_yaml

from ..conftest import Place, draw_nothing, make_place
from ..given_curves import spec
from ..outcomes import CONFIG, MML_OF_YELP, confirmed, facts, files, labels, opened, stored_runs

NAMES = ["tiny_mml", "tiny_mml-search2", "tiny_mml-search3"]
RIVALS = ["tiny_ccl", "tiny_ccl-search2", "tiny_ccl-search3"]
FEW = ["--top", "1", "--select-seeds", "1", "--confirm-epochs", "1"]


@pytest.fixture(scope="module")
def searched_once(tmp_path_factory: pytest.TempPathFactory, compiled_kernels: None) -> Place:
    """A confirmed study. The study and a rival have three searches each."""
    place = make_place(tmp_path_factory.mktemp("searches"))
    place.edit("rivals: [tiny_ccl.yaml, tiny_bsl.yaml]", "rivals: [tiny_ccl.yaml]")
    place.edit("epochs: 4}", "epochs: 4, searches: 3}")
    with pytest.MonkeyPatch.context() as patch:
        draw_nothing(patch)
        assert place.run("--tune-rivals", "--top", "1") == 0
    return place


@pytest.fixture
def searched(searched_once: Place, tmp_path: Path) -> Place:
    shutil.copytree(searched_once.root, tmp_path, dirs_exist_ok=True)
    return Place(tmp_path)


def stored_studies(place: Place) -> dict[str, optuna.Study]:
    storage = open_storage(str(place.output / "journal.log"))
    return {name: optuna.load_study(study_name=name, storage=storage) for name in optuna.get_all_study_names(storage)}


def tuned(outcome: Confirmation) -> list[Method]:
    """The methods MML and CCL."""
    return [next(one for one in outcome.methods if one.label == label) for label in ("MML tuned", "CCL tuned")]


def test_searches_differ_only_in_their_seed(searched_once: Place):
    found = stored_studies(searched_once)
    assert sorted(found) == sorted(NAMES + RIVALS)
    specs = {name: stored_spec(study) for name, study in found.items()}
    assert [specs[name].search.seed for name in NAMES + RIVALS] == [0, 1000, 2000] * 2
    assert [specs[name].confirm.searches for name in NAMES] == [3, 1, 1], "a repeated search has no repeats"
    alike = {specs[name].override({"name": "x", "search.seed": 0, "confirm.searches": 1}).as_file() for name in NAMES}
    assert len(alike) == 1
    assert len({str(found[name].trials[-1].params) for name in NAMES}) == 3, "the last trial of each search is random"


def test_a_method_is_the_mean_of_its_searches_with_their_own_seeds(searched_once: Place):
    outcome = confirmed(searched_once)
    ours, rival = tuned(outcome)
    assert [one.study for one in ours.searches] == NAMES
    assert [one.study for one in rival.searches] == RIVALS
    for method in (ours, rival):
        assert method.seeds == [[201, 202], [1201, 1202], [2201, 2202]]
        assert sorted(method.by_seed) == sorted(seed for seeds in method.seeds for seed in seeds)
        assert method.search.trials == 3 * 4
    means = [sum(values) / 2 for values in ours.values("ndcg@20")]
    assert ours.mean("ndcg@20") == pytest.approx(sum(means) / 3)
    by_seed = [sorted(finalist.by_seed) for finalist in outcome.finalists]
    assert sorted(map(str, by_seed)) == sorted(map(str, ([101, 102], [1101, 1102], [2101, 2102]) * (len(by_seed) // 3)))


def test_a_baseline_that_starts_at_random_has_as_many_seeds_as_a_method_has_searches(searched_once: Place):
    """Three searches have two seeds each, so ours has three repeats."""
    by_seed = {baseline.name: [*baseline.by_seed] for baseline in confirmed(searched_once).baselines}
    assert by_seed["ials"] == [201, 202, 203]


def test_published_configs_are_validated_with_the_seeds_of_all_searches(searched_once: Place):
    outcome = confirmed(searched_once)
    published = {label: found for label, found in outcome.validated.items() if label not in ("MML tuned", "CCL tuned")}
    assert set(published) == {MML_OF_YELP}
    for (finalist,) in published.values():
        assert sorted(finalist.by_seed) == [101, 102, 1101, 1102, 2101, 2102]


def test_the_verdict_includes_the_variance_of_searches(searched_once: Place):
    outcome = confirmed(searched_once)
    assert {one.rival: one.searches for one in outcome.comparisons}["CCL tuned"] == (3, 3)
    assert {one.rival: one.searches for one in outcome.comparisons}[MML_OF_YELP] == (3, 1)
    ours, rival = tuned(outcome)
    found = next(one for one in outcome.comparisons if one.rival == "CCL tuned")
    assert found.runs is not None
    squared = [(method.sd("ndcg@20") or 0.0) ** 2 / 3 for method in (ours, rival)]
    assert found.runs.error == pytest.approx(sum(squared) ** 0.5)
    beginning = "MML tuned (3 searches) and CCL tuned (3 searches): how much searches vary is in the verdict"
    assert any(sentence.startswith(beginning) for sentence in outcome.statements())
    assert facts(searched_once, CaveatKind.SEARCHES_MISSING) == []


def test_the_report_has_a_line_for_each_search(searched_once: Place):
    markdown, html = files(searched_once)
    assert all(f"| MML tuned | {name} |" in markdown and f">{name}</td>" in html for name in NAMES)
    trained = [row[0] for row in opened(searched_once).settings()[1]]
    assert trained[:3] == [f"MML tuned, search {name}" for name in NAMES], "each search has a config of its own"
    assert MML_OF_YELP in trained
    rows = opened(searched_once).search_rows()
    assert [row[-1] for row in rows[:3]].count("yes") == 1
    (what,) = re.findall(r"^± is the standard deviation: between searches for MML tuned and CCL tuned; over .*", markdown, re.M)
    assert re.fullmatch(r".*; over seeds for MML \(published .*\).* and iALS \(.*\)\.", what)
    assert all(unescape(html).count(note) == 1 for note in (what, SEARCHES_NOTE, BROUGHT_NOTE))
    assert all(markdown.count(note) == 1 for note in (SEARCHES_NOTE, BROUGHT_NOTE))
    assert "the best config of each search by validation and the published ones were trained with 2 seeds" in markdown


@pytest.mark.pictures
def test_the_pictures_have_the_result_of_each_search(searched_once: Place):
    overview = opened(searched_once)
    drawn = pictures(overview)
    names = {line.name for line in drawn[SHAPE].figure.data}
    assert overview.confirmed is not None
    others = {1, 2, 3} - {overview.confirmed.chosen.search}
    assert {"MML tuned", *(f"search {number}" for number in others)} <= names
    curves = [str(line.name) for line in drawn[CURVES].figure.data]
    assert {name.split(",")[0] for name in curves} == {"search 1", "search 2", "search 3"}
    assert [name.endswith("(chosen)") for name in curves].count(True) == 1


def exported_best(place: Place, outcome: Confirmation) -> Any:
    """The content of best.yaml after an export of this confirmation."""
    parser = argparse.ArgumentParser()
    add_study_arguments(parser)
    add_location_arguments(parser)
    export_confirmed(existing_workspace(parser.parse_args(["--study", "tiny_mml", *place.where]))[0], outcome)
    return read_yaml(place.output / "tiny_mml" / "best.yaml")


@pytest.mark.parametrize("number", [1, 3])
def test_the_exported_config_comes_from_the_chosen_search(searched: Place, number: int):
    outcome = confirmed(searched)
    only = {"MML tuned": [finalist for finalist in outcome.finalists if finalist.search == number]}
    chosen = outcome.model_copy(update={"validated": outcome.validated | only})
    content, search = exported_best(searched, chosen), tuned(chosen)[0].found_by(number)
    assert search is not None
    seed = (number - 1) * 1000
    assert content.get("searched_in") == (None if number == 1 else NAMES[number - 1])
    assert (content["study"], content["trial"]) == ("tiny_mml", search.trial)
    assert (content["config"]["seed"], list(content["test_by_seed"])) == (seed + 101, [seed + 201, seed + 202])
    assert content["config"]["loss"] == search.config.to_dict()["loss"]
    assert chosen.named(chosen.methods[0]) == f"MML tuned, search {NAMES[number - 1]}"
    assert "12 finished trials in 3 searches, " in content["citation"]
    retrained = "the config of each search for MML tuned was retrained on train and validation for 4 epochs over 2 seeds"
    assert retrained in content["citation"]


def test_the_config_of_a_method_that_diverged_says_so(searched: Place):
    outcome = confirmed(searched)
    diverged = replace(outcome.methods[0], failure="the loss is nan after epoch 3")
    content = exported_best(searched, outcome.model_copy(update={"methods": [diverged, *outcome.methods[1:]]}))
    assert content["failure"] == "the loss is nan after epoch 3"
    assert "MML tuned diverged: the loss is nan after epoch 3." in content["citation"]


def test_the_best_search_on_validation_is_exported(searched_once: Place):
    outcome = confirmed(searched_once)
    best = max(outcome.finalists, key=lambda finalist: finalist.mean("ndcg@20"))
    content = read_yaml(searched_once.output / "tiny_mml" / "best.yaml")
    assert content["validation_by_seed"] == {seed: pytest.approx(found) for seed, found in best.by_seed.items()}
    assert outcome.named(outcome.methods[0]) == f"MML tuned, search {NAMES[best.search - 1]}"


def test_a_repeated_command_searches_and_trains_nothing(searched: Place, capsys: pytest.CaptureFixture[str]):
    before, first = {path: path.stat().st_mtime_ns for path in stored_runs(searched)}, confirmed(searched)
    trials = {name: len(study.trials) for name, study in stored_studies(searched).items()}
    assert searched.run("--tune-rivals", "--top", "1") == 0
    assert {name: len(study.trials) for name, study in stored_studies(searched).items()} == trials
    assert {path: path.stat().st_mtime_ns for path in stored_runs(searched)} == before
    assert confirmed(searched).comparisons == first.comparisons
    assert "epochs in" not in capsys.readouterr().out


def test_one_of_three_searches_may_be_confirmed_alone(searched: Place):
    """The result is that of a study with one search."""
    assert confirm.main(["--study", "tiny_mml", *searched.where, "--searches", "1", "--top", "1"]) == 0
    outcome = confirmed(searched)
    assert [list(method.by_seed) for method in outcome.methods] == [[201, 202]] * len(outcome.methods)
    beginning = "MML tuned and CCL tuned were found by one search each: the verdict is about these configs"
    assert any(sentence.startswith(beginning) for sentence in outcome.statements())
    assert opened(searched).search_rows() == []


def test_an_unusable_repeat_is_a_caveat(searched: Place):
    """One has not run, one has another budget, and one another definition. The two remaining searches give no verdict."""

    def search(*flags: str) -> None:
        assert searched.run("--search-only", *flags, study="tiny_ccl.yaml") == 0

    def delete(name: str) -> None:
        assert studies.main(["delete", name, "--yes", *searched.where]) == 0

    delete("tiny_mml-search2")
    delete("tiny_ccl-search2")
    search("--study-name", "tiny_ccl-search2", "--seed", "1000", "--epochs", "2")
    search("--study-name", "tiny_ccl-search3", "--seed", "2000", "--trials", "6")
    assert confirm.main(["--study", "tiny_mml", *searched.where, "--top", "1"]) == 0
    outcome = confirmed(searched)
    assert [method.seeds for method in outcome.methods if method.searches] == [[[201, 202], [2201, 2202]], [[201, 202]]]
    rival = "CCL tuned (1 search, not 2)"
    assert rival in labels(outcome)
    assert {one.word for one in outcome.comparisons} == {Word.NO_VERDICT}
    assert any("but two searches do not show how much searches vary" in sentence for sentence in outcome.statements())
    missing = {"study": "tiny_mml-search2", "reason": "has not run", "details": []}
    differs = {"study": "tiny_ccl-search2", "reason": "differs", "details": [["search.epochs", 2, 3]]}
    budget = {"study": "tiny_ccl-search3", "reason": "budget", "details": ["6 trials, not 4"]}
    assert facts(searched, CaveatKind.SEARCHES_MISSING) == [
        ("MML tuned", {"used": 2, "asked": 3, "studies": [missing]}),
        (rival, {"used": 1, "asked": 3, "studies": [differs, budget]}),
    ]


def test_searches_are_continued_and_confirmed_later(place: Place, fails: Callable[[int], str]):
    """`--searches` is stored with the study, like its number of trials."""
    few = ["--search-only", "--trials", "1"]
    assert place.run(*few) == 0
    assert place.run(*few, "--searches", "2") == 0
    assert sorted(stored_studies(place)) == NAMES[:2]
    assert confirm.main(["--study", "tiny_mml", *place.where, *FEW]) == 0
    assert confirmed(place).methods[0].seeds == [[201, 202], [1201, 1202]]
    assert "confirm.searches" in fails(place.run(*few, "--searches", "21"))
    long = "x" * 95
    assert "a study's name must have 1 to 100" in fails(place.run(*few, "--searches", "2", "--study-name", long))
    assert long not in stored_studies(place)


@pytest.mark.parametrize(("trials", "same"), [(89, False), (90, True), (100, True), (110, True), (111, False)])
def test_budgets_within_a_tenth_count_as_equal(trials: int, same: bool):
    assert same_budget(trials, 100) == same


def test_a_config_is_that_of_a_method_only_if_every_search_found_it():
    other = CONFIG.replace(learning_rate=2 * CONFIG.learning_rate)

    def found(*configs: TrainConfig) -> list[Found]:
        finalists = [[Finalist(0, config, 0.1, {1: {"ndcg@20": 0.1}})] for config in configs]
        cost, search = SearchCost(trials=1), Search(spec(1), optuna.create_study())
        return [Found(search, cost, each) for each in finalists]

    assert of_winner(CONFIG, found(CONFIG, CONFIG.replace(seed=7)), "ndcg@20"), "seeds differ between searches"
    assert not of_winner(CONFIG, found(CONFIG, other), "ndcg@20")
    assert not of_winner(CONFIG, found(other, CONFIG), "ndcg@20")


def test_a_repeat_is_unusable_if_all_its_finalists_diverge(searched_once: Place):
    def select(search: Search) -> list[Finalist]:
        by_seed = {} if search.number == 2 else {1: {"ndcg@20": 0.1}}
        return [Finalist(0, CONFIG, 0.1, by_seed, "nan in epoch 2" if search.number == 2 else "", search=search.number)]

    studies = stored_studies(searched_once)
    storage = open_storage(str(searched_once.output / "journal.log"))
    found, unusable = Searches(storage, select).found(stored_spec(studies["tiny_mml"]), studies["tiny_mml"], 3)
    assert [(one.study, one.search.number, one.seed) for one in found] == [("tiny_mml", 1, 0), ("tiny_mml-search3", 3, 2000)]
    assert unusable == {"tiny_mml-search2": Unusable("diverged")}
