"""Who wins: the method of the highest mean on validation, which every method is measured on. The test split does not choose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hpo.confirmation.results import Finalist, Method, chosen_of
from hpo.runs.store import BaselineResult


@dataclass(frozen=True)
class Decision:
    """Who wins, and why.

    Attributes:
        best: the method of the highest mean on validation; None where none has trained to the end on both splits.
        finalist: it on validation; None where `best` is.
        compared: how many methods it was chosen from.
        ahead: baselines whose figure on the test split is higher than its: there is no winner then.
    """

    best: Method | None = None
    finalist: Finalist | None = None
    compared: int = 0
    ahead: Sequence[BaselineResult] = ()

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
    ahead = [other for other in baselines if other.metrics[objective] > best.mean(objective)]
    return Decision(best, sound[label], len(sound), ahead)
