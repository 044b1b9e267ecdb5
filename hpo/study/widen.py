"""A search that goes on in wider ranges: a study of another name, with the trials of the first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import optuna
from optuna.storages import BaseStorage
from optuna.trial import create_trial

from hpo.study.attributes import COPIED_FROM, FINISHED, RESUMED_AFTER, RETRIES, RETRY_OF, WORKER
from hpo.study.ends import BestAtEnd, best_at_ends
from hpo.study.spec import StudySpec
from hpo.study.starts import STARTS
from hpo.study.stored import find_study, stored_rivals, stored_spec
from trainers.errors import InputError

SUFFIX = "-wide"
NOT_COPIED = (WORKER, RETRIES, RETRY_OF, RESUMED_AFTER)  # they tell of attempts, which stay behind


@dataclass(frozen=True)
class Widened:
    """A study in wider ranges, its rivals, and the names of the studies whose trials they go on from."""

    spec: StudySpec
    rivals: tuple[StudySpec, ...]
    originals: Mapping[str, str]

    def change(self, storage: BaseStorage, spec: StudySpec) -> str:
        """The ranges of one of them that are wider, in words."""
        before = stored_spec(find_study(storage, self.originals[spec.name])).space.ranges_said()
        now = spec.space.ranges_said()
        changed = [f"{name} {said} (was {before[name]})" for name, said in now.items() if before.get(name, said) != said]
        return "; ".join(changed) or "no range is wider"


def widened(storage: BaseStorage, name: str) -> Widened:
    """A study of this storage in wider ranges: as it is there already, or as the ends that the best trials stand at ask for.

    Ranges of what all search are widened in every study, those of a loss's own in its own.

    Raises:
        InputError: there is no such study; the best trials of none stand at an end.
    """
    study = find_study(storage, name)
    names = optuna.get_all_study_names(storage)
    rivals = stored_rivals(study)
    searched = [(study, stored_spec(study))]
    searched += [
        (found, stored_spec(found)) for found in (find_study(storage, rival.name) for rival in rivals if rival.name in names)
    ]
    originals = {wide_name(spec.name): spec.name for _, spec in searched}
    if wide_name(name) in names:
        wide = find_study(storage, wide_name(name))
        return Widened(stored_spec(wide), stored_rivals(wide), originals)
    ends = {spec.name: best_at_ends(one, spec) for one, spec in searched}
    if not any(ends.values()):
        raise InputError(
            f"no range to widen: the best trials of {', '.join(ends)} stand at no end of one; search on without --widen"
        )
    spec = searched[0][1]
    shared = [each for found in ends.values() for each in found if each.at.range_name in spec.space.also]
    as_searched = {its_spec.name: its_spec for _, its_spec in searched}
    wide_spec = _wider(spec, [*ends[name], *shared])
    wide_rivals = [_wider(as_searched.get(one.name, one), [*ends.get(one.name, []), *shared]) for one in rivals]
    return Widened(wide_spec, tuple(rival.with_budget_of(wide_spec) for rival in wide_rivals), originals)


def _wider(spec: StudySpec, ends: Iterable[BestAtEnd]) -> StudySpec:
    ranges = spec.space.widened([each.at for each in ends if each.at.range_name in spec.space.searched()])
    return spec.override({"name": wide_name(spec.name), "space.ranges": ranges})


def wide_name(name: str) -> str:
    """The name of the study that goes on in wider ranges."""
    return f"{name}{SUFFIX}"


def copy_trials(storage: BaseStorage, original: str, wide: optuna.Study, spec: StudySpec) -> int:
    """Add the finished trials of a study to that in wider ranges, those that are not there yet; returns how many.

    States, values and reports are kept, so that the sampler learns from them as from its own.
    """
    source = optuna.load_study(study_name=original, storage=storage)
    if STARTS in source.user_attrs and STARTS not in wide.user_attrs:
        wide.set_user_attr(STARTS, source.user_attrs[STARTS])
    there = {trial.user_attrs.get(COPIED_FROM) for trial in wide.get_trials(deepcopy=False)}
    boxes = spec.space.boxes()
    missing = [trial for trial in source.get_trials(deepcopy=False, states=FINISHED) if trial.number not in there]
    for trial in missing:
        attributes = {key: value for key, value in trial.user_attrs.items() if key not in NOT_COPIED}
        wide.add_trial(
            create_trial(
                state=trial.state,
                value=trial.value,
                params=trial.params,
                distributions=boxes,
                intermediate_values=trial.intermediate_values,
                user_attrs={**attributes, COPIED_FROM: trial.number},
            )
        )
    return len(missing)
