"""What every space is: boxes, the config at a point, the point of a config."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from pydantic import field_validator
from pydantic.dataclasses import dataclass

from trainers.config import TrainConfig
from trainers.encoders import ENCODERS
from trainers.errors import InputError
from trainers.losses import Loss
from trainers.negatives import NEGATIVES
from trainers.text import shown
from trainers.validation import SETTINGS

Params = dict[str, Any]
Also = Literal["learning_rate", "l2", "negatives", "dropout", "schedule"]

RELATIVE_TOLERANCE = 1e-9  # how far rounding may carry a value out of its box
NO_L2 = 1e-10  # the bottom of the l2 box stands for none

ALSO: dict[str, BaseDistribution] = {
    "learning_rate": FloatDistribution(3e-5, 1e-2, log=True),
    "l2": FloatDistribution(NO_L2, 1e-3, log=True),
    "negatives": IntDistribution(10, 1000, log=True),
    "dropout": FloatDistribution(0.0, 0.3),
    "schedule": CategoricalDistribution(("constant", "linear")),
}


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class Space(ABC):
    """A box of parameters for one loss, and of the other fields named in `also`.

    Attributes:
        also: fields searched beside the loss; what is searched for MML is to be searched for its rivals.
    """

    name: str
    also: tuple[Also, ...] = ()

    @field_validator("also")
    @classmethod
    def _each_once(cls, also: tuple[Also, ...]) -> tuple[Also, ...]:
        """What is said twice would make another study of the same space."""
        repeated = sorted(name for name, times in Counter(also).items() if times > 1)
        if repeated:
            raise ValueError(f"each field may be named once, {', '.join(repeated)} is repeated, got {shown(list(also))}")
        return also

    @property
    def loss_name(self) -> str:
        """The loss that is searched; a second space of a loss has a name of its own."""
        return self.name

    @classmethod
    def to_hold(cls, name: str, loss: Loss | None, also: Sequence[Also]) -> dict[str, Any]:
        """The settings of the space called `name`, with these fields searched beside the loss, that holds a published loss if
        there is one."""
        return {"name": name, "also": tuple(also)}

    @abstractmethod
    def loss_boxes(self) -> dict[str, BaseDistribution]:
        """The box of each of the loss's parameters."""

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
        boxes = self.loss_boxes()
        boxes.update((name, ALSO[name]) for name in self.also)
        return boxes

    def config(self, params: Mapping[str, Any], fixed: Mapping[str, Any]) -> TrainConfig:
        """The config at a point; `fixed` gives the fields (as in a config's YAML) that are not searched.

        Raises:
            InputError: `fixed` breaks a rule of TrainConfig.
        """
        fields: dict[str, Any] = {**fixed, "loss": self.loss(params)}
        fields.update((name, params[name]) for name in self.also if name in ("learning_rate", "schedule"))
        if "l2" in self.also:
            fields["l2"] = 0.0 if params["l2"] == NO_L2 else params["l2"]
        if "negatives" in self.also:
            fields["negatives"] = {"name": "uniform", **_settings(fixed, "negatives", NEGATIVES), "count": params["negatives"]}
        if "dropout" in self.also:
            fields["encoder"] = {"name": "mf", **_settings(fixed, "encoder", ENCODERS), "dropout": params["dropout"]}
        return TrainConfig.from_dict(fields)

    def params(self, config: TrainConfig) -> Params:
        """The point of a config: `space.config(space.params(c), c) == c` for every c that the space can produce.

        Raises:
            InputError: the config is outside the space; the message names the parameter.
        """
        others: Params = {
            "learning_rate": config.learning_rate,
            "l2": config.l2 or NO_L2,
            "negatives": config.negatives.per_row(config.batch_size),
            "dropout": config.encoder.dropout,
            "schedule": config.schedule,
        }
        point = {**self.loss_params(config.loss), **{str(name): others[name] for name in self.also}}
        return {name: into_box(name, point[name], box) for name, box in self.boxes().items()}

    def nearest(self, config: TrainConfig) -> Params | None:
        """The point that comes nearest to a config outside the space; None where there is none."""
        return None


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


def into_box(name: str, value: Any, box: BaseDistribution) -> Any:
    """The value, moved into its box when rounding alone carried it out."""
    if isinstance(box, CategoricalDistribution):
        if value not in box.choices:
            raise InputError(f"{name} must be one of {list(box.choices)} in the space, got {shown(value)}")
        return value
    assert isinstance(box, FloatDistribution | IntDistribution)  # the only boxes used here
    inside = type(value)(min(max(value, box.low), box.high))
    if abs(inside - value) > RELATIVE_TOLERANCE * abs(value):
        raise InputError(f"{name} must lie in [{box.low:.6g}, {box.high:.6g}] in the space, got {value:.6g}")
    return inside
