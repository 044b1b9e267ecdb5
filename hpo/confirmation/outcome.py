"""What confirm found, as data: the one source of the terminal table and of confirm.yaml, which is read here, too."""

from __future__ import annotations

import logging
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import optuna

from hpo.confirmation.results import CONFIRM_METRICS, Candidate, Method, highest
from hpo.confirmation.statistics import Comparison, Measured, compare
from hpo.runs.store import BaselineResult
from hpo.study.definition import DEFINITION
from hpo.study.spec import OBJECTIVE
from trainers.errors import InputError
from trainers.yaml_files import read_yaml

log = logging.getLogger(__name__)

CONFIRM = "confirm.yaml"
TABLE_METRICS = CONFIRM_METRICS[:2]
STILL_RISING = 0.01  # of a validation curve between its last two points, or by twice the epochs


@dataclass(frozen=True)
class Confirmation:
    """The outcome of confirm: who won on validation, and all methods on test, the winner first; below them the baselines.

    Attributes:
        notes: what the reader must know besides the verdict.
        data: how many there are of what.
        validated: what validation chose from, for each method that was tuned, by its label.
        search_epochs: of a trial of the search.
    """

    study: str
    candidates: Sequence[Candidate]
    winner: Candidate
    methods: Sequence[Method]
    baselines: Sequence[BaselineResult] = ()
    notes: Sequence[str] = ()
    data: Mapping[str, Any] = field(default_factory=dict)
    validated: Mapping[str, Sequence[Candidate]] = field(default_factory=dict)
    search_epochs: int = 0

    @property
    def chosen(self) -> dict[str, Candidate]:
        """What validation chose, for each method that was tuned."""
        return {label: highest(candidates, label) for label, candidates in self.validated.items()}

    def rows(self) -> list[list[str]]:
        """Cells of the comparison table: method, then `mean ± sd` per metric, then the difference to the winner."""
        baselines = [
            [baseline.label, *(f"{baseline.metrics[metric]:.4f}" for metric in TABLE_METRICS), "baseline"]
            for baseline in self.baselines
        ]
        return [self._row(method) for method in self.methods] + baselines

    def _row(self, method: Method) -> list[str]:
        if method.failure:
            return [method.label, *("diverged" for _ in TABLE_METRICS), ""]
        return [method.label, *(method.figure(metric) for metric in TABLE_METRICS), self._lead(method)]

    def _lead(self, method: Method) -> str:
        first = self.methods[0]
        if method is first or first.failure:
            return ""
        return f"{100 * (first.mean(OBJECTIVE) / method.mean(OBJECTIVE) - 1):+.1f} %" if method.mean(OBJECTIVE) else "n/a"

    @cached_property
    def verdict(self) -> list[Comparison]:
        """The winner against every other method that trained to the end, in the objective."""
        sound = [method for method in self.methods if not method.failure]
        if not sound or sound[0] is not self.methods[0]:
            return []
        ours, *rivals = [Measured(m.label, m.per_user, np.array(m.values(OBJECTIVE))) for m in sound]
        return compare(ours, rivals)

    def statements(self) -> list[str]:
        """Who has the highest figure; the verdict, a sentence per rival, tuned ones first; who could not be judged."""
        failures = [
            f"{method.label} diverged on train + validation: {method.failure}" for method in self.methods if method.failure
        ]
        tuned_first = sorted(self.verdict, key=lambda comparison: not self._is_tuned(comparison.rival))
        verdict = [comparison.sentence(OBJECTIVE) for comparison in tuned_first]
        return [*self._highest(), *verdict, *failures]

    def caveats(self) -> list[str]:
        """What the reader must know beside it: what tuning brought, what limits the comparison, what looks unfinished."""
        return [*self._tuning(), *self.notes, *self._warnings()]

    def _is_tuned(self, label: str) -> bool:
        return any(method.label == label and method.search.trials for method in self.methods)

    def _highest(self) -> list[str]:
        """Which method has the highest figure, whatever the verdict on it."""
        sound = [method for method in self.methods if not method.failure]
        if len(sound) < 2:
            return []
        best = max(sound, key=lambda method: method.mean(OBJECTIVE))
        return [f"the highest {OBJECTIVE} on the test split is that of {best.label}, {best.mean(OBJECTIVE):.4f}"]

    def _tuning(self) -> list[str]:
        """What tuning a loss brought over its published settings, on the split that chose it and on the other."""
        said = []
        for label, chosen in self.chosen.items():
            tuned = self._method_of(chosen)
            for candidate in self.validated[label]:
                other = self._method_of(candidate)
                if tuned and other and other is not tuned and min(candidate.mean, other.mean(OBJECTIVE)) > 0:
                    gains = chosen.mean / candidate.mean, tuned.mean(OBJECTIVE) / other.mean(OBJECTIVE)
                    validation, test = (f"{100 * (gain - 1):+.1f} %" for gain in gains)
                    splits = f"{validation} on validation, by which it was chosen, {test} on test"
                    said.append(f"{label} against {other.label}: {splits}")
        return said

    def _method_of(self, candidate: Candidate) -> Method | None:
        same = (method for method in self.methods if method.config.same_but_seed(candidate.config))
        return next((method for method in same if not method.failure), None)

    def _warnings(self) -> list[str]:
        unfinished = (_unfinished(label, candidate, self.search_epochs) for label, candidate in self.chosen.items())
        return [*filter(None, unfinished), *self._mixed(), *self._baselines_ahead()]

    def _mixed(self) -> list[str]:
        """Where the methods' runs do not come from one program on one kind of machine."""
        revisions = sorted({revision for method in self.methods for revision in method.trained_by})
        machines = sorted({machine for method in self.methods for machine in method.trained_on})
        said = []
        if len(revisions) > 1:
            shown = ", ".join(revision[:12] for revision in revisions)
            program = f"{len(revisions)} revisions of the program ({shown})"
            said.append(f"these runs were trained by {program}: see trained_by in confirm.yaml")
        if len(machines) > 1:
            said.append(
                f"these runs were trained on {len(machines)} kinds of machine ({', '.join(machines)}), whose figures differ in "
                "their last digits"
            )
        return said

    def _baselines_ahead(self) -> list[str]:
        first = self.methods[0]
        ahead = [r for r in self.baselines if not first.failure and r.metrics[OBJECTIVE] > first.mean(OBJECTIVE)]
        return [
            f"{other.label}, without training, is ahead of {first.label}: {OBJECTIVE} {other.metrics[OBJECTIVE]:.4f} and "
            f"{first.mean(OBJECTIVE):.4f}; try more epochs or another learning rate before you compare losses"
            for other in ahead
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for confirm.yaml."""
        return {
            "study": self.study,
            "data": dict(self.data),
            "statements": self.statements(),
            "caveats": self.caveats(),
            "verdict": [comparison.to_dict() for comparison in self.verdict],
            "note": "mean and standard deviation over seeds; the test split was read once per run, at the last epoch",
            "winner": {"trial": self.winner.trial, "config": self.winner.config.to_dict()},
            "validation": [candidate.to_dict() for candidate in self.candidates],
            "validation of rivals": {label: one.to_dict() for label, one in self.chosen.items() if one is not self.winner},
            "test": [method.to_dict() for method in self.methods],
            "baselines": [asdict(baseline) for baseline in self.baselines],
        }


def confirmation(folder: Path, study: optuna.Study) -> Mapping[str, Any] | None:
    """The content of the confirm.yaml in a study's folder; None before confirm, and where it is another study's or damaged."""
    path = folder / CONFIRM
    if not path.exists():
        return None
    try:
        content = read_yaml(path, is_sealed=True)
    except InputError as error:
        log.warning("%s; the study counts as not confirmed until hpo.confirm is run again", error)
        return None
    if content["definition"] != study.user_attrs.get(DEFINITION):
        log.warning("%s is of another study of this name (its definition differs): it is not shown", path)
        return None
    return content


def _unfinished(label: str, chosen: Candidate, search_epochs: int) -> str:
    """What shows that a tuned method's training was not finished, empty where nothing does.

    At a constant rate that is the end of its validation curve. A rate that falls to zero flattens the end of every curve,
    finished or not: there, and where a curve has a single point, it is what the longer training of confirm has gained over that
    of the search.
    """
    epochs = chosen.config.epochs
    curves = [sorted(curve.items())[-2:] for curve in chosen.curves.values()]
    if chosen.config.schedule == "constant" and curves and all(len(ends) == 2 and ends[0][1] > 0 for ends in curves):
        rise = statistics.fmean(end / start - 1 for (_, start), (_, end) in curves)
        (before, _), (last, _) = curves[0]
        how = f"still rose by {100 * rise:.1f} % from epoch {before} to {last}"
    elif 0 < search_epochs < epochs and min(chosen.search_value, chosen.mean) > 0:
        rise = (chosen.mean / chosen.search_value) ** (1 / math.log2(epochs / search_epochs)) - 1
        how = f"was {chosen.search_value:.4f} when trained for {search_epochs} epochs and {chosen.mean:.4f} for {epochs}"
    else:
        return ""
    if rise <= STILL_RISING:
        return ""
    return (
        f"{label}: validation {OBJECTIVE} {how}; its training may not have been finished: try more epochs "
        "(--confirm-epochs) or a higher learning rate before you compare losses"
    )
