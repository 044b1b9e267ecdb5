"""The result in plain words, for the top of a page: a short sentence for each comparison; `statements` has the long ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from hpo.confirmation.caveats import Caveat, CaveatKind
from hpo.confirmation.repeats import UNITS, Repeats, repeats_by_pair
from hpo.confirmation.results import Method
from hpo.confirmation.statements import interval, shown, too_few_users, undecided_since
from hpo.confirmation.statistics import MIN_SEARCHES, Comparison, Word
from hpo.confirmation.winner import Decision
from hpo.runtime.text import listed
from hpo.study.names import WINNER
from hpo.study.plan import MIN_TEST_USERS


def headline(comparison: Comparison, repeats: Repeats | None = None) -> str:
    """One comparison in plain words, such as `MML tuned is better than BSL tuned: +2.1 % (95 % interval +1.0 to +3.2 %)`."""
    ours, rival, word = comparison.ours, comparison.rival, comparison.word
    change, span = shown(comparison, comparison.difference), interval(comparison, comparison.both or comparison.users)
    over = " over users" if comparison.both is None else ""
    figures = f"{change} (95 % interval{over} {span})"
    if word is Word.NO_VERDICT:
        few = any(1 < searches < MIN_SEARCHES for searches in comparison.searches)
        return f"{'Two searches are' if few else 'One seed is'} too few to compare {ours} with {rival}: {figures}"
    if word is Word.UNDECIDED:
        number = "" if repeats is None else f" with {repeats.said()}"
        why = undecided_since(comparison)
        needed = ""
        if repeats and repeats.enough:
            found = f"about {repeats.enough} {UNITS[repeats.needed]} of {repeats.only or 'each'}"
            needed = f"; if they vary as these do, {found} would show a difference of this size"
        return f"{ours} is not distinguishable from {rival}{number}: {figures}{why}{needed}"
    return f"{ours} is {word} than {rival}: {figures}"


def headlines(
    methods: Sequence[Method],
    comparisons: Sequence[Comparison],
    test_users: int,
    objective: str,
    against_baselines: Sequence[Comparison] = (),
) -> list[str]:
    """The result of a confirmation in plain words: the most important comparison first, the best baseline last.

    Args:
        against_baselines: of our method, and in a league of the leader.
    """
    sound = {method.label: method.values(objective) for method in methods if not method.failure}
    repeats = repeats_by_pair(comparisons, sound)
    ordered = by_importance(comparisons, {method.label: method for method in methods})
    said = [headline(one, repeats.get((one.ours, one.rival))) for one in ordered]
    for label in dict.fromkeys(one.ours for one in against_baselines):
        mine = [one for one in against_baselines if one.ours == label]
        best = max(mine, key=lambda one: one.base)
        which = "the best baseline," if len(mine) > 1 else "the baseline"
        said.append(headline(replace(best, rival=f"{which} {best.rival}")))
    if said:
        return said
    if test_users < MIN_TEST_USERS:
        return [capital(too_few_users(test_users))]
    ours = methods[0]
    if ours.failure:
        return [f"No verdict: {ours.label} diverged ({ours.failure})"]
    return [f"No verdict: there is no other method that {ours.label} could be compared with"]


def warnings(methods: Sequence[Method], caveats: Sequence[Caveat]) -> list[str]:
    """Which rivals diverged, which were not tuned, and which are missing.

    Args:
        methods: ours first.
    """
    untuned = [each for each in caveats if each.kind is CaveatKind.NOT_TUNED]
    said = []
    if lost := [other.label for other in methods[1:] if other.failure]:
        said.append(f"{listed(lost)} diverged, so there is no verdict on {'them' if len(lost) > 1 else 'it'}")
    if unfair := [each.subject for each in untuned if each.facts["compared"]]:
        are, them = ("are", "them") if len(unfair) > 1 else ("is", "it")
        said.append(f"{listed(unfair)} {are} not tuned, so a comparison with {them} is not fair")
    if missing := [each.subject for each in untuned if not each.facts["compared"]]:
        said.append(f"{listed(missing)} {'are' if len(missing) > 1 else 'is'} neither tuned nor compared")
    return said


def winner_headline(decision: Decision) -> str:
    """Who wins, in short."""
    if decision.best is None:
        return f"There is no winner, and no {WINNER}: no method trained to the end"
    if decision.winner is None:
        ahead = listed(other.label for other in decision.ahead)
        baselines, are = ("baseline", "is") if len(decision.ahead) == 1 else ("baselines", "are")
        return f"There is no winner, and no {WINNER}: the {baselines} {ahead} {are} ahead on validation"
    return f"The winner, chosen on validation data, is {decision.winner.label} ({WINNER})"


def by_importance(comparisons: Sequence[Comparison], methods: Mapping[str, Method] | None = None) -> list[Comparison]:
    """The comparisons, the most important first: with tuned rivals before others, with other losses before the same loss, and
    of these those of the highest figures.

    Args:
        methods: by label; None where nothing is known of them.
    """

    def rank(one: Comparison) -> tuple[bool, bool, float]:
        ours, rival = (methods or {}).get(one.ours), (methods or {}).get(one.rival)
        is_untuned = rival is not None and not rival.is_tuned
        is_same = ours is not None and rival is not None and ours.config.loss.name == rival.config.loss.name
        return is_untuned, is_same, -(2 * one.base + one.difference)

    return sorted(comparisons, key=rank)


def capital(text: str) -> str:
    """A sentence of its own begins with a capital letter."""
    return text[:1].upper() + text[1:]
