"""A league: many methods in one table, with verdicts on the pairs that were named before the test split was read.

Named are the study's own method with each other one, and the leader with each other one. The leader is the method with the
highest mean on validation, so that the test split has no part in the choice of the pairs. Holm's correction covers all of these
pairs together; the pair of the study's method with the leader is one of them, once. For n methods there are 2n - 3 of them, or
n - 1 if the study's method is the leader.

All other pairs are compared, too, but for description: nobody named them, and a table of all pairs invites the reader to pick
the largest difference. Their p is corrected for the false discovery rate over all pairs (Benjamini and Hochberg 1995; for
pairs of means Williams, Jones and Tukey 1999): of the pairs that it separates, about 5 % may be equal, before verdicts replace
some of them.
With five seeds, Holm's correction over all pairs can hardly separate any. `League.apart` draws groups of methods from both:
pairs with a verdict by it, other pairs by that p. Two methods share a letter if nothing separates them (Piepho, An algorithm
for a letter-based representation of all-pairwise comparisons, 2004). A Friedman test with Nemenyi's distances over users is
not used: it counts users alone, and takes the noise of training for a difference of methods (benchmarks/RESULTS.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import field, replace
from itertools import combinations
from string import ascii_lowercase

import scipy  # scipy.stats is imported at first use
from pydantic.dataclasses import dataclass

from hpo.confirmation.evidence import ALPHA, RESAMPLES, Number, over_both
from hpo.confirmation.results import Finalist, Method
from hpo.confirmation.statistics import Comparison, Measured, Word, compare_pairs, uncorrected
from hpo.confirmation.winner import decide
from trainers.validation import SETTINGS

# With 37 named pairs, Holm's first step asks for p below .05 / 37 = .00135. Of 4,000 resamples that is the count of 1 or 2, of
# 20,000 it is 13.
LEAGUE_RESAMPLES = 20_000

Pairs = Set[frozenset[str]]


@dataclass(frozen=True, config=SETTINGS)
class Span:
    """The mean of a method on test, and its 95 % interval over users and runs; over users alone if it has a single run."""

    mean: Number
    low: Number
    high: Number


@dataclass(frozen=True, config=SETTINGS)
class Pair:
    """Two methods, for description.

    Attributes:
        first: the label of the one with the higher mean.
        difference: first minus second, in the metric's unit.
        base: the second's mean.
        low, high: 95 % interval of the difference, over users and runs; over users alone if there can be no verdict.
        p: the largest p of the three tests, corrected for the false discovery rate over all pairs; None if there can
            be no verdict.
    """

    first: str
    second: str
    difference: Number
    base: Number
    low: Number
    high: Number
    p: float | None = None

    @property
    def percent(self) -> float | None:
        """The difference in percent of the absolute value of the second's mean; None if the mean is 0."""
        return 100 * self.difference / abs(self.base) if abs(self.base) > 1e-100 else None

    def turned(self) -> Pair:
        """The same pair from the other side: the method with the lower mean first."""
        base = self.base + self.difference
        return Pair(self.second, self.first, -self.difference, base, -self.high, -self.low, self.p)


@dataclass(frozen=True, config=SETTINGS)
class League:
    """The comparison of all methods of a study.

    Attributes:
        leader: the label of the method with the highest mean on validation; None if no method trained to the end.
        leads: the leader against each other method but the study's own, whose pair is in `Confirmation.comparisons`; empty if
            the study's own method leads.
        spans: by label the mean on test of each method and baseline.
        pairs: all pairs of methods and baselines, for description.
        left_out: by loss the reason why `rivals: all` left it out.
        against_baselines: the leader against each baseline; empty if the study's own method leads, whose pairs are in
            `Confirmation.against_baselines`.
    """

    leader: str | None = None
    leads: list[Comparison] = field(default_factory=list)
    spans: dict[str, Span] = field(default_factory=dict)
    pairs: list[Pair] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    against_baselines: list[Comparison] = field(default_factory=list)

    def without_evidence(self) -> League:
        """The means alone: on few test users nothing is compared, and no mean has an interval."""
        spans = {label: Span(each.mean, each.mean, each.mean) for label, each in self.spans.items()}
        return replace(self, leads=[], pairs=[], spans=spans)

    def apart(self, named: Sequence[Comparison]) -> Pairs:
        """The pairs that are separated: by a verdict if they were named, else in the table of all pairs."""
        said = {frozenset((one.ours, one.rival)): one.word in (Word.BETTER, Word.WORSE) for one in named}
        described = {frozenset((one.first, one.second)): one.p is not None and one.p <= ALPHA for one in self.pairs}
        return {pair for pair, is_apart in (described | said).items() if is_apart}

    def groups(self, named: Sequence[Comparison]) -> dict[str, str]:
        """By label the letters of the groups that a method is in. Methods share a letter if nothing separates them."""
        ranked = sorted(self.spans, key=lambda label: -self.spans[label].mean)
        return letters(ranked, self.apart(named)) if self.pairs else {}


def named_pairs(measured: Sequence[Measured], ours: str, leader: str | None) -> list[tuple[Measured, Measured]]:
    """The pairs that were named: ours with each, and the leader with each but ours. One that diverged has no pair."""
    by_label = {one.label: one for one in measured}
    mine = [(by_label[ours], one) for one in measured if one.label != ours] if ours in by_label else []
    if leader is None or leader == ours:
        return mine
    return mine + [(by_label[leader], one) for one in measured if one.label not in (ours, leader)]


def leader_of(methods: Sequence[Method], validated: Mapping[str, Sequence[Finalist]], objective: str) -> str | None:
    """The label of the method with the highest mean on validation, of those that trained to the end on both splits."""
    best = decide(methods, validated, (), objective).best
    return None if best is None else best.label


def compare_league(
    measured: Sequence[Measured],
    baselines: Sequence[Measured],
    ours: str,
    leader: str | None,
    resamples: int = LEAGUE_RESAMPLES,
) -> tuple[list[Comparison], League]:
    """Ours against each other method, and the league.

    Args:
        measured: the methods that trained to the end.
        baselines: methods that are not searched. They are described, and in no named pair: `against_baselines` compares them.
        resamples: of the bootstrap, for the named pairs.

    Raises:
        ValueError: methods measured on different users.
    """
    found = compare_pairs(named_pairs(measured, ours, leader), resamples)
    everybody = [*measured, *baselines]
    return [one for one in found if one.ours == ours], League(
        leader,
        [one for one in found if one.ours != ours],
        {one.label: span_of(one) for one in everybody},
        described(everybody, min(resamples, RESAMPLES)),
    )


def described(methods: Sequence[Measured], resamples: int = RESAMPLES) -> list[Pair]:
    """All pairs, the one with the higher mean first."""
    ranked = sorted(methods, key=lambda one: -float(one.users.mean()))
    found = uncorrected([*combinations(ranked, 2)], resamples)
    judged = [one.p for one in found if one.runs is not None]
    corrected = iter(scipy.stats.false_discovery_control(judged) if judged else ())
    pairs = []
    for one in found:
        evidence = one.both or one.users
        p = None if one.runs is None else float(next(corrected))
        pairs.append(Pair(one.ours, one.rival, one.difference, one.base, evidence.low, evidence.high, p))
    return pairs


def span_of(one: Measured) -> Span:
    """The mean of a method with its 95 % interval: Student's t with the sum of the squared errors of users and of runs."""
    mean = float(one.users.mean())
    users, repeats = (float(scipy.stats.sem(values)) if len(values) > 1 else 0.0 for values in (one.users, one.repeats))
    both = over_both(mean, users, repeats, len(one.repeats) - 1, max(1, len(one.users) - 1))
    return Span(mean, both.low, both.high)


def letters(ranked: Sequence[str], apart: Pairs) -> dict[str, str]:
    """By label its letters; two labels share a letter if and only if their pair is not in `apart`.

    Args:
        ranked: the labels, the best first; the group of the best has the first letter.
    """
    place = {label: number for number, label in enumerate(ranked)}
    together = {
        label: {other for other in ranked if other != label and frozenset((label, other)) not in apart} for label in ranked
    }
    groups = sorted(sorted(place[label] for label in group) for group in _cover(ranked, together))
    return {label: "".join(_letter(number) for number, group in enumerate(groups) if place[label] in group) for label in ranked}


def _cover(ranked: Sequence[str], together: Mapping[str, Set[str]]) -> Iterator[Set[str]]:
    """Groups whose members are together in pairs, so that each pair which is together is in one of them. Of all largest groups
    the one with the most new pairs comes first, until no pair is new: so there are few of them."""
    cliques = sorted(
        (sorted(clique) for clique in _cliques(set(), set(ranked), set(), together)), key=lambda one: (-len(one), one)
    )
    pairs = [{frozenset(pair) for pair in combinations(clique, 2)} for clique in cliques]
    left = set[frozenset[str]]().union(*pairs)
    yield from ({clique[0]} for clique in cliques if len(clique) == 1)
    while left:
        best = max(range(len(cliques)), key=lambda number: len(pairs[number] & left))
        left -= pairs[best]
        yield {*cliques[best]}


def _letter(number: int) -> str:
    """`a` to `z`, then `a1`, `b1`, ..."""
    turn, letter = divmod(number, len(ascii_lowercase))
    return ascii_lowercase[letter] + (str(turn) if turn else "")


def _cliques(chosen: set[str], possible: set[str], done: set[str], together: Mapping[str, Set[str]]) -> Iterator[Set[str]]:
    """All maximal sets of labels that are together in pairs (Bron and Kerbosch 1973, with a pivot)."""
    if not possible and not done:
        yield chosen
        return
    pivot = max(sorted(possible | done), key=lambda label: len(together[label] & possible))
    for label in sorted(possible - together[pivot]):
        yield from _cliques(chosen | {label}, possible & together[label], done & together[label], together)
        possible = possible - {label}
        done = done | {label}
