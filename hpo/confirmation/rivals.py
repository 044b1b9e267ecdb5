"""Rivals of the confirmation, published and tuned, and their caveats."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import optuna
from optuna.storages import BaseStorage

from hpo.confirmation.results import NO_SEARCH, Candidate, SearchCost, highest, search_cost
from hpo.runtime.text import counted
from hpo.study.definition import Difference, definition_of, differences, stored_definition
from hpo.study.spec import OBJECTIVE, StudySpec
from hpo.study.stored import stored_spec
from hpo.study.trials import best_trials, ways_searched
from hpo.study.workspace import Workspace
from trainers import TrainConfig
from trainers.config import dotted
from trainers.errors import InputError
from trainers.losses import LOSSES
from trainers.published import USUAL

Select = Callable[[optuna.Study, StudySpec], list[Candidate]]


@dataclass(frozen=True)
class Contender:
    """What enters stage 2 of confirm, over how many seeds, what finding it took, and from what stage 1 chose it."""

    label: str
    config: TrainConfig
    n_seeds: int
    search: SearchCost = NO_SEARCH
    candidates: Sequence[Candidate] = ()


DIFFERS = "differs in"
BUDGET_TOLERANCE = 0.1  # budgets within 10 % count as equal: n workers may overshoot by n - 1 trials


@dataclass(frozen=True)
class Rivals:
    """Finds the contenders of a study; `select` is stage 1 of confirm."""

    work: Workspace
    study: optuna.Study
    storage: BaseStorage
    select: Select

    def of(self, ours: Contender) -> tuple[list[Contender], list[str]]:
        """The published config and each rival's, published and, when its study has run in the same way, tuned; each config
        once; and what the reader must know of them.
        """
        others, not_tuned, otherwise = self._published(self.work.spec), [], []
        for rival in self.work.rivals:
            tuned, why_not = self._tuned(rival)
            published = self._published(rival)
            others += [*published, *tuned]
            if why_not:
                lost = "" if published else "; not compared at all"
                not_tuned.append(f"{title(rival)} (rival study {rival.name} {why_not}{lost})")
                otherwise += [rival.name] if why_not.startswith(DIFFERS) else []
        kept, notes = _without_duplicates(ours, others)
        if not_tuned:
            first = f", once what differs is gone (hpo.studies delete {' '.join(otherwise)})" if otherwise else ""
            notes.append(
                f"not tuned: {', '.join(not_tuned)}; a tuned loss against an untuned one is no fair comparison of losses: "
                f"hpo.run --tune-rivals searches them with the same budget{first}"
            )
        return kept, [*notes, *self._caveats(ours, kept)]

    def _published(self, spec: StudySpec) -> list[Contender]:
        published = spec.published(self.work.spec.confirm.epochs, 0)
        return [] if published is None else [self._contender(spec, published[1], published[0])]

    def _contender(
        self,
        spec: StudySpec,
        kind: str,
        config: TrainConfig,
        search: SearchCost = NO_SEARCH,
        candidates: Sequence[Candidate] = (),
    ) -> Contender:
        """A config over as many seeds as ours, or over fewer, and labelled so, where the plan has fewer for its loss."""
        plan = self.work.spec.confirm
        n_seeds = min(plan.seeds, plan.rival_seeds.get(spec.space.loss_name, plan.seeds))
        fewer = f" ({counted(n_seeds, 'seed')}, not {plan.seeds})" if n_seeds < plan.seeds else ""
        return Contender(f"{title(spec)} {kind}{fewer}", config, n_seeds, search, candidates)

    @cached_property
    def _n_trials(self) -> int:
        return search_cost(self.study).trials

    @cached_property
    def _ways(self) -> list[dict[str, Any]]:
        return ways_searched(self.study)

    @cached_property
    def _studies(self) -> list[str]:
        return optuna.get_all_study_names(self.storage)

    def _tuned(self, rival: StudySpec) -> tuple[list[Contender], str]:
        """The rival's winner, chosen as ours is; none, and why, when its study has not run, or not in the same way."""
        if rival.name not in self._studies:
            return [], "has not run"
        study = optuna.load_study(study_name=rival.name, storage=self.storage)
        if why_not := self._unlike(study, rival):
            return [], why_not
        theirs = stored_spec(study)
        if not best_trials(study, 1):
            return [], "has no complete trial"
        if why_not := self._searched_otherwise(ways_searched(study)):
            return [], why_not
        candidates = self.select(study, theirs)
        if all(candidate.failure for candidate in candidates):
            return [], "has no candidate that trains to full epochs"
        chosen, cost = highest(candidates, rival.name), search_cost(study)
        unlike = abs(cost.trials - self._n_trials) > BUDGET_TOLERANCE * self._n_trials
        budget = f" ({counted(cost.trials, 'trial')}, not {self._n_trials})" if unlike else ""
        return [self._contender(rival, f"tuned{budget}", chosen.config, cost.with_selection(candidates), candidates)], ""

    def _unlike(self, study: optuna.Study, rival: StudySpec) -> str:
        """Why a rival's study is no equal of ours, or not what its name or file now stands for; empty when it is both.

        The batch size and the rate of its file are fair.
        """
        try:
            asked_spec = rival.with_budget_of(self.work.spec)
        except InputError as error:
            return f"cannot be searched as ours is: {error}"
        asked = definition_of(asked_spec, self.work.dataset.checksum, self.work.choice.name)
        theirs = stored_definition(study.study_name, study.user_attrs)
        return _differs([_searched_with(unlike) for unlike in differences(theirs, asked, leaving_out=("engine",))])

    def _searched_otherwise(self, theirs: list[dict[str, Any]]) -> str:
        """The same for what is no part of a definition."""
        parts = [part for part in ("sampler", "pruner") if _parts(theirs, part) != _parts(self._ways, part)]
        return _differs([f"search.{part}" for part in parts])

    def _caveats(self, ours: Contender, others: Sequence[Contender]) -> Iterator[str]:
        """What the reader must know of how the configs came to be."""
        if any(not other.candidates for other in others):
            yield (
                "what is not tuned has a paper's settings of the loss, under the encoder's settings, negatives, batch size, "
                "learning rate, schedule and epochs of the study here: not the paper's whole recipe"
            )
        yield from _model_differences(ours, others, searched=self.work.spec.space.also)
        spec = self.work.spec
        for part in ("sampler", "pruner"):
            if len(_parts(self._ways, part)) > 1:
                yield f"the {part} was changed during the search: trials before and after the change are not comparable"
        sampler = spec.search.sampler
        if sampler.never_learns(self._n_trials):
            yield (
                f"the search of {self._n_trials} trials is no longer than the {sampler.n_startup_trials} that sampler "
                f"{sampler.name} draws at random before it learns: search longer before you trust a comparison of tuned methods"
            )
        if spec.space.also and any(not other.candidates for other in others):
            searched = ", ".join(spec.space.also)
            yield f"{searched} searched: methods that are not tuned have what their study file says (report: what was trained)"


def _parts(ways: list[dict[str, Any]], part: str) -> set[str]:
    """The different samplers, or pruners, of trials: see `ways_searched`."""
    return {str(way.get(part)) for way in ways}


def _searched_with(unlike: Difference) -> str:
    says = "study file says" if unlike.key.split(".")[0] in ("config", "space") else "this study has"
    return f"{unlike.key} (searched with {unlike.before}, {says} {unlike.after})"


def _differs(keys: Sequence[str]) -> str:
    return f"{DIFFERS} {', '.join(keys)}" if keys else ""


def _without_duplicates(ours: Contender, others: Sequence[Contender]) -> tuple[list[Contender], list[str]]:
    """The others without published configs that a search has found, too, and a note for each of those."""
    tuned = [ours, *(other for other in others if other.candidates)]
    kept, notes = [], []
    for other in others:
        same = None if other.candidates else next((one for one in tuned if one.config.same_but_seed(other.config)), None)
        if same is None:
            kept.append(other)
        else:
            notes.append(_published_found_by_search(same, other))
    return kept, notes


def _published_found_by_search(tuned: Contender, published: Contender) -> str:
    """What to say where the validation stage chose the published config."""
    chosen = highest(tuned.candidates, tuned.label)
    best = max(tuned.candidates, key=lambda candidate: candidate.search_value)
    which = f"{tuned.label} is the config of {published.label}"
    if best.search_value <= chosen.search_value:
        return f"{which}: its search found no better one"
    then = f"diverged at full epochs ({best.failure})" if best.failure else ""
    then = then or f"not at full epochs ({best.mean:.4f} against {chosen.mean:.4f})"
    return (
        f"{which}: trial {best.trial} was ahead of it in the search (validation {OBJECTIVE} {best.search_value:.4f} against "
        f"{chosen.search_value:.4f}), but {then}"
    )


def _model_differences(ours: Contender, others: Sequence[Contender], searched: Sequence[str]) -> Iterator[str]:
    """What differs beside the losses, but for what each has searched for itself; a sentence for those that differ alike."""
    mine = _settings_besides_loss(ours.config, searched)
    labels: dict[str, list[str]] = {}
    for other in others:
        theirs = _settings_besides_loss(other.config, searched)
        unlike = "; ".join(
            f"{key} ({theirs[key]} vs {mine[key]})" for key in theirs if mine.get(key, theirs[key]) != theirs[key]
        )
        if unlike:
            labels.setdefault(unlike, []).append(other.label)
    for unlike, those in labels.items():
        also = "also differs" if len(those) == 1 else "also differ"
        yield f"{' and '.join(those)} {also} from {ours.label} in {unlike}"


def _settings_besides_loss(config: TrainConfig, searched: Sequence[str]) -> dict[str, Any]:
    """What a config has beside its loss, by dotted keys, without what is searched."""
    fields = dotted(config.to_dict())
    inside = {"dropout": "encoder.dropout", "negatives": "negatives.count"}
    left_out = {"epochs", "seed", *(inside.get(name, name) for name in searched)}
    return {key: value for key, value in fields.items() if key not in left_out and not key.startswith("loss.")}


def title(spec: StudySpec) -> str:
    """The loss, with its encoder and negatives where they are not the usual ones."""
    encoder, negatives = spec.model
    unusual = [encoder] if encoder != USUAL[0] else []
    unusual += [f"{negatives} negatives"] if negatives != USUAL[1] else []
    return LOSSES[spec.space.loss_name].__name__ + (f" ({', '.join(unusual)})" if unusual else "")
