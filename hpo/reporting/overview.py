"""Everything that is said about one study: the single source of the dashboard's note, report.md and report.html.

It is made from the storage and confirm.yaml, without data and without training, also for an unfinished study.
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
from hpo.confirmation.results import BestSoFar, SearchCost, best_so_far, search_cost
from hpo.confirmation.search_caveats import search_caveats
from hpo.confirmation.standings import Standings
from hpo.confirmation.statements import late_said
from hpo.confirmation.wording import sentences
from hpo.reporting.best_trials import best_trials_table
from hpo.reporting.forest import Forest, forests
from hpo.reporting.markdown import markdown_table, plain
from hpo.reporting.method_tables import COST_NOTE, SEARCH_COLUMNS, gradient_rows, method_rows, settings_table
from hpo.reporting.protocol import protocol
from hpo.runs.provenance import Provenance
from hpo.runs.store import Beyond
from hpo.runtime.text import counted, duration, finished_of
from hpo.search.claims import is_dead
from hpo.study.attributes import FAILURE
from hpo.study.definition import stored_definition
from hpo.study.names import BEST, WINNER
from hpo.study.spec import StudySpec
from hpo.study.stored import on_some_users
from hpo.study.trials import best_trials, has_failed, shown_metrics, tally, trial_config
from trainers.config import TrainConfig
from trainers.metrics.definitions import Metric
from trainers.yaml_files import to_yaml

CAVEATS_TITLE, BROUGHT_TITLE, VERDICT_TITLE = "Caveats", "What each search brought", "The verdict in full"
BASELINES_TITLE = "Baselines"
BEST_TRIALS_TITLE = "The best trials of the search"
SHOWN_FAILURES = 3  # failed trials whose reason is shown
SEARCHES_COLUMNS = ["method", "search", "trial chosen", "validation", "test", "best on validation"]
SEARCHES_NOTE = "± is the standard deviation over the seeds of one search."
BROUGHT_NOTE = "± is half of a 95 % interval over seeds, or over searches if there are several. It does not cover other users."


@dataclass(frozen=True)
class Overview:
    """A study and what is known about it.

    Attributes:
        spec: its definition and plan.
        study: its trials, which are only read.
        cost: the cost of the search so far.
        best: the complete trial with the highest value; None if no trial is complete.
        confirmed: the outcome of confirm; None if there is none.
    """

    spec: StudySpec
    study: optuna.Study
    cost: SearchCost
    best: FrozenTrial | None
    confirmed: Confirmation | None

    @classmethod
    def of(cls, spec: StudySpec, study: optuna.Study, folder: Path) -> Overview:
        """The overview of a study whose results lie in `folder`.

        Raises:
            InputError: see `confirmation`.
        """
        best = best_trials(study, 1)
        return cls(spec, study, search_cost(study), best[0] if best else None, confirmation(folder, study))

    @property
    def config(self) -> TrainConfig | None:
        """The config of this study that confirm chose. Before confirm that of the best trial; None if no trial is complete."""
        if self.confirmed:
            return self.confirmed.chosen.config
        return trial_config(self.best, self.spec) if self.best else None

    @property
    def k(self) -> int:
        """The cut-off of the objective: the length of the lists that it looks at."""
        return Metric.parse(self.spec.objective).k

    @property
    def method_columns(self) -> list[str]:
        """The headings of `methods`."""
        return ["method", *self.spec.measured, f"validation {self.spec.objective}", "verdict", *SEARCH_COLUMNS]

    @property
    def beyond_columns(self) -> list[str]:
        """The headings of `beyond`."""
        return ["method", f"coverage@{self.k}", f"mean popularity@{self.k} (training interactions)", f"Gini@{self.k}"]

    @property
    def made_by(self) -> Provenance | None:
        """The versions that computed the verdict; None before confirm."""
        return self.confirmed.provenance if self.confirmed else None

    @property
    def published(self) -> tuple[TrainConfig, str] | None:
        """The published config of the study's loss, and its label; None if no paper gives one."""
        return self.spec.published(self.spec.search.epochs, self.spec.search.seed)

    def headlines(self) -> list[str]:
        """The result in plain words, the most important comparison first, then what weakens it. Before confirm: how many trials
        are finished."""
        if self.confirmed:
            since = f"{counted(self._since, 'trial')} finished after this verdict: confirm again"
            return [*self.confirmed.headlines(), *self.confirmed.warnings(), *([since] if self._since > 0 else [])]
        finished = finished_of(self.cost.trials, self.spec.search.trials, "trials")
        return [f"No verdict yet: {finished}, and the study has not been confirmed"]

    @property
    def _since(self) -> int:
        """The number of trials that finished after the confirmation; 0 before it."""
        return self.cost.trials - self.confirmed.trials if self.confirmed else 0

    def forests(self) -> list[Forest]:
        """The forest plots of the comparisons; empty before confirm."""
        found = self.confirmed
        if not found:
            return []
        drawn = forests(found.comparisons, found.methods, found.objective, found.against_baselines)
        league = found.league
        leader = forests(league.leads, found.methods, found.objective, league.against_baselines) if league else []
        return [*drawn[:1], *leader, *drawn[1:]]

    @property
    def standings(self) -> Standings | None:
        """The league; None before confirm, or if the study asks for none."""
        return self.confirmed.standings if self.confirmed else None

    def subtitle(self) -> str:
        """The name of the study, its objective, and the data that it is measured on."""
        if not self.confirmed:
            return f"{self.spec.name}: {self.spec.objective} on validation data of {self.spec.data_name}"
        users = f"{self.confirmed.data.users_with_test:,} users"
        return f"{self.spec.name}: {self.spec.objective} on the test split of {self.spec.data_name}, {users}"

    def verdict(self) -> list[str]:
        """The verdict, a sentence for each rival, the most important first. Before confirm: that there is none yet."""
        if self.confirmed:
            then = f"This was confirmed after {self.confirmed.trials} trials"
            later = f"{then}; {self._since} more have finished since then: confirm again."
            return [*self.confirmed.statements(), *([later] if self._since > 0 else [])]
        return ["hpo.confirm gives the verdict. What follows was measured on validation data."]

    def caveats(self) -> list[str]:
        """The caveats of the verdict. Before confirm: those of the search."""
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
        lost = sum(is_dead(trial, time.time(), math.inf) for trial in running)  # those of this machine only
        parts = [finished_of(self.cost.trials, budget, "trials"), pruned, f"{counts.failed} failed"]
        parts += [f"{counts.running - lost} running"] if counts.running > lost else []
        parts += [f"{lost} lost with a process that was killed, which hpo.run runs again"] if lost else []
        parts += [f"{self.cost.epochs:,} epochs trained ({duration(self.cost.seconds)} summed over trials)"]
        done = "" if self.cost.trials >= budget else "Not finished yet: "
        failed = [f"Trial {one.number} failed: {one.user_attrs[FAILURE]['reason']}." for one in trials if has_failed(one)]
        more = [f"{len(failed) - SHOWN_FAILURES} more failed."] if len(failed) > SHOWN_FAILURES else []
        return " ".join([f"{done}{', '.join(parts)}.", *failed[:SHOWN_FAILURES], *more])

    def best_trial(self) -> str:
        """The best trial in a sentence."""
        if self.best is None:
            return "No trial is complete yet."
        figures = f"validation {shown_metrics(self.best, self.spec)} after {counted(self.spec.search.epochs, 'epoch')}"
        late = "" if self.confirmed else f" Search: {late_said([best_so_far(self.study)])}."
        return f"Best trial: number {self.best.number}, {figures}.{late}"

    def brought(self) -> list[str]:
        """What each method gained by its search, in sentences; empty before confirm."""
        return self.confirmed.brought() if self.confirmed else []

    def brought_note(self) -> list[str]:
        """What the ± in `brought` is, if one has it."""
        return [BROUGHT_NOTE] if any("±" in sentence for sentence in self.brought()) else []

    def baselines(self) -> list[str]:
        """How each baseline ranks, and how its settings were found; empty before confirm."""
        return self.confirmed.about_baselines() if self.confirmed else []

    def best_trials(self) -> tuple[list[str], list[list[str]]]:
        """(columns, rows) of the best trials, see `best_trials_table`."""
        return best_trials_table(self.study, self.spec)

    def searches(self) -> dict[str, list[BestSoFar]]:
        """How the best value rose in the searches of each method. Before confirm: in this study alone."""
        if self.confirmed:
            return {tuning.label: tuning.searches for tuning in self.confirmed.tuning}
        return {self.spec.name: [best_so_far(self.study)]}

    def facts(self) -> list[str]:
        """What was compared and how: a line for each fact."""
        definition = stored_definition(self.study.study_name, self.study.user_attrs)
        return protocol(self.spec, definition.split_data.validation, self.confirmed)

    def methods(self) -> list[list[str]]:
        """The rows under `method_columns`; empty before confirm."""
        return method_rows(self.confirmed) if self.confirmed else []

    def table_note(self) -> str:
        """What the ± in the table of all methods is, and what its times are; empty before confirm."""
        return " ".join(filter(None, [self.spread(), COST_NOTE])) if self.confirmed else ""

    def spread(self) -> str:
        """What the ± in the table of all methods is; empty before confirm, and if it has none."""
        return self.confirmed.spread() if self.confirmed else ""

    def search_rows(self) -> list[list[str]]:
        """The rows under SEARCHES_COLUMNS, one for each search; empty before confirm, or if no search was repeated."""
        return self.confirmed.search_rows() if self.confirmed else []

    def recommended(self) -> list[tuple[str, Beyond]]:
        """(label, measures beyond accuracy) of each method and baseline that has them; empty before confirm."""
        if not self.confirmed:
            return []
        trained = [(method.label, method.beyond) for method in self.confirmed.methods if method.beyond]
        return [*trained, *((baseline.label, baseline.beyond) for baseline in self.confirmed.baselines)]

    def beyond(self) -> list[list[str]]:
        """The rows under `beyond_columns`; empty before confirm."""
        return [
            [label, f"{100 * beyond.coverage:.1f} %", f"{beyond.mean_popularity:.0f}", f"{beyond.gini:.3f}"]
            for label, beyond in self.recommended()
        ]

    def gradients(self) -> list[list[str]]:
        """The rows under GRADIENT_COLUMNS: which negatives have a gradient at the end of the training; empty if unknown."""
        return gradient_rows(self.confirmed.methods) if self.confirmed else []

    def settings(self) -> tuple[list[str], list[list[str]]]:
        """(columns, rows) of the trained configs: the loss, and other settings in which they differ. No rows before confirm."""
        return settings_table(self.confirmed.methods if self.confirmed else [])

    def configs(self) -> list[tuple[str, str]]:
        """(title, YAML) of the winner's config, and of the config that this study's own search found if it is another one."""
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
            shown = len(self.method_columns) - len(SEARCH_COLUMNS)  # a note is narrow; the cost of each search is in `markdown`
            rows = [row[:shown] for row in self.methods()]
            lines += [*markdown_table(self.method_columns[:shown], rows), "", *([self.spread(), ""] if self.spread() else [])]
        columns, trials = self.best_trials()
        lines += [f"## {BEST_TRIALS_TITLE}", "", *markdown_table(columns, trials), ""] if trials else []
        lines += [plain(self.progress()), plain(self.best_trial()), ""]
        lines += [f"## {VERDICT_TITLE}", "", *(f"- {plain(sentence)}" for sentence in self.verdict()), ""]
        if self.brought():
            lines += [
                f"## {BROUGHT_TITLE}",
                "",
                *(f"- {plain(sentence)}" for sentence in self.brought()),
                "",
                *self.brought_note(),
                "",
            ]
        if self.caveats():
            lines += [f"## {CAVEATS_TITLE}", "", *(f"- {plain(sentence)}" for sentence in self.caveats()), ""]
        return "\n".join(lines)
