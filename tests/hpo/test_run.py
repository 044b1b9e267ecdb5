"""The command line, through main(argv) and as a real process that gets signals."""

from __future__ import annotations

import signal
from collections.abc import Callable

import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.trial import TrialState

from hpo import confirm, export, train
from hpo.reporting.export import ExportedConfig
from hpo.storage.open import open_storage
from hpo.study.attributes import PUBLISHED_MARK
from hpo.study.definition import DEFINITION
from trainers import TrainConfig
from trainers.yaml_files import read_yaml

from .conftest import Place
from .outcomes import opened
from .processes import start, wait_for_a_running_trial


def study_of(place: Place, name: str = "tiny_mml") -> optuna.Study:
    return optuna.load_study(study_name=name, storage=open_storage(str(place.output / "journal.log")))


def finished(place: Place) -> list[optuna.trial.FrozenTrial]:
    return study_of(place).get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED))


def test_search_to_the_budget_and_export(place: Place, capsys: pytest.CaptureFixture[str]):
    assert place.run("--search-only") == 0
    trials = study_of(place).trials
    assert len(trials) == 4
    assert trials[0].state == TrialState.COMPLETE
    for trial in trials:
        attributes = trial.user_attrs
        assert attributes["margins"] == sorted(attributes["margins"])
        assert attributes["weights"] == sorted(attributes["weights"])
        assert sum(attributes["weights"]) == pytest.approx(1.0)
        assert attributes["epochs_trained"] == max(trial.intermediate_values)
        assert 0.0 < attributes["recall@20"] <= 1.0
        assert trial.value == trial.intermediate_values[max(trial.intermediate_values)], "the value is that of the last epoch"
    assert set(trials[0].intermediate_values) == {1, 2, 3}, "it is evaluated where it may be pruned and after the last epoch"
    best = read_yaml(place.output / "tiny_mml" / "best.yaml")
    assert best["validation"]["ndcg@20"] == max(t.value for t in trials if t.state == TrialState.COMPLETE)
    assert TrainConfig.from_dict(best["config"]).epochs == 3
    assert best["data"]["checksum"]
    assert best["provenance"]["dependencies"]["optuna"] == optuna.__version__
    table = pd.read_csv(place.output / "tiny_mml" / "trials.csv")
    assert table["ndcg@20"].tolist() == pytest.approx([t.value for t in trials])
    assert {"margins", "weights", "margin_top", "epochs_trained", "train_seconds", "state"} <= set(table.columns)
    assert "4 of 4 finished" in capsys.readouterr().out


def test_the_table_of_trials_has_the_trained_settings(place: Place):
    """The logarithmic range of the search has no l2 of 0. Its lowest value means 0."""
    place.edit("{name: mml, n_margins: 2}", "{name: mml, n_margins: 4, also: [l2]}")
    assert place.run("--search-only", "--trials", "2") == 0
    published, other = finished(place)
    table = pd.read_csv(place.output / "tiny_mml" / "trials.csv")
    assert table.columns.is_unique
    assert published.params["l2"] > 0.0
    assert table["l2"].tolist() == [0.0, other.user_attrs["l2"]]


def test_a_repeated_run_reports_the_met_budget_and_a_larger_one_continues(place: Place, capsys: pytest.CaptureFixture[str]):
    assert place.run("--search-only", "--trials", "2") == 0
    assert place.run("--search-only", "--trials", "2") == 0
    assert len(finished(place)) == 2
    assert "the budget is met, 2 of 2 finished" in capsys.readouterr().out
    assert place.run("--search-only", "--trials", "3") == 0
    assert len(finished(place)) == 3
    assert len({tuple(trial.params.values()) for trial in finished(place)}) == 3, "a continued search repeats no point"


def test_the_published_config_is_first_and_never_pruned(place: Place):
    published = "{name: mml, n_margins: 4}"
    place.edit("{name: mml, n_margins: 2}", published)
    place.edit("n_startup_trials: 2, n_warmup_steps: 1", "n_startup_trials: 0, n_warmup_steps: 0")
    assert place.run("--search-only") == 0
    first = study_of(place).trials[0]
    assert first.user_attrs[PUBLISHED_MARK] == "published settings of Yelp2018"
    assert first.user_attrs["margins"] == [0.6, 0.7, 0.8, 0.9]
    assert first.user_attrs["weights"] == [0.05, 0.15, 0.2, 0.6]
    assert first.state == TrialState.COMPLETE


def test_the_message_about_too_few_trials_for_the_sampler_has_a_remedy(place: Place, capsys: pytest.CaptureFixture[str]):
    place.edit("n_margins: 2", "n_margins: 4")
    for trials, expected in (("22", True), ("23", False)):
        assert place.run("--dry-run", "--trials", trials) == 0
        text = " ".join(capsys.readouterr().out.split())
        words = "2 starts and 20 random trials come before its first proposal; give --trials 23 or more"
        assert (words in text) is expected


def test_the_location_of_a_new_study_is_printed(place: Place, capsys: pytest.CaptureFixture[str]):
    """A user then notices a forgotten --output."""
    other = place.root / "other journal.log"
    for is_new in (True, False):
        assert place.run("--search-only", "--trials", "1", "--storage", str(other)) == 0
        text = " ".join(capsys.readouterr().out.split())
        assert (f"tiny_mml: a new study in {other}" in text) is is_new
    assert place.run("--search-only", "--trials", "1", "--storage", str(other), "--study-name", "again") == 0
    assert f"hpo.dashboard --output {place.output} --storage '{other}'" in " ".join(capsys.readouterr().out.split())


def test_a_space_without_the_published_config_gives_a_message(place: Place, capsys: pytest.CaptureFixture[str]):
    assert place.run("--search-only", "--trials", "1") == 0
    assert "no trial of published settings" in capsys.readouterr().out


def test_the_same_seed_gives_the_same_trials_and_values(place: Place):
    place.run("--search-only")
    place.run("--search-only", "--study-name", "again")
    place.run("--search-only", "--study-name", "other", "--seed", "1")
    first, again, other = (study_of(place, name).trials for name in ("tiny_mml", "again", "other"))
    assert [(t.params, t.value, t.state) for t in first] == [(t.params, t.value, t.state) for t in again]
    assert [t.params for t in first] != [t.params for t in other]


def test_the_exported_config_trains_to_its_value(place: Place, capsys: pytest.CaptureFixture[str]):
    place.run("--search-only")
    best = place.output / "tiny_mml" / "best.yaml"
    value = read_yaml(best)["validation"]["ndcg@20"]
    capsys.readouterr()
    vectors = place.root / "vectors.npz"
    assert train.main([str(best), "--data-dir", str(place.root / "data"), "--save", str(vectors)]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert f"validation ndcg@20 {value:.6f}" in shown[-3]
    assert shown[-2] == f"exported: {shown[-3].partition(', ')[2]}", "the same figures"
    with np.load(vectors, allow_pickle=False) as arrays:
        assert arrays["users"].shape == (48, 8)
        assert arrays["items"].shape == (40, 8)


def test_an_edited_export_is_trained_without_its_old_figures(place: Place, capsys: pytest.CaptureFixture[str]):
    place.run("--search-only", "--trials", "1")
    best = place.output / "tiny_mml" / "best.yaml"
    best.write_text(best.read_text().replace("batch_size: 64", "batch_size: 32"))
    capsys.readouterr()
    assert train.main([str(best), "--data-dir", str(place.root / "data")]) == 0
    shown = capsys.readouterr().out
    assert "epoch 3/3" in shown
    assert "exported" not in shown
    assert f"{best}: the config was edited after its export, so the figures in the file are not its own" in shown


def test_a_study_file_is_no_config(place: Place, fails: Callable[[int], str]):
    """Its message must not advise to delete it."""
    message = fails(train.main([str(place.study), "--data-dir", str(place.root / "data")]))
    assert message.startswith(f"error: {place.study}: is a study file, got its keys ")
    assert message.rstrip().endswith(f"search it with hpo.run --study {place.study}, then train its best.yaml")


def test_dry_run_writes_nothing(place: Place, capsys: pytest.CaptureFixture[str]):
    assert place.run("--dry-run") == 0
    shown, logged = capsys.readouterr()
    assert "asked for" not in shown + logged, "no engine was"
    assert shown.count("# sampled config") == 3
    assert "# search without pruning: 4 trials x 3 = 12 epochs, and as many for each rival with --tune-rivals\n" in shown
    assert "# confirm: 4 epochs a run; for each tuned method at most 3 configs x 2 seeds = 6 runs on validation, then" in shown
    assert "(10 % of each user's interactions, rounded up, drawn at random with seed 2024)" in shown
    assert not place.output.exists()


@pytest.mark.parametrize(
    ("change", "why_not"),
    [
        ("n_warmup_steps: 3", "search.pruner.n_warmup_steps is 3, and a trial has 3 epochs; lower it to allow pruning"),
        (
            "n_warmup_steps: 0, interval_steps: 3",
            "search.pruner.interval_steps is 3, and a trial has 3 epochs; lower it to allow pruning",
        ),
        ("n_warmup_steps: 1, n_startup_trials: 4", "the pruner waits for 4 trials after 2 starts, and the search has 4"),
        ("n_warmup_steps: 1, n_startup_trials: 1", ""),
    ],
)
def test_a_pruner_that_can_stop_no_trial_gives_a_message(
    place: Place, capsys: pytest.CaptureFixture[str], change: str, why_not: str
):
    place.edit("n_startup_trials: 2, n_warmup_steps: 1, n_min_trials: 1, interval_steps: 1", f"{change}, n_min_trials: 1")
    assert place.run("--dry-run") == 0
    shown = capsys.readouterr().out
    assert (f"no trial will be pruned: {why_not}" in shown) if why_not else ("no trial will be pruned" not in shown)


def test_without_a_pruner_only_the_last_epoch_is_evaluated(place: Place, capsys: pytest.CaptureFixture[str]):
    place.edit("name: median", "name: none")
    assert place.run("--search-only", "--trials", "1") == 0
    assert list(study_of(place).trials[0].intermediate_values) == [3]
    assert "no trial will be pruned" not in capsys.readouterr().out, "the study asks for it"


def test_timeout_stops_the_search_and_keeps_finished_trials(place: Place):
    assert place.run("--search-only", "--trials", "1") == 0
    assert place.run("--search-only", "--trials", "100000", "--timeout", "5") == 0
    states = {trial.state for trial in study_of(place).trials}
    assert TrialState.RUNNING not in states
    assert 1 < len(finished(place)) < 100000


def test_diverging_trials_fail_with_a_reason_and_stop_the_run(place: Place, capsys: pytest.CaptureFixture[str]):
    place.edit("learning_rate: 1.0e-2", "learning_rate: 1.0e+38")
    assert place.run("--search-only") == 1
    shown = capsys.readouterr()
    assert "too many trials failed" in shown.err
    assert "Traceback" not in shown.err
    trials = study_of(place).trials
    assert [trial.state for trial in trials] == [TrialState.FAIL] * 5
    assert all(trial.user_attrs["failure"]["epoch"] >= 1 for trial in trials)
    progress = opened(place).progress()
    assert "5 failed, 5 epochs trained" in progress
    assert "Trial 0 failed: training diverged in epoch 1" in progress
    assert progress.endswith(" 2 more failed.")


def test_export_writes_best_yaml_again(place: Place, capsys: pytest.CaptureFixture[str]):
    place.run("--search-only", "--trials", "2", "--epochs", "2")
    best = place.output / "tiny_mml" / "best.yaml"
    before = read_yaml(best)
    best.unlink()
    assert export.main(["--study", "tiny_mml", *place.where]) == 0
    after = read_yaml(best)
    assert after["config"] == before["config"]
    assert after["config"]["epochs"] == 2, "the stored definition counts, and not the file"


@pytest.mark.skipif("__import__('torch').cuda.is_available()", reason="this machine has CUDA")
def test_a_study_of_another_engine_can_be_exported(place: Place, fails: Callable[[int], str]):
    """To confirm it needs a machine with a GPU."""
    place.run("--search-only", "--trials", "2", "--epochs", "2")
    study, best = study_of(place), place.output / "tiny_mml" / "best.yaml"
    study.set_user_attr(DEFINITION, study.user_attrs[DEFINITION] | {"engine": "triton"})
    best.unlink()
    assert export.main(["--study", "tiny_mml", *place.where]) == 0
    assert read_yaml(best)["data"]["engine"] == "triton"
    assert "engine triton needs a CUDA device" in fails(confirm.main(["--study", "tiny_mml", *place.where]))


def test_the_storage_may_come_from_a_flag_or_a_variable(place: Place, monkeypatch: pytest.MonkeyPatch):
    url = f"sqlite:///{place.root}/studies.db"
    assert place.run("--search-only", "--trials", "2", "--storage", url) == 0
    monkeypatch.setenv("HPO_STORAGE", url)
    assert place.run("--search-only", "--trials", "3") == 0
    assert len(optuna.load_study(study_name="tiny_mml", storage=url).trials) == 3
    assert not (place.output / "journal.log").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--trials", "0"], "must be at least 1, got 0"),
        (["--trials", "-3"], "must be at least 1, got -3"),
        (["--trials", "many"], "must be a whole number of at least 1, got 'many'"),
        (["--epochs", "0"], "--epochs: must be at least 1, got 0"),
        (["--seed", "-1"], "--seed: must be at least 0, got -1"),
        (["--seed", "x"], "--seed: must be a whole number of at least 0, got 'x'"),
        (["--seed", str(2**63 - 1)], "search.seed: must be less than or equal to"),
        (["--stale-after", "0"], "--stale-after: must be a finite number above 0, got 0"),
        (["--study-name", "replicate"], "study's name"),
        (["--timeout", "nan"], "--timeout: must be a finite number above 0, got nan"),
        (["--engine", "numbat"], "invalid choice: 'numbat'"),
        (["--study-name", "../x"], "study's name"),
        (["--study-name", ""], "study's name"),
        (["--study-name", "x.yaml"], "not end in .yaml or .yml"),
        (["--data-dir", "/nowhere"], "/nowhere"),
        (["--rival-seeds", "sl=1"], "--rival-seeds: unknown rival 'sl'; did you mean 'bsl'? known: bsl, ccl"),
        (["--rival-seeds", "ccl=3"], "--rival-seeds ccl=3: a rival may have at most the 2 seeds of the other methods"),
        (["--storage", "postgresql+psycopg://me:hunter2@127.0.0.1:1/x"], "cannot be opened"),
    ],
)
def test_bad_flags_are_refused(place: Place, fails: Callable[[int], str], flags: list[str], message: str):
    shown = fails(place.run(*flags))
    assert message in shown
    assert shown.count("hunter2") == 0
    assert not place.output.exists(), "nothing is written"


@pytest.mark.skipif("__import__('torch').cuda.is_available()", reason="this machine has CUDA")
def test_cuda_is_refused_without_a_device(place: Place, fails: Callable[[int], str]):
    assert "finds no CUDA device" in fails(place.run("--device", "cuda"))


def test_a_folder_without_write_access_is_refused(place: Place, fails: Callable[[int], str]):
    place.output.write_text("a file in its place")
    assert "cannot be written" in fails(place.run("--search-only"))


def test_another_definition_is_refused_and_the_study_kept(place: Place, fails: Callable[[int], str]):
    place.run("--search-only", "--trials", "2")
    message = fails(place.run("--search-only", "--epochs", "2"))
    assert "search.epochs: was 3, now 2" in message
    assert "--study-name" in message
    assert len(finished(place)) == 2


@pytest.mark.parametrize("command", [export, confirm])
def test_commands_refuse_unknown_studies(place: Place, fails: Callable[[int], str], command):
    assert "there is no journal" in fails(command.main(["--study", "tiny_mml", *place.where]))
    place.run("--search-only", "--trials", "1")
    assert "unknown study 'tiny_mm'; did you mean 'tiny_mml'" in fails(command.main(["--study", "tiny_mm", *place.where]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("loss: {name: mml, margins: [0.9, 0.6], weights: [0.5, 0.5], negative_weight: 1.0}\n", "ascending order"),
        ("loss: {name: mml\n", "line"),
        ("loss: 3\nloss: 4\n", "line 2"),
        ("- 1\n", "must hold a mapping"),
        ("loss: {name: ccll, margin: 0.5, negative_weight: 1.0}\n", "unknown loss 'ccll'; did you mean 'ccl'"),
        (
            "config: {loss: {name: ccl, margin: 0.5, negative_weight: 1.0}}\n",
            f"format {ExportedConfig.FORMAT}, got none",
        ),
        ("\x00\x01", "mine.yaml"),
    ],
)
def test_bad_config_files_are_refused(place: Place, fails: Callable[[int], str], text: str, message: str):
    path = place.root / "mine.yaml"
    path.write_text(text)
    assert message in fails(train.main([str(path), "--dataset", "demo"]))


@pytest.mark.parametrize(
    ("split", "content", "message"),
    [
        ("train", None, "must have a file train.txt"),
        ("train", "", "no interactions"),
        ("train", "0 1\n1 x\n", "train.txt, line 2"),
        ("train", "0 -4\n", "train.txt, line 1"),
        ("train", f"0 {2**40}\n", "train.txt, line 1"),
        ("train", "0 1\n1 2\n", "some user must have two interactions"),
        ("test", None, "must have a file test.txt"),
        ("test", "0 1 x\n", "test.txt, line 1"),
        ("test", "1000 2000\n", "test pairs must have users and items of the training data, got none"),
    ],
)
def test_bad_data_are_refused(place: Place, fails: Callable[[int], str], split: str, content: str | None, message: str):
    path = place.root / "data" / "tiny" / f"{split}.txt"
    path.unlink() if content is None else path.write_text(content)
    assert message in fails(place.run("--trials", "1", "--top", "1"))
    assert split == "test" or not (place.output / "journal.log").exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("dataset: tiny", "dataset: tinny", "must have the study's dataset, tinny, and rival 'tiny_ccl' has tiny"),
        ("{name: mml, n_margins: 2}", "{name: mlm}", "unknown space 'mlm'; did you mean 'mml'"),
        ("trials: 4", "trials: 0", "search.trials"),
        ("  epochs: 3", "  epochs: 3\n  epochs: 4", "line 7"),
        ("rivals: [", "rivals: [[", "line"),
        ("tiny_ccl.yaml", "absent.yaml", "absent.yaml: cannot be read"),
        ("learning_rate: 1.0e-2", "learning_rate: -1.0", "learning_rate"),
    ],
)
def test_bad_study_files_are_refused(place: Place, fails: Callable[[int], str], old: str, new: str, message: str):
    place.edit(old, new)
    assert message in fails(place.run("--trials", "1"))
    assert not (place.output / "journal.log").exists(), "found before the first trial"


@pytest.mark.parametrize("value", ["abc", "null", "-1", "[1]", "1.5"])
def test_a_damaged_export_is_refused(place: Place, fails: Callable[[int], str], value: str):
    place.run("--search-only", "--trials", "1")
    best = place.output / "tiny_mml" / "best.yaml"
    best.write_text(best.read_text().replace("seed: 2024", f"seed: {value}"))
    assert "best.yaml: data.validation.seed" in fails(train.main([str(best), "--data-dir", str(place.root / "data")]))


def test_a_config_without_a_dataset_is_refused(place: Place, fails: Callable[[int], str]):
    path = place.root / "mine.yaml"
    path.write_text("loss: {name: ccl, margin: 0.5, negative_weight: 1.0}\n")
    assert "give one with --dataset" in fails(train.main([str(path)]))
    assert "cannot be read" in fails(train.main([str(place.root / "absent.yaml"), "--dataset", "demo"]))


@pytest.fixture
def slow_place(place: Place) -> Place:
    """A study with trials of many epochs, so a signal comes during a trial."""
    place.edit("epochs: 3", "epochs: 600")
    place.edit("interval_steps: 1", "interval_steps: 50")
    place.edit("trials: 4", "trials: 3")
    return place


def test_a_killed_search_continues(slow_place: Place):
    process = start(slow_place)
    wait_for_a_running_trial(slow_place, process)
    process.kill()
    process.communicate()
    assert slow_place.run("--search-only") == 0
    states = [trial.state for trial in study_of(slow_place).trials]
    assert TrialState.RUNNING not in states
    assert len(finished(slow_place)) == 3
    assert states.count(TrialState.FAIL) == 1, "only the killed trial has failed"
    killed = next(trial for trial in study_of(slow_place).trials if trial.state == TrialState.FAIL)
    again = [trial for trial in finished(slow_place) if trial.params == killed.params]
    assert len(again) == 1, "it was trained again exactly once"


def test_a_signal_requeues_the_trial_and_the_message_has_the_way_to_continue(slow_place: Place):
    process = start(slow_place)
    wait_for_a_running_trial(slow_place, process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command continues" in errors
    assert "Traceback" not in errors
    trials = study_of(slow_place).trials
    assert TrialState.RUNNING not in {trial.state for trial in trials}
    waiting = [trial for trial in trials if trial.state == TrialState.WAITING]
    assert len(waiting) == 1
    assert slow_place.run("--search-only") == 0
    assert len(finished(slow_place)) == 3
