"""Rivals of the confirmation, published and tuned, and their caveats."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import optuna
from optuna.storages import BaseStorage
from pydantic import JsonValue

from hpo.confirmation.caveats import Caveat, CaveatKind
from hpo.confirmation.contenders import Contender, title, tuned_contender
from hpo.confirmation.results import Finalist, highest, search_cost
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

Select = Callable[[optuna.Study, StudySpec], list[Finalist]]


BUDGET_TOLERANCE = 0.1  # budgets within 10 % count as equal: n workers may overshoot by n - 1 trials


@dataclass(frozen=True)
class NotTuned:
    """Why a rival's study gives no tuned config.

    Attributes:
        reason: a key of `hpo.confirmation.wording.WHY_NOT_TUNED`.
        details: of reason `differs`: key, the value it was searched with, the value now; else texts.
    """

    reason: str
    details: Sequence[str | Difference] = ()


@dataclass(frozen=True)
class Rivals:
    """Finds the contenders of a study; `select` is stage 1 of confirm."""

    work: Workspace
    study: optuna.Study
    storage: BaseStorage
    select: Select

    def of(self, ours: Contender) -> tuple[list[Contender], list[Caveat]]:
        """The published config and each rival's, published and, when its study has run in the same way, tuned; each config
        once; and what the reader must know of them.
        """
        others, not_tuned = self._published(self.work.spec), dict[str, Caveat]()
        for rival in self.work.rivals:
            tuned = self._tuned(rival)
            published = self._published(rival)
            others += published
            if isinstance(tuned, NotTuned):
                not_tuned[rival.name] = _not_tuned(rival, tuned, compared=bool(published))
            else:
                others.append(tuned)
        kept, found_again = _without_duplicates(ours, others, self.work.spec.objective)
        caveats = [*found_again, *not_tuned.values()]
        if not_tuned:
            to_delete: list[JsonValue] = [name for name, caveat in not_tuned.items() if caveat.facts["reason"] == "differs"]
            caveats.append(Caveat(kind=CaveatKind.UNTUNED_RIVALS, subject=ours.label, facts={"to_delete": to_delete}))
        return kept, [*caveats, *self._caveats(ours, kept)]

    def _published(self, spec: StudySpec) -> list[Contender]:
        published, (n_seeds, fewer) = spec.published(self.work.spec.confirm.epochs, 0), self._seeds(spec)
        return [] if published is None else [Contender(f"{title(spec)} {published[1]}{fewer}", published[0], n_seeds)]

    def _seeds(self, spec: StudySpec) -> tuple[int, str]:
        """Over how many seeds a rival is trained, ours or fewer where the plan has fewer for its loss, and what its label then
        says."""
        plan = self.work.spec.confirm
        n_seeds = min(plan.seeds, plan.rival_seeds.get(spec.space.loss_name, plan.seeds))
        return n_seeds, f" ({counted(n_seeds, 'seed')}, not {plan.seeds})" if n_seeds < plan.seeds else ""

    @cached_property
    def _n_trials(self) -> int:
        return search_cost(self.study).trials

    def _tuned(self, rival: StudySpec) -> Contender | NotTuned:
        """The rival's winner, chosen as ours is, when its study has run, and in the same way."""
        if rival.name not in optuna.get_all_study_names(self.storage):
            return NotTuned("has not run")
        study = optuna.load_study(study_name=rival.name, storage=self.storage)
        with while_it_exists(study, "confirmed as a rival"):
            return self._winner_of(study, rival)

    def _winner_of(self, study: optuna.Study, rival: StudySpec) -> Contender | NotTuned:
        try:
            asked = rival.with_budget_of(self.work.spec)
        except InputError as error:
            return NotTuned("cannot be searched", [str(error)])
        if unlike := self._unlike(study, asked):
            return NotTuned("differs", unlike)
        theirs = stored_spec(study)
        if not best_trials(study, 1):
            return NotTuned("no complete trial")
        finalists = self.select(study, theirs)
        if all(finalist.failure for finalist in finalists):
            return NotTuned("diverged")
        trials, (n_seeds, fewer) = search_cost(study).trials, self._seeds(rival)
        unlike_budget = abs(trials - self._n_trials) > BUDGET_TOLERANCE * self._n_trials
        budget = f" ({counted(trials, 'trial')}, not {self._n_trials})" if unlike_budget else ""
        label = f"{title(rival)} tuned{budget}{fewer}"
        return tuned_contender(label, study, theirs, finalists, n_seeds, self.work.spec)

    def _unlike(self, study: optuna.Study, asked: StudySpec) -> list[Difference]:
        """Where a rival's study differs from what is asked for: what its name or file stands for, with our budget and data.

        The batch size and the rate of its file are fair. Its engine may be another one: ours may not train its loss.
        """
        now = self.work.definition(asked)
        return differences(stored_definition(study.study_name, study.user_attrs), now, leaving_out=("engine",))

    def _caveats(self, ours: Contender, others: Sequence[Contender]) -> Iterator[Caveat]:
        """What the reader must know of how the configs came to be."""
        spec, some_untuned = self.work.spec, any(not other.is_tuned for other in others)
        if some_untuned:
            yield Caveat(kind=CaveatKind.PAPER_SETTINGS, subject=spec.name)
        yield from _model_differences(ours, others, searched=spec.space.also)
        for each in (ours, *others):
            yield from each.caveats
        if spec.space.also and some_untuned:
            yield Caveat(kind=CaveatKind.NOT_SEARCHED_BY_ALL, subject=spec.name, facts={"fields": [*spec.space.also]})


def _not_tuned(rival: StudySpec, why: NotTuned, compared: bool) -> Caveat:
    """A rival without a tuned config; `compared`: whether its published one is."""
    details: list[JsonValue] = [
        [detail.key, detail.before, detail.after] if isinstance(detail, Difference) else detail for detail in why.details
    ]
    facts: dict[str, JsonValue] = {"study": rival.name, "reason": why.reason, "details": details, "compared": compared}
    return Caveat(kind=CaveatKind.NOT_TUNED, subject=title(rival), facts=facts)


def _without_duplicates(ours: Contender, others: Sequence[Contender], objective: str) -> tuple[list[Contender], list[Caveat]]:
    """The others without published configs that a search has found, too, and a caveat for each of those."""
    tuned = [ours, *(other for other in others if other.is_tuned)]
    kept, caveats = [], []
    for other in others:
        same = None if other.is_tuned else next((one for one in tuned if one.config.same_but_seed(other.config)), None)
        if same is None:
            kept.append(other)
        else:
            caveats.append(published_found_by_search(same, other, objective))
    return kept, caveats


def published_found_by_search(tuned: Contender, published: Contender, objective: str) -> Caveat:
    """Where the validation stage chose the published config: whether the search had another one ahead of it."""
    chosen = highest(tuned.finalists, objective, tuned.label)
    best = max(tuned.finalists, key=lambda finalist: finalist.search_value)
    facts: dict[str, JsonValue] = {"published": published.label}
    if best.search_value > chosen.search_value:
        facts |= {"trial": best.trial, "failure": best.failure, "value": None if best.failure else best.mean(objective)}
        facts |= {"search_value": best.search_value, "chosen_search_value": chosen.search_value}
        facts["chosen_value"] = chosen.mean(objective)
    return Caveat(kind=CaveatKind.FOUND_PUBLISHED, subject=tuned.label, facts=facts)


def _model_differences(ours: Contender, others: Sequence[Contender], searched: Sequence[str]) -> Iterator[Caveat]:
    """What differs beside the losses, but for what each has searched for itself; one caveat for those that differ alike."""
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
    """What a config has beside its loss, by dotted keys, without what is searched."""
    inside = {"dropout": "encoder.dropout", "negatives": "negatives.count"}
    left_out = {"epochs", "seed", *(inside.get(name, name) for name in searched)}
    return {
        key: value for key, value in dotted(config.to_dict()).items() if key not in left_out and not key.startswith("loss.")
    }
