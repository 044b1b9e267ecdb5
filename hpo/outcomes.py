"""The results of a search and a confirmation for calls from Python, in a program or a notebook."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
from markupsafe import escape
from optuna.trial import FrozenTrial

from hpo.cli.session import as_arguments, printed
from hpo.confirmation.league_records import pair_records, records
from hpo.confirmation.outcome import Confirmation
from hpo.confirmation.results import mean_and_sd
from hpo.confirmation.spread import decimals
from hpo.pipeline import show
from hpo.reporting.dashboard_sync import publish
from hpo.reporting.export import claim, trials_table
from hpo.reporting.overview import CAVEATS_TITLE
from hpo.reporting.pages import HTML
from hpo.runtime.text import finished_of
from hpo.study.objective import Objective
from hpo.study.spec import StudySpec
from hpo.study.trials import best_trials, tally, trial_config
from trainers import TrainConfig
from trainers.errors import InputError
from trainers.files import write_bytes

SHOWN_TRIALS = 5  # best trials shown in a notebook


@dataclass(frozen=True, repr=False)
class Study:
    """A study that was searched.

    Attributes:
        spec: its definition and plans.
        optuna: the Optuna study with all its trials.
        output: the folder of all studies' results.
    """

    spec: StudySpec
    optuna: optuna.Study
    output: Path
    storage: str | None = None
    data_dir: str | None = None

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def folder(self) -> Path:
        """The folder of its results: best.yaml, trials.csv, report.html, ..."""
        return self.output / self.name

    @property
    def objective(self) -> Objective:
        """The metric on validation that is maximised, such as `ndcg@20`."""
        return self.spec.objective

    @property
    def best_config(self) -> TrainConfig:
        """The config of the best trial.

        Raises:
            InputError: no trial is complete yet.
        """
        return trial_config(self._best, self.spec)

    @property
    def best_value(self) -> float:
        """The objective of the best trial; raises what `best_config` does."""
        return float(self._best.value or 0.0)

    @property
    def trials(self) -> pd.DataFrame:
        """A row per trial: number, state, objective, parameters, effective settings, epochs, seconds."""
        return trials_table(self.optuna)

    @property
    def _best(self) -> FrozenTrial:
        found = best_trials(self.optuna, 1)
        if not found:
            raise InputError(f"study {self.name!r} has no complete trial yet; search on")
        return found[0]

    def report(self, path: str | Path | None = None) -> Path:
        """Write report.md and report.html into the study's folder, which is created if it does not exist.

        Args:
            path: where to write a copy of the page, which needs no other file and no network; None for no copy.

        Returns:
            The path of the page, or of the copy.

        Raises:
            InputError: a folder cannot be written, or holds another study's results.
        """
        claim(self.folder, self.optuna, to_overwrite=False)
        publish(self.spec, self.optuna, self.optuna._storage, self.output)
        page = self.folder / HTML
        if path is None:
            return page
        write_bytes(Path(path), page.read_bytes())
        return Path(path)

    def __repr__(self) -> str:
        counts = tally(self.optuna.get_trials(deepcopy=False))
        best = "no complete trial" if counts.best is None else f"best {self.objective} {counts.best:.4f}"
        finished = finished_of(counts.finished, self.spec.search.trials, "trials")
        return f"Study {self.name}: {finished}, {counts.pruned} pruned, {counts.failed} failed; {best}; in {self.folder}"

    def _repr_html_(self) -> str:
        """HTML for a notebook: the summary and the best trials."""
        best = [trial.number for trial in best_trials(self.optuna, SHOWN_TRIALS)]
        summary = f"<p>{escape(repr(self))}</p>"
        if not best:  # then the table lacks the columns of complete trials
            return summary
        return summary + self.trials.set_index("number").loc[best, [self.objective, *self.spec.space.boxes()]].to_html()


@dataclass(frozen=True, repr=False)
class Verdict:
    """The outcome of confirm; `print` shows the output of the command.

    Attributes:
        study: the confirmed study.
        confirmed: the content of confirm.yaml.
    """

    study: Study
    confirmed: Confirmation

    @property
    def table(self) -> pd.DataFrame:
        """A row per method and baseline: mean and standard deviation of the metrics on test, and our lead in percent."""
        ours, rows = self.confirmed.methods[0], []
        for method in self.confirmed.methods:
            row: dict[str, Any] = {"method": method.label}
            for metric in self.confirmed.table_metrics:
                sound = not method.failure
                row |= {metric: method.mean(metric) if sound else None, f"sd {metric}": method.sd(metric) if sound else None}
            rows.append(row)
        for one in self.confirmed.baselines:
            row = {"method": one.label}
            for metric in self.confirmed.table_metrics:
                row[metric], row[f"sd {metric}"] = mean_and_sd(one.values(metric))
            rows.append(row)
        table = pd.DataFrame(rows).set_index("method")
        values = table[self.confirmed.objective].astype(float)
        table["lead (%)"] = 100 * (values[ours.label] / values.where(values > 0) - 1)
        return table

    @property
    def comparisons(self) -> pd.DataFrame:
        """A row per rival and baseline: the method that is compared with it (in a league the study's own or the leader); the
        verdict in a word; the difference in percent of the rival's mean with its 95 % interval; p."""
        rows = []
        for one in self.confirmed.named_pairs:
            evidence = one.both or one.users
            percents = [one.percent(value) for value in (one.difference, evidence.low, evidence.high)]
            rows.append([one.rival, one.ours, str(one.word), *percents, one.p if one.both else None])
        columns = ["rival", "method", "verdict", "difference (%)", "low (%)", "high (%)", "p"]
        return pd.DataFrame(rows, columns=columns).set_index("rival")

    @property
    def league(self) -> pd.DataFrame | None:
        """Of a league: a row per method and baseline, the best on test first: its mean with a 95 % interval, its groups, the
        verdicts on it, and the cost of its search. The columns are those of league.csv. None if the study is no league."""
        standings = self.confirmed.standings
        return None if standings is None else pd.DataFrame(records(standings)).set_index("method")

    @property
    def pairs(self) -> pd.DataFrame | None:
        """Of a league: a row per pair of methods and baselines, as in league_pairs.csv. None if the study is no league; without
        rows if the test split has too few users for a verdict."""
        standings = self.confirmed.standings
        return None if standings is None else pd.DataFrame(pair_records(standings))

    @property
    def statements(self) -> list[str]:
        """The winner and the verdict on each rival and baseline, in sentences."""
        return [as_arguments(each) for each in self.confirmed.statements()]

    @property
    def caveats(self) -> list[str]:
        """The caveats, in sentences."""
        return [as_arguments(each) for each in self.confirmed.sentences()]

    @property
    def winner(self) -> TrainConfig | None:
        """The config of the winner, of any loss, at full epochs; None if there is no winner, which `statements` explains."""
        decision = self.confirmed.decision
        return decision.finalist.config if decision.winner and decision.finalist else None

    def report(self, path: str | Path | None = None) -> Path:
        """Write the study's report, see `Study.report`."""
        return self.study.report(path)

    def __str__(self) -> str:
        return as_arguments(printed(lambda console: show(self.confirmed, console)))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """HTML for a notebook."""
        objective, league = self.confirmed.objective, self.league
        if league is None:
            shown, found = self.table, self.table.filter(regex="^sd ").to_numpy(float).ravel()
        else:
            shown = league[[objective, "low", "high", f"validation {objective}", "groups"]]
            found = (league["high"] - league["low"]).to_numpy(float) / 2
        digits = decimals(found[found > 0].tolist())
        parts = [shown.to_html(float_format=f"{{:.{digits}f}}".format, na_rep="")]
        for heading, lines in (("", self.statements), (CAVEATS_TITLE, self.caveats)):
            listed = "".join(f"<li>{escape(line)}</li>" for line in lines)
            parts.append(f"{f'<p>{heading}</p>' if heading else ''}<ul>{listed}</ul>" if lines else "")
        return "".join(parts)
