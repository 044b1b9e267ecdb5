"""Best trials at the end of a search range: better values may lie beyond it."""

from __future__ import annotations

from dataclasses import dataclass

import optuna
from pydantic import JsonValue

from hpo.study.spec import StudySpec
from hpo.study.trials import best_trials
from search_spaces.parameters import AtEnd

BEST, MOST = 5, 3  # an end is reported if at least MOST of the BEST best trials are there


@dataclass(frozen=True)
class BestAtEnd:
    """A range end at which the chosen config is, or most of the best trials are.

    Attributes:
        at: the parameter, its value and the end; the value of the chosen config, or else of the best of those trials.
        trials, of: `trials` of the `of` best trials are there.
        is_chosen: whether the chosen config is there.
    """

    at: AtEnd
    trials: int
    of: int
    is_chosen: bool

    def as_facts(self) -> dict[str, JsonValue]:
        """The fields as plain data, for a caveat."""
        at = self.at
        facts: dict[str, JsonValue] = {"name": at.name, "value": at.value, "low": at.low, "high": at.high, "end": at.end}
        return facts | {"trials": self.trials, "of": self.of, "is_chosen": self.is_chosen}


def best_at_ends(study: optuna.Study, spec: StudySpec, chosen: int | None = None) -> list[BestAtEnd]:
    """The range ends at which the best trials of a search are, see `Space.at_ends`.

    Args:
        chosen: the number of the chosen trial; by default the best trial.
    """
    best = best_trials(study, BEST)
    if not best:
        return []
    by_end: dict[tuple[str, str], list[AtEnd]] = {}
    for trial in best:
        for at in spec.space.at_ends(trial.params):
            by_end.setdefault((at.name, at.end), []).append(at)
    winner = best[0] if chosen is None else study.get_trials(deepcopy=False)[chosen]
    its = {(at.name, at.end): at for at in spec.space.at_ends(winner.params)}
    found = [BestAtEnd(at, len(by_end.get(key, [])), len(best), is_chosen=True) for key, at in its.items()]
    most = [ats for key, ats in by_end.items() if key not in its and len(ats) >= MOST]
    return found + [BestAtEnd(ats[0], len(ats), len(best), is_chosen=False) for ats in most]
