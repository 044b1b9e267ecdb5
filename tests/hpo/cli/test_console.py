"""The progress of a run is printed: the number of its epochs, and regular lines if the output is no terminal."""

from __future__ import annotations

import io

import optuna
import pytest
from rich.console import Console

from hpo.cli import console
from hpo.cli.console import RunProgress, SearchProgress, say, table
from hpo.study.attributes import NEAREST_MARK, PUBLISHED_MARK, START_MARK


@pytest.mark.parametrize(("terminal", "pause", "lines"), [(False, 0.0, 2), (False, 60.0, 0), (True, 0.0, 0)])
def test_a_long_run_prints_lines_only_without_a_terminal(
    monkeypatch: pytest.MonkeyPatch, terminal: bool, pause: float, lines: int
):
    monkeypatch.setattr(console, "LINE_SECONDS", pause - 1e-9)
    out = io.StringIO()
    with RunProgress(Console(file=out, force_terminal=terminal)) as progress, progress.run("MML, seed 1", 3) as advance:
        for _ in range(3):
            advance()
    printed = out.getvalue()
    assert printed.count("of 3 epochs, about 0 s left") == lines
    assert ("MML, seed 1: 1 of 3 epochs, about 0 s left\n" in printed) is bool(lines)
    assert "MML, seed 1: 3 epochs in 0 s\n" in printed


def test_the_epochs_of_a_run_that_ended_early_are_printed():
    out = io.StringIO()
    with RunProgress(Console(file=out)) as progress, progress.run("MML, seed 1", 100) as advance:
        advance()
        advance()
    assert out.getvalue() == "MML, seed 1: 2 epochs in 0 s\n"


def test_the_live_display_drops_lost_trials():
    study = optuna.create_study()
    with SearchProgress(Console(file=io.StringIO(), force_terminal=True), epochs=30) as progress:
        progress.begin(study, 10)
        progress.running({3: 7, 4: 0}, study)
        (task,) = progress.bar.tasks
        assert task.fields["now"] == "trial 3: epoch 7/30, 4"
        progress.running({4: 1}, study)
        assert task.fields["now"] == "trial 4: epoch 1/30"
        assert task.completed == 1
        progress.running({}, study)
        assert task.fields["now"] == "no trial runs"


@pytest.mark.parametrize(
    ("mark", "shown"),
    [
        (PUBLISHED_MARK, " (published settings of Yelp2018)"),
        (NEAREST_MARK, " (nearest to the published settings of Yelp2018)"),
        (START_MARK, " (published settings of Yelp2018)"),
        ("margins", ""),
    ],
)
def test_the_line_of_a_warm_start_has_its_origin(mark: str, shown: str):
    out, study = io.StringIO(), optuna.create_study()
    study.enqueue_trial({}, user_attrs={mark: "published settings of Yelp2018"})
    study.optimize(lambda trial: 0.5, n_trials=1)
    with SearchProgress(Console(file=out), epochs=30) as progress:
        progress.begin(study, 10)
        progress.finished(study.trials[0], study)
    assert f"trial 0{shown}: complete" in out.getvalue()


ODD = "[/x] [red]a\x1b[2J\u202e\tb\n"
SHOWN = "[/x] [red]a\\x1b[2J\\u202e"


@pytest.mark.parametrize("terminal", [False, True])
def test_names_are_neither_markup_nor_control_sequences(terminal: bool):
    """Names come from files, studies and data."""
    out = io.StringIO()
    target = Console(file=out, force_terminal=terminal, width=120, color_system=None)
    say(target, ODD)
    target.print(table(ODD, ["a", ODD], [[ODD, "1"]]))
    with RunProgress(target) as runs, runs.run(ODD, 2) as advance:
        advance()
        runs.bar.refresh()
    study = optuna.create_study(study_name=ODD)
    with SearchProgress(target, epochs=3) as progress:
        progress.begin(study, 3)
        progress.running({0: 1}, study)
        progress.bar.refresh()
    assert out.getvalue().count(SHOWN) >= (9 if terminal else 5)
    assert "\x1b[2J" not in out.getvalue()
    assert "\u202e" not in out.getvalue()


def test_a_terminal_without_unicode_gets_an_ascii_spinner():
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    with RunProgress(Console(file=out, force_terminal=True)) as progress, progress.run("x", 2):
        progress.bar.refresh()


def test_a_table_of_80_columns_breaks_no_words():
    out, figure = io.StringIO(), "0.2554 ± 0.0011"
    label = "CCL (simplex, published settings of MF on Yelp2018)"
    header = ["method", "ndcg@20", "recall@20", "ndcg@50", "recall@50", "runs", "lead of MML tuned"]
    Console(file=out, width=80).print(table("T", header, [[label, *[figure] * 4, "3", "+181.3 %"]]))
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    words = {word for line in lines for word in line.replace("│", " ").replace("┃", " ").split()}
    assert {*label.split(), "recall@50", "0.2554", "0.0011", "+181.3", "tuned"} <= words
