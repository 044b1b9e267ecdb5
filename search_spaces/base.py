"""Base class of search spaces: the search ranges, the config at a point, and the point of a config."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import field
from typing import Any, Literal

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from pydantic import field_validator, model_validator
from pydantic.dataclasses import dataclass

from search_spaces.parameters import AtEnd, Choice, Parameter, Range, Searched, hull, plain, said
from trainers.config import TrainConfig
from trainers.encoders import ENCODERS
from trainers.errors import InputError, unknown
from trainers.losses import Loss
from trainers.negatives import NEGATIVES
from trainers.text import shown
from trainers.validation import SETTINGS

Params = dict[str, Any]
Also = Literal["learning_rate", "l2", "negatives", "dropout", "schedule", "init_std", "batch_size", "dim"]

RELATIVE_TOLERANCE = 1e-9  # largest relative distance of a rounded value from its range
NO_L2 = 1e-10  # represents no l2, since a logarithmic range has no zero

ALSO: dict[str, Parameter | Choice] = {
    "learning_rate": Parameter(1e-5, 1e-1, log=True, limits=(1e-9, 100.0)),
    "l2": Parameter(NO_L2, 1e-2, log=True, limits=(NO_L2, 10.0)),
    "negatives": Parameter(10, 1000, log=True, whole=True, limits=(1, 100_000)),
    "dropout": Parameter(0.0, 0.5, limits=(0.0, 0.99)),
    "schedule": Choice(("constant", "linear")),
    "init_std": Parameter(1e-5, 1.0, log=True, limits=(1e-9, 100.0)),
    "batch_size": Parameter(64, 8192, log=True, whole=True, limits=(1, 1_000_000)),
    "dim": Choice((16, 32, 64, 128, 256), int, limits=(1, 4096)),
}
ENCODER_FIELDS = ("dropout", "init_std", "dim")


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class Space(ABC):
    """The search space of a loss, and of the other fields named in `also`.

    Attributes:
        name: the name of the space, usually that of its loss.
        also: fields searched besides the loss; tuned rivals search the same.
        ranges: ranges that replace the defaults: the low and the high end of a number, or the values of a choice.
    """

    name: str
    also: tuple[Also, ...] = ()
    ranges: dict[str, tuple[Any, ...]] = field(default_factory=dict)

    @field_validator("also")
    @classmethod
    def _each_once(cls, also: tuple[Also, ...]) -> tuple[Also, ...]:
        """Refuse repeated fields, and sort: another order would make another search of the same space."""
        repeated = sorted(name for name, times in Counter(also).items() if times > 1)
        if repeated:
            raise ValueError(f"each field may occur once, {', '.join(repeated)} is repeated, got {shown(list(also))}")
        return tuple(sorted(also))

    @model_validator(mode="after")
    def _ranges_of_what_is_searched(self) -> Space:
        searched = self.searched()
        for name, given in self.ranges.items():
            if name not in searched:
                unsearched = f"{name} is not searched; name it in also, or remove its range"
                raise ValueError(f"ranges: {unsearched if name in ALSO else unknown('parameter', name, searched)}")
            self.ranges[name] = searched[name].checked(name, given)
        return self

    @property
    def loss_name(self) -> str:
        """The name of the searched loss; a second space of a loss has another name."""
        return self.name

    @classmethod
    def to_hold(cls, name: str, loss: Loss | None, like: Space) -> dict[str, Any]:
        """The settings of space `name` with the `also` of another space, and with its ranges for shared parameters.

        Args:
            loss: a published loss that the space must contain; None if there is none.
            like: the other space.
        """
        known = {*cls.loss_parameters(name), *like.also}
        ranges = {each: given for each, given in like.ranges_for(name).items() if each in known}
        return {"name": name, "also": like.also, "ranges": ranges}

    def ranges_for(self, space: str) -> dict[str, Range]:
        """The ranges of this space under the names that another space has for the same parameters."""
        return {name: given for name, given in self.ranges.items() if name in self.also}

    def like(self, other: Space) -> dict[str, Any]:
        """The settings of this space when it is searched like another one.

        Fields in the other's `also` get the other's ranges. Parameters of the loss get the shortest range that holds both.
        Ranges of fields that are no longer searched are dropped.
        """
        settings = self.to_hold(self.name, None, other)
        theirs, searched = settings["ranges"], {*self.loss_parameters(self.name), *settings["also"]}
        own = {name: given for name, given in self.ranges.items() if name in searched and name not in other.also}
        both = {name: hull(given, theirs[name]) for name, given in own.items() if name in theirs}
        return settings | {"ranges": {**theirs, **own, **both}}

    @classmethod
    @abstractmethod
    def loss_parameters(cls, name: str) -> Searched:
        """The parameters of the loss in the space `name`, by the names of their ranges. Numbered parameters share a range:
        `margin_drop` is the range of `margin_drop_1`, `margin_drop_2`, ..."""

    def searched(self) -> Searched:
        """All searched parameters, by the names of their ranges."""
        return {**self.loss_parameters(self.name), **{name: ALSO[name] for name in self.also}}

    def range_names(self) -> dict[str, str]:
        """By each parameter the name of its range."""
        return {name: name for name in self.searched()}

    @abstractmethod
    def loss(self, params: Mapping[str, Any]) -> Loss:
        """The loss at a point."""

    def corner(self, highest: bool = False) -> Params:
        """The point with the lowest, or the highest, value of every parameter."""
        end = -1 if highest else 0
        return {name: _ends(box)[end] for name, box in self.boxes().items()}

    @abstractmethod
    def loss_params(self, loss: Any) -> Params:
        """The point of a loss, which may be outside the ranges.

        Raises:
            InputError: a loss of another kind or size.
        """

    def boxes(self) -> dict[str, BaseDistribution]:
        """The distributions of all parameters, for `study.ask(fixed_distributions=...)`."""
        searched = self.searched()
        return {name: searched[key].box(self.ranges.get(key)) for name, key in self.range_names().items()}

    def resolved_ranges(self) -> dict[str, dict[str, Any]]:
        """The distribution of each parameter as plain data, by the names of the ranges."""
        return {name: plain(parameter.box(self.ranges.get(name))) for name, parameter in self.searched().items()}

    def ranges_said(self) -> dict[str, str]:
        """The distribution of each parameter in words, by the names of the ranges."""
        used = set(self.range_names().values())  # MML with one margin has no drop of a margin
        searched = {name: parameter for name, parameter in self.searched().items() if name in used}
        return {name: said(parameter.box(self.ranges.get(name))) for name, parameter in searched.items()}

    def at_ends(self, params: Mapping[str, Any]) -> tuple[AtEnd, ...]:
        """The parameters that are at an end of their range, if the range can be widened there; see `NEAR_END`."""
        found, searched, boxes = [], self.searched(), self.boxes()
        for name, key in self.range_names().items():
            low, *_, high = _ends(boxes[name])
            end = searched[key].end(boxes[name], params[name])
            if end:
                found.append(AtEnd(name, key, params[name], low, high, end))
        return tuple(found)

    def widened(self, ends: Iterable[AtEnd]) -> dict[str, Range]:
        """The ranges, widened at these ends."""
        ranges, searched = dict(self.ranges), self.searched()
        for key, end in sorted({(each.range_name, each.end) for each in ends}):
            ranges[key] = searched[key].widened(searched[key].box(ranges.get(key)), end)
        return ranges

    def config(self, params: Mapping[str, Any], fixed: Mapping[str, Any]) -> TrainConfig:
        """The config at a point; `fixed` has the fields that are not searched, as in a config's YAML.

        Raises:
            InputError: `fixed` breaks a rule of TrainConfig.
        """
        fields: dict[str, Any] = {**fixed, "loss": self.loss(params)}
        fields.update((name, params[name]) for name in self.also if name in ("learning_rate", "schedule", "batch_size"))
        if "l2" in self.also:
            fields["l2"] = 0.0 if params["l2"] == NO_L2 else params["l2"]
        if "negatives" in self.also:
            fields["negatives"] = {"name": "uniform", **_settings(fixed, "negatives", NEGATIVES), "count": params["negatives"]}
        if inner := {name: params[name] for name in ENCODER_FIELDS if name in self.also}:
            fields["encoder"] = {"name": "mf", **_settings(fixed, "encoder", ENCODERS), **inner}
        return TrainConfig.from_dict(fields)

    def params(self, config: TrainConfig) -> Params:
        """The point of a config: `space.config(space.params(c), c) == c` for every c that the space can produce.

        Raises:
            InputError: the config is outside the ranges; the message names the parameter.
        """
        boxes, point = self.boxes(), self.loss_params(config.loss)
        moved = {name: _nearest_in_box(value, boxes[name]) for name, value in point.items()}
        if self.loss(moved) == config.loss:  # only rounding moved it out of the ranges
            point = moved
        point |= self._other_params(config)
        return {name: into_box(name, point[name], box) for name, box in boxes.items()}

    def nearest(self, config: TrainConfig) -> Params | None:
        """The point inside the ranges that is nearest to a config; None if there is none."""
        try:
            point = self.fitted(config.loss) | self._other_params(config)
        except InputError:
            return None
        boxes = self.boxes()
        if any(isinstance(box, CategoricalDistribution) and point[name] not in box.choices for name, box in boxes.items()):
            return None
        return {name: _nearest_in_box(point[name], box) for name, box in boxes.items()}

    def moved(self, params: Mapping[str, Any], spread: float, rng: np.random.Generator) -> Params:
        """The point with each number moved by a normal step within its range; choices do not change.

        Args:
            spread: standard deviation of a step, as a share of the length of the range, on a log scale for logarithmic ranges.
        """
        return {name: _moved(params[name], box, spread * rng.standard_normal()) for name, box in self.boxes().items()}

    def fitted(self, loss: Any) -> Params:
        """The point whose loss is nearest to this one; it may be outside the ranges.

        Raises:
            InputError: a loss of another kind.
        """
        return self.loss_params(loss)

    def _other_params(self, config: TrainConfig) -> Params:
        """The values of the fields in `also`."""
        others: Params = {
            "learning_rate": config.learning_rate,
            "l2": config.l2 or NO_L2,
            "negatives": config.negatives.per_row(config.batch_size),
            "schedule": config.schedule,
            "batch_size": config.batch_size,
            **{name: getattr(config.encoder, name) for name in ENCODER_FIELDS},
        }
        return {str(name): others[name] for name in self.also}


def _settings(fixed: Mapping[str, Any], field: str, known: Iterable[str]) -> Mapping[str, Any]:
    """The fixed settings of a field that also has a searched setting."""
    if field not in fixed:
        return {}
    given = fixed[field]
    if not isinstance(given, Mapping) or "name" not in given:
        raise InputError(
            f"config: {field}: must be a mapping with a name, one of {', '.join(sorted(known))}, got {shown(given)}"
        )
    return given


def _ends(box: BaseDistribution) -> tuple[Any, ...]:
    if isinstance(box, CategoricalDistribution):
        return box.choices
    assert isinstance(box, FloatDistribution | IntDistribution)  # the only boxes used here
    return box.low, box.high


def check_kind(space: str, expected: type[Loss], loss: object) -> None:
    if not isinstance(loss, expected):
        raise InputError(f"a loss in space {space} must be {expected.name}, got {shown(loss)}")


def _nearest_in_box(value: Any, box: BaseDistribution) -> Any:
    if isinstance(box, CategoricalDistribution):
        return value
    assert isinstance(box, FloatDistribution | IntDistribution)  # the only boxes used here
    return type(value)(min(max(value, box.low), box.high))


def _moved(value: Any, box: BaseDistribution, step: float) -> Any:
    if isinstance(box, CategoricalDistribution):
        return value
    assert isinstance(box, FloatDistribution | IntDistribution)  # the only boxes used here
    length = np.log(box.high / box.low) if box.log else box.high - box.low
    moved = float(np.exp(np.log(value) + step * length)) if box.log else value + step * length
    inside = min(max(moved, box.low), box.high)
    return round(inside) if isinstance(box, IntDistribution) else inside


def into_box(name: str, value: Any, box: BaseDistribution) -> Any:
    """The value, moved into its range if only rounding put it outside.

    Raises:
        InputError: the value is outside the range.
    """
    if isinstance(box, CategoricalDistribution):
        if value not in box.choices:
            raise InputError(f"{name} must be one of {list(box.choices)} in the space, got {shown(value)}")
        return value
    assert isinstance(box, FloatDistribution | IntDistribution)  # the only boxes used here
    inside = _nearest_in_box(value, box)
    if abs(inside - value) > RELATIVE_TOLERANCE * abs(value):
        raise InputError(f"{name} must lie in [{box.low:.6g}, {box.high:.6g}] in the space, got {value:.6g}")
    return inside
