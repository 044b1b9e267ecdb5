"""Everything that is said about one study: the single source of the dashboard's note, report.md and report.html.

It is made from the storage and confirm.yaml at any time, without data and without training. If the study is unfinished, it says
so.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState

from hpo.confirmation.contenders import best_label
from hpo.confirmation.outcome import Confirmation, confirmation
from hpo.confirmation.results import BestSoFar, Method, SearchCost, best_so_far, chosen_of, search_cost
from hpo.confirmation.search_caveats import search_caveats
from hpo.confirmation.standings import Standings
from hpo.confirmation.statements import late_said
from hpo.confirmation.statistics import Comparison, Word
from hpo.confirmation.wording import sentences
from hpo.reporting.best_trials import best_trials_table, short
from hpo.reporting.forest import Forest, forests
from hpo.reporting.markdown import markdown_table, plain
from hpo.reporting.protocol import protocol
from hpo.runs.baseline_results import BaselineResult
from hpo.runs.store import Beyond
from hpo.runtime.text import counted, duration, finished_of
from hpo.search.claims import is_dead
from hpo.study.attributes import FAILURE
from hpo.study.definition import stored_definition
from hpo.study.names import BEST, WINNER
from hpo.study.spec import StudySpec
from hpo.study.stored import on_some_users
from hpo.study.trials import best_trials, has_failed, shown_metrics, tally, trial_config
from trainers.config import TrainConfig, dotted
from trainers.metrics.definitions import Metric
from trainers.metrics.gradient_share import HARDEST
from trainers.yaml_files import to_yaml

CAVEATS_TITLE, BROUGHT_TITLE, VERDICT_TITLE = "Caveats", "What each search brought", "The verdict in full"
BASELINES_TITLE = "Baselines"
BEST_TRIALS_TITLE = "The best trials of the search"
SHOWN_FAILURES = 3  # failed trials whose reason is said
SEARCH_COLUMNS = ["trials", "epochs to find", "time to find", "time to test"]
SEARCHES_COLUMNS = ["method", "search", "trial chosen", "validation", "test", "best on validation"]
LOSS_KEYS = "loss."  # of the dotted keys of a config
GRADIENT_COLUMNS = ["method", "negatives with a gradient", *(f"share of the {name}" for name in HARDEST)]


@dataclass(frozen=True)
class Overview:
    """A study and what is known about it.

    Attributes:
        spec: its definition and plan.
        study: trials; only read.
        cost: what the search has taken so far.
        best: the complete trial of highest value, None before the first.
        confirmed: what confirm found, None before it, and where it does not belong to this study or is damaged.
    """

    spec: StudySpec
    study: optuna.Study
    cost: SearchCost
    best: FrozenTrial | None
    confirmed: Confirmation | None

    @classmethod
    def of(cls, spec: StudySpec, study: optuna.Study, folder: Path) -> Overview:
        """The overview of a study whose results lie in `folder`."""
        best = best_trials(study, 1)
        return cls(spec, study, search_cost(study), best[0] if best else None, confirmation(folder, study))

    @property
    def config(self) -> TrainConfig | None:
        """What confirm chose of this study, before it the config of the best trial, None before the first."""
        if self.confirmed:
            return self.confirmed.chosen.config
        return trial_config(self.best, self.spec) if self.best else None

    @property
    def k(self) -> int:
        """How many recommended items the objective looks at."""
        return Metric.parse(self.spec.objective).k

    @property
    def method_columns(self) -> list[str]:
        """Of `methods`."""
        return ["method", *self.spec.measured, f"validation {self.spec.objective}", "verdict", *SEARCH_COLUMNS]

    @property
    def beyond_columns(self) -> list[str]:
        """Of `beyond`."""
        return ["method", *(f"{name}@{self.k}" for name in ("coverage", "mean popularity", "Gini"))]

    @property
    def published(self) -> tuple[TrainConfig, str] | None:
        """The published config of the study's loss and what to call it, None where no paper gives one."""
        return self.spec.published(self.spec.search.epochs, self.spec.search.seed)

    def headlines(self) -> list[str]:
        """The result in plain words, the most important comparison first; before confirm how far the study is."""
        if self.confirmed:
            return self.confirmed.headlines()
        finished = finished_of(self.cost.trials, self.spec.search.trials, "trials")
        return [f"No verdict yet: {finished}, and the study has not been confirmed"]

    def forests(self) -> list[Forest]:
        """The comparisons as pictures; empty before confirm."""
        found = self.confirmed
        if not found:
            return []
        drawn = forests(found.comparisons, found.methods, found.objective, found.against_baselines)
        league = found.league
        leader = forests(league.leads, found.methods, found.objective, league.against_baselines) if league else []
        return [*drawn[:1], *leader, *drawn[1:]]

    @property
    def standings(self) -> Standings | None:
        """The league; None before confirm, and where the study asks for none."""
        return self.confirmed.standings if self.confirmed else None

    def subtitle(self) -> str:
        """What the figures are of."""
        if not self.confirmed:
            return f"{self.spec.name}: {self.spec.objective} on validation data of {self.spec.data_name}"
        users = f"{self.confirmed.data.users_with_test:,} users"
        return f"{self.spec.name}: {self.spec.objective} on the test split of {self.spec.data_name}, {users}"

    def verdict(self) -> list[str]:
        """What can be said, most important first: a sentence per rival, or why there is none yet."""
        if self.confirmed:
            n_then = self.confirmed.trials
            since = self.cost.trials - n_then
            later = f"This was confirmed after {n_then} trials; {since} more have finished since then: confirm again."
            return [*self.confirmed.statements(), *([later] if since > 0 else [])]
        return ["hpo.confirm gives the verdict. What follows was measured on validation data."]

    def caveats(self) -> list[str]:
        """The caveats of the verdict, before it those of the search."""
        if self.confirmed:
            return self.confirmed.sentences()
        if self.best is None:
            return []
        found = search_caveats(self.study, self.spec, best_label(self.spec, self.best.number))
        return sentences(found, self.spec.objective)

    def progress(self) -> str:
        """How far the search has come, in a sentence."""
        trials = self.study.get_trials(deepcopy=False)
        budget, counts = self.spec.search.trials, tally(trials)
        running = [trial for trial in trials if trial.state == TrialState.RUNNING]
        some = on_some_users(self.study)
        pruned = f"{counts.pruned} pruned" + (f" (measured {some})" if counts.pruned and some else "")
        lost = sum(is_dead(trial, time.time(), math.inf) for trial in running)  # nobody has said how long others may take
        parts = [finished_of(self.cost.trials, budget, "trials"), pruned, f"{counts.failed} failed"]
        parts += [f"{counts.running - lost} running"] if counts.running > lost else []
        parts += [f"{lost} lost with a process that was killed, which hpo.run runs again"] if lost else []
        parts += [f"{self.cost.epochs:,} epochs trained in {duration(self.cost.seconds)}"]
        done = "" if self.cost.trials >= budget else "Not finished yet: "
        failed = [f"Trial {one.number} failed: {one.user_attrs[FAILURE]['reason']}." for one in trials if has_failed(one)]
        more = [f"{len(failed) - SHOWN_FAILURES} more failed."] if len(failed) > SHOWN_FAILURES else []
        return " ".join([f"{done}{', '.join(parts)}.", *failed[:SHOWN_FAILURES], *more])

    def best_trial(self) -> str:
        """The best trial in a sentence."""
        if self.best is None:
            return "No trial is complete yet."
        figures = f"validation {shown_metrics(self.best, self.spec)} after {counted(self.spec.search.epochs, 'epoch')}"
        late = "" if self.confirmed else f" Of the search, {late_said([best_so_far(self.study)])}."
        return f"Best trial: number {self.best.number}, {figures}.{late}"

    def brought(self) -> list[str]:
        """What the search of each method brought; empty before confirm."""
        return self.confirmed.brought() if self.confirmed else []

    def baselines(self) -> list[str]:
        """How each baseline ranks, and how its settings were found; empty before confirm."""
        return self.confirmed.about_baselines() if self.confirmed else []

    def best_trials(self) -> tuple[list[str], list[list[str]]]:
        """(columns, rows) of the best trials in the study's own terms."""
        return best_trials_table(self.study, self.spec)

    def searches(self) -> dict[str, list[BestSoFar]]:
        """How the best value rose, by method; before confirm in this study alone."""
        if self.confirmed:
            return {tuning.label: tuning.searches for tuning in self.confirmed.tuning}
        return {self.spec.name: [best_so_far(self.study)]}

    def facts(self) -> list[str]:
        """What was compared, how: one line each."""
        definition = stored_definition(self.study.study_name, self.study.user_attrs)
        return protocol(self.spec, definition.split_data.validation, self.confirmed)

    def methods(self) -> list[list[str]]:
        """Rows under `method_columns`, empty before confirm."""
        if not self.confirmed:
            return []
        compared = [*self.confirmed.comparisons, *self.confirmed.against_baselines]
        words = {comparison.rival: _word(comparison) for comparison in compared}
        trained = [
            [
                method.label,
                *("diverged" if method.failure else method.figure(metric) for metric in self.spec.measured),
                self._on_validation(method, self.confirmed),
                words.get(method.label, ""),
                *_search_cells(method.search),
                duration(method.seconds),
            ]
            for method in self.confirmed.methods
        ]
        return trained + [
            [each.label, *self.confirmed.figures(each), *_cells(each, words.get(each.label, "baseline"))]
            for each in self.confirmed.baselines
        ]

    def search_rows(self) -> list[list[str]]:
        """Rows under SEARCHES_COLUMNS: what each search found; empty before confirm, and where none was repeated."""
        return self.confirmed.search_rows() if self.confirmed else []

    @staticmethod
    def _on_validation(method: Method, confirmed: Confirmation) -> str:
        """The figure that a method is chosen by."""
        found = chosen_of(confirmed.validated[method.label], confirmed.objective)
        return "diverged" if found is None else f"{found.mean(confirmed.objective):.4f}"

    def recommended(self) -> list[tuple[str, Beyond]]:
        """(method, what it recommends) of all that were measured; empty before confirm."""
        if not self.confirmed:
            return []
        trained = [(method.label, method.beyond) for method in self.confirmed.methods if method.beyond]
        return [*trained, *((baseline.label, baseline.beyond) for baseline in self.confirmed.baselines)]

    def beyond(self) -> list[list[str]]:
        """Rows under `beyond_columns`, empty before confirm."""
        return [
            [label, f"{100 * beyond.coverage:.1f} %", f"{beyond.mean_popularity:.0f}", f"{beyond.gini:.3f}"]
            for label, beyond in self.recommended()
        ]

    def gradients(self) -> list[list[str]]:
        """Rows under GRADIENT_COLUMNS: which negatives a method learns from at its end; empty if no method says so."""
        methods, columns = self.confirmed.methods if self.confirmed else [], ("active", *HARDEST)
        shares = {each.label: [each.gradient[name] for name in columns if name in each.gradient] for each in methods}
        said = {label: [f"{100 * share:.1f} %" for share in found] for label, found in shares.items()}
        rows = [[label, *(found if len(found) == len(columns) else ["-"] * len(columns))] for label, found in said.items()]
        return rows if any(said.values()) else []

    def settings(self) -> tuple[list[str], list[list[str]]]:
        """(columns, rows): the loss of each trained method, and other settings in which they differ; no rows before confirm."""
        methods = self.confirmed.methods if self.confirmed else []
        flat = [dotted(method.config.to_dict()) for method in methods]
        keys = [
            key for key in dict.fromkeys(key for one in flat for key in one) if not key.startswith(LOSS_KEYS) and key != "seed"
        ]
        others = [key for key in keys if len({str(one.get(key)) for one in flat}) > 1]
        rows = []
        for method, fields in zip(methods, flat, strict=True):
            loss = ", ".join(
                f"{key.removeprefix(LOSS_KEYS)} {short(value)}" for key, value in fields.items() if key.startswith(LOSS_KEYS)
            )
            rows.append([method.label, loss.removeprefix("name "), *(short(fields.get(key, "")) for key in others)])
        return ["method", "loss", *others], rows

    def configs(self) -> list[tuple[str, str]]:
        """(title, YAML): the winner's config and, where that is another one, what this study's own search found."""
        winner = self.confirmed.decision if self.confirmed else None
        own = f"Config of {self.confirmed.named(self.confirmed.methods[0])} ({BEST})" if self.confirmed else "Best config"
        found = {} if self.config is None else {own: self.config}
        if self.confirmed and winner and winner.winner and winner.finalist and winner.finalist.config != self.config:
            found = {f"Config of {self.confirmed.named(winner.winner)}, the winner ({WINNER})": winner.finalist.config, **found}
        return [(title, to_yaml({"config": config.to_dict()})) for title, config in found.items()]

    def note(self) -> str:
        """The short form in Markdown: the dashboard's note, and the head of report.md."""
        first, *others = self.headlines()
        lines = [f"# {plain(self.spec.name)}", "", f"**{plain(first)}**", ""]
        lines += [*(f"- {plain(sentence)}" for sentence in others), ""] if others else []
        if standings := self.standings:
            lines += [*markdown_table(*standings.compact()), ""]
            lines += [*(f"- {plain(sentence)}" for sentence in standings.notes()), ""]
        elif self.methods():
            shown = len(self.method_columns) - len(SEARCH_COLUMNS)  # `markdown` has the cost of each: a note is narrow
            rows = [row[:shown] for row in self.methods()]
            lines += [*markdown_table(self.method_columns[:shown], rows), ""]
        columns, trials = self.best_trials()
        lines += [f"## {BEST_TRIALS_TITLE}", "", *markdown_table(columns, trials), ""] if trials else []
        lines += [plain(self.progress()), plain(self.best_trial()), ""]
        lines += [f"## {VERDICT_TITLE}", "", *(f"- {plain(sentence)}" for sentence in self.verdict()), ""]
        if self.brought():
            lines += [f"## {BROUGHT_TITLE}", "", *(f"- {plain(sentence)}" for sentence in self.brought()), ""]
        if self.caveats():
            lines += [f"## {CAVEATS_TITLE}", "", *(f"- {plain(sentence)}" for sentence in self.caveats()), ""]
        return "\n".join(lines)


def _word(comparison: Comparison) -> str:
    """The verdict from the winner's side, `MML tuned better, +3.1 %`."""
    subject, percent = (
        "" if comparison.word is Word.NO_VERDICT else f"{comparison.ours} ",
        comparison.percent(comparison.difference),
    )
    return f"{subject}{comparison.word}" + ("" if percent is None else f", {percent:+.1f} %")


def _cells(baseline: BaselineResult, word: str) -> list[str]:
    """The cells of a baseline after its figures on test: it has no epochs, and some are not tuned."""
    tried = len(baseline.evaluations)
    found = [str(tried), "", duration(baseline.tuning_seconds)] if tried > 1 else ["", "", ""]
    return [f"{baseline.validation:.4f}", word, *found, duration(baseline.seconds)]


def _search_cells(search: SearchCost) -> list[str]:
    if not search.trials:
        return ["", "", ""]
    return [str(search.trials), f"{search.epochs:,}", duration(search.seconds)]
