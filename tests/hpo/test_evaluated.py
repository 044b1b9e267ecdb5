"""A search that evaluates trials on a sample of users before their last epoch. Reports have the numbers of users."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from optuna.trial import TrialState

from hpo import export, report
from hpo.study.spec import load_spec
from hpo.study.stored import EVALUATED_ON
from hpo.study.trials import trial_config
from hpo.study.workspace import Workspace
from trainers import load_dataset, train
from trainers.metrics.sample import of_some_users

from .conftest import Place
from .processes import journal, trials_of


@pytest.fixture
def few(place: Place, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A study with samples of 12 of the 48 users. The second of two trials is pruned if it is the worse one."""
    monkeypatch.setattr("hpo.study.plan.FEWEST_USERS", 12)
    monkeypatch.setattr("hpo.study.plan.SHARE", 0.0)
    place.edit("trials: 4", "trials: 6")
    place.edit("n_startup_trials: 2", "n_startup_trials: 0")
    place.edit("interval_steps: 1", "interval_steps: 2")
    place.edit("epochs: 3", "epochs: 6")
    return place


def test_pruned_trials_are_valued_on_a_sample_and_complete_ones_on_all_users(few: Place, capsys: pytest.CaptureFixture[str]):
    assert few.run("--search-only") == 0
    shown = capsys.readouterr().out
    assert "a trial is evaluated after epoch 1 and every 2 epochs from there on 12 of 48 validation users" in shown
    assert "and after epoch 6 on all of them" in shown
    spec, trials = load_spec(str(few.study)), trials_of(few)
    parts = load_dataset("tiny", few.root / "data").hold_out()
    some = of_some_users(parts.held_out, 12, seed=2024)
    for trial in trials:
        pruned = trial.state == TrialState.PRUNED
        for epoch, value in trial.intermediate_values.items():
            held_out = parts.held_out if epoch == 6 else some
            run = train(trial_config(trial, spec), parts.seen, held_out, device="cpu")
            metrics = next(result.metrics for result in run if result.epoch == epoch)
            assert metrics is not None
            assert metrics["ndcg@20"] == value
        assert metrics["recall@20"] == trial.user_attrs["recall@20"], "it is measured on the same users as the value"
        line = rf"^trial {trial.number}( \(.*\))?: pruned {trial.value:.4f} on 12 of 48 validation users after"
        assert bool(re.search(line, shown, re.MULTILINE)) == pruned
    states = [trial.state for trial in trials]
    assert {TrialState.PRUNED, TrialState.COMPLETE} == set(states)
    table = pd.read_csv(few.output / "tiny_mml" / "trials.csv").set_index("state")["validation_users"]
    assert set(table["PRUNED"]) == {12}
    assert set(table["COMPLETE"]) == {48}
    note = (few.output / "tiny_mml" / "report.md").read_text()
    assert note.count("on 12 of 48 validation users") == 1
    assert f"{states.count(TrialState.PRUNED)} pruned (measured on 12 of 48 validation users)" in note


@pytest.mark.pictures
def test_pictures_of_pruned_trials_have_the_numbers_of_users(few: Place):
    assert few.run("--search-only") == 0
    page = (few.output / "tiny_mml" / "report.html").read_text()
    assert "Before their last epoch trials are measured on 12 of 48 validation users." in page
    assert "pruned ones in grey, measured on 12 of 48 validation users." in page


def test_a_study_without_samples_has_no_remark_on_users(place: Place, capsys: pytest.CaptureFixture[str]):
    assert place.run("--search-only") == 0
    shown = capsys.readouterr().out
    assert "after epoch 1 and every later one, and after epoch 3, on all 48 validation users" in shown
    assert " of 48 validation users" not in shown + (place.output / "tiny_mml" / "report.md").read_text()


def test_the_sample_does_not_depend_on_the_ranges(few: Place, monkeypatch: pytest.MonkeyPatch):
    """Values that are copied into a study with wider ranges must come from the same users."""
    monkeypatch.setattr("hpo.study.plan.SHARE", 0.02)
    samples = []
    for ranges in ([1, 10], [5, 100]):
        spec = load_spec(str(few.study)).override({"space.also": ["negatives"], "space.ranges": {"negatives": ranges}})
        samples.append(Workspace.open(spec, few.output, str(few.root / "data"), "numba", "cpu").sample)
    assert samples[0].n_users_with_pairs == samples[1].n_users_with_pairs == 0.02 * 12 * 480 * (7 + 1) // 40
    assert samples[0].checksum == samples[1].checksum


def test_a_loss_that_compares_the_rows_of_a_batch_affords_as_many_users(few: Place, monkeypatch: pytest.MonkeyPatch):
    """DirectAU draws no negatives. A row is compared with the 63 others of its batch."""
    monkeypatch.setattr("hpo.study.plan.SHARE", 0.002)
    spec = load_spec(str(few.study)).override({"space": {"name": "directau"}})
    sample = Workspace.open(spec, few.output, str(few.root / "data"), "torch", "cpu").sample
    assert sample.n_users_with_pairs == int(0.002 * 12 * 480 * 64) // 40 == 18


@pytest.mark.parametrize("counts", [None, [0, 48], [49, 48]])
def test_a_study_without_the_numbers_of_users_is_refused_as_damaged(place: Place, fails: Callable[[int], str], counts: object):
    assert place.run("--search-only", "--trials", "1") == 0
    path = Path(journal(place))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        if EVALUATED_ON in line.get("user_attr", {}):
            line["user_attr"] = {EVALUATED_ON: counts}
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    for command in (export, report):
        where = place.where if command is export else ["--output", str(place.output)]
        assert "lacks the number of users that its trials were evaluated on" in fails(
            command.main(["--study", "tiny_mml", *where])
        )
