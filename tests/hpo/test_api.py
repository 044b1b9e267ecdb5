"""Search and confirm from Python. They do the same as the commands, take objects, and leave the process unchanged."""

from __future__ import annotations

import logging
import os
import re
import shutil
import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numba
import numpy as np
import optuna
import pandas as pd
import pytest
import torch
from optuna.trial import TrialState

from hpo import confirm as confirm_command
from hpo import report
from hpo.api import Dataset, confirm, load_study, search
from hpo.cli.session import as_arguments
from hpo.outcomes import Verdict
from hpo.reporting.export import ExportedConfig
from hpo.study.from_python import spec_of
from hpo.study.trials import tally
from trainers import InputError

from .conftest import Place
from .outcomes import confirmed

SETTINGS: dict[str, Any] = {  # of the tiny study, as arguments of Python
    "config": {
        "encoder": {"name": "mf", "dim": 8},
        "negatives": {"name": "uniform", "count": 7},
        "learning_rate": 0.01,
        "batch_size": 64,
    },
    "search": {"epochs": 3, "starts": 0},
    "confirm": {"top": 1, "select_seeds": 1, "seeds": 2, "epochs": 2},
    "space": {"name": "ccl"},
    "rivals": [],
}


def table(n_users: int = 48, seed: int = 3) -> pd.DataFrame:
    """The items of each user, from the first to the last. Even users like even items."""
    rng = np.random.default_rng(seed)
    rows = [
        (f"user {user}", int(item), 1000 * user + at)
        for user in range(n_users)
        for at, item in enumerate(rng.permutation(np.arange(user % 2, 40, 2))[:12])
    ]
    return pd.DataFrame(rows, columns=["who", "what", "when"])


def dataset(frame: pd.DataFrame | None = None, **options: Any) -> Dataset:
    frame = table() if frame is None else frame
    return Dataset.from_frame(frame, user="who", item="what", time="when", name="visits", **options)


def state() -> list[object]:
    """The state of a process that other code relies on."""
    loggers = [logging.getLogger(name) for name in ("hpo", "trainers", "optuna", "optuna.storages._rdb.storage")]
    return [
        *(signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)),
        *((logger.level, logger.handlers[:], logger.propagate) for logger in (*loggers, logging.root)),
        numba.get_num_threads(),
        torch.get_num_threads(),
    ]


def without_durations(text: str) -> str:
    return re.sub(r"(?:about )?\d+ (?:s|min)\b", "DURATION", text)


def test_a_search_equals_that_of_the_command(place: Place, capsys: pytest.CaptureFixture[str]):
    assert place.run("--search-only") == 0
    printed = capsys.readouterr().out
    before = state()
    study = search(place.study, output=place.root / "python", data_dir=str(place.root / "data"))
    assert state() == before
    mine = capsys.readouterr().out
    assert without_durations(mine).replace("/python/", "/out/") == without_durations(printed).partition("see the report")[0]
    theirs = load_study(place.study, output=place.output)
    columns = ["number", "state", "ndcg@20", "margins", "weights", "epochs_trained"]
    assert study.trials[columns].astype(str).equals(theirs.trials[columns].astype(str))
    assert study.best_config == ExportedConfig.read(place.output / "tiny_mml" / "best.yaml").config
    assert study.best_value == study.trials["ndcg@20"].max() == study.optuna.best_value
    assert repr(study).startswith("Study tiny_mml: 4 of 4 trials finished, ")
    assert f"<p>{repr(study)[:20]}" in study._repr_html_()
    assert study.report(place.root / "page.html").read_text() == (study.folder / "report.html").read_text()


def test_a_study_without_complete_trials_can_be_shown_and_reported(place: Place):
    """It may have no trial, or failed ones alone. Its folder may be gone."""
    place.run("--search-only", "--timeout", "0.000001", "--trials", "1")
    study = load_study("tiny_mml", output=place.output)
    assert study._repr_html_() == f"<p>{study!r}</p>"
    failed = study.optuna.ask()
    study.optuna.tell(failed, state=TrialState.FAIL)
    assert study._repr_html_() == f"<p>{study!r}</p>"
    shutil.rmtree(study.folder)
    assert "No verdict yet" in study.report().read_text()
    assert (study.folder / "owner.yaml").exists()


@pytest.mark.confirmed
def test_a_notebook_shows_small_standard_deviations(place: Place):
    """Of 0.00121 and 0.00123 it is 0.00002 / sqrt(2) = 0.0000141, which four decimals hide."""
    outcome = confirmed(place)
    first, *others = outcome.methods
    small = {
        seed: {**found, "ndcg@20": value}
        for (seed, found), value in zip(first.by_seed.items(), (0.00121, 0.00123), strict=True)
    }
    changed = outcome.model_copy(update={"methods": [replace(first, by_seed=small), *others]})
    html = Verdict(load_study("tiny_mml", output=place.output), changed)._repr_html_()
    assert "<td>0.001220</td>" in html
    assert "<td>0.000014</td>" in html


def test_nothing_is_printed_without_progress(place: Place, capfd: pytest.CaptureFixture[str]):
    study = search(place.study, output=place.output, data_dir=str(place.root / "data"), trials=1, progress=False)
    confirm(study, top=1, select_seeds=1, seeds=1, epochs=1, progress=False)
    assert capfd.readouterr() == ("", "")


@pytest.mark.confirmed
def test_a_confirmation_equals_that_of_the_command(place: Place, capsys: pytest.CaptureFixture[str]):
    before = state()
    verdict = confirm("tiny_mml", output=place.output, data_dir=str(place.root / "data"))
    assert state() == before
    printed = capsys.readouterr().out
    assert confirm_command.main(["--study", "tiny_mml", *place.where]) == 0
    assert capsys.readouterr().out == printed, "finished runs are used, and the verdict is the same"
    assert str(verdict) in as_arguments(printed)
    assert repr(verdict) == str(verdict)
    outcome = verdict.confirmed
    assert len(verdict.statements) == len(outcome.statements())
    assert verdict.statements[0] == outcome.statements()[0]
    said = "".join([*verdict.statements, *verdict.caveats])
    assert "--" not in re.sub("`[^`]*`", "", said), "arguments in place of flags"
    assert "--confirm-seeds" in "".join(outcome.statements())
    ours = outcome.methods[0]
    assert verdict.table.loc[ours.label, "ndcg@20"] == ours.mean("ndcg@20")
    assert verdict.table.index.tolist() == [*(one.label for one in outcome.methods), *(one.label for one in outcome.baselines)]
    assert verdict.league is None
    assert verdict.pairs is None
    first = outcome.comparisons[0]
    row = verdict.comparisons.loc[first.rival]
    assert (row["method"], row["verdict"]) == (ours.label, first.word)
    assert row["difference (%)"] == pytest.approx(100 * (verdict.table["ndcg@20"][ours.label] / first.base - 1))
    assert row["low (%)"] < row["difference (%)"] < row["high (%)"]
    assert row["p"] == first.p
    html = verdict._repr_html_()
    assert all(label in html for label in verdict.table.index)
    assert str(verdict.report()) == str(place.output / "tiny_mml" / "report.html")
    winner = place.output / "tiny_mml" / "winner.yaml"
    assert (verdict.winner is None) == (not winner.exists())
    if verdict.winner is not None:
        assert verdict.winner == ExportedConfig.read(winner).config


def test_a_table_in_memory_is_stored_for_commands(place: Place, monkeypatch: pytest.MonkeyPatch):
    study = search(dataset=dataset(), name="mine", trials=2, output=place.output, progress=False, **SETTINGS)
    assert study.spec.dataset == str(study.folder / "visits.npz")
    assert (study.spec.search.epochs, study.spec.objective) == (3, "ndcg@20")
    again = search(dataset=dataset(), name="mine", trials=3, output=place.output, progress=False, **SETTINGS)
    assert tally(again.optuna.trials).finished == 3
    monkeypatch.chdir(place.root)
    assert confirm_command.main(["--study", "mine", "--output", str(place.output)]) == 0
    moved = place.output.rename(place.root / "moved")
    verdict = confirm("mine", output=moved, progress=False)
    assert verdict.confirmed.data.facts.read == ("read 576 interactions: user=who, item=what, time=when; a table in memory",)
    assert report.main(["--study", "mine", "--output", str(moved)]) == 0


def test_a_table_may_replace_the_data_of_a_study(place: Place):
    spec, used = spec_of(str(place.study), "mine", {"dataset": dataset(), "rivals": []}, place.output, None)
    assert used is not None
    assert (spec.name, spec.objective) == ("mine", "ndcg@20")
    assert spec.dataset == str(place.output.resolve() / "mine" / "visits.npz")


def test_a_rival_whose_trials_all_fail_is_a_warning(place: Place):
    file = place.root / "tiny_ccl.yaml"
    file.write_text(file.read_text().replace("learning_rate: 1.0e-2", "learning_rate: 1.0e+38"))
    where = {"output": place.output, "data_dir": str(place.root / "data"), "progress": False}
    with pytest.warns(UserWarning, match="study 'tiny_ccl': too many trials failed"):
        study = search(str(place.study), tune_rivals=True, **where)
    assert tally(study.optuna.get_trials()).finished == 4


def test_a_config_that_is_no_mapping_is_refused(place: Place):
    with pytest.raises(InputError, match=r"config must be a mapping, \{name: value\}, got \[1\]"):
        search(dataset=dataset(), space="mml", name="a", config=[1], output=place.output)  # type: ignore[arg-type]


def test_a_changed_table_is_refused(place: Place):
    search(dataset=dataset(), name="mine", trials=1, output=place.output, progress=False, **SETTINGS)
    kept = (place.output / "mine" / "visits.npz").read_bytes()
    of_train, of_test = table(), table()
    of_train.loc[0, "what"] = 38
    of_test.loc[11, "what"] = 38
    for changed, words in (
        (of_train, "validation pairs have changed"),
        (of_test, "holds the earlier table"),
    ):
        with pytest.raises(InputError, match=words) as refused:
            search(dataset=dataset(changed), name="mine", trials=2, output=place.output, progress=False, **SETTINGS)
        assert "another name with name=" in str(refused.value)
        assert "--" not in "".join(str(refused.value).split("`")[::2]), "only commands have flags"
    assert (place.output / "mine" / "visits.npz").read_bytes() == kept
    search(dataset=dataset(of_test), name="other", trials=1, output=place.output, progress=False, **SETTINGS)


def test_missing_settings_are_those_of_a_drafted_study(place: Place):
    asked = {"output": place.output, "engine": "torch", "progress": False, "epochs": 1, "trials": 1}
    study = search(dataset=dataset(), space="ccl", name="mine", config={"batch_size": 32}, **asked)
    spec = study.spec
    assert (spec.space.name, spec.space.also) == ("ccl", ("learning_rate",))
    assert (spec.config["batch_size"], spec.config["schedule"]) == (32, "linear")
    assert spec.rivals == ("bsl", "sl"), "without the loss itself"
    assert spec.objective == "ndcg@20"
    assert study.best_config.encoder.init_std == 0.1


def test_another_space_by_name_keeps_what_is_searched_beside_the_loss(place: Place):
    space = {"name": "mml", "n_margins": 3, "also": ["learning_rate"], "ranges": {"learning_rate": [1e-3, 1.0]}}
    keys = {"dataset": "demo", "space": space, "search": {"trials": 1, "epochs": 1}}
    study = search(keys, space="ccl", name="mine", engine="torch", output=place.output, progress=False)
    assert (study.spec.space.name, study.spec.space.also) == ("ccl", ("learning_rate",))
    assert study.spec.space.ranges == {"learning_rate": (1e-3, 1.0)}


def test_arguments_replace_the_keys_of_a_study(place: Place):
    study = search(
        "demo_mml",
        space="ccl",
        name="mine",
        confirm={"seeds": 4},
        rivals=["bpr"],
        trials=1,
        epochs=1,
        engine="torch",
        output=place.output,
        progress=False,
    )
    assert (study.spec.space.name, study.spec.confirm.seeds, study.spec.confirm.top) == ("ccl", 4, 3)
    assert study.spec.config["encoder"] == {"name": "mf", "dim": 32}


def test_a_mapping_is_read_like_a_study_file(place: Place):
    content = {**SETTINGS, "dataset": str(place.root / "data" / "tiny")}
    study = search(content, name="mine", trials=1, output=place.output, progress=False)
    assert study.best_config.loss.name == "ccl"


BAD: dict[str, tuple[Callable[[Place], Any], str]] = {
    "an unknown argument": (lambda place: search("demo_mml", trails=3), "unknown key 'trails'; did you mean 'trials'?"),
    "no trials": (lambda place: search("demo_mml", trials=0), r"search\(\): trials: .* greater than or equal to 1, got 0"),
    "an unknown study": (lambda place: search("demo_mlm"), "unknown study 'demo_mlm'; did you mean 'demo_mml'?"),
    "no study": (lambda place: search(), "a search needs a study"),
    "no name": (lambda place: search(dataset="demo", space="mml"), "needs a name .* such as name='mine'"),
    "a name in a mapping": (
        lambda place: search({"dataset": "demo", "space": "mml", "name": "a"}, name="b"),
        r"study: unknown key 'name'; leave it out, and name the study by name='\.\.\.'",
    ),
    "an empty name": (lambda place: search("demo_mml", name=""), "a study's name must have 1 to 100 letters, .*, got ''"),
    "no space": (lambda place: search(dataset="demo", name="a"), "study a: needs a space"),
    "a name that climbs": (
        lambda place: search(dataset=dataset(), space="mml", name="../a"),
        "a study's name must have 1 to 100 letters",
    ),
    "no study at all": (lambda place: search(3), "must be the name of a shipped study, a file, or a mapping"),  # type: ignore[arg-type]
    "a name that is no text": (lambda place: search("demo_mml", name=5), "name: must be text, got 5"),  # type: ignore[arg-type]
    "another name that is none": (
        lambda place: search(dataset=dataset(), space="mml", name=5),  # type: ignore[arg-type]
        "a study's name must have 1 to 100 letters, .*, got 5",
    ),
    "a key that is no text": (
        lambda place: search(dataset=dataset(), space="mml", name="a", config={1: 2}),  # type: ignore[dict-item]
        r"study a: config\.1\.\[key\]: must be text, got 1",
    ),
    "an inner key that is no text": (
        lambda place: search(dataset=dataset(), space="mml", name="a", config={"encoder": {1: 2}}),
        r"study a: config: encoder: must be a mapping with a name, .*, got \{1: 2\}",
    ),
    "an option that is no text": (
        lambda place: search(dataset="demo", space="mml", name="a", data={1: 2}),  # type: ignore[dict-item]
        r"data a mapping, \{name: value\}, got 'demo' and \{1: 2\}",
    ),
    "a key without effect": (
        lambda place: search("demo_mml", search={"pruner": {"percentile": 20}}),
        "study demo_mml: search.pruner.percentile: has no effect with name median, got 20",
    ),
    "a loaded study that is no name": (lambda place: load_study(5), "by its name or its file, got 5"),  # type: ignore[arg-type]
    "a confirmed study that is no name": (lambda place: confirm(5), "by its name or its file, got 5"),  # type: ignore[arg-type]
    "an unknown space": (lambda place: search(dataset=dataset(), space="mmm", name="a"), "unknown space 'mmm'"),
    "a bare table": (
        lambda place: search(dataset=table(), space="mml", name="a"),
        r"got a table; make one from a pandas table with Dataset\.f",
    ),  # type: ignore[arg-type]
    "options twice": (
        lambda place: search(dataset=dataset(), data={"k_core": 2}, space="mml", name="a"),
        "data must be left out for a table in memory",
    ),
    "a space in place of an unknown one": (
        lambda place: search({"dataset": "demo", "space": {"name": "mmll"}}, space="ccl", name="a"),
        "space: unknown space 'mmll'; did you mean 'mml'",
    ),
    "a space in place of one with a wrong name": (
        lambda place: search({"dataset": "demo", "space": {"name": ["mml"]}}, space="ccl", name="a"),
        r"space: unknown space \['mml'\]; did you mean 'mml'",
    ),
    "a space in place of a wrong one": (
        lambda place: search({"dataset": "demo", "space": {"name": "mml", "also": ["x"]}}, space="ccl", name="a"),
        r"space: also\.0: must be 'learning_rate', .*, got 'x'",
    ),
    "a rival as text": (lambda place: search("demo_mml", rivals="ccl"), r"rivals: must be a list, .* write \['ccl'\]"),
    "sqlite for two": (
        lambda place: search("demo_mml", workers=2, storage=f"sqlite:///{place.root}/a.db"),
        "several workers cannot share SQLite",
    ),
    "an unknown engine": (lambda place: search("demo_mml", engine="nomba"), "did you mean 'numba'?"),
    "confirm of none": (
        lambda place: confirm("demo_mml", output=place.output),
        "no journal|nothing has been run|does not exist",
    ),
    "confirm with trials": (lambda place: confirm("demo_mml", trials=3), r"confirm\(\): unknown key 'trials'"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_raises_one_message_and_writes_nothing(place: Place, case: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(place.root)
    before = {*place.root.rglob("*")}
    call, message = BAD[case]
    with pytest.raises(InputError, match=message):
        call(place)
    assert {*place.root.rglob("*")} == before


def test_confirm_takes_the_output_folder_from_the_study(place: Place):
    study = search(place.study, output=place.output, data_dir=str(place.root / "data"), trials=1, progress=False)
    with pytest.raises(InputError, match="'output' must be left out, since the study has it"):
        confirm(study, output=place.root)


def test_ctrl_c_keeps_finished_work_and_the_same_call_continues(place: Place):
    asked: dict[str, Any] = {"output": place.output, "data_dir": str(place.root / "data"), "progress": False}
    before, at = state(), threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    at.start()
    with pytest.raises(KeyboardInterrupt, match=r"finished work and checkpoints are kept; the same call continues"):
        search(place.study, trials=100_000, **asked)
    assert state() == before
    optuna_study = load_study("tiny_mml", output=place.output).optuna
    finished = tally(optuna_study.trials).finished
    assert not tally(optuna_study.trials).running
    study = search(place.study, trials=finished + 1, **asked)
    assert tally(study.optuna.trials).finished == finished + 1


def test_another_thread_may_search_too(place: Place):
    """Web servers use threads. Python allows no signal handlers there."""
    found: list[Any] = []

    def work() -> None:
        found.append(search(place.study, trials=1, output=place.output, data_dir=str(place.root / "data"), progress=False))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found[0].best_value > 0


def test_messages_go_to_the_log_of_the_program(place: Place, caplog: pytest.LogCaptureFixture):
    """Here pytest is the program, with handlers of the root logger."""
    optuna.logging.set_verbosity(optuna.logging.INFO)
    search(place.study, trials=1, output=place.output, data_dir=str(place.root / "data"))
    assert "A new study created" not in caplog.text
    assert optuna.logging.get_verbosity() == optuna.logging.INFO
