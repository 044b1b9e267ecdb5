"""What is stored of baselines: the settings that were tried on validation, and the figures of the best ones on test."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, Field, model_validator

from hpo.runs.store import Beyond
from hpo.runtime.typed_files import Stored
from trainers.validation import SETTINGS, Figure

Setting = bool | Annotated[int, Field(ge=-(10**18), le=10**18)] | Figure | str


class Evaluation(BaseModel):
    """Settings of a baseline that were tried on validation.

    Attributes:
        value: the objective; None if they failed.
        failure: why there is no value; empty if there is one.
        seconds: of fitting and ranking.
    """

    model_config = SETTINGS | {"frozen": True}
    settings: dict[str, Setting]
    value: Figure | None = None
    failure: str = ""
    seconds: Figure = 0.0

    @model_validator(mode="after")
    def _has_a_value_or_failed(self) -> Evaluation:
        if (self.value is None) != bool(self.failure):
            raise ValueError("an evaluation must have either a value or a failure")
        return self


class BaselineTuning(Stored):
    """The evaluations of a baseline on a validation split, in the order in which they ended.

    Attributes:
        name: see `trainers.baselines.BASELINES`.
        seen, held_out: checksums of the search's training part and of validation.
    """

    FORMAT: ClassVar[int] = 1
    name: str
    objective: str
    seen: str
    held_out: str
    evaluations: list[Evaluation]


@dataclass(frozen=True)
class TunedBaseline:
    """The evaluations of a baseline, the default settings first.

    Attributes:
        data: checksums of the split on which it was tuned.
        on_all_items: the best settings of EASE with all items, if it was tuned on fewer; None for the others.
    """

    name: str
    data: tuple[str, str]
    evaluations: list[Evaluation]
    on_all_items: Evaluation | None = None

    @property
    def ranked(self) -> list[Evaluation]:
        """Those with a value, the best first; of equal ones the earlier one."""
        found = [(each.value, each) for each in self.evaluations if each.value is not None]
        return [each for _, each in sorted(found, key=lambda pair: -pair[0])]


class BaselineResult(Stored):
    """The figures of a baseline on test.

    Attributes:
        label: such as `RP3beta (tuned, 36 points)`.
        note: how it ranks, and what it leaves out.
        seconds: of fitting and ranking with the chosen settings.
        made_by: the revision of the program that computed them.
        name: see `trainers.baselines.BASELINES`.
        settings: the chosen ones.
        validation: the objective of the chosen ones on validation; of EASE on all items, if it is measured on all of them.
        evaluations: all settings that were tried, the default ones first.
        on_all_items: see `TunedBaseline`.
        by_seed: the metrics of each seed, of which `metrics` and `beyond` are the means; empty for a baseline without a seed.
    """

    FORMAT: ClassVar[int] = 1
    label: str
    note: str
    metrics: dict[str, Figure]
    beyond: Beyond
    seconds: Figure
    made_by: str
    name: str
    settings: dict[str, Setting]
    validation: Figure
    evaluations: Annotated[list[Evaluation], Field(min_length=1)]
    on_all_items: Evaluation | None = None
    by_seed: dict[int, dict[str, Figure]] = Field(default_factory=dict)

    def values(self, metric: str) -> list[float]:
        """A metric by seed; a single value without seeds."""
        return [each[metric] for each in self.by_seed.values()] or [self.metrics[metric]]

    @property
    def failed(self) -> int:
        """How many of the evaluations failed."""
        return sum(each.value is None for each in self.evaluations)

    @property
    def tuning_seconds(self) -> float:
        """The seconds of all evaluations."""
        return sum(each.seconds for each in (*self.evaluations, *filter(None, [self.on_all_items])))


def same(settings: Mapping[str, Any]) -> str:
    """A text that equal settings have in common."""
    return json.dumps(dict(settings), sort_keys=True)
