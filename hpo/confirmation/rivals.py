"""Rivals of the confirmation, published and tuned, and their caveats."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import optuna
from optuna.storages import BaseStorage
from pydantic import JsonValue

from hpo.confirmation.caveats import Caveat, CaveatKind
from hpo.confirmation.contenders import Contender, title, tuned_contender
from hpo.confirmation.results import highest, search_cost
from hpo.confirmation.searches import Searches, Unusable, of_winner, same_budget
from hpo.runtime.text import counted
from hpo.study.definition import Difference, differences, stored_definition
from hpo.study.owner import while_it_exists
from hpo.study.spec import StudySpec
from hpo.study.stored import stored_spec
from hpo.study.trials import best_trials
from hpo.study.workspace import Workspace
from trainers import TrainConfig
from trainers.config import dotted
from trainers.errors import InputError


@dataclass(frozen=True)
class Rivals:
    """Finds the contenders of a study."""

    work: Workspace
    study: optuna.Study
    storage: BaseStorage
    searches: Searches

    def ours(self) -> tuple[Contender, list[Caveat]]:
        """The study's own method, with caveats if repeats of its search are not used.

        Raises:
            InputError: every finalist of the study diverged.
        """
        spec, plan = self.work.spec, self.work.spec.confirm
        found, unusable = self.searches.found(spec, self.study, plan.searches)
        ours = tuned_contender(f"{title(spec)} tuned", found, plan.seeds, spec)
        return ours, _unused(ours, unusable, plan.searches)

    def of(self, ours: Contender) -> tuple[list[Contender], list[Caveat]]:
        """The other methods, and their caveats: the study's published config, and of each rival the published config and, if
        its study was searched in the same way, the tuned one. Each config occurs once. A league has one method for each loss.
        """
        is_league = self.work.spec.is_league
        others = [] if is_league else self._published(self.work.spec)
        not_tuned, unused = dict[str, Caveat](), list[Caveat]()
        for rival in self.work.rivals:
            tuned = self._tuned(rival, len(ours.found))
            is_tuned = not isinstance(tuned, Unusable)
            published = [] if is_league and is_tuned else self._published(rival)
            others += published
            if isinstance(tuned, Unusable):
                not_tuned[rival.name] = _not_tuned(rival, tuned, compared=bool(published))
            else:
                others.append(tuned[0])
                unused += tuned[1]
        kept, found_again = _without_duplicates(ours, others, self.work.spec.objective)
        caveats = [*found_again, *not_tuned.values(), *unused]
        if not_tuned:
            to_delete: list[JsonValue] = [name for name, caveat in not_tuned.items() if caveat.facts["reason"] == "differs"]
            caveats.append(Caveat(kind=CaveatKind.UNTUNED_RIVALS, subject=ours.label, facts={"to_delete": to_delete}))
        return kept, [*caveats, *self._caveats(ours, kept)]

    def _published(self, spec: StudySpec) -> list[Contender]:
        published, (n_seeds, fewer) = spec.published(self.work.spec.confirm.epochs, 0), self._seeds(spec)
        return [] if published is None else [Contender(title(spec, published[1]) + fewer, published[0], n_seeds)]

    def _seeds(self, spec: StudySpec) -> tuple[int, str]:
        """The number of seeds of a rival, and an addition to its label if the plan gives its loss fewer seeds."""
        plan = self.work.spec.confirm
        n_seeds = min(plan.seeds, plan.rival_seeds.get(spec.space.loss_name, plan.seeds))
        return n_seeds, f" ({counted(n_seeds, 'seed')}, not {plan.seeds})" if n_seeds < plan.seeds else ""

    @cached_property
    def _n_trials(self) -> int:
        return search_cost(self.study).trials

    def _tuned(self, rival: StudySpec, our_searches: int) -> tuple[Contender, list[Caveat]] | Unusable:
        """The rival's tuned method with caveats on unused repeats; or why it has none."""
        if rival.name not in optuna.get_all_study_names(self.storage):
            return Unusable("has not run")
        study = optuna.load_study(study_name=rival.name, storage=self.storage)
        with while_it_exists(study, "confirmed as a rival"):
            return self._winner_of(study, rival, our_searches)

    def _winner_of(self, study: optuna.Study, rival: StudySpec, our_searches: int) -> tuple[Contender, list[Caveat]] | Unusable:
        try:
            asked = rival.with_budget_of(self.work.spec)
        except InputError as error:
            return Unusable("cannot be searched", [str(error)])
        if unlike := self._unlike(study, asked):
            return Unusable("differs", unlike)
        theirs = stored_spec(study)
        if not best_trials(study, 1):
            return Unusable("no complete trial")
        asked_for, trials, (n_seeds, fewer) = self.work.spec.confirm.searches, search_cost(study).trials, self._seeds(rival)
        found, unusable = self.searches.found(theirs, study, asked_for)
        if found[0].diverged:
            return Unusable("diverged")
        unequal = [] if same_budget(trials, self._n_trials) else [f"{counted(trials, 'trial')}, not {self._n_trials}"]
        if len(found) != our_searches:
            unequal.append(f"{counted(len(found), 'search', 'searches')}, not {our_searches}")
        budget = f" ({'; '.join(unequal)})" if unequal else ""
        tuned = tuned_contender(f"{title(rival)} tuned{budget}{fewer}", found, n_seeds, self.work.spec)
        return tuned, _unused(tuned, unusable, asked_for)

    def _unlike(self, study: optuna.Study, asked: StudySpec) -> list[Difference]:
        """Differences between a rival's study and the study that its name or file asks for, with our budget and data.

        The batch size and learning rate of its own file are fair. Its engine may differ: ours may not train its loss. The rule
        of evaluation is that of the time of the search, ours as well.
        """
        before, now = stored_definition(study.study_name, study.user_attrs), self.work.definition(asked)
        return differences(before, now, leaving_out=("engine", "numbers_version", "search.evaluation.sample"))

    def _caveats(self, ours: Contender, others: Sequence[Contender]) -> Iterator[Caveat]:
        """Caveats on the origin of the configs."""
        spec, some_untuned = self.work.spec, any(not other.is_tuned for other in others)
        if some_untuned:
            yield Caveat(kind=CaveatKind.PAPER_SETTINGS, subject=spec.name)
        yield from _model_differences(ours, others, searched=spec.space.also)
        for each in (ours, *others):
            yield from each.caveats
        if spec.space.also and some_untuned:
            yield Caveat(kind=CaveatKind.NOT_SEARCHED_BY_ALL, subject=spec.name, facts={"fields": [*spec.space.also]})


def _not_tuned(rival: StudySpec, why: Unusable, compared: bool) -> Caveat:
    """A caveat for a rival without a tuned config; `compared`: whether its published config is compared."""
    facts: dict[str, JsonValue] = {"study": rival.name, **_reason(why), "compared": compared}
    return Caveat(kind=CaveatKind.NOT_TUNED, subject=title(rival), facts=facts)


def _unused(contender: Contender, unusable: Mapping[str, Unusable], asked: int) -> list[Caveat]:
    """A caveat if some of the requested searches of a method could not be used."""
    if not unusable:
        return []
    studies: list[JsonValue] = [{"study": study, **_reason(why)} for study, why in unusable.items()]
    facts: dict[str, JsonValue] = {"used": len(contender.found), "asked": asked, "studies": studies}
    return [Caveat(kind=CaveatKind.SEARCHES_MISSING, subject=contender.label, facts=facts)]


def _reason(why: Unusable) -> dict[str, JsonValue]:
    details: list[JsonValue] = [
        [detail.key, detail.before, detail.after] if isinstance(detail, Difference) else detail for detail in why.details
    ]
    return {"reason": why.reason, "details": details}


def _without_duplicates(ours: Contender, others: Sequence[Contender], objective: str) -> tuple[list[Contender], list[Caveat]]:
    """The others without published configs that every search of a method found, and a caveat for each of those."""
    tuned = [ours, *(other for other in others if other.is_tuned)]
    kept, caveats = [], []
    for other in others:
        same = None if other.is_tuned else next((one for one in tuned if of_winner(other.config, one.found, objective)), None)
        if same is None:
            kept.append(other)
        else:
            caveats.append(published_found_by_search(same, other, objective))
    return kept, caveats


def published_found_by_search(tuned: Contender, published: Contender, objective: str) -> Caveat:
    """A caveat if validation chose the published config. Its facts say whether the search ranked another config higher."""
    chosen = highest(tuned.finalists, objective, tuned.label)
    best = max(tuned.finalists, key=lambda finalist: finalist.search_value)
    facts: dict[str, JsonValue] = {"published": published.label}
    if best.search_value > chosen.search_value:
        facts |= {"trial": best.trial, "failure": best.failure, "value": None if best.failure else best.mean(objective)}
        facts |= {"search_value": best.search_value, "chosen_search_value": chosen.search_value}
        facts["chosen_value"] = chosen.mean(objective)
    return Caveat(kind=CaveatKind.FOUND_PUBLISHED, subject=tuned.label, facts=facts)


def _model_differences(ours: Contender, others: Sequence[Contender], searched: Sequence[str]) -> Iterator[Caveat]:
    """Caveats on settings other than the loss that differ from ours, without searched ones. Methods with the same differences
    share a caveat."""
    mine = _settings_besides_loss(ours.config, searched)
    labels: dict[str, list[JsonValue]] = {}
    unlike: dict[str, list[JsonValue]] = {}
    for other in others:
        theirs = _settings_besides_loss(other.config, searched)
        found: list[JsonValue] = [[key, theirs[key], mine[key]] for key in theirs if mine.get(key, theirs[key]) != theirs[key]]
        if found:
            labels.setdefault(str(found), []).append(other.label)
            unlike[str(found)] = found
    for key, those in labels.items():
        facts: dict[str, JsonValue] = {"methods": those, "differences": unlike[key]}
        yield Caveat(kind=CaveatKind.DIFFERENT_SETTINGS, subject=ours.label, facts=facts)


def _settings_besides_loss(config: TrainConfig, searched: Sequence[str]) -> dict[str, Any]:
    """The settings of a config by dotted keys, without its loss, searched ones, and negatives that its loss does not need."""
    inside = {"dropout": "encoder.dropout", "negatives": "negatives.count"}
    left_out = {"epochs", "seed", *(inside.get(name, name) for name in searched)}
    parts = ("loss.",) if config.loss.needs_negatives else ("loss.", "negatives.")
    return {key: value for key, value in dotted(config.to_dict()).items() if key not in left_out and not key.startswith(parts)}
