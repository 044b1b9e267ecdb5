"""The studies of a study's rivals, and the losses that `rivals: all` leaves out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hpo.study.definition import StoredStudy
from hpo.study.spec import ALL, StudySpec, is_study_file, load_spec, shipped_studies
from search_spaces import SPACES
from trainers.config import REGISTERED
from trainers.engines import choose_engine
from trainers.engines.registry import AUTO
from trainers.errors import InputError, unknown
from trainers.losses import LOSSES
from trainers.losses.own import OWN
from trainers.validation import checked

UNTUNED = (
    "WARNING: the rivals of this league are not searched, since --tune-rivals is not given: a loss without an earlier search "
    "has its published settings, or is left out of the league if it has none"
)
RENAME = "give the study that it repeats another name with --study-name"
RENAME_RIVAL = (
    "in a study file of your own, name rivals by their spaces (rivals: [ccl, ...]), so that their studies are named after it"
)


@dataclass(frozen=True)
class RivalStudies:
    """The rivals of a study.

    Attributes:
        left_out: by loss the reason why `rivals: all` leaves it out.
    """

    specs: Sequence[StudySpec] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)


def kept_rivals(kept: StoredStudy) -> RivalStudies:
    """The rivals of a stored study. One that was last searched as a rival has none of its own in the storage: they are read.

    Raises:
        InputError: see `rivals_of`.
    """
    return RivalStudies(kept.rivals, kept.left_out) if kept.rivals else rivals_of(kept.spec)


def rivals_of(spec: StudySpec, engine: str = AUTO, device: str = AUTO) -> RivalStudies:
    """The studies of the rivals. A rival named by its space is the study with another space.

    `rivals: all` has every other loss of this program that goes with the study's score and negatives and that the requested
    engine can train; `auto` can train all. A user's own losses are rivals only by name.

    Raises:
        InputError: a rival is missing or broken, has other data or the same loss, or two rivals have the same loss.
    """
    if spec.rivals != ALL:
        specs = [_rival_spec(spec, rival) for rival in spec.rivals]
        for rival in specs:
            _check(spec, rival, specs)
        return RivalStudies(specs)
    others = [name for name in LOSSES if name not in OWN and name != spec.space.loss_name]
    left_out = {name: why for name in others if (why := _why_not(spec, name))}
    kept = []
    for rival in (spec.with_space(name) for name in others if name not in left_out):
        try:
            choose_engine(rival.probe, engine, device)
            kept.append(rival)
        except InputError as error:
            left_out[rival.space.loss_name] = str(error)
    return RivalStudies(kept, left_out)


def check_league(spec: StudySpec, rivals: Sequence[StudySpec]) -> None:
    """Check that a league has a rival.

    Raises:
        InputError: the study is a league and has none.
    """
    if spec.is_league and not rivals:
        raise InputError(
            f"study {spec.name}: a league needs a rival, got none; write `rivals: all` or name some, or leave confirm.league "
            "out"
        )


def _rival_spec(spec: StudySpec, rival: str) -> StudySpec:
    if rival in SPACES:
        return spec.with_space(rival)
    if rival == ALL:
        raise InputError(
            f"study {spec.name}: {ALL} must stand alone, not in a list of rivals; write `rivals: {ALL}`, or name each loss"
        )
    if not is_study_file(rival) and rival not in shipped_studies():
        known = f"spaces ({', '.join(sorted(SPACES))}), shipped studies (hpo.studies list) and study files, NAME.yaml"
        said = unknown("rival", rival, [*SPACES, *shipped_studies()], known)
        raise InputError(f"study {spec.name}: {said}; {REGISTERED}")
    return load_spec(rival)


def _check(spec: StudySpec, rival: StudySpec, rivals: Sequence[StudySpec]) -> None:
    """Check that a rival can be compared with the study."""
    loss = rival.space.loss_name
    if [other.space.loss_name for other in rivals].count(loss) > 1:
        raise InputError(
            f"each rival must have another loss, and two of {', '.join(spec.rivals)} have {loss}; remove one of them"
        )
    if loss == spec.space.loss_name:
        raise InputError(
            f"a rival must have another loss than the study, and rival {rival.name!r} has the same, {loss}; remove it from "
            "`rivals`"
        )
    if rival.dataset != spec.dataset:
        raise InputError(
            f"a rival must have the study's dataset, {spec.dataset}, and rival {rival.name!r} has {rival.dataset}; remove it "
            "from `rivals`, or name a rival by its space"
        )
    if rival.data != spec.data:
        raise InputError(
            f"a rival must read its data with the options of {spec.name}, and rival {rival.name!r} has others; give both the "
            "same `data`"
        )


def _why_not(spec: StudySpec, loss: str) -> str:
    """Why a study cannot be searched with another loss; empty if it can."""
    score = spec.fixed.score
    if why := LOSSES[loss].not_with.get(score):
        return f"it cannot be used with score {score}: {why}"
    space = checked(SPACES[loss], SPACES[loss].to_hold(loss, None, spec.space), f"rival {loss} of study {spec.name}")
    try:
        space.config(space.corner(), spec.fields(1, 0))
    except InputError as error:
        return str(error).removeprefix("config: ")
    return ""


def left_out_said(left_out: Mapping[str, str]) -> list[str]:
    """A sentence for each loss that `rivals: all` leaves out."""
    names = {name: LOSSES[name].titled() if name in LOSSES else name for name in left_out}
    return [f"rivals: all leaves out {names[name]}: {why}" for name, why in left_out.items()]
