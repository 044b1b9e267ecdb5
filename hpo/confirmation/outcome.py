"""The outcome of confirm: the content of confirm.yaml, and its tables and sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, ClassVar

import optuna
from pydantic import BaseModel, Field

from hpo.confirmation.caveats import Caveat
from hpo.confirmation.headlines import headlines, warnings, winner_headline
from hpo.confirmation.league import League
from hpo.confirmation.results import Finalist, Method, chosen_of, highest, mean_and_sd, over_searches
from hpo.confirmation.spread import Figure, column, spread_said
from hpo.confirmation.standings import Standings
from hpo.confirmation.statements import baseline_said, percent_said, statements, tuning_said, winner_said
from hpo.confirmation.statistics import Comparison
from hpo.confirmation.tuning import Tuning
from hpo.confirmation.winner import Decision, decide
from hpo.confirmation.wording import sentences
from hpo.runs.baseline_results import BaselineResult
from hpo.runs.provenance import Provenance
from hpo.runtime.typed_files import InWords, Result
from hpo.study.definition import STUDY_ID, Definition, differences, stored_definition
from hpo.study.objective import measured
from trainers.data.facts import DataFacts, TestFacts
from trainers.data.options import ValidationSplit
from trainers.errors import InputError
from trainers.validation import SETTINGS

CONFIRM = "confirm.yaml"
REMEDY = "delete it and run hpo.confirm again; finished runs are kept"


class DataCounts(BaseModel):
    """The data in numbers.

    Attributes:
        train, validation, test: numbers of pairs; stage 1 trains on `train`.
        users_with_test: users with test items, on whom the verdict rests.
        facts: how the data were read.
        about_test: what was dropped from the test split.
        validation_split: how validation was held out.
        validation_unknown: validation pairs that were dropped because train lacks their user or item.
        validation_users: users with validation pairs.
        validation_tied: those whose first validation pair has the time of their last training pair, as `Split.tied`.
    """

    model_config = SETTINGS | {"frozen": True}
    users: int
    items: int
    train: int
    validation: int
    test: int
    users_with_test: int
    facts: DataFacts
    about_test: TestFacts
    validation_split: ValidationSplit
    validation_unknown: int
    validation_users: int = 0
    validation_tied: int = 0


class Confirmation(Result):
    """The outcome of confirm: all methods on validation, which chooses the winner, and on test; and the baselines.

    Attributes:
        study_id: tells studies of the same name apart.
        trials: finished trials of the search at the time of confirm.
        search_epochs: epochs of a trial of the search.
        validated: the finalists of each method by its label, ours first; an untuned method has one.
        methods: ours first; each run was measured on the test split once, at its last epoch.
        tuning: the gain of each search; ours first.
        comparisons: ours against every other method that trained to the end, in the objective. In a league Holm's correction
            covers the leader's comparisons, too.
        league: the leader's comparisons, and all pairs for description; None if the study asks for no league.
        against_baselines: ours against each baseline, in the objective; none if ours diverged.
    """

    FORMAT: ClassVar[int] = 5
    FILE: ClassVar[str] = CONFIRM
    REMEDY: ClassVar[str] = REMEDY
    study: str
    study_id: str
    trials: int
    search_epochs: int
    data: DataCounts
    methods: Annotated[list[Method], Field(min_length=1)]
    comparisons: list[Comparison]
    league: League | None = None
    against_baselines: list[Comparison]
    caveats: list[Caveat]
    tuning: list[Tuning]
    baselines: list[BaselineResult]
    validated: dict[str, list[Finalist]]
    definition: Definition
    provenance: Provenance

    def tables(self) -> object:
        """All tables, and what validation chose of each method."""
        chosen = [chosen_of(self.validated[method.label], self.objective) for method in self.methods]
        standings = self.standings
        league = standings and (standings.cells(), standings.compact(), standings.pairs(), standings.notes())
        in_short = self.headlines(), self.warnings()
        return self.rows(), self.search_rows(), self.chosen, chosen, in_short, self.about_baselines(), league

    def words(self) -> InWords:
        """The statements, what each search brought, and the caveats."""
        return InWords(statements=tuple(self.statements()), tuning=tuple(self.brought()), caveats=tuple(self.sentences()))

    @property
    def objective(self) -> str:
        """The metric that the verdict is about."""
        return self.definition.objective

    @property
    def table_metrics(self) -> tuple[str, str]:
        """The metrics of the comparison table: the objective and the secondary metric."""
        return measured(self.objective)

    @property
    def finalists(self) -> list[Finalist]:
        """The configs that entered stage 1, of our study and of its repeats."""
        return next(iter(self.validated.values()))

    @property
    def chosen(self) -> Finalist:
        """The finalist of our study, or of its repeats, with the highest objective on validation."""
        return highest(self.finalists, self.objective, self.study)

    @property
    def decision(self) -> Decision:
        """Which method wins."""
        return decide(self.methods, self.validated, self.baselines, self.objective)

    @property
    def standings(self) -> Standings | None:
        """The table of the league; None if the study asked for none."""
        if self.league is None:
            return None
        return Standings.of(self.methods, self.baselines, self.validated, self.league, self.named_pairs, self.objective)

    @property
    def named_pairs(self) -> list[Comparison]:
        """All comparisons that were named before the test split was read."""
        return [*self.comparisons, *(self.league.leads if self.league else ()), *self.all_against_baselines]

    @property
    def all_against_baselines(self) -> list[Comparison]:
        """Ours against each baseline; in a league then the leader, unless it is ours."""
        return [*self.against_baselines, *(self.league.against_baselines if self.league else ())]

    def named(self, method: Method) -> str:
        """The label of a method; if it has several searches, with the search that is best on validation."""
        found = chosen_of(self.validated[method.label], self.objective)
        search = method.found_by(found.search) if found and len(method.searches) > 1 else None
        return f"{method.label}, search {search.study}" if search else method.label

    def rows(self) -> list[list[str]]:
        """Cells of the comparison table: method, `mean ± sd` per metric, our lead over it."""
        leads = [*map(self._lead, self.methods), *(self._lead_over(one.metrics[self.objective]) for one in self.baselines)]
        return [[label, *cells, lead] for label, cells, lead in zip(self.labels, self.cells(), leads, strict=True)]

    @property
    def labels(self) -> list[str]:
        """The labels of the methods and then of the baselines."""
        return [*(one.label for one in self.methods), *(one.label for one in self.baselines)]

    def cells(self) -> list[list[str]]:
        """`mean ± sd` of each method and then of each baseline, in each metric of the table."""
        return [[*cells] for cells in zip(*(column(self._figures(metric)) for metric in self.table_metrics), strict=True)]

    def _figures(self, metric: str) -> list[Figure | None]:
        """(mean, sd) of each method and then of each baseline; None for a method that diverged."""
        trained = [None if one.failure else over_searches(one.values(metric)) for one in self.methods]
        return [*trained, *(mean_and_sd(one.values(metric)) for one in self.baselines)]

    def spread(self) -> str:
        """What the ± in the table is; empty if it has none."""
        figures = zip(self.labels, self._figures(self.objective), strict=True)
        shown = [label for label, figure in figures if figure and figure[1] is not None]
        several = [one.label for one in self.methods if len(one.searches) > 1 and one.label in shown]
        return spread_said({"between searches": several, "over seeds": [one for one in shown if one not in several]})

    def _lead(self, method: Method) -> str:
        return "" if method is self.methods[0] or method.failure else self._lead_over(method.mean(self.objective))

    def _lead_over(self, theirs: float) -> str:
        """The lead of our method over a figure of the objective."""
        first = self.methods[0]
        if first.failure:
            return ""
        return f"{percent_said(100 * (first.mean(self.objective) / theirs - 1))} %" if theirs else "n/a"

    def search_rows(self) -> list[list[str]]:
        """Cells for each search, of methods with several searches: method, study, the trial that stage 1 chose, the objective
        on validation and on test, and whether it is the method's best search on validation.
        """
        several = [method for method in self.methods if len(method.searches) > 1]
        found = [each for method in several for each in self._searches_of(method, self.validated[method.label])]
        tests = column([figure for _, figure, _ in found])
        return [[*before, test, best] for (before, _, best), test in zip(found, tests, strict=True)]

    def _searches_of(self, method: Method, finalists: Sequence[Finalist]) -> Iterator[tuple[list[str], Figure | None, str]]:
        """For each search the cells before its figure on test, that figure, and the cell after it."""
        best = highest(finalists, self.objective, method.label)
        for search in method.searches:
            chosen = next(one for one in finalists if (one.search, one.trial) == (search.number, search.trial))
            values = [method.by_seed[seed][self.objective] for seed in search.seeds if method.by_seed[seed]]
            test = mean_and_sd(values) if len(values) == len(search.seeds) else None
            before = [method.label, search.study, str(search.trial), f"{chosen.mean(self.objective):.4f}"]
            yield before, test, "yes" if search.number == best.search else ""

    def statements(self) -> list[str]:
        """Sentences: the winner, the highest figure on test, a verdict per rival (tuned ones first) and baseline, methods
        without a verdict."""
        users, against = self.data.users_with_test, self.all_against_baselines
        comparisons = [*self.comparisons, *(self.league.leads if self.league else ())]
        said = statements(self.methods, comparisons, self.baselines, users, self.objective, against, self.league is not None)
        return [winner_said(self.decision, self.objective, len(self.methods)), *said]

    def headlines(self) -> list[str]:
        """The result in plain words: a short sentence for each rival, the most important first, and for the best baseline; then
        who wins."""
        users, against, standings = self.data.users_with_test, self.all_against_baselines, self.standings
        in_short = standings.headlines() if standings else []
        comparisons = [] if in_short else self.comparisons
        said = headlines(self.methods, comparisons, users, self.objective, against) if against or not in_short else []
        return [*in_short, *said, winner_headline(self.decision)]

    def warnings(self) -> list[str]:
        """What a reader of the headlines must know besides them, in short."""
        return warnings(self.methods, self.caveats)

    def brought(self) -> list[str]:
        """The gain of each search in a sentence or two."""
        return [tuning_said(tuning, self.objective) for tuning in self.tuning]

    def about_baselines(self) -> list[str]:
        """How each baseline ranks, and how its settings were found."""
        return [baseline_said(each, self.objective) for each in self.baselines]

    def sentences(self) -> list[str]:
        """The caveats in words."""
        return sentences(self.caveats, self.objective)


def confirmation(folder: Path, study: optuna.Study) -> Confirmation | None:
    """The confirm.yaml in a study's folder; None if there is none.

    Raises:
        InputError: it cannot be read, or belongs to another study: nothing may be written as if the study were not confirmed.
            Or the study has no definition, or a damaged one.
    """
    path = folder / CONFIRM
    if not path.exists():
        return None
    try:
        found = Confirmation.read(path)
    except InputError as error:
        raise InputError(f"{str(error).removesuffix(f'; {REMEDY}')}; {REMEDY}") from None
    ours = stored_definition(study.study_name, study.user_attrs)
    is_same = (found.study, found.study_id) == (study.study_name, study.user_attrs.get(STUDY_ID))  # a copy has the id
    if not is_same or differences(found.definition, ours):
        raise InputError(f"{path}: must be of study {study.study_name!r}, and is of another one, {found.study!r}; {REMEDY}")
    return found
