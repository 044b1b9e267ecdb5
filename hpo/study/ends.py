"""Where the best trials of a search stand at the end of a range: what lies beyond was not tried."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import optuna

from hpo.study.spec import StudySpec
from hpo.study.trials import best_trials, trial_config
from search_spaces.parameters import AtEnd
from trainers.config import TrainConfig

BEST, MOST = 5, 3  # of so many best trials so many stand at an end


@dataclass(frozen=True)
class BestAtEnd:
    """An end of a range at which the chosen config stands, or most of the best trials do.

    Attributes:
        at: where the chosen config stands, else the best of those trials.
        trials: how many of the best stand there, and how many best were looked at.
    """

    at: AtEnd
    trials: int
    of: int


def best_at_ends(study: optuna.Study, spec: StudySpec, chosen: TrainConfig | None = None) -> list[BestAtEnd]:
    """The ends of ranges at which a search's best stand, see `Space.at_ends`.

    Args:
        chosen: the config that was chosen among the best; by default that of the best trial.
    """
    best = [trial_config(trial, spec) for trial in best_trials(study, BEST)]
    if not best:
        return []
    chosen = chosen or best[0]
    by_end: dict[tuple[str, str], list[AtEnd]] = {}
    for config in best:
        for at in _ends(config, spec):
            by_end.setdefault((at.name, at.end), []).append(at)
    found = [BestAtEnd(at, len(by_end.get((at.name, at.end), [])), len(best)) for at in _ends(chosen, spec)]
    taken = {(each.at.name, each.at.end) for each in found}
    return found + [
        BestAtEnd(ats[0], len(ats), len(best)) for key, ats in by_end.items() if key not in taken and len(ats) >= MOST
    ]


def _ends(config: TrainConfig, spec: StudySpec) -> Sequence[AtEnd]:
    return spec.space.at_ends(spec.space.params(config))
