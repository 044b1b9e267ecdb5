"""What the search of each tuned method brought, on the split that it chose by and on the other, and how far more trials paid.

A search may overtune: what it chooses is better on validation than what one has without it, and worse on test (Schneider,
Bischl and Feurer, AutoML 2025, arXiv 2506.19540).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from statistics import fmean

from pydantic.dataclasses import dataclass

from hpo.confirmation.contenders import Contender, First
from hpo.confirmation.results import BestSoFar, Finalist, Method, chosen_of, percent
from hpo.confirmation.searches import Found
from trainers.validation import SETTINGS


@dataclass(frozen=True, config=SETTINGS)
class Tuning:
    """What the search of a tuned method brought over what one has without it.

    Attributes:
        label: of the method.
        over: what it is compared with: the published config, or the first that the search has tried where no paper has one;
            empty where that has no figures.
        is_same: whether that is what the search chose, of several each.
        validation_percent, test_percent: the gain of the objective at full epochs, of several searches that of their means;
            None where it was not measured.
        searches: how its best value rose, for each search that was made.
    """

    label: str
    over: str
    is_same: bool = False
    validation_percent: float | None = None
    test_percent: float | None = None
    searches: list[BestSoFar] = field(default_factory=list)

    @property
    def is_overtuned(self) -> bool:
        """Whether a gain on validation is a loss on test."""
        return (self.validation_percent or 0.0) > 0.0 > (self.test_percent or 0.0)


def tunings(
    compared: Sequence[Contender],
    methods: Sequence[Method],
    validated: Mapping[str, Sequence[Finalist]],
    objective: str,
) -> list[Tuning]:
    """What each search brought. A published config has figures on both splits, the first trial of a search on validation only:
    the test split is not read for what nobody compares.

    Args:
        compared: each with the method of the same position.
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
        others = [chosen_of(validated[published.label], objective)] * len(chosen)
    else:
        over = next((first.label for first in contender.firsts if first), "")
        others = [_finalist(each, first) for each, first in zip(contender.found, contender.firsts, strict=True)]
        is_same = all(other is not None and other is one for one, other in zip(chosen, others, strict=True))
    validation = _gain_of_means(chosen, others, objective)
    test = _gain(method, method if is_same else published, objective)
    return Tuning(contender.label, over, is_same, validation, test, [*contender.searches])


def _finalist(found: Found, first: First | None) -> Finalist | None:
    """What a search is compared with, among its finalists."""
    return next((one for one in found.finalists if first and one.trial == first.trial), None)


def _gain_of_means(ours: Sequence[Finalist | None], others: Sequence[Finalist | None], objective: str) -> float | None:
    """Of what searches have chosen, one of each, over what they are compared with."""
    sound = [[one.mean(objective) for one in each if one and not one.failure] for each in (ours, others)]
    return percent(*map(fmean, sound)) if all(len(each) == len(ours) for each in sound) else None


def _gain(ours: Method, other: Method | None, objective: str) -> float | None:
    if other is None or ours.failure or other.failure:
        return None
    return percent(ours.mean(objective), other.mean(objective))
