"""The number of times that the test split was read."""

from __future__ import annotations

import optuna
import pytest

from hpo import confirm
from hpo.confirmation.caveats import CaveatKind
from hpo.confirmation.reading_log import log_reading
from hpo.runs.baselines import BaselineRuns
from trainers.stopping import Stopped
from trainers.yaml_files import read_yaml

from ..conftest import Place
from ..outcomes import facts


def test_an_interrupted_confirm_has_read_the_test_split(place: Place, monkeypatch: pytest.MonkeyPatch):
    def interrupted(*_: object) -> None:
        raise Stopped

    few = ["--trials", "1", "--select-seeds", "1"]
    with monkeypatch.context() as patch:
        patch.setattr(BaselineRuns, "measure", interrupted)
        assert place.run(*few, "--confirm-seeds", "1") == 143
    assert place.run(*few, "--confirm-seeds", "2") == 0
    assert facts(place, CaveatKind.TEST_READ_AGAIN) == [("tiny_mml", {"times": 2})]


def test_reading_the_test_split_again_is_counted(place: Place):
    place.run("--trials", "1", "--select-seeds", "1", "--confirm-seeds", "1")
    again = ["--study", "tiny_mml", *place.where, "--select-seeds", "1"]
    assert confirm.main([*again, "--confirm-seeds", "1"]) == 0
    assert facts(place, CaveatKind.TEST_READ_AGAIN) == [], "the same runs"
    assert " the test split was read once per run, at its last epoch. Program: " in cited(place, "tiny_mml")
    assert confirm.main([*again, "--confirm-seeds", "2"]) == 0
    assert facts(place, CaveatKind.TEST_READ_AGAIN) == [("tiny_mml", {"times": 2})]
    also = " This study has read the test split for 2 different comparisons."
    assert f" was read once per run, at its last epoch.{also} Program: " in cited(place, "tiny_mml")


@pytest.mark.confirmed
def test_other_baselines_are_a_new_reading(place: Place):
    """Who leaves out a baseline that is ahead has seen it."""
    again = ["--study", str(place.study), *place.where]
    assert confirm.main([*again, "--max-memory", "0.1"]) == 0
    assert facts(place, CaveatKind.TEST_READ_AGAIN) == [], "the same baselines"
    place.edit("rivals: [", "baselines: [ease]\nrivals: [")
    assert confirm.main(again) == 0
    assert facts(place, CaveatKind.TEST_READ_AGAIN) == [("tiny_mml", {"times": 2})]


def test_more_trials_with_the_same_winner_are_no_new_reading():
    study = optuna.create_study()
    assert log_reading(study, "x", {"MML tuned": ["aa", 2], "CCL tuned": ["bb", 2]}) == []
    assert log_reading(study, "x", {"MML tuned": ["aa", 2], "CCL tuned (6 trials, not 4)": ["bb", 2]}) == []
    assert len(log_reading(study, "x", {"MML tuned": ["cc", 2], "CCL tuned": ["bb", 2]})) == 1


def test_other_test_data_are_a_new_reading(place: Place):
    few = ["--trials", "1", "--select-seeds", "1", "--confirm-seeds", "1", "--confirm-epochs", "1"]
    test = place.root / "data" / "tiny" / "test.txt"
    before = test.read_text()
    assert place.run(*few) == 0
    test.write_text(before[before.index("\n") + 1 :])
    assert place.run(*few) == 0
    assert facts(place, CaveatKind.TEST_READ_AGAIN) == [("tiny_mml", {"times": 2})]
    ((_, changed),) = facts(place, CaveatKind.TEST_CHANGED)
    assert changed["times"] == 1
    assert list(changed["before"].values()) == [1]
    assert "an earlier confirm read other test data" in (place.output / "tiny_mml" / "report.md").read_text()
    test.write_text(before)
    assert place.run(*few) == 0
    assert facts(place, CaveatKind.TEST_READ_AGAIN) == [("tiny_mml", {"times": 2})], "these data were read before"
    ((_, back),) = facts(place, CaveatKind.TEST_CHANGED)
    assert {back["now"]: 1} == changed["before"]


def test_reading_the_test_split_for_another_study_is_a_caveat(place: Place):
    few = ["--trials", "1", "--select-seeds", "1", "--confirm-seeds", "1"]
    for name in ("first", "second"):
        place.run(*few, "--study-name", name)
    assert facts(place, CaveatKind.TEST_READ_FOR_OTHERS, "second") == [("second", {"studies": ["first"]})]
    assert facts(place, CaveatKind.TEST_READ_FOR_OTHERS, "first") == []
    also = " 1 other study of these data has read it, too: first."
    assert f" was read once per run, at its last epoch.{also} Program: " in cited(place, "second")


def cited(place: Place, study: str) -> str:
    """The sentences to quote about the study's own method."""
    return str(read_yaml(place.output / study / "best.yaml")["citation"])
