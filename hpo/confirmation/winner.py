"""Choice of the winner: the highest mean on validation, if no baseline has more. The test split does not choose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from hpo.confirmation.results import Finalist, Method, SearchWinner, chosen_of, on_validation
from hpo.runs.baseline_results import BaselineResult


@dataclass(frozen=True)
class Decision:
    """The winner, and the figures that decide.

    Attributes:
        best: the method with the highest mean on validation, over its searches if it has several; None if no method trained to
            the end on both splits.
        finalist: the config of `best` that is best on validation; None if `best` is None.
        value: the figure of `best` on validation.
        compared: the number of methods that `best` was chosen from.
        test: the mean of that config on the test split; with several searches, the config of the best one on validation.
        ahead: baselines that are better on validation than the config of `finalist`; if there are any, there is no winner.
    """

    best: Method | None = None
    finalist: Finalist | None = None
    value: float = 0.0
    compared: int = 0
    test: float = 0.0
    ahead: Sequence[BaselineResult] = ()

    @property
    def search(self) -> SearchWinner | None:
        """The search of the best method that found the config; None if the method has fewer than two searches."""
        several = self.best and self.finalist and len(self.best.searches) > 1
        return self.best.found_by(self.finalist.search) if several and self.best and self.finalist else None

    @property
    def winner(self) -> Method | None:
        """The best method; None if a baseline is ahead of it."""
        return None if self.ahead else self.best


def decide(
    methods: Sequence[Method],
    validated: Mapping[str, Sequence[Finalist]],
    baselines: Sequence[BaselineResult],
    objective: str,
) -> Decision:
    """Choose among methods that trained to the end on both splits. Of equal methods the first wins.

    Args:
        validated: the finalists of each method by its label, see `hpo.confirmation.outcome.Confirmation`.

    Raises:
        KeyError: `validated` lacks a method.
    """
    values = {method.label: on_validation(validated[method.label], objective) for method in methods if not method.failure}
    sound = {label: value for label, value in values.items() if value is not None}
    if not sound:
        return Decision()
    label = max(sound, key=lambda each: sound[each])
    best = next(method for method in methods if method.label == label)
    finalist = chosen_of(validated[label], objective)
    assert finalist is not None  # the label has a value
    test = fmean(metrics[objective] for metrics in best.of_search(finalist.search).values())
    ahead = [other for other in baselines if other.validation > finalist.mean(objective)]
    return Decision(best, finalist, sound[label], len(sound), test, ahead)
