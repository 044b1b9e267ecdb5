"""Baselines in a confirmation: tuned on validation before the test split is read, then compared with our method."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from pydantic import JsonValue

from hpo.confirmation.caveats import Caveat, CaveatKind
from hpo.confirmation.statistics import Comparison, Measured, compare_pairs
from hpo.runs.baseline_results import BaselineResult, TunedBaseline
from hpo.runs.baselines import BaselineFailed, BaselineRuns, MeasuredBaseline, n_points
from hpo.runs.train import FullRuns
from hpo.runtime.text import listed
from hpo.study.ends import BestAtEnd
from hpo.study.workspace import Workspace
from search_spaces.baselines import BASELINE_RANGES, at_ends
from trainers import Interactions


@dataclass(frozen=True)
class Baselines:
    """The baselines of a study.

    Attributes:
        runs: the store of the study's finished runs.
        factors: of iALS: the width of the vectors of the study's own method.
        test_seeds: of baselines that start at random.
        max_memory: GB that EASE may take.
    """

    work: Workspace
    runs: FullRuns
    factors: int
    test_seeds: Sequence[int]
    max_memory: float

    @property
    def _made(self) -> BaselineRuns:
        return BaselineRuns(self.runs, self.work.spec.search.seed, self.factors, self.test_seeds, self.max_memory)

    def tuned(self, trials: int) -> list[TunedBaseline]:
        """Each baseline, tuned on validation.

        Args:
            trials: finished trials of the study's search.

        Raises:
            InputError: stored evaluations are damaged.
            Stopped: SIGINT or SIGTERM; finished evaluations are kept.
        """
        spec = self.work.spec
        counts = {name: n_points(name, spec.confirm.baseline_trials, trials) for name in spec.baselines}
        return [self._made.tune(name, count, *self.work.split) for name, count in counts.items()]

    def chosen(self, tuned: Sequence[TunedBaseline]) -> dict[str, list[JsonValue]]:
        """What will be measured on test, for the log of its readings, by name."""
        return {each.name: self._made.chosen(each, self.work.dataset.n_items) for each in tuned}

    def measured(self, tuned: Sequence[TunedBaseline], test: Interactions) -> tuple[list[MeasuredBaseline], list[Caveat]]:
        """Their figures on test, and caveats: settings at the end of a range, and baselines that could not be fitted.

        Raises:
            InputError: stored figures are damaged.
            Stopped: SIGINT or SIGTERM.
        """
        found, caveats = [], list[Caveat]()
        for each in tuned:
            try:
                found.append(self._made.measure(each, self.work.dataset.train, test))
            except BaselineFailed as error:
                facts: dict[str, JsonValue] = {"points": len(each.evaluations), "failure": str(error)}
                caveats.append(Caveat(kind=CaveatKind.BASELINE_FAILED, subject=each.name, facts=facts))
        results, n_items = [each.result for each in found], self.work.dataset.n_items
        return found, [*(caveat for each in results for caveat in _at_ends(each, n_items)), *_not_tuned(results), *caveats]


def _at_ends(result: BaselineResult, n_items: int) -> Iterator[Caveat]:
    """A caveat if chosen settings are at the end of a range; default settings were not chosen."""
    ends: list[JsonValue] = [
        BestAtEnd(each, 1, len(result.evaluations), is_chosen=True).as_facts()
        for each in at_ends(result.name, result.settings, n_items)
    ]
    if ends and len(result.evaluations) > 1:
        yield Caveat(kind=CaveatKind.AT_RANGE_END, subject=result.label, facts={"ends": ends})


def _not_tuned(results: Sequence[BaselineResult]) -> Iterator[Caveat]:
    """A caveat if baselines have their default settings, although they have settings to tune."""
    labels = [each.label for each in results if BASELINE_RANGES[each.name] and len(each.evaluations) == 1]
    if labels:
        yield Caveat(kind=CaveatKind.BASELINES_NOT_TUNED, subject=listed(labels), facts={"count": len(labels)})


def measured_baselines(baselines: Sequence[MeasuredBaseline], objective: str) -> list[Measured]:
    """The baselines for a comparison: one run for each seed, or a constant without seeds."""
    return [
        Measured(
            each.result.label,
            each.per_user[objective].to_numpy(np.float64),
            [np.array(each.result.values(objective))],
            is_deterministic=not each.result.by_seed,
        )
        for each in baselines
    ]


def against_baselines(trained: Sequence[Measured], baselines: Sequence[MeasuredBaseline], objective: str) -> list[Comparison]:
    """Each of the trained methods against each baseline.

    Holm's correction covers these pairs alone, so that baselines change no verdict on a rival.

    Args:
        trained: our method, and in a league the leader; without those that diverged.
    """
    return compare_pairs(product(trained, measured_baselines(baselines, objective)))
