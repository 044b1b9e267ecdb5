"""Continues a search in wider ranges: a study of another name, with copies of the original's trials."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, create_trial

from hpo.study.attributes import (
    COPIED_FROM,
    FINISHED,
    NEAREST_MARK,
    RESUMED_AFTER,
    RETRIES,
    RETRY_OF,
    START_MARK,
    WORKER,
)
from hpo.study.definition import Definition, differences, differences_said, only_engine_differs, stored_definition
from hpo.study.ends import best_at_ends
from hpo.study.names import names_of_searches
from hpo.study.rivals import kept_rivals
from hpo.study.sampling import WIDENED
from hpo.study.spec import StudySpec
from hpo.study.starts import STARTS, Start, has_failed_as, starts_of
from hpo.study.stored import find_study, is_ours, stored_spec, stored_study
from hpo.study.trials import finalist_trials, in_order_of_ranks
from search_spaces.parameters import AtEnd
from trainers.errors import InputError, first_line

SUFFIX = "-wide"
NOT_COPIED = (WORKER, RETRIES, RETRY_OF, RESUMED_AFTER)  # attributes about attempts, which are not copied


@dataclass(frozen=True)
class Widened:
    """A study with wider ranges and its rivals.

    Attributes:
        originals: by the name of each wider study the name of the study whose trials it continues.
        left_out: by loss the reason why `rivals: all` left it out.
    """

    spec: StudySpec
    rivals: tuple[StudySpec, ...]
    originals: Mapping[str, str]
    left_out: Mapping[str, str] = field(default_factory=dict)

    def check(self, storage: BaseStorage, name: str, now: Definition) -> None:
        """Check that a wider study with the definition `now` may go on with the trials of its original: only the ranges differ.

        Raises:
            InputError: they differ in more, so their trials cannot be mixed.
        """
        if name not in self.originals:
            return
        source = find_study(storage, self.originals[name])
        before = stored_definition(source.study_name, source.user_attrs)
        found = [each for each in differences(before, now) if not each.key.startswith("space.ranges.")]
        if found:
            remedy = f"give --engine {before.engine}" if only_engine_differs(found) else "restore what has changed"
            raise InputError(
                f"{name} cannot go on with the trials of {source.study_name}, which has another definition "
                f"({differences_said(found)}); {remedy}, or search a new study"
            )

    def change(self, storage: BaseStorage, spec: StudySpec) -> str:
        """The wider ranges of one of the studies, in words."""
        before = stored_spec(find_study(storage, self.originals[spec.name])).space.ranges_said()
        now = spec.space.ranges_said()
        changed = [f"{name} {said} (was {before[name]})" for name, said in now.items() if before.get(name, said) != said]
        return "; ".join(changed) or "no range is wider"


def widened(storage: BaseStorage, name: str) -> Widened:
    """A study with wider ranges, and its rivals: from the storage, or with those ranges widened that have best trials at an
    end.

    Ranges of parameters that all studies share are widened in all of them; ranges of a loss in its own study.

    Raises:
        InputError: there is no such study, or no range has best trials at an end.
    """
    names = optuna.get_all_study_names(storage)
    wide = optuna.load_study(study_name=wide_name(name), storage=storage) if wide_name(name) in names else None
    if wide is not None and is_ours(wide):
        kept = stored_study(wide)
        found = kept_rivals(kept)
        read = () if kept.rivals else found.specs  # these are not in wider ranges
        specs = [kept.spec, *kept.rivals, *(_wide_one(storage, one, names) for one in read)]
        originals = _originals([spec.name.removesuffix(SUFFIX) for spec in specs], names)
        return Widened(specs[0], tuple(specs[1:]), originals, found.left_out)
    kept = stored_study(find_study(storage, name))
    found = kept_rivals(kept)
    rivals = found.specs
    specs = [kept.spec, *(stored_spec(find_study(storage, one.name)) for one in rivals if one.name in names)]
    ends = {spec.name: _ends(storage, spec, names) for spec in specs}
    if not any(ends.values()):
        raise InputError(
            f"no range needs widening: no best trial of {', '.join(ends)} is at the end of a range; search on without --widen"
        )
    shared = [each for found in ends.values() for each in found if each.range_name in specs[0].space.also]
    searched = {spec.name: spec for spec in specs}
    wide_spec = _wider(specs[0], [*ends[name], *shared])
    wide_rivals = [_wider(searched.get(one.name, one), [*ends.get(one.name, []), *shared]) for one in rivals]
    equal = tuple(rival.with_budget_of(wide_spec) for rival in wide_rivals)
    return Widened(wide_spec, equal, _originals(ends, names), found.left_out)


def _wide_one(storage: BaseStorage, rival: StudySpec, names: Sequence[str]) -> StudySpec:
    """The study of a rival in wider ranges, if it exists; else the rival."""
    name = wide_name(rival.name)
    return stored_spec(find_study(storage, name)) if name in names else rival


def _originals(searched: Iterable[str], names: Sequence[str]) -> dict[str, str]:
    """By the name of a wider study the name of its original, for originals that exist."""
    pairs = (
        pair for name in searched for pair in zip(names_of_searches(wide_name(name)), names_of_searches(name), strict=True)
    )
    return {wide: original for wide, original in pairs if original in names}


def _ends(storage: BaseStorage, spec: StudySpec, names: Sequence[str]) -> list[AtEnd]:
    """The range ends at which the best trials of a search or of its repeats are. If there are none, those of any finalist,
    since confirm may have chosen it."""
    studies = [optuna.load_study(study_name=one, storage=storage) for one in names_of_searches(spec.name) if one in names]
    found = [each.at for study in studies for each in best_at_ends(study, spec)]
    finalists = (trial for study in studies for trial in finalist_trials(study, spec.confirm.top, spec))
    return found or [at for trial in finalists for at in spec.space.at_ends(trial.params)]


def _wider(spec: StudySpec, ends: Iterable[AtEnd]) -> StudySpec:
    ranges = spec.space.widened([at for at in ends if at.range_name in spec.space.searched()])
    return spec.override({"name": wide_name(spec.name), "space.ranges": ranges})


def wide_name(name: str) -> str:
    """The name of the study that continues in wider ranges."""
    return f"{name}{SUFFIX}"


def copy_trials(storage: BaseStorage, original: str, wide: optuna.Study, spec: StudySpec) -> int:
    """Copy the finished trials of a study to the wider one, except those copied before. Returns their number.

    Copies have the same states, values and reports, so the sampler learns from them. Their order is that of ranks, which does
    not depend on interruptions. New trials have seeds of their own, see `hpo.study.sampling`. In wider ranges another config
    may be nearest to the published one: then it is queued, and the old one becomes an ordinary start.

    Raises:
        InputError: a trial is outside the ranges.
    """
    source = optuna.load_study(study_name=original, storage=storage)
    wide.set_user_attr(WIDENED, source.user_attrs.get(WIDENED, 0) + 1)
    before, now = source.user_attrs.get(STARTS, []), starts_of(spec)[0][:1]
    nearer = [start for start in now if before and dict(before[0][2]) != start.params]
    if STARTS not in wide.user_attrs:
        tried = source.get_trials(deepcopy=False)
        again = [each for each in before if not has_failed_as(tried, *each[:2])]
        kept = [[*_mark(mark, label, nearer), params] for mark, label, params in again]
        wide.set_user_attr(STARTS, [[start.mark, start.label, start.params] for start in nearer] + kept)
    there = {trial.user_attrs.get(COPIED_FROM) for trial in wide.get_trials(deepcopy=False)}
    finished = [trial for trial in in_order_of_ranks(source.get_trials(deepcopy=False)) if trial.state in FINISHED]
    missing = [trial for trial in finished if trial.number not in there]
    for trial in missing:
        wide.add_trial(_copy(trial, spec, nearer, original))
    return len(missing)


def _mark(mark: str, label: str, nearer: Sequence[Start]) -> tuple[str, str]:
    """The mark and label of a start in wider ranges, where another config may be nearest to the published one."""
    is_nearest = mark == NEAREST_MARK and nearer
    return (START_MARK, f"{label}, nearest in narrower ranges") if is_nearest else (mark, label)


def _copy(trial: FrozenTrial, spec: StudySpec, nearer: Sequence[Start], original: str) -> FrozenTrial:
    attributes = {key: value for key, value in trial.user_attrs.items() if key not in NOT_COPIED}
    if NEAREST_MARK in attributes:
        mark, label = _mark(NEAREST_MARK, attributes.pop(NEAREST_MARK), nearer)
        attributes[mark] = label
    try:
        return create_trial(
            state=trial.state,
            value=trial.value,
            params=trial.params,
            distributions=spec.space.boxes(),
            intermediate_values=trial.intermediate_values,
            user_attrs={**attributes, COPIED_FROM: trial.number},
        )
    except ValueError as error:
        raise InputError(
            f"trial {trial.number} of {original} is outside the ranges of {spec.name} ({first_line(error)}); delete "
            f"{spec.name} and widen again"
        ) from None
