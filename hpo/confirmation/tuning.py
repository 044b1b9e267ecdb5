"""The gain of each tuned method's search, on validation and on test.

A search may overtune: its config is better on validation than the config without a search, and worse on test (Schneider,
Bischl and Feurer, AutoML 2025, arXiv 2506.19540).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from statistics import fmean

import numpy as np
from pydantic.dataclasses import dataclass

from hpo.confirmation.contenders import Contender, FirstTrial
from hpo.confirmation.evidence import over_runs
from hpo.confirmation.results import BestSoFar, Finalist, Method, chosen_of, percent
from hpo.confirmation.searches import Found
from hpo.confirmation.statistics import MIN_RUNS, repeats_of
from trainers.validation import SETTINGS


@dataclass(frozen=True, config=SETTINGS)
class Tuning:
    """The gain of a tuned method over the config without a search.

    Attributes:
        label: the label of the method.
        over: the label of that config: the published one, or the first complete trial if no paper has one; empty if it has no
            figures.
        is_same: whether every search chose that config.
        validation_percent, test_percent: the gain of the objective at full epochs, in percent; None if not measured. With
            several searches it is the gain of their mean. On validation both have the same seeds.
        test_error_percent: the half-width of the 95 % interval of the gain on test (Welch), over runs, or over searches if the
            method has several; None if one side has a single run.
        searches: for each search the best value after each trial.
    """

    label: str
    over: str
    is_same: bool = False
    validation_percent: float | None = None
    test_percent: float | None = None
    test_error_percent: float | None = None
    searches: list[BestSoFar] = field(default_factory=list)

    @property
    def is_overtuned(self) -> bool:
        """Whether a gain on validation is a loss on test that exceeds its 95 % interval."""
        if self.validation_percent is None or self.test_percent is None or self.test_error_percent is None:
            return False
        return self.validation_percent > 0.0 > self.test_percent + self.test_error_percent


def tunings(
    compared: Sequence[Contender],
    methods: Sequence[Method],
    validated: Mapping[str, Sequence[Finalist]],
    objective: str,
) -> list[Tuning]:
    """The gain of each tuned method.

    A published config has figures on both splits. The first trial of a search has figures on validation only: the test split
    is read for compared methods alone.

    Args:
        compared: the contenders, in the order of `methods`.
        validated: see `hpo.confirmation.outcome.Confirmation`.
    """
    published = {m.config.loss.name: m for one, m in zip(compared, methods, strict=True) if not one.is_tuned}
    tuned = [(one, method) for one, method in zip(compared, methods, strict=True) if one.is_tuned]
    return [_tuning(one, method, published.get(method.config.loss.name), validated, objective) for one, method in tuned]


def _tuning(
    contender: Contender,
    method: Method,
    published: Method | None,
    validated: Mapping[str, Sequence[Finalist]],
    objective: str,
) -> Tuning:
    chosen = [chosen_of(each.finalists, objective) for each in contender.found]
    others: list[Finalist | None]
    if published is not None:
        over, is_same = published.label, False
        pairs = [_on_same_seeds(one, chosen_of(validated[published.label], objective)) for one in chosen]
        chosen, others = [one for one, _ in pairs], [other for _, other in pairs]
    else:
        over = next((first.label for first in contender.firsts if first), "")
        others = [_finalist(each, first) for each, first in zip(contender.found, contender.firsts, strict=True)]
        is_same = all(other is not None and other is one for one, other in zip(chosen, others, strict=True))
    validation, before = _gain_of_means(chosen, others, objective), method if is_same else published
    test, error = _gain(method, before, objective), None if is_same else _error(method, before, objective)
    return Tuning(contender.label, over, is_same, validation, test, error, [*contender.searches])


def _finalist(found: Found, first: FirstTrial | None) -> Finalist | None:
    """The finalist that the gain of a search is measured against."""
    return next((one for one in found.finalists if first and one.trial == first.trial), None)


def _on_same_seeds(one: Finalist | None, other: Finalist | None) -> tuple[Finalist | None, Finalist | None]:
    """Two finalists with the figures of their common seeds, since a seed may suit both; as they are if they have none."""
    common = {*one.by_seed} & {*other.by_seed} if one and other else set()
    if one is None or other is None or not common:
        return one, other
    first, second = (replace(each, by_seed={seed: each.by_seed[seed] for seed in sorted(common)}) for each in (one, other))
    return first, second


def _gain_of_means(ours: Sequence[Finalist | None], others: Sequence[Finalist | None], objective: str) -> float | None:
    """The gain of the mean of `ours` over the mean of `others` on validation, in percent; None if one has no figures."""
    sound = [[one.mean(objective) for one in each if one and not one.failure] for each in (ours, others)]
    return percent(*map(fmean, sound)) if all(len(each) == len(ours) for each in sound) else None


def _gain(ours: Method, other: Method | None, objective: str) -> float | None:
    if other is None or ours.failure or other.failure:
        return None
    return percent(ours.mean(objective), other.mean(objective))


def _error(ours: Method, other: Method | None, objective: str) -> float | None:
    """The half-width of Welch's 95 % interval of the gain on test, in percent of the other's mean."""
    if other is None or ours.failure or other.failure or not other.mean(objective):
        return None
    first, second = (repeats_of([np.array(runs) for runs in method.values(objective)]) for method in (ours, other))
    if min(len(first), len(second)) < MIN_RUNS:
        return None
    evidence = over_runs(first, second)
    return 100 * (evidence.high - evidence.low) / 2 / other.mean(objective)
