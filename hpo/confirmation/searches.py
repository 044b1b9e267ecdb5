"""The searches of a method: its study and the usable repeats of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import optuna
from optuna.storages import BaseStorage

from hpo.confirmation.results import Finalist, SearchCost, highest, search_cost
from hpo.study.definition import Difference, differences, stored_definition
from hpo.study.owner import while_it_exists
from hpo.study.spec import StudySpec
from hpo.study.stored import stored_spec
from hpo.study.trials import best_trials
from trainers.config import TrainConfig

BUDGET_TOLERANCE = 0.1  # budgets within 10 % count as equal: n workers may overshoot by n - 1 trials


@dataclass(frozen=True)
class Unusable:
    """Why confirm does not use a study.

    Attributes:
        reason: a key of `hpo.confirmation.wording.WHY_NOT_TUNED`.
        details: differences if the reason is `differs`, else texts.
    """

    reason: str
    details: Sequence[str | Difference] = ()


@dataclass(frozen=True)
class Search:
    """One search of a method.

    Attributes:
        spec: the spec that the study was searched with.
        number: the number among the method's searches, from 1.
    """

    spec: StudySpec
    study: optuna.Study
    number: int = 1


Select = Callable[[Search], list[Finalist]]


@dataclass(frozen=True)
class Found:
    """The result of a search.

    Attributes:
        cost: cost of the search and of stage 1.
        finalists: the configs that stage 1 chose from.
    """

    search: Search
    cost: SearchCost
    finalists: Sequence[Finalist]

    @property
    def study(self) -> str:
        """The name of its study."""
        return self.search.study.study_name

    @property
    def seed(self) -> int:
        """The seed of the search; the seeds of confirm are counted from it."""
        return self.search.spec.search.seed

    def winner(self, objective: str) -> Finalist:
        """The finalist that stage 1 chose; raises what `highest` does."""
        return highest(self.finalists, objective, self.study)

    @property
    def diverged(self) -> bool:
        """Whether every finalist diverged."""
        return all(finalist.failure for finalist in self.finalists)


def of_winner(config: TrainConfig, found: Sequence[Found], objective: str) -> bool:
    """Whether every one of the searches found this config."""
    return all(each.winner(objective).config.same_but_seed(config) for each in found)


@dataclass(frozen=True)
class Searches:
    """Collects the results of a method's searches; `select` runs stage 1."""

    storage: BaseStorage
    select: Select

    def found(self, spec: StudySpec, study: optuna.Study, count: int) -> tuple[list[Found], dict[str, Unusable]]:
        """The results of the study and of up to `count - 1` repeats; and by name why other repeats are not used."""
        found, unusable = [self._found(Search(spec, study))], dict[str, Unusable]()
        for number, asked in enumerate(spec.repeats(count)[1:], start=2):
            one = self._repeat(study, asked, number)
            if isinstance(one, Unusable):
                unusable[asked.name] = one
            else:
                found.append(one)
        return found, unusable

    def _found(self, search: Search) -> Found:
        finalists = self.select(search)
        return Found(search, search_cost(search.study).with_selection(finalists), finalists)

    def _repeat(self, first: optuna.Study, asked: StudySpec, number: int) -> Found | Unusable:
        if asked.name not in optuna.get_all_study_names(self.storage):
            return Unusable("has not run")
        study = optuna.load_study(study_name=asked.name, storage=self.storage)
        with while_it_exists(study, "confirmed"):
            if why := _unlike(first, study, asked.search.seed):
                return why
            found = self._found(Search(stored_spec(study), study, number))
            return Unusable("diverged") if found.diverged else found


def _unlike(first: optuna.Study, repeat: optuna.Study, seed: int) -> Unusable | None:
    """Why a study is no repeat of the first: another definition, no complete trial, or another budget. None if it is one."""
    definition = stored_definition(first.study_name, first.user_attrs)
    asked = definition.model_copy(update={"search": definition.search | {"seed": seed}})
    if unlike := differences(stored_definition(repeat.study_name, repeat.user_attrs), asked):
        return Unusable("differs", unlike)
    if not best_trials(repeat, 1):
        return Unusable("no complete trial")
    theirs, ours = search_cost(repeat).trials, search_cost(first).trials
    return None if same_budget(theirs, ours) else Unusable("budget", [f"{theirs} trials, not {ours}"])


def same_budget(trials: int, asked: int) -> bool:
    """Whether two numbers of trials count as the same budget."""
    return abs(trials - asked) <= BUDGET_TOLERANCE * asked
