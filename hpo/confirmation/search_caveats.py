"""Caveats on a search: too few trials, or best trials at the end of a search range."""

from __future__ import annotations

from collections.abc import Iterator

import optuna
from pydantic import JsonValue

from hpo.confirmation.caveats import Caveat, CaveatKind
from hpo.study.ends import best_at_ends
from hpo.study.spec import StudySpec
from hpo.study.starts import starts_of
from hpo.study.trials import tally


def search_caveats(
    study: optuna.Study, spec: StudySpec, subject: str, chosen: int | None = None, widen: str | None = None
) -> Iterator[Caveat]:
    """All caveats on a search.

    Args:
        subject: the label of its config.
        chosen: the number of the chosen trial; by default the best one.
        widen: the study that the remedy names; by default this one. For a rival it is the study that is confirmed: its rivals
            are widened with it.
    """
    counts, starts = tally(study.get_trials(deepcopy=False)), len(starts_of(spec)[0])
    trials, sampler = counts.finished, spec.search.sampler
    learned_from = counts.complete if sampler.learns_from_complete else trials
    if sampler.never_learns(learned_from, starts):
        facts: dict[str, JsonValue] = {"sampler": sampler.name, "random_trials": starts + sampler.n_startup_trials}
        facts["trials"] = learned_from
        if sampler.learns_from_complete:
            facts["complete"] = True
        yield Caveat(kind=CaveatKind.SHORT_SEARCH, subject=subject, facts=facts)
    if ends := _ends(study, spec, chosen):
        total = 2 * max(trials, spec.search.trials, starts + sampler.n_startup_trials)  # copied trials and new ones
        command = f"python -m hpo.run --study {widen or spec.name} --widen --trials {total}"
        yield Caveat(kind=CaveatKind.AT_RANGE_END, subject=subject, facts={"ends": ends, "command": command})


def _ends(study: optuna.Study, spec: StudySpec, chosen: int | None) -> list[JsonValue]:
    """The range ends at which the chosen config or most of the best trials are, as plain data."""
    return [each.as_facts() for each in best_at_ends(study, spec, chosen)]
