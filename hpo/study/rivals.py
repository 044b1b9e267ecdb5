"""The studies of a study's rivals, and the losses that `rivals: all` leaves out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hpo.study.spec import ALL, StudySpec
from trainers.engines import choose_engine
from trainers.engines.registry import AUTO
from trainers.errors import InputError
from trainers.losses import LOSSES


@dataclass(frozen=True)
class RivalStudies:
    """The rivals of a study.

    Attributes:
        left_out: by loss the reason why `rivals: all` leaves it out.
    """

    specs: Sequence[StudySpec] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)


def rivals_of(spec: StudySpec, engine: str = AUTO, device: str = AUTO) -> RivalStudies:
    """The studies of the rivals. `rivals: all` leaves out losses that the requested engine cannot train; `auto` trains all.

    Raises:
        InputError: see `StudySpec.rival_specs`.
    """
    specs, left_out = spec.rival_specs(), spec.left_out()
    if spec.rivals != ALL:
        return RivalStudies(specs)
    kept = []
    for rival in specs:
        try:
            choose_engine(rival.probe, engine, device)
            kept.append(rival)
        except InputError as error:
            left_out[rival.space.loss_name] = str(error)
    return RivalStudies(kept, left_out)


def left_out_said(left_out: Mapping[str, str]) -> list[str]:
    """A sentence for each loss that `rivals: all` leaves out."""
    return [
        f"rivals: all leaves out {LOSSES[name].__name__ if name in LOSSES else name}: {why}" for name, why in left_out.items()
    ]
