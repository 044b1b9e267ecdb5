"""What the trials of a search give rise to, before and after its best are confirmed: how short it was, and where they stand."""

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
        subject: what its config is called.
        chosen: the trial that was chosen; by default the best one.
        widen: the study that is to be named when ranges are to be widened: where a rival is searched for another study, that
            one, with which all go on in wider ranges; by default this one.
    """
    trials, starts = tally(study.get_trials(deepcopy=False)).finished, len(starts_of(spec)[0])
    sampler = spec.search.sampler
    if sampler.never_learns(trials, starts):
        facts: dict[str, JsonValue] = {"sampler": sampler.name, "random_trials": starts + sampler.n_startup_trials}
        yield Caveat(kind=CaveatKind.SHORT_SEARCH, subject=subject, facts=facts | {"trials": trials})
    if ends := _ends(study, spec, chosen):
        total = 2 * max(trials, spec.search.trials, starts + sampler.n_startup_trials)  # of copied and new ones
        command = f"python -m hpo.run --study {widen or spec.name} --widen --trials {total}"
        yield Caveat(kind=CaveatKind.AT_RANGE_END, subject=subject, facts={"ends": ends, "command": command})


def _ends(study: optuna.Study, spec: StudySpec, chosen: int | None) -> list[JsonValue]:
    """The ends of ranges at which the chosen config or most of the best stand, as plain data."""
    return [
        {
            "name": each.at.name,
            "value": each.at.value,
            "low": each.at.low,
            "high": each.at.high,
            "end": each.at.end,
            "trials": each.trials,
            "of": each.of,
            "is_chosen": each.is_chosen,
        }
        for each in best_at_ends(study, spec, chosen)
    ]
