"""The table of a league, and its sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from hpo.confirmation.evidence import ALPHA, Evidence
from hpo.confirmation.league import League, Span
from hpo.confirmation.results import NO_SEARCH, Finalist, Method, SearchCost, on_validation
from hpo.confirmation.spread import column
from hpo.confirmation.statements import p_said, shown
from hpo.confirmation.statistics import Comparison, Word
from hpo.runs.baseline_results import BaselineResult
from hpo.runs.store import Beyond
from hpo.runtime.text import counted, duration, listed
from hpo.study.rivals import left_out_said

LEAGUE_TITLE, PAIRS_TITLE = "League", "All pairs, for description only"
SHORT = {Word.BETTER: "better", Word.WORSE: "worse", Word.UNDECIDED: "?", Word.NO_VERDICT: "no verdict"}
TUNED = " tuned"
PAIRS_NOTE = (
    "The row's method minus the column's one, in percent of the column's mean. A star: separated, by a verdict or by a p of at "
    "most .05 corrected for the false discovery rate over all pairs. Nobody named these pairs before the test split was read: "
    "take no verdict from them."
)
APART = "*"  # after a difference in the table of all pairs


@dataclass(frozen=True)
class Standing:
    """A row of the league.

    Attributes:
        span: the mean on test with its interval; None if the method diverged.
        validation: the mean on validation; None if it is not known.
        ours, leader: our method, and the leader, against this one; None for the method itself, and without a verdict on it.
        groups: the letters of its groups.
        cost: of the search and of stage 1.
        beyond: popularity and coverage; None if it diverged.
    """

    label: str
    is_baseline: bool
    span: Span | None
    validation: float | None
    ours: Comparison | None
    leader: Comparison | None
    groups: str
    cost: SearchCost
    beyond: Beyond | None


@dataclass(frozen=True)
class Standings:
    """The rows of a league, the highest mean on test first, those that diverged last.

    Attributes:
        ours: the label of the study's own method.
        named: the comparisons that were named, and those with baselines.
    """

    rows: Sequence[Standing]
    ours: str
    league: League
    named: Sequence[Comparison]
    objective: str

    @classmethod
    def of(
        cls,
        methods: Sequence[Method],
        baselines: Sequence[BaselineResult],
        validated: Mapping[str, Sequence[Finalist]],
        league: League,
        named: Sequence[Comparison],
        objective: str,
    ) -> Standings:
        """The standings of the methods of a confirmation.

        Args:
            methods: ours first.
            named: all comparisons with a verdict.

        Raises:
            KeyError: the league lacks a method that trained to the end.
        """
        ours, groups = methods[0].label, league.groups(named)
        verdicts = both_ways(named)

        def standing(
            label: str, is_baseline: bool, value: float | None, cost: SearchCost, beyond: Beyond | None, failed: bool
        ) -> Standing:
            by_ours, by_leader = (verdicts.get((who or "", label)) for who in (ours, league.leader))
            span = None if failed else league.spans[label]
            return Standing(label, is_baseline, span, value, by_ours, by_leader, groups.get(label, ""), cost, beyond)

        rows = []
        for method in methods:
            value = on_validation(validated[method.label], objective)
            rows.append(standing(method.label, False, value, method.search, method.beyond, bool(method.failure)))
        for each in baselines:
            is_tuned = len(each.evaluations) > 1
            cost = SearchCost(len(each.evaluations), 0, each.tuning_seconds) if is_tuned else NO_SEARCH
            rows.append(standing(each.label, True, each.validation, cost, each.beyond, False))
        rows.sort(key=lambda row: float("inf") if row.span is None else -row.span.mean)
        return cls(rows, ours, league, named, objective)

    @property
    def family(self) -> int:
        """The number of pairs that Holm's correction covers; 0 without verdicts."""
        of_league = [
            one for one in self.named if one.ours in (self.ours, self.league.leader) and not self._is_baseline(one.rival)
        ]
        return max((one.family for one in of_league if one.word is not Word.NO_VERDICT), default=0)

    def _is_baseline(self, label: str) -> bool:
        return any(row.is_baseline and row.label == label for row in self.rows)

    def short(self, label: str) -> str:
        """A label without `tuned`, if all methods are tuned; of a baseline without its settings."""
        trained = [row.label for row in self.rows if not row.is_baseline]
        if label not in trained:
            return label.partition(" (")[0]
        return label.removesuffix(TUNED) if all(each.endswith(TUNED) for each in trained) else label

    @property
    def _rivals_of_all(self) -> list[str]:
        leader = self.league.leader
        return [self.ours, *([leader] if leader and leader != self.ours else [])]

    def columns(self, k: int) -> list[str]:
        """The columns of `cells`; `k` is the length of the lists that popularity and coverage are about."""
        against = [f"{self.short(label)} against it" for label in self._rivals_of_all]
        of_search = ["trials", "time to find, all trials", f"coverage@{k}", f"popularity@{k} (training interactions)"]
        interval = f"{self.objective} ± half of its 95 % interval"
        return ["method", interval, f"validation {self.objective}", *against, "groups", *of_search]

    def cells(self) -> list[list[str]]:
        """The cells of the whole table."""
        rows = []
        for row, figure in zip(self.rows, self._figures(), strict=True):
            validation = "" if row.validation is None else f"{row.validation:.4f}"
            against = [_verdict(one) for one in self._against(row)]
            beyond = ["", ""]
            if row.beyond is not None:
                beyond = [f"{100 * row.beyond.coverage:.0f} %", f"{row.beyond.mean_popularity:.0f}"]
            cost = [str(row.cost.trials), duration(row.cost.seconds)] if row.cost.trials else ["", ""]
            rows.append([self.short(row.label), figure, validation, *against, row.groups, *cost, *beyond])
        return rows

    def _figures(self) -> list[str]:
        """The mean of each row with half of its interval, such as `0.1234 ± .0056`; the mean alone without an interval."""
        spans = [None if row.span is None else (row.span.mean, (row.span.high - row.span.low) / 2 or None) for row in self.rows]
        return [cell.replace("± 0.", "± .") for cell in column(spans)]

    def _against(self, row: Standing) -> list[Comparison | None]:
        return [row.ours, row.leader][: len(self._rivals_of_all)]

    def compact(self) -> tuple[list[str], list[list[str]]]:
        """(columns, cells) for a terminal of 80 columns: the mean with the half-width of its interval, the two verdicts, the
        groups."""
        columns = ["method", self.objective, *(f"{self.short(label)} against it" for label in self._rivals_of_all), "groups"]
        rows = []
        for row, figure in zip(self.rows, self._figures(), strict=True):
            against = ["" if one is None else f"{_short(one)} {SHORT[one.word]}" for one in self._against(row)]
            rows.append([self.short(row.label), figure, *against, row.groups])
        return columns, rows

    def pairs(self) -> tuple[list[str], list[list[str]]]:
        """(columns, cells) of the table of all pairs: the difference of the row's method and the column's one in percent of the
        column's mean, with a star if the pair is separated."""
        apart = self.league.apart(self.named)
        both_ways = [each for one in self.league.pairs for each in (one, one.turned())]
        by_labels = {(one.first, one.second): one for one in both_ways}
        labels = [row.label for row in self.rows if row.span is not None]

        def cell(first: str, second: str) -> str:
            pair = by_labels.get((first, second))
            if pair is None:
                return ""
            percent = pair.percent
            figure = f"{pair.difference:+.4f}" if percent is None else f"{percent:+.{0 if abs(percent) >= 100 else 1}f}"
            return figure + (APART if frozenset((first, second)) in apart else "")

        rows = [[self.short(first), *(cell(first, second) for second in labels)] for first in labels]
        return ["", *(self.short(label) for label in labels)], rows if by_labels else []

    def notes(self) -> list[str]:
        """How the table is to be read."""
        leader = self.league.leader
        said = [f"the rows are in the order of {self.objective} on the test split, which chose neither a config nor the leader"]
        if leader is not None:
            said.append(f"the leader is {leader}: it has the highest {self.objective} on validation")
        if self.family:
            first, *second = dict.fromkeys(one.ours for one in self.named if not self._is_baseline(one.rival))
            pairs = f"{first} with each method" + "".join(f", and {label} with each" for label in second)
            compared = dict.fromkeys(one.ours for one in self.named if self._is_baseline(one.rival))
            baselines = f"; the baselines, compared with {listed(compared)}, have a correction of their own" if compared else ""
            said.append(
                f"verdicts are corrected (Holm) over the {counted(self.family, 'pair')} that were named before the test split "
                f"was read: {pairs}{baselines}; a question mark (?) says "
                "that a pair is not distinguishable"
            )
        if self.league.pairs:
            said.append(
                "methods share a letter if nothing separates them: no verdict, or for pairs without one, no p of at most "
                f"{ALPHA:g} in the table of all pairs, corrected for the false discovery rate; that table is description, "
                "since nobody named its pairs beforehand; a shared letter does not say that methods are equal"
            )
        said.append(
            "± is half of the 95 % interval of a mean over users and runs; it is about one method: methods whose intervals "
            "overlap may differ all the same, since they are compared user by user"
        )
        return said + left_out_said(self.league.left_out)

    def headlines(self) -> list[str]:
        """The result in short: the leader, then the study's own method."""
        leader = self.league.leader
        if leader is None or not self.family:
            return []
        own = [f"{self.ours} {self._record(self.ours)}"] if leader != self.ours else []
        return [f"{leader}, the leader on validation, {self._record(leader)}", *own]

    def _record(self, label: str) -> str:
        """Against how many methods one is better, worse and not distinguishable; few are named."""
        if all(row.span is None for row in self.rows if row.label == label):
            return "diverged"
        side = {self.ours: "ours", self.league.leader: "leader"}[label]
        words: dict[Word, list[str]] = {word: [] for word in Word}
        for row in self.rows:
            one = getattr(row, side)
            if one is not None and not row.is_baseline:
                words[one.word].append(row.label)
        parts = [
            f"{phrase} {_some(words[word])}"
            for word, phrase in (
                (Word.BETTER, "better than"),
                (Word.WORSE, "worse than"),
                (Word.UNDECIDED, "not distinguishable from"),
                (Word.NO_VERDICT, "without a verdict on"),
            )
            if words[word]
        ]
        return f"is {'; '.join(parts)}"


FEW = 4  # methods that are named one by one


def _some(labels: Sequence[str]) -> str:
    return listed(labels) if len(labels) <= FEW else f"{len(labels)} methods"


def both_ways(named: Sequence[Comparison]) -> dict[tuple[str, str], Comparison]:
    """The comparisons by the labels of ours and of the rival, each also from the rival's side."""
    return {(each.ours, each.rival): each for one in named for each in (turned(one), one)}


def turned(one: Comparison) -> Comparison:
    """The same comparison from the other side."""
    return replace(
        one,
        ours=one.rival,
        rival=one.ours,
        difference=-one.difference,
        base=one.base + one.difference,
        users=_turned(one.users),
        runs=one.runs and _turned(one.runs),
        both=one.both and _turned(one.both),
        searches=(one.searches[1], one.searches[0]),
    )


def _turned(evidence: Evidence) -> Evidence:
    return replace(evidence, low=-evidence.high, high=-evidence.low)


def _short(one: Comparison) -> str:
    """The difference in percent, without decimals from 100 % on."""
    percent = one.percent(one.difference)
    return shown(one, one.difference) if percent is None or abs(percent) < 100 else f"{percent:+.0f} %"


def _verdict(one: Comparison | None) -> str:
    """The cell of a verdict; its interval is in the forest plot and in the sentences."""
    if one is None:
        return ""
    return f"{_short(one)} {SHORT[one.word]}" + ("" if one.runs is None else f" (p {p_said(one.p)})")
