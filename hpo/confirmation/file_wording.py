"""Caveats on files of other programs as sentences."""

from __future__ import annotations

from collections.abc import Callable

from hpo.confirmation.caveats import CaveatKind
from hpo.confirmation.data_wording import Facts
from hpo.runtime.text import counted, listed


def _users_missing(subject: str, facts: Facts) -> str:
    return (
        f"{subject} lacks {facts['missing']:,} of the {facts['all']:,} users in the files: all figures here are over the "
        f"{facts['common']:,} users that all methods have; a program that leaves out users with bad recommendations makes its "
        "method look too good: give such users the figure 0"
    )


def _of_runs(facts: Facts) -> str:
    """The number of users, in the run with the most."""
    up_to = "up to " if facts["least"] != facts["most"] else ""
    return f"{up_to}{facts['most']:,}"


def _users_unserved(subject: str, facts: Facts) -> str:
    return (
        f"{subject} recommends nothing to {_of_runs(facts)} of the {facts['users']:,} users with held-out items: they count 0"
    )


def _users_unknown(subject: str, facts: Facts) -> str:
    return f"{subject} has lists for users without held-out items ({_of_runs(facts)}), who are left out"


def _short_lists(subject: str, facts: Facts) -> str:
    return (
        f"{subject} has lists for {_of_runs(facts)} of {facts['users']:,} users that are shorter than the metrics need: "
        "missing items count as misses"
    )


def _tied_scores(subject: str, facts: Facts) -> str:
    return (
        f"{subject} has equal scores within a list, for {_of_runs(facts)} of {facts['users']:,} users: such items stay in the "
        "order of the file; a column rank would state the order"
    )


def _runs_differ(subject: str, facts: Facts) -> str:
    counts = listed(f"{label} {count}" for label, count in facts["runs"])
    return f"the methods have different numbers of runs ({counts}): few runs make a verdict less likely, and one run gives none"


def _runs_alike(subject: str, facts: Facts) -> str:
    return (
        f"all {counted(facts['runs'], 'run')} of {subject} have the same {facts['objective']} for every user: right for a "
        "method without randomness; for any other, one file was probably given for several seeds, and the verdict is too sure"
    )


def _outside_unit(subject: str, facts: Facts) -> str:
    return (
        f"{facts['objective']} of {subject} is not always between 0 and 1 (it ranges from {facts['low']:.4g} to "
        f"{facts['high']:.4g}): "
        "the values are used unchanged, and higher counts as better"
    )


def _constant(subject: str, facts: Facts) -> str:
    return (
        f"{facts['objective']} of {subject} is {facts['value']:.4g} for every user in every run: is it the right column, or "
        "does --truth hold other items?"
    )


def _same_figures(subject: str, facts: Facts) -> str:
    return (
        f"{subject} and {facts['other']} have the same {facts['objective']} for every user: is it one method under two names?"
    )


def _mixed_sources(subject: str, facts: Facts) -> str:
    return (
        f"this program computed {facts['objective']} of {listed(facts['computed'])}, while {facts['objective']} of "
        f"{listed(facts['read'])} comes from a file: both must have the same definition"
    )


FILE_WORDING: dict[CaveatKind, Callable[[str, Facts], str]] = {
    CaveatKind.USERS_MISSING: _users_missing,
    CaveatKind.USERS_UNSERVED: _users_unserved,
    CaveatKind.USERS_UNKNOWN: _users_unknown,
    CaveatKind.SHORT_LISTS: _short_lists,
    CaveatKind.TIED_SCORES: _tied_scores,
    CaveatKind.RUNS_DIFFER: _runs_differ,
    CaveatKind.RUNS_ALIKE: _runs_alike,
    CaveatKind.OUTSIDE_UNIT: _outside_unit,
    CaveatKind.CONSTANT: _constant,
    CaveatKind.SAME_FIGURES: _same_figures,
    CaveatKind.MIXED_SOURCES: _mixed_sources,
}
