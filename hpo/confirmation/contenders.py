"""What enters stage 2 of confirm: what a search found, and published settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import optuna

from hpo.confirmation.caveats import Caveat
from hpo.confirmation.results import NO_SEARCH, Finalist, SearchCost, highest, search_cost
from hpo.confirmation.search_caveats import search_caveats
from hpo.study.spec import StudySpec
from trainers import TrainConfig
from trainers.losses import LOSSES
from trainers.published import USUAL


@dataclass(frozen=True)
class Contender:
    """What enters stage 2 of confirm.

    Attributes:
        n_seeds: how many it is trained over there.
        search: what finding the config took; nothing for a published one.
        study: whose search has found it; empty for a published one.
        finalists: from what stage 1 chose it; nothing for a published one.
        caveats: on its search.
    """

    label: str
    config: TrainConfig
    n_seeds: int
    search: SearchCost = NO_SEARCH
    study: str = ""
    finalists: Sequence[Finalist] = ()
    caveats: Sequence[Caveat] = ()

    @property
    def is_tuned(self) -> bool:
        """Whether a search has found it."""
        return bool(self.finalists)


def tuned_contender(
    label: str, study: optuna.Study, spec: StudySpec, finalists: Sequence[Finalist], n_seeds: int, ours: StudySpec
) -> Contender:
    """What stage 1 chose among the finalists of a study.

    Args:
        ours: the study that is confirmed, this one or the one that it is a rival of.

    Raises:
        InputError: all of them diverged.
    """
    chosen = highest(finalists, ours.objective, spec.name)
    cost = search_cost(study).with_selection(finalists)
    caveats = [*search_caveats(study, spec, label, chosen.trial, widen=ours.name)]
    return Contender(label, chosen.config, n_seeds, cost, spec.name, finalists, caveats)


def title(spec: StudySpec) -> str:
    """The loss, with its encoder and negatives where they are not the usual ones."""
    encoder, negatives = spec.model
    unusual = [encoder] if encoder != USUAL[0] else []
    unusual += [f"{negatives} negatives"] if negatives != USUAL[1] else []
    return LOSSES[spec.space.loss_name].__name__ + (f" ({', '.join(unusual)})" if unusual else "")


def best_label(spec: StudySpec, trial: int) -> str:
    """What the best trial of a search is called before it is confirmed."""
    return f"{title(spec)} (trial {trial})"
