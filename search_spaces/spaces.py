"""The spaces: for each loss a box of parameters, the loss that a point stands for, and the point that a loss stands at.

To add one: a class here and a line in `SPACES`. Boxes are fixed for a study, so that the sampler's joint model sees every
parameter and an importance has one meaning.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from pydantic import Field
from pydantic.dataclasses import dataclass

from search_spaces.ordered import margins_from_ratios, ratios_of, weights_from_ratios
from trainers.config import TrainConfig
from trainers.errors import InputError
from trainers.losses import BSL, CCL, MML, Loss
from trainers.validation import SETTINGS, Whole

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

MARGIN_TOP = (0.6, 0.98)
LOWEST_MARGIN = 0.3  # below, most negatives have gradients: slow, and quality collapses
NEGATIVE_RATIO = FloatDistribution(50.0, 3000.0, log=True)


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class Space(ABC):
    """A box of parameters for one loss, and of the other fields named in `also`.

    Attributes:
        also: fields searched beside the loss; what is searched for MML is to be searched for its rivals.
    """

    name: str
    also: tuple[Also, ...] = ()

    @abstractmethod
    def loss_boxes(self) -> dict[str, BaseDistribution]:
        """The box of each of the loss's parameters."""

    @abstractmethod
    def loss(self, params: Mapping[str, Any]) -> Loss:
        """The loss at a point of the box."""

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
        """The config at a point; `fixed` gives the fields (as in a config's YAML) that are not searched."""
        fields: dict[str, Any] = {**fixed, "loss": self.loss(params)}
        fields.update((name, params[name]) for name in self.also if name in ("learning_rate", "schedule"))
        if "l2" in self.also:
            fields["l2"] = 0.0 if params["l2"] == NO_L2 else params["l2"]
        if "negatives" in self.also:
            fields["negatives"] = {"name": "uniform", **fixed.get("negatives", {}), "count": params["negatives"]}
        if "dropout" in self.also:
            fields["encoder"] = {"name": "mf", **fixed.get("encoder", {}), "dropout": params["dropout"]}
        return TrainConfig.from_dict(fields)

    def params(self, config: TrainConfig) -> Params:
        """The point of a config: `space.config(space.params(c), c) == c` for every c that the space can produce.

        Raises:
            InputError: the config is outside the space; the message names the parameter.
        """
        others: Params = {
            "learning_rate": config.learning_rate,
            "l2": config.l2 or NO_L2,
            "negatives": config.negatives.count,
            "dropout": config.encoder.dropout,
            "schedule": config.schedule,
        }
        point = {**self.loss_params(config.loss), **{str(name): others[name] for name in self.also}}
        return {name: _into_box(name, point[name], box) for name, box in self.boxes().items()}


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class MMLSpace(Space):
    """Margins as top x successive ratios, weights as successive ratios then normalised, and the two weights.

    Parameters for K margins: `margin_top`, `margin_ratio_1 .. K-1` (margin k over margin k + 1), `weight_ratio_1 .. K-1`,
    `negative_ratio` (negative_weight / positive_weight) and `positive_weight`.
    """

    name: Literal["mml"] = "mml"
    n_margins: Annotated[Whole, Field(ge=1, le=16)] = 4

    def loss_boxes(self) -> dict[str, BaseDistribution]:
        steps = range(1, self.n_margins)
        lowest_ratio = (LOWEST_MARGIN / MARGIN_TOP[0]) ** (1.0 / max(1, self.n_margins - 1))
        return {
            "margin_top": FloatDistribution(*MARGIN_TOP),
            **{f"margin_ratio_{k}": FloatDistribution(lowest_ratio, 1.0) for k in steps},
            **{f"weight_ratio_{k}": FloatDistribution(0.0, 1.0) for k in steps},
            "negative_ratio": NEGATIVE_RATIO,
            "positive_weight": FloatDistribution(0.5, 2.0, log=True),
        }

    def loss(self, params: Mapping[str, Any]) -> MML:
        steps = range(1, self.n_margins)
        return MML(
            margins=margins_from_ratios(params["margin_top"], [params[f"margin_ratio_{k}"] for k in steps]),
            weights=weights_from_ratios([params[f"weight_ratio_{k}"] for k in steps]),
            positive_weight=params["positive_weight"],
            negative_weight=_significant(params["negative_ratio"] * params["positive_weight"]),
        )

    def loss_params(self, loss: Any) -> Params:
        _check_kind(self.name, MML, loss)
        if len(loss.margins) != self.n_margins:
            raise InputError(f"margins: this space has n_margins {self.n_margins}, got {list(loss.margins)}")
        if loss.positive_weight == 0.0:
            raise InputError("positive_weight must be above 0 in the space, got 0.0")
        margin_ratios, weight_ratios = ratios_of(loss.margins), ratios_of(loss.weights)
        return {
            "margin_top": loss.margins[-1],
            **{f"margin_ratio_{k}": ratio for k, ratio in enumerate(margin_ratios, start=1)},
            **{f"weight_ratio_{k}": ratio for k, ratio in enumerate(weight_ratios, start=1)},
            "negative_ratio": loss.negative_weight / loss.positive_weight,
            "positive_weight": loss.positive_weight,
        }


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class CCLSpace(Space):
    """`margin` over the range of MML's margins, and `negative_weight` over the range of MML's ratio."""

    name: Literal["ccl"] = "ccl"

    def loss_boxes(self) -> dict[str, BaseDistribution]:
        return {"margin": FloatDistribution(LOWEST_MARGIN, MARGIN_TOP[1]), "negative_weight": NEGATIVE_RATIO}

    def loss(self, params: Mapping[str, Any]) -> CCL:
        return CCL(margin=params["margin"], negative_weight=params["negative_weight"])

    def loss_params(self, loss: Any) -> Params:
        _check_kind(self.name, CCL, loss)
        return {"margin": loss.margin, "negative_weight": loss.negative_weight}


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class BSLSpace(Space):
    """`temperature` and `exponent` of BSL in mode reweight."""

    name: Literal["bsl"] = "bsl"

    def loss_boxes(self) -> dict[str, BaseDistribution]:
        return {"temperature": FloatDistribution(0.04, 0.3, log=True), "exponent": FloatDistribution(0.6, 1.8)}

    def loss(self, params: Mapping[str, Any]) -> BSL:
        return BSL(temperature=params["temperature"], exponent=params["exponent"])

    def loss_params(self, loss: Any) -> Params:
        _check_kind(self.name, BSL, loss)
        if loss.mode != "reweight":
            raise InputError(f"mode: this space has mode reweight, got {loss.mode!r}")
        return {"temperature": loss.temperature, "exponent": loss.exponent}


def _check_kind(space: str, expected: type[Loss], loss: object) -> None:
    if not isinstance(loss, expected):
        raise InputError(f"space {space} holds losses of its own kind, got {loss!r}")


def _significant(value: float) -> float:
    """Twelve significant digits: rounding that undoes what division and multiplication add."""
    return float(f"{value:.12g}")


def _into_box(name: str, value: Any, box: BaseDistribution) -> Any:
    """The value, moved into its box when rounding alone carried it out."""
    if isinstance(box, CategoricalDistribution):
        if value not in box.choices:
            raise InputError(f"{name} must be one of {list(box.choices)} in the space, got {value!r}")
        return value
    assert isinstance(box, FloatDistribution | IntDistribution)  # the only boxes used here
    inside = type(value)(min(max(value, box.low), box.high))
    if abs(inside - value) > RELATIVE_TOLERANCE * abs(value):
        raise InputError(f"{name} must lie in [{box.low:.6g}, {box.high:.6g}] in the space, got {value:.6g}")
    return inside


SPACES: dict[str, type[Space]] = {"mml": MMLSpace, "ccl": CCLSpace, "bsl": BSLSpace}
