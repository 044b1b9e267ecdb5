"""Choice of the winner: the highest mean on validation, if no baseline has more. The test split does not choose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from hpo.confirmation.results import Finalist, Method, SearchWinner, chosen_of
from hpo.runs.baseline_results import BaselineResult


@dataclass(frozen=True)
class Decision:
    """The winner, and the figures that decide.

    Attributes:
        best: the method with the highest mean on validation; None if no method trained to the end on both splits.
        finalist: the figures of `best` on validation; None if `best` is None.
        compared: the number of methods that `best` was chosen from.
        test: the mean of that config on the test split; with several searches, the config of the best one on validation.
        ahead: baselines with a higher figure on validation; if there are any, there is no winner.
    """

    best: Method | None = None
    finalist: Finalist | None = None
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
    chosen = {method.label: chosen_of(validated[method.label], objective) for method in methods if not method.failure}
    sound = {label: finalist for label, finalist in chosen.items() if finalist is not None}
    if not sound:
        return Decision()
    label = max(sound, key=lambda each: sound[each].mean(objective))
    best = next(method for method in methods if method.label == label)
    test = fmean(metrics[objective] for metrics in best.of_search(sound[label].search).values())
    value = sound[label].mean(objective)
    ahead = [other for other in baselines if other.validation > value]
    return Decision(best, sound[label], len(sound), test, ahead)
