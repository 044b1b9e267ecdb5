"""The methods that enter stage 2 of confirm: winners of searches, and published configs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import optuna

from hpo.confirmation.caveats import Caveat
from hpo.confirmation.results import BestSoFar, Finalist, SearchCost, best_so_far, highest
from hpo.confirmation.search_caveats import search_caveats
from hpo.confirmation.searches import Found
from hpo.study.attributes import NEAREST_MARK, PUBLISHED_MARK
from hpo.study.spec import StudySpec
from hpo.study.trials import first_of
from trainers import TrainConfig
from trainers.losses import LOSSES
from trainers.published import USUAL


@dataclass(frozen=True)
class FirstTrial:
    """The trial that the gain of a search is measured against: its label and its number."""

    label: str
    trial: int


@dataclass(frozen=True)
class Contender:
    """A method that enters stage 2 of confirm.

    Attributes:
        config: the published config, or the winner on validation among the configs of all its searches.
        n_seeds: seeds of stage 2 for each search.
        found: the result of each search; empty for a published config.
        firsts: for each search the trial that its gain is measured against; None if that trial is no finalist.
        searches: for each search the best value after each trial.
        caveats: caveats on its searches.
    """

    label: str
    config: TrainConfig
    n_seeds: int
    found: Sequence[Found] = ()
    firsts: Sequence[FirstTrial | None] = ()
    searches: Sequence[BestSoFar] = ()
    caveats: Sequence[Caveat] = ()

    @property
    def is_tuned(self) -> bool:
        """Whether a search found the config."""
        return bool(self.found)

    @property
    def finalists(self) -> list[Finalist]:
        """The finalists of all its searches; empty for a published config."""
        return [finalist for each in self.found for finalist in each.finalists]

    @property
    def searched_rate(self) -> bool:
        """Whether a search chose its learning rate."""
        return any("learning_rate" in each.search.spec.space.boxes() for each in self.found)

    @property
    def search(self) -> SearchCost:
        """The cost of all its searches; zero for a published config."""
        return SearchCost.total([each.cost for each in self.found])


def tuned_contender(label: str, found: Sequence[Found], n_seeds: int, ours: StudySpec) -> Contender:
    """The method with the config that stage 1 chose among the finalists of its searches.

    Args:
        ours: the study that is confirmed: the method's own, or the one whose rival the method is.

    Raises:
        InputError: every finalist of one search diverged.
    """
    caveats: list[Caveat] = []
    for each in found:
        subject = f"{label} (search {each.study})" if len(found) > 1 else label
        chosen = each.winner(ours.objective).trial
        caveats += search_caveats(each.search.study, each.search.spec, subject, chosen, widen=ours.name)
    config = highest([one for each in found for one in each.finalists], ours.objective, found[0].study).config
    firsts = [_first(each.search.study, each.search.spec) for each in found]
    return Contender(label, config, n_seeds, found, firsts, [best_so_far(each.search.study) for each in found], caveats)


def _first(study: optuna.Study, spec: StudySpec) -> FirstTrial | None:
    """The trial of the published config, or of the nearest to it. If no paper has one, the first complete trial."""
    trial = first_of(study, spec)
    if trial is None:
        return None
    for mark, nearest in ((PUBLISHED_MARK, ""), (NEAREST_MARK, "the config in its ranges that is nearest to ")):
        if label := trial.user_attrs.get(mark):
            return FirstTrial(f"{nearest}{title(spec, label)}", trial.number)
    return FirstTrial(f"trial {trial.number}, its first", trial.number)


def title(spec: StudySpec, *more: str) -> str:
    """The name of a study's loss. In brackets: the encoder and the negatives if they are unusual, and `more`.

    `more` is for example the label of published settings: `MML (published settings of Yelp2018)`.
    """
    encoder, negatives = spec.model
    details = [encoder] if encoder != USUAL[0] else []
    details += [f"{negatives} negatives"] if negatives != USUAL[1] else []
    details += more
    return LOSSES[spec.space.loss_name].titled() + (f" ({', '.join(details)})" if details else "")


def best_label(spec: StudySpec, trial: int) -> str:
    """The label of the best trial of a search that is not confirmed yet."""
    return f"{title(spec)} (trial {trial})"
