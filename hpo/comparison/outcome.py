"""The outcome of a comparison: the content of compare.yaml, and its tables and sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

import pandas as pd
from pydantic import BaseModel, Field

from hpo.comparison.alignment import caveats_of, check_finite, check_sources, judged_by, users_in_common
from hpo.comparison.sides import RUNS, Side
from hpo.confirmation.advice import COMPARE as OF_FILES
from hpo.confirmation.advice import COMPARE_STUDIES as OF_STUDIES
from hpo.confirmation.caveats import Caveat
from hpo.confirmation.headlines import by_importance, capital, headline
from hpo.confirmation.repeats import Repeats, repeats_by_pair
from hpo.confirmation.results import over_searches
from hpo.confirmation.spread import column, spread_said
from hpo.confirmation.statements import deterministic_said, highest_said, interval, p_said, shown, too_few_users, verdict
from hpo.confirmation.statistics import Comparison, Word, compare_all, compare_pairs
from hpo.confirmation.wording import sentences
from hpo.runs.provenance import Provenance, provenance
from hpo.runtime.text import counted
from hpo.runtime.typed_files import InWords, Result
from hpo.study.plan import MIN_TEST_USERS
from trainers.errors import InputError, unknown
from trainers.validation import SETTINGS

COMPARE = "compare.yaml"
MOST_HEADLINES = 6  # sentences at the top of the page
MORE_METRICS = 3  # shown besides the objective
COLUMNS = [
    "first",
    "second",
    "verdict",
    "difference",
    "interval, users",
    "interval, users and runs",
    "p",
    "Wilcoxon p",
    "detectable",
]


class MeasuredMethod(BaseModel):
    """A method as it was compared.

    Attributes:
        kind: `metrics`, `recommendations` or `runs`: the source of its figures.
        sources: the file of each run.
        seeds: the seeds of each search; one list for files.
        values: by metric the mean over the common users, for each run of each search.
        users: the number of users that it was measured on.
        is_deterministic: whether it has no seed.
    """

    model_config = SETTINGS | {"frozen": True}
    label: str
    kind: str
    sources: list[str]
    seeds: list[list[str]]
    values: dict[str, list[list[float]]]
    users: int
    is_deterministic: bool = False

    def mean(self, metric: str) -> float:
        """The mean over runs, then over searches."""
        return over_searches(self.values[metric])[0]


class Compared(Result):
    """The outcome of a comparison.

    Attributes:
        ours: the method that was compared with every other one, if given.
        baseline: the method that every other one was compared with, if given. Without both, all pairs are compared.
        users: the number of users that all methods were measured on.
        notes: caveats that confirm gave for the studies whose methods are compared.
        said: how files were read.
        files: SHA-256 of every file that was read, by its path.
    """

    FORMAT: ClassVar[int] = 1
    FILE: ClassVar[str] = COMPARE
    REMEDY: ClassVar[str] = "run hpo.compare again"
    objective: str
    ours: str | None = None
    baseline: str | None = None
    users: int
    methods: Annotated[list[MeasuredMethod], Field(min_length=2)]
    comparisons: list[Comparison]
    caveats: list[Caveat]
    notes: list[str]
    said: list[str]
    files: dict[str, str]
    provenance: Provenance

    def tables(self) -> object:
        """All tables."""
        return self.rows(), self.comparison_rows(), self.headlines()

    def words(self) -> InWords:
        """The statements and the caveats."""
        return InWords(statements=tuple(self.statements()), caveats=tuple(self.sentences()))

    @property
    def metrics(self) -> list[str]:
        """The metrics of the table, the objective first."""
        return [*self.methods[0].values]

    @property
    def reference(self) -> MeasuredMethod | None:
        """The method that all others are compared with; None if all pairs are compared."""
        name = self.ours or self.baseline
        return next((method for method in self.methods if method.label == name), None)

    @property
    def title(self) -> str:
        """The title of the table."""
        return f"{self.users:,} users, mean ± sd"

    def spread(self) -> str:
        """What the ± in the table is; empty if it has none."""
        shown = [one for one in self.methods if over_searches(one.values[self.objective])[1] is not None]
        several = [one.label for one in shown if len(one.seeds) > 1]
        return spread_said({"between searches": several, "over runs": [one.label for one in shown if one.label not in several]})

    @property
    def columns(self) -> list[str]:
        """The headings of `rows`."""
        lead = [f"lead of {self.ours}"] if self.ours else [f"lead over {self.baseline}"] if self.baseline else []
        return ["method", *self.metrics, "runs", *lead]

    def rows(self) -> list[list[str]]:
        """A row for each method: `mean ± sd` in each metric, the number of runs, and the lead if there is a reference."""
        by_metric = [column([over_searches(one.values[metric]) for one in self.methods]) for metric in self.metrics]
        return [
            [one.label, *cells, str(sum(map(len, one.seeds))), *self._lead(one)]
            for one, *cells in zip(self.methods, *by_metric, strict=True)
        ]

    def _lead(self, method: MeasuredMethod) -> list[str]:
        """The cell of the lead; none without a reference."""
        if self.reference is None:
            return []
        pair = (self.reference, method) if self.ours else (method, self.reference)
        first, second = (one.mean(self.objective) for one in pair)
        lead = f"{100 * (first - second) / abs(second):+.1f} %" if second else "n/a"
        return ["" if method is self.reference else lead]

    def comparison_rows(self) -> list[list[str]]:
        """A row for each comparison, with the columns of COLUMNS."""
        return [
            [
                one.ours,
                one.rival,
                str(one.word),
                shown(one, one.difference),
                *("" if evidence is None else interval(one, evidence) for evidence in (one.users, one.both)),
                "" if one.runs is None else p_said(one.p),
                p_said(one.wilcoxon),
                "" if one.detectable is None else shown(one, one.detectable, ""),
            ]
            for one in self.comparisons
        ]

    def statements(self) -> list[str]:
        """Sentences: the highest figure, and the verdicts."""
        means = {method.label: method.mean(self.objective) for method in self.methods}
        best = max(means.values())
        first = [label for label, mean in means.items() if mean == best]
        said = [highest_said(first, best, len(self.methods), self.users, self.objective)]
        said += [too_few_users(self.users, in_common=True)] if self.users < MIN_TEST_USERS else []
        repeats = self._repeats()
        fixed = [method.label for method in self.methods if method.is_deterministic]
        command = OF_STUDIES if self.methods[0].kind == RUNS else OF_FILES  # the kinds are not mixed
        said += [verdict(one, self.objective, repeats.get((one.ours, one.rival)), command, fixed) for one in self.comparisons]
        return said + ([deterministic_said(fixed)] if fixed and self.comparisons else [])

    def headlines(self) -> list[str]:
        """The result in plain words, a sentence for each comparison, the most important first."""
        if not self.comparisons:
            return [capital(too_few_users(self.users, in_common=True))]
        repeats, undecided = self._repeats(), (Word.UNDECIDED, Word.NO_VERDICT)
        ordered = sorted(by_importance(self.comparisons), key=lambda one: one.word in undecided)
        found = [headline(one, repeats.get((one.ours, one.rival))) for one in ordered]
        if len(found) <= MOST_HEADLINES:
            return found
        decided = sum(one.word not in undecided for one in ordered)
        summary = f"{decided} of {counted(len(found), 'comparison')} have a verdict"
        return [summary, *found[:MOST_HEADLINES], f"{len(found) - MOST_HEADLINES} more are below"]

    def _repeats(self) -> dict[tuple[str, str], Repeats]:
        return repeats_by_pair(self.comparisons, {method.label: method.values[self.objective] for method in self.methods})

    def sentences(self) -> list[str]:
        """The caveats in words, then the notes."""
        return [*sentences(self.caveats, self.objective), *self.notes]


def compared(
    sides: Sequence[Side],
    objective: str | None,
    ours: str | None = None,
    baseline: str | None = None,
    deterministic: Sequence[str] = (),
    notes: Sequence[str] = (),
    files: dict[str, str] | None = None,
) -> Compared:
    """Compare methods.

    Args:
        objective: the metric of the verdict; None if the methods have exactly one in common.
        ours: the method that is compared with every other one.
        baseline: the method that every other one is compared with. Without both, all pairs are compared.
        deterministic: labels of the methods that have no seed.

    Raises:
        InputError: an unknown method; no objective; figures that are not finite; too few common users; runs of several test
            splits.
    """
    known = [side.label for side in sides]
    for flag, name in (("--ours", ours), ("--baseline", baseline), *(("--deterministic", label) for label in deterministic)):
        if name is not None and name not in known:
            raise InputError(f"{flag}: {unknown('method', name, known)}")
    check_sources(sides)
    sides = [side.deterministic() if side.label in deterministic else side for side in sides]
    objective, named = judged_by(sides, objective)
    for side in named:
        check_finite(side, objective)
    users, missing = users_in_common(named)
    metrics = [objective, *_others(named, objective)]
    measured = {side.label: side.measured(objective, users) for side in named}
    first = measured.get(ours or baseline or "")
    others = [one for one in measured.values() if one is not first]
    comparisons = (
        compare_all(others)
        if first is None
        else compare_pairs([(first, other) if ours else (other, first) for other in others])
    )
    return Compared(
        objective=objective,
        ours=ours,
        baseline=baseline,
        users=len(users),
        methods=[_method(side, metrics, users) for side in named],
        comparisons=comparisons if len(users) >= MIN_TEST_USERS else [],
        caveats=[*missing, *(caveat for side in named for caveat in side.caveats), *caveats_of(named, objective, users)],
        notes=[*notes],
        said=[*dict.fromkeys(sentence for side in named for sentence in side.said)],
        files=files or {},
        provenance=provenance(),
    )


def _others(sides: Sequence[Side], objective: str) -> list[str]:
    """Further metrics that every method has for every user."""
    found = [
        name
        for name in sides[0].metrics
        if name != objective and all(name in side.metrics and all(run.is_whole(name) for run in side.runs) for side in sides)
    ]
    return found[:MORE_METRICS]


def _method(side: Side, metrics: Sequence[str], users: pd.Index[str]) -> MeasuredMethod:
    return MeasuredMethod(
        label=side.label,
        kind=side.kind,
        sources=[str(run.source) for run in side.runs],
        seeds=[[run.seed for run in runs] for runs in side.searches],
        values={metric: side.values(metric, users) for metric in metrics},
        users=len(side.users),
        is_deterministic=side.is_deterministic,
    )
