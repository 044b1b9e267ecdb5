"""Who wins: the method of the highest mean on validation, which every method is measured on. The test split does not choose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from hpo.confirmation.results import Finalist, Method, SearchWinner, chosen_of
from hpo.runs.store import BaselineResult


@dataclass(frozen=True)
class Decision:
    """Who wins, and why.

    Attributes:
        best: the method of the highest mean on validation; None where none has trained to the end on both splits.
        finalist: it on validation; None where `best` is.
        compared: how many methods it was chosen from.
        test: the mean of its config on the test split; of a method of several searches, of that which validation puts first.
        ahead: baselines whose figure there is higher: there is no winner then.
    """

    best: Method | None = None
    finalist: Finalist | None = None
    compared: int = 0
    test: float = 0.0
    ahead: Sequence[BaselineResult] = ()

    @property
    def search(self) -> SearchWinner | None:
        """Which search of the best method has found it; None where that has one, or none."""
        several = self.best and self.finalist and len(self.best.searches) > 1
        return self.best.found_by(self.finalist.search) if several and self.best and self.finalist else None

    @property
    def winner(self) -> Method | None:
        """The best method, unless a baseline is ahead of it."""
        return None if self.ahead else self.best


def decide(
    methods: Sequence[Method],
    validated: Mapping[str, Sequence[Finalist]],
    baselines: Sequence[BaselineResult],
    objective: str,
) -> Decision:
    """Choose among methods that have trained to the end on both splits; the first of those that are equal.

    Args:
        validated: of each method what it was on validation, see `hpo.confirmation.outcome.Confirmation`.

    Raises:
        KeyError: of one method it is not said.
    """
    chosen = {method.label: chosen_of(validated[method.label], objective) for method in methods if not method.failure}
    sound = {label: finalist for label, finalist in chosen.items() if finalist is not None}
    if not sound:
        return Decision()
    label = max(sound, key=lambda each: sound[each].mean(objective))
    best = next(method for method in methods if method.label == label)
    test = fmean(metrics[objective] for metrics in best.of_search(sound[label].search).values())
    ahead = [other for other in baselines if other.metrics[objective] > test]
    return Decision(best, sound[label], len(sound), test, ahead)
