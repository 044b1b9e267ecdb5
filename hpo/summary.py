"""What confirm found, as data: the one source of the terminal table and of confirm.yaml."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import optuna

from hpo.runs import Reference
from hpo.spec import OBJECTIVE
from hpo.trials import tally
from hpo.verdict import Comparison, Floats, Measured, compare
from trainers.config import TrainConfig
from trainers.errors import InputError

KEPT = ("ndcg@20", "recall@20", "ndcg@50", "recall@50")
SHOWN = KEPT[:2]
STILL_RISING = 0.01  # of a validation curve between its last two points, or by twice the epochs
LOSS_BY_EPOCH = "training loss by epoch"


@dataclass(frozen=True)
class SearchCost:
    """What finding a config took: finished trials, epochs trained, seconds of training and of the search's evaluation.

    Diverged and interrupted trials are included; what a killed process had not yet written is not.
    """

    trials: int = 0
    epochs: int = 0
    seconds: float = 0.0

    def with_selection(self, candidates: Sequence[Candidate]) -> SearchCost:
        """The same with stage 1 of confirm, which chooses among the candidates."""
        epochs = sum(candidate.config.epochs * len(candidate.by_seed) for candidate in candidates)
        seconds = sum(candidate.seconds for candidate in candidates)
        return SearchCost(self.trials, self.epochs + epochs, round(self.seconds + seconds, 1))


NO_SEARCH = SearchCost()


def search_cost(study: optuna.Study) -> SearchCost:
    """The cost of a study so far."""
    trials = study.get_trials(deepcopy=False)
    spent = [trial.user_attrs for trial in trials]
    seconds = sum(attrs.get("train_seconds", 0.0) + attrs.get("evaluate_seconds", 0.0) for attrs in spent)
    return SearchCost(tally(trials).finished, sum(attrs.get("epochs_trained", 0) for attrs in spent), round(seconds, 1))


@dataclass(frozen=True)
class Candidate:
    """A config that entered the validation stage, with its metrics by seed; `failure` if it diverged.

    Attributes:
        curves: by seed, the validation objective by epoch.
        losses: by seed, the mean training loss by epoch.
        seconds: training time over all seeds.
    """

    trial: int
    config: TrainConfig
    search_value: float
    by_seed: dict[int, dict[str, float]]
    failure: str = ""
    curves: dict[int, dict[int, float]] = field(default_factory=dict)
    losses: dict[int, dict[int, float]] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def mean(self) -> float:
        """Mean validation objective over seeds, minus infinity when it diverged."""
        return float("-inf") if self.failure else statistics.fmean(m[OBJECTIVE] for m in self.by_seed.values())


def highest(candidates: Sequence[Candidate], name: str) -> Candidate:
    """The candidate of the highest mean.

    Raises:
        InputError: all of study `name` diverged.
    """
    winner = max(candidates, key=lambda candidate: candidate.mean)
    if winner.failure:
        raise InputError(f"study {name!r}: every candidate diverged at full epochs, e.g. {winner.failure}")
    return winner


@dataclass(frozen=True)
class Method:
    """A row of the comparison.

    Attributes:
        label: `MML tuned`, `CCL published`, ...
        config: what was trained; its seed is the first of the seeds.
        by_seed: test metrics by seed.
        per_user: (n_users,) the objective of each user, mean over seeds; empty when a seed diverged.
        seconds: training time over all seeds.
        search: what finding the config took; nothing for published ones.
        beyond: beyond accuracy, mean over seeds, see `trainers.beyond.summarise`.
        gradient: which negatives get the gradient, mean over seeds, see `trainers.gradients.gradient_shares`.
        trained_by: the revisions of this program that trained its runs, which are kept and may be older than this one.
    """

    label: str
    config: TrainConfig
    by_seed: dict[int, dict[str, float]]
    seconds: float
    failure: str = ""
    per_user: Floats = field(default_factory=lambda: np.zeros(0), repr=False)
    search: SearchCost = NO_SEARCH
    beyond: dict[str, Any] = field(default_factory=dict)
    gradient: dict[str, float] = field(default_factory=dict)
    trained_by: Sequence[str] = ()

    def values(self, metric: str) -> list[float]:
        """The metric for every seed."""
        return [metrics[metric] for metrics in self.by_seed.values()]

    def mean(self, metric: str) -> float:
        """Mean over seeds."""
        return statistics.fmean(self.values(metric))

    def sd(self, metric: str) -> float | None:
        """Standard deviation over seeds, None for one seed."""
        return statistics.stdev(self.values(metric)) if len(self.by_seed) > 1 else None


@dataclass(frozen=True)
class Confirmation:
    """The outcome of confirm: who won on validation, and all methods on test, the winner first; below them who is untrained.

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
    references: Sequence[Reference] = ()
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
        untrained = [
            [reference.label, *(f"{reference.metrics[metric]:.4f}" for metric in SHOWN), "untrained"]
            for reference in self.references
        ]
        return [self._row(method) for method in self.methods] + untrained

    def _row(self, method: Method) -> list[str]:
        if method.failure:
            return [method.label, *("diverged" for _ in SHOWN), ""]
        return [method.label, *(_cell(method, metric) for metric in SHOWN), self._lead(method)]

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

    def sentences(self) -> list[str]:
        """Who has the highest figure; the verdict, a sentence per rival, tuned ones first; what else the reader must know."""
        failures = [
            f"{method.label} diverged on train + validation: {method.failure}" for method in self.methods if method.failure
        ]
        tuned_first = sorted(self.verdict, key=lambda comparison: not self._is_tuned(comparison.rival))
        verdict = [comparison.sentence(OBJECTIVE) for comparison in tuned_first]
        return [*self._highest(), *verdict, *self._tuning(), *self.notes, *failures, *self._warnings()]

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
        methods = {method.config.replace(seed=0).digest(): method for method in self.methods if not method.failure}
        said = []
        for label, chosen in self.chosen.items():
            tuned = methods.get(chosen.config.replace(seed=0).digest())
            for candidate in self.validated[label]:
                other = methods.get(candidate.config.replace(seed=0).digest())
                if tuned and other and other is not tuned and min(candidate.mean, other.mean(OBJECTIVE)) > 0:
                    gains = chosen.mean / candidate.mean, tuned.mean(OBJECTIVE) / other.mean(OBJECTIVE)
                    validation, test = (f"{100 * (gain - 1):+.1f} %" for gain in gains)
                    splits = f"{validation} on validation, by which it was chosen, {test} on test"
                    said.append(f"{label} against {other.label}: {splits}")
        return said

    def _warnings(self) -> list[str]:
        unfinished = (_unfinished(label, candidate, self.search_epochs) for label, candidate in self.chosen.items())
        return [*filter(None, unfinished), *self._mixed(), *self._untrained_ahead()]

    def _mixed(self) -> list[str]:
        revisions = sorted({revision for method in self.methods for revision in method.trained_by})
        if len(revisions) < 2:
            return []
        shown = ", ".join(revision[:12] for revision in revisions)
        return [
            f"these runs were trained by {len(revisions)} revisions of the program ({shown}): see trained_by in confirm.yaml"
        ]

    def _untrained_ahead(self) -> list[str]:
        first = self.methods[0]
        ahead = [r for r in self.references if not first.failure and r.metrics[OBJECTIVE] > first.mean(OBJECTIVE)]
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
            "statements": self.sentences(),
            "verdict": [comparison.to_dict() for comparison in self.verdict],
            "note": "mean and standard deviation over seeds; the test split was read once per run, at the last epoch",
            "winner": {"trial": self.winner.trial, "config": self.winner.config.to_dict()},
            "validation": [_candidate_dict(candidate) for candidate in self.candidates],
            "validation of rivals": {
                label: _candidate_dict(one) for label, one in self.chosen.items() if one is not self.winner
            },
            "test": [_method_dict(method) for method in self.methods],
            "untrained": [asdict(reference) for reference in self.references],
        }


def _candidate_dict(candidate: Candidate) -> dict[str, Any]:
    outcome = {"failure": candidate.failure} if candidate.failure else {f"mean {OBJECTIVE}": candidate.mean}
    found = {"trial": candidate.trial, "search_value": candidate.search_value, **outcome, "by_seed": candidate.by_seed}
    return {**found, f"{OBJECTIVE} by epoch": candidate.curves, LOSS_BY_EPOCH: candidate.losses}


def _method_dict(method: Method) -> dict[str, Any]:
    means = {} if method.failure else {m: {"mean": method.mean(m), "sd": method.sd(m)} for m in KEPT}
    failure = {"failure": method.failure} if method.failure else {}
    config = method.config.to_dict()
    costs = {"seconds": round(method.seconds, 1), "search": asdict(method.search)}
    found = {"by_seed": method.by_seed, "beyond": method.beyond, "gradient": method.gradient}
    return {"method": method.label, **failure, **means, **costs, **found, "trained_by": [*method.trained_by], "config": config}


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


def mean_of(parts: Sequence[Any]) -> Any:
    """The mean of numbers, and of what stands at the same place in equal mappings and lists."""
    first = parts[0]
    if isinstance(first, dict):
        return {key: mean_of([part[key] for part in parts]) for key in first}
    if isinstance(first, list):
        return [mean_of(list(column)) for column in zip(*parts, strict=True)]
    return statistics.fmean(parts)


def _cell(method: Method, metric: str) -> str:
    sd = method.sd(metric)
    return f"{method.mean(metric):.4f}" + ("" if sd is None else f" ± {sd:.4f}")
