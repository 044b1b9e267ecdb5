"""Where the best trials of a search stand at the end of a range: what lies beyond was not tried."""

from __future__ import annotations

from dataclasses import dataclass

import optuna

from hpo.study.spec import StudySpec
from hpo.study.trials import best_trials
from search_spaces.parameters import AtEnd

BEST, MOST = 5, 3  # of so many best trials so many stand at an end


@dataclass(frozen=True)
class BestAtEnd:
    """An end of a range at which the chosen config stands, or most of the best trials do.

    Attributes:
        at: where the chosen config stands, else the best of those trials.
        trials: how many of the best stand there, and how many best were looked at.
        is_chosen: whether the chosen config does.
    """

    at: AtEnd
    trials: int
    of: int
    is_chosen: bool


def best_at_ends(study: optuna.Study, spec: StudySpec, chosen: int | None = None) -> list[BestAtEnd]:
    """The ends of ranges at which a search's best stand, see `Space.at_ends`.

    Args:
        chosen: the number of the trial whose config was chosen; by default the best trial.
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
