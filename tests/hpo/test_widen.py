"""`--widen` continues a search in wider ranges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import optuna
import pytest
from optuna.trial import TrialState

from hpo import studies as delete
from hpo.storage.open import open_storage
from hpo.study.attributes import COPIED_FROM, NEAREST_MARK, PUBLISHED_MARK, START_MARK
from hpo.study.definition import DEFINITION, SplitData, definition_of, open_study
from hpo.study.ends import BestAtEnd, best_at_ends
from hpo.study.sampling import make_sampler
from hpo.study.spec import StudySpec
from hpo.study.starts import enqueue_starts
from hpo.study.stored import stored_spec
from hpo.study.widen import Widened, copy_trials, widened
from search_spaces.parameters import AtEnd
from trainers import TrainConfig
from trainers.data.options import ValidationSplit
from trainers.errors import InputError
from trainers.stopping import Stopped

from .conftest import Place
from .given_curves import GivenCurves, by_margin, scheduler, spec
from .outcomes import confirmed, labels

NARROW = "n_margins: 2, also: [learning_rate], ranges: {negative_ratio: [2, 4], learning_rate: [1.0e-4, 2.0e-4]}"


def ratio_study(*values: tuple[float, float]) -> tuple[optuna.Study, StudySpec]:
    """A search of CCL. Its trials have these (weight, value), and only the weight differs."""
    spec = StudySpec.model_validate({"name": "x", "dataset": "demo", "space": {"name": "ccl"}})
    study = optuna.create_study(direction="maximize")
    for weight, value in values:
        params = {"margin": 0.5, "negative_weight": weight}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=spec.space.boxes(), value=value))
    return study, spec


def test_an_end_is_reported_for_the_chosen_config_or_for_most_of_the_best():
    study, spec = ratio_study((1.0, 0.9), (100.0, 0.8), (200.0, 0.7), (300.0, 0.6), (400.0, 0.5), (1.1, 0.4))
    at = AtEnd("negative_weight", "negative_weight", 1.0, 1.0, 10_000.0, "low")
    assert best_at_ends(study, spec) == [BestAtEnd(at, 1, 5, is_chosen=True)]
    assert best_at_ends(study, spec, chosen=1) == [], "only one of the best is at the end"
    study, spec = ratio_study((100.0, 0.9), (1.0, 0.8), (1.1, 0.7), (1.2, 0.6), (400.0, 0.5))
    assert best_at_ends(study, spec) == [BestAtEnd(at, 3, 5, is_chosen=False)]
    assert best_at_ends(*ratio_study()) == []


@pytest.fixture
def searched(place: Place) -> Place:
    """Searches of MML and CCL in too narrow ranges. Both trials of MML are at the end near the published settings."""
    place.edit("n_margins: 2", NARROW)
    place.edit("rivals: [tiny_ccl.yaml, tiny_bsl.yaml]", "rivals: [ccl]")
    assert place.run("--search-only", "--tune-rivals", "--trials", "2") == 0
    return place


def studies(place: Place) -> dict[str, optuna.Study]:
    storage = open_storage(str(place.output / "journal.log"), create=False)
    return {name: optuna.load_study(study_name=name, storage=storage) for name in optuna.get_all_study_names(storage)}


def test_trials_are_copied_and_the_search_continues_in_wider_ranges(searched: Place, capsys: pytest.CaptureFixture[str]):
    assert searched.run("--widen", "--trials", "4", "--confirm-seeds", "2") == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "tiny_mml-wide continues tiny_mml (2 trials copied): " in printed
    assert "tiny_mml_ccl-wide continues tiny_mml_ccl (2 trials copied): " in printed
    found = studies(searched)
    for name in ("tiny_mml", "tiny_mml_ccl"):
        before, after = found[name].trials, found[f"{name}-wide"].trials
        assert [trial.number for trial in before] == [trial.user_attrs[COPIED_FROM] for trial in after[:2]]
        for old, new in zip(before, after[:2], strict=True):
            assert (old.state, old.value, old.params, old.intermediate_values) == (
                new.state,
                new.value,
                new.params,
                new.intermediate_values,
            )
        assert [trial.state.is_finished() for trial in after] == [True] * 4
        assert COPIED_FROM not in after[2].user_attrs
        assert len({tuple(sorted(trial.params.items())) for trial in after}) == 4, "the proposals are new"
    ours, theirs = (stored_spec(found[f"{name}-wide"]).space for name in ("tiny_mml", "tiny_mml_ccl"))
    assert ours.ranges["learning_rate"] == theirs.ranges["learning_rate"], (
        "a parameter of all methods has the same range for all"
    )
    assert ours.ranges["negative_ratio"] == theirs.ranges["negative_weight"] == (2.0, 8.0)
    outcome = confirmed(searched, "tiny_mml-wide")
    assert [label for label in labels(outcome) if "tuned" in label] == ["MML tuned", "CCL tuned"], "the budgets are equal"


def test_a_widened_league_has_no_warning_of_untuned_rivals(place: Place, capsys: pytest.CaptureFixture[str]):
    """--widen searches the rivals, too."""
    place.edit("n_margins: 2", NARROW)
    place.edit("rivals: [tiny_ccl.yaml, tiny_bsl.yaml]", "rivals: [ccl]")
    place.edit("seeds: 2, epochs: 4}", "seeds: 2, epochs: 4, league: true}")
    assert place.run("--search-only", "--tune-rivals", "--trials", "2") == 0
    capsys.readouterr()
    assert place.run("--trials", "4", "--dry-run") == 0
    assert "the rivals of this league are not searched" in capsys.readouterr().out
    assert place.run("--widen", "--trials", "4", "--dry-run") == 0
    assert "the rivals of this league are not searched" not in capsys.readouterr().out


def test_an_interrupted_widening_continues_and_copies_no_trial_twice(searched: Place):
    assert searched.run("--widen", "--trials", "3", "--search-only") == 0
    assert searched.run("--widen", "--trials", "4", "--search-only") == 0
    wide = studies(searched)["tiny_mml-wide"]
    assert [trial.user_attrs.get(COPIED_FROM) for trial in wide.trials] == [0, 1, None, None]
    assert all(trial.state in (TrialState.COMPLETE, TrialState.PRUNED) for trial in wide.trials)


def test_repeats_of_the_search_continue_from_their_own_trials(searched: Place):
    assert searched.run("--search-only", "--searches", "2", "--trials", "2") == 0
    assert searched.run("--widen", "--trials", "3", "--search-only") == 0
    found = studies(searched)
    for name in ("tiny_mml", "tiny_mml-search2"):
        wide = found[name.replace("tiny_mml", "tiny_mml-wide")]
        assert [trial.params for trial in wide.trials[:2]] == [trial.params for trial in found[name].trials]
        assert [trial.user_attrs.get(COPIED_FROM) for trial in wide.trials] == [0, 1, None]


def test_the_published_config_is_tried_when_the_ranges_include_it(place: Place):
    place.edit("n_margins: 2", "n_margins: 4, ranges: {negative_ratio: [2, 400]}")
    place.edit("rivals: [tiny_ccl.yaml, tiny_bsl.yaml]", "rivals: []")
    place.edit("starts: 1", "starts: 0")
    narrow = place.study.read_text()
    place.study.write_text(narrow.replace("[2, 400]", "[2, 399]"))
    assert place.run("--search-only", "--trials", "1") == 0
    assert NEAREST_MARK in studies(place)["tiny_mml"].trials[0].user_attrs
    assert place.run("--widen", "--trials", "2", "--search-only") == 0
    old, new = studies(place)["tiny_mml-wide"].trials
    assert old.user_attrs[START_MARK] == "published settings of Yelp2018, nearest in narrower ranges"
    assert new.user_attrs[PUBLISHED_MARK] == "published settings of Yelp2018"
    assert new.params["negative_ratio"] == 400.0


def spec_of(**space: object) -> StudySpec:
    return StudySpec.model_validate({"name": "x", "dataset": "demo", "space": space})


def test_a_rival_keeps_its_own_wider_ranges():
    """Else its copied trials could be outside."""
    ours = spec_of(name="mml", ranges={"negative_ratio": [1, 100]})
    for own, both in [((0.01, 50.0), (0.01, 100.0)), ((1.0, 10_000.0), (1.0, 10_000.0))]:
        ccl = spec_of(name="ccl", ranges={"negative_weight": own})
        assert ccl.with_budget_of(ours).space.ranges == {"negative_weight": both}
        assert ccl.with_budget_of(ours).with_budget_of(ours) == ccl.with_budget_of(ours)
    bpr = spec_of(name="bpr", also=["learning_rate"], ranges={"learning_rate": [1e-3, 1.0]})
    assert bpr.with_budget_of(ours).space.ranges == {"learning_rate": (1e-3, 1.0)}, "only this loss searches it"
    top = spec_of(name="mml", ranges={"margin_top": [0, 0.9]})
    assert spec_of(name="hinge").with_budget_of(top).space.ranges == {}, "its margin has another meaning"


def test_a_widened_study_continues_without_the_first(searched: Place):
    assert searched.run("--widen", "--trials", "3", "--search-only") == 0
    assert delete.main(["delete", "tiny_mml", "--yes", "--output", str(searched.output)]) == 0
    assert searched.run("--widen", "--trials", "4", "--search-only") == 0
    assert len(studies(searched)["tiny_mml-wide"].trials) == 4


def test_invalid_uses_of_widen_are_refused(searched: Place, fails: Callable[[int], str]):
    assert "which --widen continues, got 2; give --trials above 2" in fails(searched.run("--widen", "--trials", "2"))
    assert "leave --epochs and --seed out" in fails(searched.run("--widen", "--trials", "6", "--epochs", "2"))
    assert "unknown study 'tiny'" in fails(searched.run("--widen", "--trials", "6", "--study-name", "tiny"))
    assert list(studies(searched)) == ["tiny_mml", "tiny_mml_ccl"], "no study is made"


def test_a_changed_file_is_not_widened(searched: Place, fails: Callable[[int], str]):
    """The wider study has the plan, rivals and baselines of the storage. A file that says something else is not ignored."""
    searched.edit("confirm: {top: 2", "confirm: {top: 1")
    message = fails(searched.run("--widen", "--trials", "4"))
    assert "tiny_mml.yaml has changed since the search of tiny_mml (confirm.top: was 2, now 1), and --widen" in message
    assert searched.run("--search-only", "--tune-rivals", "--trials", "2") == 0
    assert searched.run("--widen", "--trials", "4", "--search-only") == 0
    assert stored_spec(studies(searched)["tiny_mml-wide"]).confirm.top == 1
    searched.edit("confirm: {top: 1", "confirm: {top: 3")
    assert searched.run("--search-only", "--tune-rivals", "--trials", "2") == 0
    message = fails(searched.run("--widen", "--trials", "5"))
    assert "the search of tiny_mml-wide (confirm.top: was 1, now 3)" in message
    assert "delete tiny_mml-wide" in message
    searched.study.unlink()
    assert "tiny_mml.yaml: cannot be read" in fails(searched.run("--widen", "--trials", "5"))


def test_a_rival_of_another_definition_is_found_before_the_wider_search(searched: Place, fails: Callable[[int], str]):
    rival = studies(searched)["tiny_mml_ccl"]
    rival.set_user_attr(DEFINITION, {**rival.user_attrs[DEFINITION], "numbers_version": 77})
    assert "tiny_mml_ccl-wide cannot go on with the trials of tiny_mml_ccl" in fails(searched.run("--widen", "--trials", "4"))
    assert list(studies(searched)) == ["tiny_mml", "tiny_mml_ccl"], "nothing was searched"


def test_a_rival_in_wider_ranges_has_its_own_rivals_when_it_is_widened(place: Place):
    """As the rival of another study it was searched without them."""
    rival = place.root / "tiny_ccl.yaml"
    narrow = "{name: ccl, ranges: {negative_weight: [2, 4]}}"
    rival.write_text(rival.read_text().replace("{name: ccl}", narrow) + "rivals: [tiny_bsl.yaml]\n")
    place.edit("n_margins: 2", "n_margins: 2, ranges: {negative_ratio: [2, 4]}")
    place.edit("rivals: [tiny_ccl.yaml, tiny_bsl.yaml]", "rivals: [tiny_ccl.yaml]")
    assert place.run("--search-only", "--tune-rivals", "--trials", "2") == 0
    storage = open_storage(str(place.output / "journal.log"))
    assert [one.name for one in widened(storage, "tiny_ccl").rivals] == ["tiny_bsl-wide"]
    assert place.run("--widen", "--search-only", "--trials", "4") == 0
    assert [one.name for one in widened(storage, "tiny_ccl").rivals] == ["tiny_bsl"]


def test_a_search_without_trials_at_an_end_is_not_widened(place: Place, fails: Callable[[int], str]):
    assert place.run("--search-only", "--trials", "1") == 0
    message = fails(place.run("--widen", "--trials", "2"))
    assert "no range needs widening: no best trial of tiny_mml is at the end of a range" in message


@pytest.mark.parametrize("sampler", ["tpe", "gp", "random", "qmc"])
def test_no_config_is_drawn_twice_on_the_way_to_wider_ranges(sampler: str):
    """No range of this loss is wider, as in the study of a rival whose best trials are at no end. Two trials failed and are not
    copied. Later the original is searched on, too, and the wider study is widened once more. All trials are random."""
    of = spec(1).override({"search.sampler.name": sampler, "search.sampler.n_startup_trials": 99})
    storage, names = optuna.storages.InMemoryStorage(), ("s", "s-wide", "s-wide-wide")
    narrow, wide, wider = (
        optuna.create_study(study_name=name, storage=storage, direction="maximize", sampler=make_sampler(of.search))
        for name in names
    )
    drawn = []

    def search(study: optuna.Study, count: int, failed: tuple[int, ...] = ()) -> None:
        for _ in range(count):
            trial = study.ask(fixed_distributions=of.space.boxes())
            drawn.append(tuple(trial.params.values()))
            end = {"state": TrialState.FAIL} if trial.number in failed else {"values": trial.params["margin"]}
            study.tell(trial, **end)

    search(narrow, 8, failed=(2, 4))
    assert copy_trials(storage, "s", wide, of) == 6
    search(wide, 4)
    search(narrow, 4)
    assert copy_trials(storage, "s", wide, of) == 4
    search(wide, 2)
    assert copy_trials(storage, "s-wide", wider, of) == 16
    search(wider, 6)
    assert len(drawn) == len(set(drawn)) == 8 + 4 + 4 + 2 + 6


def test_an_interruption_of_the_original_changes_no_proposal_in_wider_ranges():
    """The retry of the first start has a higher number than the other starts. TPE weighs old trials less from 25 on."""
    of = spec(30).override({"search.sampler.n_startup_trials": 3, "search.starts": 3})
    found = []
    for signals in (0, 1):
        storage, epochs = optuna.storages.InMemoryStorage(), [2] * signals

        def curve(config: TrainConfig, epoch: int, epochs: list[int] = epochs) -> float:
            if epochs and epoch == epochs[0]:
                epochs.pop()
                raise Stopped
            return by_margin(config, epoch)

        narrow, wide = (optuna.create_study(study_name=name, storage=storage, direction="maximize") for name in ("s", "w"))
        enqueue_starts(narrow, of)
        for _ in range(signals):
            with pytest.raises(Stopped):
                scheduler(of, GivenCurves(1, curve), narrow).run()
        scheduler(of, GivenCurves(1, curve), narrow).run()
        assert len(narrow.trials) == 30 + signals
        assert copy_trials(storage, "s", wide, of) == 30
        wide.sampler = make_sampler(of.search)
        found.append([trial.params for trial in wide.trials] + [wide.ask(fixed_distributions=of.space.boxes()).params])
    assert found[0] == found[1]


def test_trials_of_another_definition_are_not_copied():
    """The data have changed since the narrower search."""
    storage = optuna.storages.InMemoryStorage()
    spec = StudySpec.model_validate({"name": "x", "dataset": "demo", "space": {"name": "ccl"}})
    wide_spec = spec.override({"name": "x-wide", "space.ranges": {"negative_weight": (1.0, 100_000.0)}})
    now = SplitData("sum", ValidationSplit(name="random"), "seen", "held out")
    ours = definition_of(wide_spec, now, "numba")
    wide = Widened(wide_spec, (), {"x-wide": "x"})
    open_study(storage, "x", definition_of(spec, now, "numba"), optuna.samplers.RandomSampler(), optuna.pruners.NopPruner())
    source = optuna.load_study(study_name="x", storage=storage)
    wide.check(storage, "x-wide", ours)
    for data, engine, words in (
        (
            replace(now, checksum="another"),
            "numba",
            r"\(the training or validation pairs have changed\); restore what",
        ),
        (now, "torch", r"engine: was 'torch', now 'numba'.*\); give --engine torch, or"),
    ):
        source.set_user_attr(DEFINITION, definition_of(spec, data, engine).to_dict())
        with pytest.raises(InputError, match=f"x-wide cannot go on with the trials of x, .*{words}"):
            wide.check(storage, "x-wide", ours)
