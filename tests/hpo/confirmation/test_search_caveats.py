"""Caveats about the trials of a search, for our study and for rivals, before and after confirm."""

from __future__ import annotations

import optuna
import pytest
from optuna.trial import TrialState

from hpo import report
from hpo.confirmation.caveats import CaveatKind
from hpo.confirmation.search_caveats import search_caveats
from hpo.study.spec import StudySpec

from ..conftest import Place
from ..outcomes import facts, files

NARROW = "n_margins: 2, also: [learning_rate], ranges: {negative_ratio: [2, 4], learning_rate: [1.0e-4, 2.0e-4]}"


def ends(*weights: float, chosen: int | None = None) -> list[tuple[float, int, int, bool]]:
    """(value, trials, of, is chosen) of CCL's weight at the low end of its range. Each trial is worse than the one before."""
    spec = StudySpec.model_validate({"name": "x", "dataset": "demo", "space": {"name": "ccl"}})
    study = optuna.create_study(direction="maximize")
    for number, weight in enumerate(weights):
        params = {"margin": 0.5, "negative_weight": weight}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=spec.space.boxes(), value=1.0 - number / 10))
    found = [each for each in search_caveats(study, spec, "CCL tuned", chosen) if each.kind is CaveatKind.AT_RANGE_END]
    assert all(each.subject == "CCL tuned" for each in found)
    assert all(each.facts["command"] == "python -m hpo.run --study x --widen --trials 400" for each in found)
    return [(end["value"], end["trials"], end["of"], end["is_chosen"]) for each in found for end in each.facts["ends"]]  # type: ignore


@pytest.mark.parametrize(
    ("weights", "chosen", "expected"),
    [
        ((1.2, 100.0, 200.0, 300.0, 400.0, 1.1), None, [(1.2, 1, 5, True)]),
        ((100.0, 1.2, 200.0, 300.0, 400.0, 1.1), 5, [(1.1, 1, 5, True)]),  # the chosen one was not among the best of the search
        ((100.0, 1.2, 1.3, 1.4, 400.0), None, [(1.2, 3, 5, False)]),
        ((100.0, 1.2, 1.3, 200.0, 400.0), None, []),
        ((1.1, 1.2), None, [(1.1, 2, 2, True)]),
        ((), None, []),
    ],
)
def test_best_trials_at_an_end_of_a_range_are_found(
    weights: tuple[float, ...], chosen: int | None, expected: list[tuple[float, int, int, bool]]
):
    assert ends(*weights, chosen=chosen) == expected


def test_each_method_with_a_short_search_has_a_caveat(place: Place):
    assert place.run("--tune-rivals", "--select-seeds", "1", "--confirm-seeds", "1") == 0
    found = facts(place, CaveatKind.SHORT_SEARCH)
    assert [subject for subject, _ in found] == ["MML tuned", "CCL tuned", "BSL tuned"]
    assert all((each["sampler"], each["trials"]) == ("tpe", 4) for _, each in found)


def test_trials_at_an_end_of_a_range_are_a_caveat_after_the_search_in_the_report_and_in_the_verdict(
    place: Place, capsys: pytest.CaptureFixture[str]
):
    """The remedy is to widen our study, which widens its rivals, too."""
    place.edit("n_margins: 2", NARROW)
    place.edit("rivals: [tiny_ccl.yaml, tiny_bsl.yaml]", "rivals: [ccl]")
    assert place.run("--search-only", "--tune-rivals", "--trials", "1") == 0
    remedy = "python -m hpo.run --study tiny_mml --widen --trials 44"
    printed = [line for line in capsys.readouterr().out.splitlines() if "may be outside" in line]
    assert [line.partition(" of ")[2][:11] for line in printed] == ["MML (trial ", "CCL (trial "]
    assert all(line.startswith("- ") and f": `{remedy}` (with the `--output`, " in line for line in printed)
    assert report.main(["--study", "tiny_mml", "--output", str(place.output)]) == 0
    assert all(printed[0].removeprefix("- ") in text for text in files(place))
    assert place.run("--trials", "1", "--select-seeds", "1", "--confirm-seeds", "1") == 0
    found = facts(place, CaveatKind.AT_RANGE_END)
    assert [subject for subject, _ in found] == ["MML tuned", "CCL tuned"]
    assert all(each["command"] == remedy for _, each in found)
    assert {end["name"] for _, each in found for end in each["ends"]} >= {"negative_ratio", "negative_weight"}
    assert "negative_weight of CCL tuned is " in files(place)[0]


@pytest.mark.parametrize(("name", "expected"), [("gp", ["MML tuned"]), ("tpe", [])])
def test_a_gaussian_process_learns_from_complete_trials_only(name: str, expected: list[str]):
    """40 trials are finished, and 16 of them are complete. The start and 20 random ones come before the first proposal."""
    search = {"sampler": {"name": name}, "starts": 0}
    spec = StudySpec.model_validate({"name": "x", "dataset": "demo", "space": {"name": "ccl"}, "search": search})
    study = optuna.create_study(direction="maximize")
    params = {"margin": 0.5, "negative_weight": 100.0}
    for number in range(40):
        state = TrialState.PRUNED if number < 24 else TrialState.COMPLETE
        value = 0.5 if state == TrialState.COMPLETE else None
        trial = optuna.trial.create_trial(state=state, params=params, distributions=spec.space.boxes(), value=value)
        study.add_trial(trial)
    assert [
        each.subject for each in search_caveats(study, spec, "MML tuned") if each.kind is CaveatKind.SHORT_SEARCH
    ] == expected
