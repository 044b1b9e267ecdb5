"""What every space is: boxes, the config at a point, the point of a config."""

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

RELATIVE_TOLERANCE = 1e-9  # how far rounding may carry a value out of its box
NO_L2 = 1e-10  # stands for none: a logarithmic range has no zero

ALSO: dict[str, Parameter | Choice] = {
    "learning_rate": Parameter(1e-5, 1e-1, log=True, limits=(1e-9, 100.0)),
    "l2": Parameter(NO_L2, 1e-2, log=True, limits=(NO_L2, 10.0)),
    "negatives": Parameter(10, 1000, log=True, whole=True, limits=(1, 100_000)),
    "dropout": Parameter(0.0, 0.5, limits=(0.0, 0.99)),
    "schedule": Choice(("constant", "linear")),
    "init_std": Parameter(1e-5, 1.0, log=True, limits=(1e-9, 100.0)),
    "batch_size": Parameter(64, 8192, log=True, whole=True, limits=(1, 1_000_000)),
    "dim": Choice((16, 32, 64, 128, 256), int),
}
ENCODER_FIELDS = ("dropout", "init_std", "dim")


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class Space(ABC):
    """A box of parameters for one loss, and of the other fields named in `also`.

    Attributes:
        name: which space, mostly named as its loss.
        also: fields searched beside the loss; tuned rivals search the same.
        ranges: the low and the high end of a parameter in place of its default range; the values of a choice.
    """

    name: str
    also: tuple[Also, ...] = ()
    ranges: dict[str, tuple[Any, ...]] = field(default_factory=dict)

    @field_validator("also")
    @classmethod
    def _each_once(cls, also: tuple[Also, ...]) -> tuple[Also, ...]:
        """What is said twice would make another study of the same space."""
        repeated = sorted(name for name, times in Counter(also).items() if times > 1)
        if repeated:
            raise ValueError(f"each field may be named once, {', '.join(repeated)} is repeated, got {shown(list(also))}")
        return also

    @model_validator(mode="after")
    def _ranges_of_what_is_searched(self) -> Space:
        searched = self.searched()
        for name, given in self.ranges.items():
            if name not in searched:
                unsearched = f"{name} is not searched; name it in also, or take its range out"
                raise ValueError(f"ranges: {unsearched if name in ALSO else unknown('parameter', name, searched)}")
            self.ranges[name] = searched[name].checked(name, given)
        return self

    @property
    def loss_name(self) -> str:
        """The loss that is searched; a second space of a loss has a name of its own."""
        return self.name

    @classmethod
    def to_hold(cls, name: str, loss: Loss | None, like: Space) -> dict[str, Any]:
        """The settings of the space called `name` that is searched like another one, and holds a published loss if there is
        one: the same fields beside the loss, and the same ranges of what both search."""
        known = {*cls.loss_parameters(name), *like.also}
        ranges = {each: given for each, given in like.ranges_for(name).items() if each in known}
        return {"name": name, "also": like.also, "ranges": ranges}

    def ranges_for(self, space: str) -> dict[str, Range]:
        """The ranges that this study gives, under the names that another space has for the same thing."""
        return {name: given for name, given in self.ranges.items() if name in self.also}

    def ranges_like(self, other: Space, theirs: Mapping[str, Range]) -> dict[str, Range]:
        """This space's ranges where it is searched like another one that gives it `theirs`: of what both search beside their
        losses those of the other; of the rest its own, as far as either reaches."""
        own = {name: given for name, given in self.ranges.items() if name not in other.also}
        both = {name: hull(given, theirs[name]) for name, given in own.items() if name in theirs}
        return {**theirs, **own, **both}

    @classmethod
    @abstractmethod
    def loss_parameters(cls, name: str) -> Searched:
        """The loss's parameters in the space called `name`, by the names of their ranges; `margin_drop` is that of
        `margin_drop_1` and all further ones."""

    def searched(self) -> Searched:
        """All parameters by the names of their ranges."""
        return {**self.loss_parameters(self.name), **{name: ALSO[name] for name in self.also}}

    def range_names(self) -> dict[str, str]:
        """The name of the range of each parameter."""
        return {name: name for name in self.searched()}

    @abstractmethod
    def loss(self, params: Mapping[str, Any]) -> Loss:
        """The loss at a point of the box."""

    def corner(self, highest: bool = False) -> Params:
        """A point to check what holds for the whole box with: the lowest of every parameter, or the highest."""
        end = -1 if highest else 0
        return {name: _ends(box)[end] for name, box in self.boxes().items()}

    @abstractmethod
    def loss_params(self, loss: Any) -> Params:
        """The point of a loss, in the box or not.

        Raises:
            InputError: a loss of another kind or size.
        """

    def boxes(self) -> dict[str, BaseDistribution]:
        """All parameters; pass it to `study.ask(fixed_distributions=...)`."""
        searched = self.searched()
        return {name: searched[key].box(self.ranges.get(key)) for name, key in self.range_names().items()}

    def resolved_ranges(self) -> dict[str, dict[str, Any]]:
        """What is drawn from for each parameter, as plain data, by the names of the ranges."""
        return {name: plain(parameter.box(self.ranges.get(name))) for name, parameter in self.searched().items()}

    def ranges_said(self) -> dict[str, str]:
        """What is drawn from for each parameter, in words, by the names of the ranges."""
        return {name: said(parameter.box(self.ranges.get(name))) for name, parameter in self.searched().items()}

    def at_ends(self, params: Mapping[str, Any]) -> tuple[AtEnd, ...]:
        """The parameters that stand at an end of their range which can be widened, see `NEAR_END`."""
        found, searched, boxes = [], self.searched(), self.boxes()
        for name, key in self.range_names().items():
            low, *_, high = _ends(boxes[name])
            end = searched[key].end(boxes[name], params[name])
            if end:
                found.append(AtEnd(name, key, params[name], low, high, end))
        return tuple(found)

    def widened(self, ends: Iterable[AtEnd]) -> dict[str, Range]:
        """The ranges of a study in which these ends are no ends any more."""
        ranges, searched = dict(self.ranges), self.searched()
        for key, end in sorted({(each.range_name, each.end) for each in ends}):
            ranges[key] = searched[key].widened(searched[key].box(ranges.get(key)), end)
        return ranges

    def config(self, params: Mapping[str, Any], fixed: Mapping[str, Any]) -> TrainConfig:
        """The config at a point; `fixed` gives the fields (as in a config's YAML) that are not searched.

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
            InputError: the config is outside the space; the message names the parameter.
        """
        boxes, point = self.boxes(), self.loss_params(config.loss)
        moved = {name: _nearest_in_box(value, boxes[name]) for name, value in point.items()}
        if self.loss(moved) == config.loss:  # rounding alone has carried it out of the box
            point = moved
        point |= self._other_params(config)
        return {name: into_box(name, point[name], box) for name, box in boxes.items()}

    def nearest(self, config: TrainConfig) -> Params | None:
        """The point that comes nearest to a config which may be outside the space; None where there is none."""
        try:
            point = self.fitted(config.loss) | self._other_params(config)
        except InputError:
            return None
        boxes = self.boxes()
        if any(isinstance(box, CategoricalDistribution) and point[name] not in box.choices for name, box in boxes.items()):
            return None
        return {name: _nearest_in_box(point[name], box) for name, box in boxes.items()}

    def moved(self, params: Mapping[str, Any], spread: float, rng: np.random.Generator) -> Params:
        """A point in which each number is moved by a normal step, as far as its range allows; choices stay.

        Args:
            spread: standard deviation of a step, as a share of the range's length in the scale that it is drawn in.
        """
        return {name: _moved(params[name], box, spread * rng.standard_normal()) for name, box in self.boxes().items()}

    def fitted(self, loss: Any) -> Params:
        """The point of the loss in the space's form that comes nearest to this one, in the box or not.

        Raises:
            InputError: a loss of another kind.
        """
        return self.loss_params(loss)

    def _other_params(self, config: TrainConfig) -> Params:
        """The fields that are searched beside the loss."""
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
    """What is fixed of a field of which something is searched."""
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
        raise InputError(f"space {space} holds losses of kind {expected.name}, got {shown(loss)}")


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
    """The value, moved into its box when rounding alone carried it out."""
    if isinstance(box, CategoricalDistribution):
        if value not in box.choices:
            raise InputError(f"{name} must be one of {list(box.choices)} in the space, got {shown(value)}")
        return value
    assert isinstance(box, FloatDistribution | IntDistribution)  # the only boxes used here
    inside = _nearest_in_box(value, box)
    if abs(inside - value) > RELATIVE_TOLERANCE * abs(value):
        raise InputError(f"{name} must lie in [{box.low:.6g}, {box.high:.6g}] in the space, got {value:.6g}")
    return inside
