"""What confirm found, as data: the one source of the terminal table and of confirm.yaml."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hpo.spec import OBJECTIVE
from trainers.config import TrainConfig

KEPT = ("ndcg@20", "recall@20", "ndcg@50", "recall@50")
SHOWN = KEPT[:2]


@dataclass(frozen=True)
class Candidate:
    """A config that entered the validation stage, with its metrics by seed; `failure` if it diverged."""

    trial: int
    config: TrainConfig
    search_value: float
    by_seed: dict[int, dict[str, float]]
    failure: str = ""

    @property
    def mean(self) -> float:
        """Mean validation objective over seeds, minus infinity when it diverged."""
        return float("-inf") if self.failure else statistics.fmean(m[OBJECTIVE] for m in self.by_seed.values())


@dataclass(frozen=True)
class Method:
    """A row of the comparison.

    Attributes:
        label: `MML tuned`, `CCL published`, ...
        config: what was trained; its seed is the first of the seeds.
        by_seed: test metrics by seed.
        seconds: training time over all seeds.
    """

    label: str
    config: TrainConfig
    by_seed: dict[int, dict[str, float]]
    seconds: float
    failure: str = ""

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
    """The outcome of confirm: who won on validation, and all methods on test. The winner is the first method."""

    study: str
    candidates: Sequence[Candidate]
    winner: Candidate
    methods: Sequence[Method]

    def rows(self) -> list[list[str]]:
        """Cells of the comparison table: method, then `mean ± sd` per metric, then the difference to the winner."""
        return [self._row(method) for method in self.methods]

    def _row(self, method: Method) -> list[str]:
        if method.failure:
            return [method.label, *("diverged" for _ in SHOWN), ""]
        return [method.label, *(_cell(method, metric) for metric in SHOWN), self._lead(method)]

    def _lead(self, method: Method) -> str:
        first = self.methods[0]
        if method is first or first.failure:
            return ""
        return f"{100 * (first.mean(OBJECTIVE) / method.mean(OBJECTIVE) - 1):+.1f} %" if method.mean(OBJECTIVE) else "n/a"

    def sentences(self) -> list[str]:
        """One sentence per rival: the winner's lead in the objective beside the spread over seeds."""
        first = self.methods[0]
        if first.failure:
            return [f"{first.label} diverged on train + validation: {first.failure}"]
        return [
            f"{first.label} against {other.label}: {OBJECTIVE} {self._lead(other)} "
            f"({_cell(first, OBJECTIVE)} and {_cell(other, OBJECTIVE)}, {_seeds(len(other.by_seed))})"
            for other in self.methods[1:]
            if not other.failure
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for confirm.yaml."""
        return {
            "study": self.study,
            "statements": self.sentences(),
            "note": "mean and standard deviation over seeds; the test split was read once per run, at the last epoch",
            "winner": {"trial": self.winner.trial, "config": self.winner.config.to_dict()},
            "validation": [_candidate_dict(candidate) for candidate in self.candidates],
            "test": [_method_dict(method) for method in self.methods],
        }


def _candidate_dict(candidate: Candidate) -> dict[str, Any]:
    outcome = {"failure": candidate.failure} if candidate.failure else {f"mean {OBJECTIVE}": candidate.mean}
    return {"trial": candidate.trial, "search_value": candidate.search_value, **outcome, "by_seed": candidate.by_seed}


def _method_dict(method: Method) -> dict[str, Any]:
    means = {} if method.failure else {m: {"mean": method.mean(m), "sd": method.sd(m)} for m in KEPT}
    failure = {"failure": method.failure} if method.failure else {}
    config = method.config.to_dict()
    return {"method": method.label, **failure, **means, "seconds": round(method.seconds, 1), "by_seed": method.by_seed} | {
        "config": config
    }


def _cell(method: Method, metric: str) -> str:
    sd = method.sd(metric)
    return f"{method.mean(metric):.4f}" + ("" if sd is None else f" ± {sd:.4f}")


def _seeds(count: int) -> str:
    return "1 seed" if count == 1 else f"{count} seeds"
