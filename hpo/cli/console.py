"""Terminal output: live progress in a terminal, plain lines otherwise."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Literal, Self

import optuna
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from hpo.runtime.text import counted, duration, finished_of
from hpo.study.attributes import NEAREST_MARK, PUBLISHED_MARK, START_MARK
from hpo.study.stored import on_some_users
from hpo.study.trials import Tally, tally
from trainers.text import visible

LINE_SECONDS = 120.0  # between progress lines of a run without a terminal

WHOLE_WORD = 24  # characters of a word that a table keeps in one piece


def say(console: Console, text: str) -> None:
    """Print text as it is, without markup, colours or wrapping. Control characters are escaped.

    Markup has brackets, and so do lists.
    """
    console.print(visible(text), markup=False, highlight=False, soft_wrap=True)


class _Live:
    """A live display that is erased at the end, and not shown without a terminal."""

    bar: Progress

    def __init__(self, console: Console, *columns: ProgressColumn, beside: _Live | None = None) -> None:
        """
        Args:
            beside: a display that is shown already and gets the lines of this one; None for a display of its own.
        """
        self.console = console
        if beside is not None:
            self.bar = beside.bar
            return
        spinner = SpinnerColumn("dots" if console.encoding.startswith("utf") else "line")
        self.bar = Progress(spinner, *columns, console=console, transient=True, disable=not console.is_terminal)

    def __enter__(self) -> Self:
        self.bar.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self.bar.__exit__(None, None, None)


class SearchProgress(_Live):
    """Shows finished, pruned and failed trials, the best value so far, the epochs of running trials, and the time left."""

    def __init__(self, console: Console, epochs: int, beside: SearchProgress | None = None) -> None:
        column = TextColumn("{task.description}\n{task.fields[now]}", markup=False)
        super().__init__(console, column, BarColumn(bar_width=12), beside=beside)
        self.is_beside, self.epochs = beside is not None, epochs
        self.started = time.monotonic()
        self.finished_here = 0

    def begin(self, study: optuna.Study, budget: int) -> None:
        """Start the clock and the display."""
        self.budget = budget
        self.task = self.bar.add_task(visible(study.study_name), total=budget * self.epochs, now="starting")
        counts = _tally(study)
        if counts.finished:
            word = "the budget is met" if counts.finished >= budget else "continuing"
            say(self.console, f"{study.study_name}: {word}, {_state(counts, budget)}")

    def running(self, epochs: Mapping[int, int], study: optuna.Study) -> None:
        """Show the trials that run now, and no others: a lost trial never reports its end."""
        if self.console.is_terminal:
            counts = _tally(study)
            self.bar.update(
                self.task,
                completed=min(counts.finished * self.epochs + sum(epochs.values()), self.budget * self.epochs),
                description=visible(f"{study.study_name}: {_state(counts, self.budget)}"),
                now=f"{self._now(epochs)}{self._time_left(counts)}",
            )

    def _now(self, epochs: Mapping[int, int]) -> str:
        trials = [
            f"{number}: epoch {epoch}/{self.epochs}" if epoch else str(number) for number, epoch in sorted(epochs.items())
        ]
        return f"trial {', '.join(trials)}" if trials else "no trial runs"

    def finished(self, trial: FrozenTrial, study: optuna.Study) -> None:
        """Print a line about an ended trial, unless there is a terminal."""
        self.finished_here += 1
        counts = _tally(study)
        value = "" if trial.value is None else f" {trial.value:.4f}"
        if trial.state == TrialState.PRUNED and (some := on_some_users(study)):
            value += f" {some}"
        epochs = trial.user_attrs.get("epochs_trained", 0)
        ended = f"{_word(trial.state)}{value} after {counted(epochs, 'epoch')}"
        whose = f"{study.study_name}: " if self.is_beside else ""
        line = f"{whose}trial {trial.number}{_mark(trial)}: {ended}; {_state(counts, self.budget)}"
        if not self.console.is_terminal:
            say(self.console, f"{line}{self._time_left(counts)}")

    def ended(self) -> None:
        """Remove the line of a search that has ended, while others go on."""
        self.bar.remove_task(self.task)

    def _time_left(self, counts: Tally) -> str:
        if not self.finished_here:
            return ""
        left = max(0, self.budget - counts.finished) * (time.monotonic() - self.started) / self.finished_here
        return f", about {duration(left)} left"


def _mark(trial: FrozenTrial) -> str:
    """The origin of a config that the search starts with, ` (published settings of Yelp2018)`; empty for other trials."""
    for mark, text in ((PUBLISHED_MARK, ""), (NEAREST_MARK, "nearest to the "), (START_MARK, "")):
        if label := trial.user_attrs.get(mark):
            return f" ({text}{label})"
    return ""


def _word(state: TrialState) -> str:
    return {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}.get(state, state.name)


def _tally(study: optuna.Study) -> Tally:
    return tally(study.get_trials(deepcopy=False))


def _state(counts: Tally, budget: int) -> str:
    best = "" if counts.best is None else f", best {counts.best:.4f}"
    return f"{finished_of(counts.finished, budget)} ({counts.pruned} pruned), {counts.failed} failed{best}"


def table(title: str, header: list[str], rows: list[list[str]]) -> Table:
    """A table with text in the first column and figures in the others; cells are not interpreted as markup."""
    result = Table(title=_cell(title), title_justify="left", title_style="bold")
    words = [min(_longest_word([name, *(row[place] for row in rows)]), WHOLE_WORD) for place, name in enumerate(header)]
    fits = sum(words) + 3 * len(words) + 1 <= Console().width  # with borders; else words are broken, so that nothing is cut
    for place, (name, widest) in enumerate(zip(header, words, strict=True)):
        justify: Literal["left", "right"] = "left" if place == 0 else "right"
        result.add_column(_cell(name), justify=justify, overflow="fold", min_width=widest if fits else None)
    for row in rows:
        result.add_row(*map(_cell, row))
    return result


def _longest_word(cells: list[str]) -> int:
    return max((len(word) for cell in cells for word in visible(cell).split()), default=0)


def _cell(text: str) -> Text:
    return Text(visible(text))


class RunProgress(_Live):
    """Shows the progress of runs at full budget."""

    Advance = Callable[[], None]

    def __init__(self, console: Console) -> None:
        super().__init__(console, TextColumn("{task.description}", markup=False), BarColumn(), TimeRemainingColumn())

    @contextmanager
    def run(self, label: str, epochs: int, unit: str = "epoch") -> Iterator[Advance]:
        """Show one run. Yields a function to call after every epoch, or whatever `unit` is."""
        started = time.monotonic()
        task = self.bar.add_task(visible(label), total=epochs)
        trained, said = 0, started

        def advance() -> None:
            nonlocal trained, said
            trained += 1
            self.bar.advance(task)
            now = time.monotonic()
            if not self.console.is_terminal and trained < epochs and now - said > LINE_SECONDS:
                said = now
                left = duration((now - started) / trained * (epochs - trained))
                say(self.console, f"{label}: {trained} of {epochs} {unit}s, about {left} left")

        try:
            yield advance
        finally:
            self.bar.remove_task(task)
        done = f"{trained} {unit}s" if epochs > 1 else "done"
        say(self.console, f"{label}: {done} in {duration(time.monotonic() - started)}")
