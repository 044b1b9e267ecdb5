"""Confirm: who is trained on what, who wins, what is kept, and that the test split is read by nobody else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from hpo import confirm, export, pipeline, train
from hpo.confirmation.outcome import Confirmation
from hpo.confirmation.results import Candidate, Method, highest
from hpo.confirmation.rivals import Contender, _found_again
from hpo.confirmation.stages import _unlike_splits
from hpo.confirmation.test_log import keep_reading
from hpo.reporting.export import export_trials
from hpo.runs.store import Reference
from hpo.study.attributes import NEAREST, PUBLISHED, SEARCHED_BY
from hpo.study.trials import finalists
from trainers import Interactions, TrainConfig, datasets, evaluate, load_dataset, load_test
from trainers.errors import InputError
from trainers.yaml_files import read_yaml, to_yaml

from .conftest import Place

# data that no paper covers are compared with Yelp2018's settings
MML_OF_YELP, CCL_OF_YELP, BSL_OF_YELP = (f"{name} with settings for yelp2018" for name in ("MML", "CCL", "BSL"))
CONFIG = TrainConfig.from_dict({"loss": {"name": "ccl", "margin": 0.5, "negative_weight": 1.0}})


def confirmed(place: Place, study: str = "tiny_mml") -> dict[str, Any]:
    return read_yaml(place.output / study / "confirm.yaml")


def said(place: Place, study: str = "tiny_mml") -> list[str]:
    """The verdict and what limits it."""
    outcome = confirmed(place, study)
    return [*outcome["statements"], *outcome["caveats"]]


def sentences(outcome: Confirmation) -> list[str]:
    return [*outcome.statements(), *outcome.caveats()]


def stored_runs(place: Place) -> list[Path]:
    return sorted((place.output / "tiny_mml" / "runs").glob("*.json"))


def test_both_stages(place: Place, capsys: pytest.CaptureFixture[str]):
    assert place.run() == 0
    outcome = confirmed(place)
    assert len(outcome["validation"]) == 2, "the top 2 configs"
    assert all(list(candidate["by_seed"]) == [101, 102] for candidate in outcome["validation"])
    means = [candidate["mean ndcg@20"] for candidate in outcome["validation"]]
    assert outcome["winner"]["trial"] == outcome["validation"][means.index(max(means))]["trial"]
    assert [method["method"] for method in outcome["test"]] == [
        "MML tuned",
        MML_OF_YELP,
        CCL_OF_YELP,
        BSL_OF_YELP,
    ]
    for method in outcome["test"]:
        assert list(method["by_seed"]) == [201, 202], "seeds that neither search nor selection used"
        assert method["config"]["epochs"] == 4
        values = [metrics["ndcg@20"] for metrics in method["by_seed"].values()]
        assert method["ndcg@20"]["mean"] == pytest.approx(sum(values) / 2)
        assert 0.0 < method["ndcg@20"]["mean"] < 1.0
    assert outcome["provenance"]["python"]
    shown = capsys.readouterr().out
    assert [comparison["rival"] for comparison in outcome["verdict"]] == [
        MML_OF_YELP,
        CCL_OF_YELP,
        BSL_OF_YELP,
    ]
    assert all(sentence in shown for sentence in said(place))
    assert "lead of MML tuned" in shown


def test_the_winner_is_exported_with_figures_that_training_gives_again(place: Place, capsys: pytest.CaptureFixture[str]):
    place.run()
    best = place.output / "tiny_mml" / "best.yaml"
    content = read_yaml(best)
    assert content["config"]["epochs"] == 4
    assert content["config"]["seed"] == 101
    assert list(content["test_by_seed"]) == [201, 202]
    capsys.readouterr()
    assert train.main([str(best), "--data-dir", str(place.root / "data")]) == 0
    assert "epoch 4/4: loss" in (shown := capsys.readouterr().out)
    assert f"validation ndcg@20 {content['validation']['ndcg@20']:.6f}" in shown.splitlines()[-2]


def test_the_winner_trained_on_all_data_is_what_stage_two_trains(place: Place, tmp_path: Path):
    place.run()
    best = read_yaml(place.output / "tiny_mml" / "best.yaml")
    config = tmp_path / "config.yaml"
    config.write_text(to_yaml({"config": best["config"] | {"seed": 201}}))
    flags = ["--dataset", "tiny", "--data-dir", str(place.root / "data"), "--save", str(tmp_path / "v.npz"), "--all-data"]
    assert train.main([str(config), *flags]) == 0
    seen, test = (load("tiny", place.root / "data") for load in (load_dataset, load_test))
    with np.load(tmp_path / "v.npz") as saved:
        found = evaluate(saved["users"], saved["items"], seen=seen.train, held_out=test)
    assert found["ndcg@20"] == pytest.approx(best["test_by_seed"][201]["ndcg@20"], abs=1e-7)
    assert train.main([str(config), *flags, "--split-seed", "1"]) == 2


def test_run_again_nothing_is_trained_and_the_verdict_is_the_same(place: Place, capsys: pytest.CaptureFixture[str]):
    place.run()
    before = {path: path.stat().st_mtime_ns for path in stored_runs(place)}
    first = confirmed(place)
    capsys.readouterr()
    assert confirm.main(["--study", "tiny_mml", *place.where]) == 0
    assert {path: path.stat().st_mtime_ns for path in stored_runs(place)} == before
    again = confirmed(place)
    del first["provenance"], again["provenance"]
    assert again == first
    assert "epochs in" not in capsys.readouterr().out


def test_an_interrupted_confirm_continues_with_the_runs_that_are_missing(place: Place):
    place.run()
    first = confirmed(place)
    lost = stored_runs(place)[3:]
    for path in lost:
        path.unlink()  # the .json is what makes a run count
    kept = {path: path.stat().st_mtime_ns for path in stored_runs(place)}
    assert confirm.main(["--study", "tiny_mml", *place.where]) == 0
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert set(lost) <= set(stored_runs(place))
    again = confirmed(place)
    for outcome in (first, again):
        outcome.pop("provenance")
        for method in outcome["test"]:
            method.pop("seconds")
            method.pop("search")  # with the seconds of stage 1
    assert again == first


def test_per_user_metrics_are_kept(place: Place):
    place.run("--top", "1", "--select-seeds", "1", "--confirm-seeds", "1", "--confirm-epochs", "1")
    for path in stored_runs(place):
        record = json.loads(path.read_text())
        with np.load(path.with_suffix(".npz"), allow_pickle=False) as arrays:
            assert set(arrays.files) == {"user", "recall@20", "ndcg@20", "recall@50", "ndcg@50"}
            assert len(arrays["user"]) == 48
            assert arrays["ndcg@20"].mean() == pytest.approx(record["metrics"]["ndcg@20"], abs=1e-6)


def test_a_damaged_run_is_explained(place: Place, fails: Callable[[int], str]):
    place.run()
    stored_runs(place)[0].write_text("{")
    message = fails(confirm.main(["--study", "tiny_mml", *place.where]))
    assert "delete it to make it again" in message


@pytest.mark.parametrize(("suffix", "content"), [(".npz", b""), (".npz", b"PK\x03\x04 cut off"), (".json", b"[]")])
def test_damaged_files_of_a_run_are_explained(place: Place, fails: Callable[[int], str], suffix: str, content: bytes):
    place.run("--top", "1", "--select-seeds", "1", "--confirm-seeds", "1", "--confirm-epochs", "1")
    stored_runs(place)[0].with_suffix(suffix).write_bytes(content)
    message = fails(confirm.main(["--study", "tiny_mml", *place.where, "--top", "1", "--confirm-epochs", "1"]))
    assert "delete it to make it again" in message


def test_a_run_says_who_trained_it(place: Place):
    place.run("--top", "1", "--select-seeds", "1", "--confirm-seeds", "1", "--confirm-epochs", "1")
    assert all("version" in json.loads(path.read_text())["trained_by"] for path in stored_runs(place))


def test_after_confirm_best_yaml_is_the_winners(place: Place):
    place.run()
    best = place.output / "tiny_mml" / "best.yaml"
    before = best.read_text()
    assert export.main(["--study", "tiny_mml", *place.where]) == 0
    assert best.read_text() == before
    assert read_yaml(best.with_name("best_trial.yaml"))["config"]["epochs"] == 3


@pytest.mark.parametrize("verb", [export, confirm])
def test_data_that_changed_since_the_search_are_refused(place: Place, fails: Callable[[int], str], verb: Any):
    place.run("--search-only")
    best = (place.output / "tiny_mml" / "best.yaml").read_text()
    train_file = place.root / "data" / "tiny" / "train.txt"
    train_file.write_text(train_file.read_text().replace("\n", " 39\n"))
    assert "was searched on other data" in fails(verb.main(["--study", "tiny_mml", *place.where]))
    assert (place.output / "tiny_mml" / "best.yaml").read_text() == best


def test_a_rival_of_fewer_trials_is_labelled_so(place: Place):
    place.run("--search-only", "--trials", "1", study="tiny_ccl.yaml")
    place.run("--confirm-seeds", "1", "--select-seeds", "1")
    assert "CCL tuned (1 trials, not 4)" in [method["method"] for method in confirmed(place)["test"]]


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
        "not tuned: CCL (rival study tiny_ccl differs in search.epochs), BSL (rival study tiny_bsl has not run); a tuned loss"
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
    assert "the pruner was changed while the search went on: its trials do not come of one search" in said(place)


def test_a_rival_whose_file_has_changed_since_its_search_is_left_out(place: Place):
    place.run("--search-only", study="tiny_ccl.yaml")
    rival = place.root / "tiny_ccl.yaml"
    rival.write_text(rival.read_text().replace("learning_rate: 1.0e-2", "learning_rate: 2.0e-2"))
    assert place.run() == 0
    why = "differs in config.learning_rate, which its definition now has otherwise"
    assert [s for s in said(place) if s.startswith(f"not tuned: CCL (rival study tiny_ccl {why})")]


def test_what_searched_a_study_before_trials_said_so_is_kept(place: Place):
    """Studies of earlier versions have it in their stored definition only, which the next search overwrites."""
    rival = place.root / "tiny_ccl.yaml"
    rival.write_text(rival.read_text().replace("search:\n", "search:\n  sampler: {name: random}\n"))
    place.run("--search-only", study="tiny_ccl.yaml")
    journal = place.output / "journal.log"
    lines = [line for line in journal.read_text().splitlines() if f'"{SEARCHED_BY}"' not in line]
    journal.write_text("\n".join(lines) + "\n")
    assert place.run("--tune-rivals") == 0
    (not_tuned,) = [s for s in said(place) if s.startswith("not tuned: ")]
    assert not_tuned.startswith("not tuned: CCL (rival study tiny_ccl differs in search.sampler); ")
    assert not_tuned.endswith("with the same budget, once what differs is gone (hpo.studies delete tiny_ccl)")


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


def test_data_that_change_before_the_confirmation_are_refused(
    place: Place, fails: Callable[[int], str], monkeypatch: pytest.MonkeyPatch
):
    """hpo.run goes on to confirm in one process."""
    train_file = place.root / "data" / "tiny" / "train.txt"

    def export(*arguments: Any) -> Any:
        train_file.write_text(train_file.read_text().replace("\n", " 39\n"))
        return export_trials(*arguments)

    monkeypatch.setattr(pipeline, "export_trials", export)
    assert "was searched on other data" in fails(place.run())


def test_a_tuned_loss_against_untuned_ones_is_said(place: Place):
    assert place.run() == 0
    statements = said(place)
    both = "not tuned: CCL (rival study tiny_ccl has not run), BSL (rival study tiny_bsl has not run); a tuned loss against"
    assert [s for s in statements if s.startswith(both)]
    assert [s for s in statements if s.startswith("what is not tuned has a paper's settings of the loss, under the encoder's")]


def test_what_differs_beside_the_losses_is_said(place: Place):
    rival = place.root / "tiny_ccl.yaml"
    rival.write_text(rival.read_text().replace("dim: 8", "dim: 4").replace("count: 7", "count: 5"))
    assert place.run("--tune-rivals") == 0
    found = [s for s in said(place) if s.startswith("not losses alone differ from MML tuned: ")]
    (differs,) = found
    assert differs.endswith(f": {CCL_OF_YELP} and CCL tuned with encoder.dim 4, not 8; negatives.count 5, not 7")


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
    assert _found_again(rival((0.2, 0.3), (0.1, 0.2)), published) == (
        "CCL tuned is the config of CCL published: its search found no better one"
    )
    assert _found_again(rival((0.2, 0.3), (0.25, 0.29)), published) == (
        "CCL tuned is the config of CCL published: trial 1 was ahead of it in the search (validation ndcg@20 0.2500 against "
        "0.2000), but not at full epochs (0.2900 against 0.3000)"
    )


def test_an_interrupted_confirm_has_read_the_test_split(place: Place, monkeypatch: pytest.MonkeyPatch):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    few = ["--trials", "1", "--select-seeds", "1"]
    with monkeypatch.context() as patch:
        patch.setattr(confirm, "keep_reference", interrupted)
        assert place.run(*few, "--confirm-seeds", "1") == 130
    assert place.run(*few, "--confirm-seeds", "2") == 0
    assert [s for s in said(place) if s.startswith("the test split has been read for 2 comparisons of this")]


def test_reading_the_test_split_again_is_counted(place: Place):
    place.run("--trials", "1", "--select-seeds", "1", "--confirm-seeds", "1")
    again = ["--study", "tiny_mml", *place.where, "--select-seeds", "1"]
    assert confirm.main([*again, "--confirm-seeds", "1"]) == 0
    assert not [s for s in said(place) if s.startswith("the test split has been read")], "the same runs"
    assert confirm.main([*again, "--confirm-seeds", "2"]) == 0
    assert [s for s in said(place) if s.startswith("the test split has been read for 2 comparisons of this")]


def test_more_trials_that_change_no_winner_are_no_other_reading():
    study = optuna.create_study()
    assert keep_reading(study, {"MML tuned": ["aa", 2], "CCL tuned": ["bb", 2]}) == []
    assert keep_reading(study, {"MML tuned": ["aa", 2], "CCL tuned (6 trials, not 4)": ["bb", 2]}) == []
    assert len(keep_reading(study, {"MML tuned": ["cc", 2], "CCL tuned": ["bb", 2]})) == 1


def test_reading_the_test_split_for_another_study_is_said(place: Place):
    few = ["--trials", "1", "--select-seeds", "1", "--confirm-seeds", "1"]
    for name in ("first", "second"):
        place.run(*few, "--study-name", name)
    (other,) = [s for s in said(place, "second") if s.startswith("the test split")]
    assert other.startswith("the test split has been read for other studies of these data, too (first): ")
    assert not [s for s in said(place, "first") if s.startswith("the test split")]


def test_runs_of_another_study_are_not_trained_again(place: Place):
    place.run("--select-seeds", "1", "--confirm-seeds", "1", "--confirm-epochs", "2")
    of_first = {path.name: json.loads(path.read_text()) for path in stored_runs(place)}
    place.run("--select-seeds", "1", "--confirm-seeds", "1", "--confirm-epochs", "2", "--study-name", "tiny_mml_again")
    of_second = sorted((place.output / "tiny_mml_again" / "runs").glob("*.json"))
    assert {path.name for path in of_second} == set(of_first)
    assert {path.name: json.loads(path.read_text()) for path in of_second} == of_first, "seconds and origin, too"


def test_runs_of_several_revisions_are_said(place: Place):
    winner = Candidate(0, CONFIG, 0.0, {0: {"ndcg@20": 1.0}})
    methods = [Method(n, CONFIG, {}, 0.0, "nan", trained_by=[by]) for n, by in (("A", "abc"), ("B", "abc"), ("C", "def dirty"))]
    said = sentences(Confirmation("s", [winner], winner, methods))[-1]
    assert said == "these runs were trained by 2 revisions of the program (abc, def dirty): see trained_by in confirm.yaml"
    assert len(sentences(Confirmation("s", [winner], winner, methods[:2]))) == 2


def test_runs_of_several_kinds_of_machine_are_said():
    winner = Candidate(0, CONFIG, 0.0, {0: {"ndcg@20": 1.0}})
    methods = [Method(n, CONFIG, {}, 0.0, "nan", trained_on=[on]) for n, on in (("A", "x CPU (old)"), ("B", "x CPU (new)"))]
    assert sentences(Confirmation("s", [winner], winner, methods))[-1] == (
        "these runs were trained on 2 kinds of machine (x CPU (new), x CPU (old)), whose figures differ in their last digits"
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


def warned(chosen: Candidate) -> list[str]:
    """What is said of a tuned rival whose search had 10 epochs."""
    ours = Candidate(0, CONFIG, 0.0, {0: {"ndcg@20": 1.0}})
    method = Method("A", CONFIG, {1: {"ndcg@20": 0.1, "recall@20": 0.2}}, 1.0, per_user=np.full(5, 0.1))
    outcome = Confirmation("s", [ours], ours, [method], validated={"A": [ours], "B tuned": [chosen]}, search_epochs=10)
    return [sentence.partition(";")[0] for sentence in sentences(outcome)]


@pytest.mark.parametrize(
    ("curve", "says"), [({1: 0.1, 2: 0.2, 3: 0.21}, True), ({1: 0.1, 2: 0.2, 3: 0.201}, False), ({3: 0.1}, False)]
)
def test_a_curve_that_still_rises_is_said(curve: dict[int, float], says: bool):
    chosen = Candidate(0, CONFIG, 0.0, {0: {"ndcg@20": 1.0}}, curves={0: curve})  # 0.0 in the search: nothing to compare with
    assert warned(chosen) == (["B tuned: validation ndcg@20 still rose by 5.0 % from epoch 2 to 3"] if says else [])


@pytest.mark.parametrize(
    ("epochs", "value", "says"), [(40, 0.103, True), (40, 0.1019, False), (20, 0.1019, True), (10, 0.2, False)]
)
def test_what_longer_training_gained_is_said_where_the_rate_falls(epochs: int, value: float, says: bool):
    """1 % by twice the epochs: 2.01 % from 10 to 40. The end of such a curve is flat, whether training was finished or not."""
    config = CONFIG.replace(schedule="linear", epochs=epochs)
    chosen = Candidate(0, config, 0.1, {0: {"ndcg@20": value}}, curves={0: {1: 0.1, 2: 0.2, 3: 0.3}})
    expected = f"B tuned: validation ndcg@20 was 0.1000 when trained for 10 epochs and {value:.4f} for {epochs}"
    assert warned(chosen) == ([expected] if says else [])


def test_a_rival_on_other_data_is_refused(place: Place, fails: Callable[[int], str]):
    rival = place.root / "tiny_ccl.yaml"
    rival.write_text(rival.read_text().replace("dataset: tiny", "dataset: demo"))
    assert "is a study of demo, not of tiny" in fails(place.run())


def test_a_study_without_complete_trials_cannot_be_confirmed(place: Place, fails: Callable[[int], str]):
    place.edit("learning_rate: 1.0e-2", "learning_rate: 1.0e+30")
    assert place.run("--search-only") == 1, "every trial diverges"
    assert "has no complete trial to confirm" in fails(confirm.main(["--study", "tiny_mml", *place.where]))


def test_search_never_reads_the_test_split(place: Place):
    test = place.root / "data" / "tiny" / "test.txt"
    test.write_text("broken\n")
    assert place.run("--search-only") == 0, "the search does not notice"
    assert place.run("--study-name", "other") == 2, "confirm does"
    assert not (place.output / "other").exists(), "before the search"


def test_the_highest_mean_wins_and_diverged_candidates_lose():
    def candidate(trial: int, *values: float, failure: str = "") -> Candidate:
        return Candidate(trial, CONFIG, 0.0, {seed: {"ndcg@20": value} for seed, value in enumerate(values)}, failure)

    # trial 1 has the best single seed, trial 2 the best mean
    assert highest([candidate(1, 0.5, 0.1), candidate(2, 0.4, 0.3), candidate(3, failure="diverged")], "s").trial == 2
    with pytest.raises(InputError, match="every candidate diverged"):
        highest([candidate(3, failure="nan in epoch 2")], "s")


def test_the_table_by_hand():
    def method(label: str, *values: float) -> Method:
        by_seed = {seed: dict.fromkeys(("ndcg@20", "recall@20"), value) for seed, value in enumerate(values)}
        return Method(label, CONFIG, by_seed, 1.0, per_user=np.full(50, np.mean(values)))

    winner = Candidate(0, CONFIG, 0.0, {0: {"ndcg@20": 1.0}})
    methods = [method("MML tuned", 0.22, 0.20), method("CCL published", 0.19, 0.21), method("BSL published", 0.1)]
    outcome = Confirmation("s", [winner], winner, [*methods, Method("X", CONFIG, {}, 0.0, "nan in epoch 2")])
    assert outcome.rows() == [
        ["MML tuned", "0.2100 ± 0.0141", "0.2100 ± 0.0141", ""],
        ["CCL published", "0.2000 ± 0.0141", "0.2000 ± 0.0141", "+5.0 %"],
        ["BSL published", "0.1000", "0.1000", "+110.0 %"],
        ["X", "diverged", "diverged", ""],
    ]
    highest, ccl, bsl, diverged = sentences(outcome)
    assert highest == "the highest ndcg@20 on the test split is that of MML tuned, 0.2100"
    assert ccl.startswith(
        "MML tuned and CCL published are not distinguishable: ndcg@20 +5.0 % (95 % interval of this pair -25.4 to"
    )
    assert bsl.startswith("no verdict on MML tuned and BSL published: ndcg@20 +110.0 % (95 % interval over users")
    assert diverged == "X diverged on train + validation: nan in epoch 2"


def test_a_test_split_of_another_popularity_is_said():
    """Item 0 has 6 users, item 1 has 2."""
    users, items = np.array([0, 1, 2, 3, 4, 5, 0, 1]), np.array([0, 0, 0, 0, 0, 0, 1, 1])
    train = Interactions.from_pairs(users, items, 8, 2)
    both, first = (Interactions.from_pairs(np.array(u), np.array(i), 8, 2) for u, i in (([6, 7], [0, 1]), ([6, 7], [0, 0])))
    assert _unlike_splits(train, both, train, both) == []
    (more,) = _unlike_splits(train, both, train, first)
    assert more.startswith("items of the test split are 50 % more popular than those of validation, which chose: ")
    (less,) = _unlike_splits(train, first, train, both)
    assert less.startswith("items of the test split are 33 % less popular than those of validation, which chose: ")


def test_what_tuning_brought_is_said_of_both_splits():
    def of(weight: float) -> TrainConfig:
        return CONFIG.replace(loss={"name": "ccl", "margin": 0.5, "negative_weight": weight})

    def method(label: str, weight: float, value: float) -> Method:
        return Method(label, of(weight), {7: dict.fromkeys(("ndcg@20", "recall@20"), value)}, 1.0, per_user=np.full(50, value))

    candidates = [
        Candidate(trial, of(weight), 0.0, {0: {"ndcg@20": v}}) for trial, weight, v in ((0, 1.0, 0.25), (4, 2.0, 0.3))
    ]
    other = Candidate(9, of(3.0), 0.0, {0: {"ndcg@20": 0.29}})  # has no row on test
    methods = [method("MML tuned", 9.0, 0.3), method("CCL tuned", 2.0, 0.19), method("CCL published", 1.0, 0.2)]
    outcome = Confirmation("s", [other], other, methods, validated={"CCL tuned": [*candidates, other]})
    said = "CCL tuned against CCL published: +20.0 % on validation, by which it was chosen, -5.0 % on test"
    assert [s for s in sentences(outcome) if " on validation, by which" in s] == [said]


def test_untrained_rivals_are_shown_and_warned_of():
    winner = Candidate(0, CONFIG, 0.0, {0: {"ndcg@20": 1.0}})
    method = Method("A", CONFIG, {1: {"ndcg@20": 0.1, "recall@20": 0.2}}, 1.0, per_user=np.full(5, 0.1))
    popular = Reference("MostPop", "", {"ndcg@20": 0.05, "recall@20": 0.1}, {}, 1.0)
    ahead = Reference("EASE", "", {"ndcg@20": 0.3, "recall@20": 0.4}, {}, 1.0)
    outcome = Confirmation("s", [winner], winner, [method], [popular, ahead])
    assert outcome.rows()[1:] == [["MostPop", "0.0500", "0.1000", "untrained"], ["EASE", "0.3000", "0.4000", "untrained"]]
    assert [sentence[:45] for sentence in sentences(outcome)] == ["EASE, without training, is ahead of A: ndcg@2"]


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


def test_untrained_rivals_are_made_once(place: Place, fails: Callable[[int], str]):
    place.run()
    outcome = confirmed(place)
    assert [reference["label"] for reference in outcome["untrained"]] == ["MostPop", "EASE"]
    for reference in outcome["untrained"]:
        groups = reference["beyond"]["groups"]
        assert sum(group["ndcg"] for group in groups) == pytest.approx(reference["metrics"]["ndcg@20"])
    stored = sorted((place.output / "tiny_mml" / "runs" / "untrained").glob("*.json"))
    before = [path.stat().st_mtime_ns for path in stored]
    assert confirm.main(["--study", "tiny_mml", *place.where]) == 0
    assert [path.stat().st_mtime_ns for path in stored] == before
    stored[0].write_text("{}")
    assert "delete it to make it again" in fails(confirm.main(["--study", "tiny_mml", *place.where]))


def test_no_verdict_when_the_winner_diverges():
    winner = Candidate(0, CONFIG, 0.0, {0: {"ndcg@20": 1.0}})
    rival = Method("B", CONFIG, {1: {"ndcg@20": 0.1}}, 1.0, per_user=np.full(5, 0.1))
    outcome = Confirmation("s", [winner], winner, [Method("A", CONFIG, {}, 0.0, "inf in epoch 1"), rival])
    assert outcome.verdict == []
    assert sentences(outcome) == ["A diverged on train + validation: inf in epoch 1"]


@pytest.mark.parametrize("kind", [PUBLISHED, NEAREST])
def test_the_published_config_is_a_finalist_whatever_its_rank(kind: str):
    study = optuna.create_study(direction="maximize")
    box = {"x": optuna.distributions.FloatDistribution(0.0, 1.0)}
    for x, value in ((0.1, 0.1), (0.2, 0.4), (0.3, 0.3), (0.4, 0.2)):
        mark = {kind: "published"} if x == 0.1 else {}
        study.add_trial(optuna.trial.create_trial(params={"x": x}, distributions=box, value=value, user_attrs=mark))
    assert [trial.number for trial in finalists(study, 2)] == [1, 2, 0]
    assert [trial.number for trial in finalists(study, 4)] == [1, 2, 3, 0], "once"


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
    assert [s for s in said(place) if s.startswith("not losses alone differ from MML tuned: ") and "learning_rate" in s]


def test_flags_of_confirm_are_for_one_time_and_a_file_says_what_it_says_now(place: Place, fails: Callable[[int], str]):
    place.run("--top", "1", "--confirm-seeds", "3", "--confirm-epochs", "1")
    assert [len(method["by_seed"]) for method in confirmed(place)["test"]] == [3] * 4
    assert confirm.main(["--study", "tiny_mml", *place.where]) == 0
    assert [len(method["by_seed"]) for method in confirmed(place)["test"]] == [2] * 4, "what the file had"
    place.edit("seeds: 2, epochs: 4", "seeds: 4, epochs: 1")
    place.edit("rivals: [tiny_ccl.yaml, tiny_bsl.yaml]", "rivals: [tiny_ccl.yaml]")
    assert confirm.main(["--study", str(place.study), *place.where]) == 0
    assert [len(method["by_seed"]) for method in confirmed(place)["test"]] == [4] * 3, "what the file has"
    place.edit("learning_rate: 1.0e-2", "learning_rate: 1.0e-3")
    message = fails(confirm.main(["--study", str(place.study), *place.where]))
    assert "is no longer what study 'tiny_mml' was searched by (config.learning_rate: was 0.01, now 0.001)" in message
    assert "the flags of confirm are for one time" in fails(place.run("--search-only", "--confirm-seeds", "7"))
    place.study.unlink()
    assert "cannot be read" in fails(confirm.main(["--study", str(place.study), *place.where]))


def test_learning_curves_never_touch_the_test_split(place: Place):
    place.run()
    by_stage = {True: [], False: []}
    for path in stored_runs(place):
        record = json.loads(path.read_text())
        by_stage[record["config"]["seed"] < 200].append(record["curve"])
    assert all(curve == {} for curve in by_stage[False]), "stage 2 measures its last epoch only"
    assert by_stage[True]


def test_stage_two_trains_on_all_training_data(place: Place):
    """A run of stage 2 is keyed by the checksum of train + validation, one of stage 1 by that of train."""
    place.run()
    everything = datasets.load_dataset("tiny", place.root / "data").train.checksum
    seen = [json.loads(path.read_text())["seen"] for path in stored_runs(place)]
    assert seen.count(everything) == 4 * 2
    assert len(seen) - seen.count(everything) == 2 * 2
