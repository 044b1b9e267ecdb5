"""The search spaces of all losses: parameters, the loss at a point, and the point of a loss.

The parameters of a study never change, so that the sampler's joint model has all of them and importances are well defined. To
add a loss whose fields are searched directly, add a line to `search_spaces.fields.FIELDS`; else add a class here and a line to
`SPACES`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from optuna.distributions import FloatDistribution
from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from search_spaces.base import Params, Space, check_kind
from search_spaces.fields import FIELDS, FieldSpace
from search_spaces.ordered import (
    drops_of,
    margins_from_drops,
    margins_from_shape,
    nearest_curvature,
    nearest_tau,
    ratios_of,
    weights_from_ratios,
    weights_from_tau,
)
from search_spaces.parameters import Parameter, Range, Searched
from trainers.errors import InputError
from trainers.losses import CCL, MML, Loss
from trainers.text import shown
from trainers.validation import SETTINGS, Whole

# Margins are cosines: below 0 nearly every negative has a gradient, from 1 on none has.
MARGIN = Parameter(0.0, 0.99, limits=(0.0, 0.9999))
MARGIN_DROP = Parameter(0.01, 1.0, log=True, limits=(1e-6, 1.0))  # log: margins are dense at the top, like published ones
WEIGHT_RATIO = Parameter(0.0, 1.0, limits=(0.0, 1.0))
NEGATIVE_RATIO = Parameter(1.0, 10_000.0, log=True, limits=(1e-6, 1e9))
BETWEEN_MARGINS = {"margin_drop", "weight_ratio"}
FURTHER_DROP = 0.1  # drop of an added margin of weight 0
POSITIVE_WEIGHT = Parameter(0.5, 2.0, log=True, limits=(1e-6, 1e6), is_scale=True)


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class MMLSpace(Space):
    """MML with the highest margin and relative drops, relative weights, and the two weights of positives and negatives.

    Parameters for K margins: `margin_top`, `margin_drop_1 .. K-1` (1 - margin k / margin k + 1), `weight_ratio_1 .. K-1`
    (weight k / weight k + 1), `negative_ratio` (negative_weight / positive_weight) and `positive_weight`. Equal margins act as
    one, so they are in a space with fewer margins.

    Attributes:
        n_margins: number of margins, for name mml.
    """

    name: Literal["mml"] = "mml"
    n_margins: Annotated[Whole, Field(ge=1, le=16)] = 4

    @model_validator(mode="after")
    def _ranges_of_several_margins(self) -> MMLSpace:
        if self.n_margins == 1 and (given := sorted(BETWEEN_MARGINS & self.ranges.keys())):
            raise ValueError(
                f"ranges: {given[0]} is not searched with one margin, since it relates a margin to the next one; remove its "
                "range, or set n_margins to 2 or more"
            )
        return self

    @classmethod
    def to_hold(cls, name: str, loss: Loss | None, like: Space) -> dict[str, Any]:
        """As in the base class, with the number of margins of the published loss."""
        n_margins = {"n_margins": len(loss.margins)} if isinstance(loss, MML) else {}
        return super().to_hold(name, loss, like) | n_margins

    @classmethod
    def loss_parameters(cls, name: str) -> Searched:
        return {
            "margin_top": MARGIN,
            "margin_drop": MARGIN_DROP,
            "weight_ratio": WEIGHT_RATIO,
            "negative_ratio": NEGATIVE_RATIO,
            "positive_weight": POSITIVE_WEIGHT,
        }

    def range_names(self) -> dict[str, str]:
        names: dict[str, str] = {}
        for name in self.searched():
            steps = range(1, self.n_margins)
            names |= {f"{name}_{k}": name for k in steps} if name in BETWEEN_MARGINS else {name: name}
        return names

    def ranges_for(self, space: str) -> dict[str, Range]:
        return super().ranges_for(space) | (_ranges_for_ccl(self.ranges) if space == "ccl" else {})

    def loss(self, params: Mapping[str, Any]) -> MML:
        steps = range(1, self.n_margins)
        return MML(
            margins=margins_from_drops(params["margin_top"], [params[f"margin_drop_{k}"] for k in steps]),
            weights=weights_from_ratios([params[f"weight_ratio_{k}"] for k in steps]),
            **_both_weights(params),
        )

    def loss_params(self, loss: Any) -> Params:
        check_kind(self.name, MML, loss)
        if len(loss.margins) != self.n_margins:
            raise InputError(f"margins: this space has n_margins {self.n_margins}, got {shown(list(loss.margins))}")
        return {
            "margin_top": loss.margins[-1],
            **{f"margin_drop_{k}": drop for k, drop in enumerate(drops_of(loss.margins), start=1)},
            **{f"weight_ratio_{k}": ratio for k, ratio in enumerate(ratios_of(loss.weights), start=1)},
            **_ratio_params(loss),
        }

    def fitted(self, loss: Any) -> Params:
        """The point of the loss with the space's number of margins, see `with_margins`."""
        check_kind(self.name, MML, loss)
        return self.loss_params(with_margins(loss, self.n_margins))


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class MMLShapeSpace(Space):
    """MML with its margins and weights given by a shape; the number of margins is searched, too.

    Parameters: `n_margins`, `margin_top`, `low_fraction` (lowest margin / highest margin), `curvature` of the spacing, `tau`
    (weights proportional to exp(margin / tau)); `negative_ratio` and `positive_weight` as in space mml. With one margin,
    low_fraction, curvature and tau have no effect.
    """

    name: Literal["mml_shape"] = "mml_shape"

    @property
    def loss_name(self) -> str:
        return "mml"

    @classmethod
    def loss_parameters(cls, name: str) -> Searched:
        return {
            "n_margins": Parameter(1, 8, whole=True, limits=(1, 16)),
            "margin_top": MARGIN,
            "low_fraction": Parameter(0.0, 1.0, limits=(0.0, 1.0)),
            "curvature": Parameter(0.25, 4.0, log=True, limits=(0.05, 20.0)),
            # low: all weight on the highest margin; high: nearly equal weights
            "tau": Parameter(0.01, 1.0, log=True, limits=(0.005, 10.0)),
            "negative_ratio": NEGATIVE_RATIO,
            "positive_weight": POSITIVE_WEIGHT,
        }

    def ranges_for(self, space: str) -> dict[str, Range]:
        return super().ranges_for(space) | (_ranges_for_ccl(self.ranges) if space == "ccl" else {})

    def loss(self, params: Mapping[str, Any]) -> MML:
        margins = self._margins(params)
        return MML(margins=margins, weights=weights_from_tau(margins, params["tau"]), **_both_weights(params))

    def loss_params(self, loss: Any) -> Params:
        point = self.fitted(loss)
        margins = self._margins(point)
        if margins != loss.margins:
            raise InputError(f"curvature: margins must follow a power law in the space, got {shown(list(loss.margins))}")
        if weights_from_tau(margins, point["tau"]) != loss.weights:
            raise InputError(
                f"tau: weights must be proportional to exp(margin / tau) in the space, got {shown(list(loss.weights))}"
            )
        return point

    def _margins(self, params: Mapping[str, Any]) -> tuple[float, ...]:
        top = params["margin_top"]
        return margins_from_shape(params["n_margins"], params["low_fraction"] * top, top, params["curvature"])

    def fitted(self, loss: Any) -> Params:
        """The point with the same number of margins, the same lowest and highest one, and the others and the weights fitted by
        least squares."""
        check_kind(self.name, MML, loss)
        boxes = self.boxes()
        curvature, tau = boxes["curvature"], boxes["tau"]
        assert isinstance(curvature, FloatDistribution)  # see `loss_parameters`
        assert isinstance(tau, FloatDistribution)
        top = loss.margins[-1]
        return {
            "n_margins": len(loss.margins),
            "margin_top": top,
            "low_fraction": loss.margins[0] / top if top else 1.0,
            "curvature": nearest_curvature(loss.margins, curvature.low, curvature.high),
            "tau": nearest_tau(loss.margins, loss.weights, tau.low, tau.high),
            **_ratio_params(loss),
        }


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class CCLSpace(Space):
    """CCL with the ranges of MML: `margin` has the range of MML's margins, `negative_weight` the range of its ratio."""

    name: Literal["ccl"] = "ccl"

    @classmethod
    def loss_parameters(cls, name: str) -> Searched:
        return {"margin": MARGIN, "negative_weight": NEGATIVE_RATIO}

    def ranges_for(self, space: str) -> dict[str, Range]:
        same = {"margin": "margin_top", "negative_weight": "negative_ratio"} if space in ("mml", "mml_shape") else {}
        return super().ranges_for(space) | {name: self.ranges[ours] for ours, name in same.items() if ours in self.ranges}

    def loss(self, params: Mapping[str, Any]) -> CCL:
        return CCL(margin=params["margin"], negative_weight=params["negative_weight"])

    def loss_params(self, loss: Any) -> Params:
        check_kind(self.name, CCL, loss)
        return {"margin": loss.margin, "negative_weight": loss.negative_weight}


def with_margins(loss: MML, count: int) -> MML:
    """The loss with `count` margins: with lower margins of weight 0 added, which is the same function, or without its lowest
    margins."""
    if len(loss.margins) == count:
        return loss
    margins, weights = list(loss.margins), list(loss.weights)
    while len(margins) < count:
        margins.insert(0, round(margins[0] * (1.0 - FURTHER_DROP), 10))
        weights.insert(0, 0.0)
    kept = weights[-count:]
    total = sum(kept)
    kept = [round(weight / total, 10) for weight in kept] if total else [1.0 / count] * count
    kept[-1] = 1.0 - sum(kept[:-1])
    return MML(
        margins=tuple(margins[-count:]),
        weights=tuple(kept),
        positive_weight=loss.positive_weight,
        negative_weight=loss.negative_weight,
    )


def _ranges_for_ccl(ranges: Mapping[str, Range]) -> dict[str, Range]:
    """The ranges of MML as ranges of CCL. CCL's margin has the upper end of MML's highest one; its lower end is 0."""
    found = {"negative_weight": ranges["negative_ratio"]} if "negative_ratio" in ranges else {}
    return found | ({"margin": (MARGIN.low, ranges["margin_top"][1])} if "margin_top" in ranges else {})


def _both_weights(params: Mapping[str, Any]) -> Params:
    """The positive and negative weight of MML."""
    positive = params["positive_weight"]
    return {"positive_weight": positive, "negative_weight": _significant(params["negative_ratio"] * positive)}


def _ratio_params(loss: MML) -> Params:
    if loss.positive_weight == 0.0:
        raise InputError("positive_weight must be above 0 in the space, got 0.0")
    return {"negative_ratio": loss.negative_weight / loss.positive_weight, "positive_weight": loss.positive_weight}


def _significant(value: float) -> float:
    """The value rounded to twelve significant digits, which removes rounding errors of division and multiplication."""
    return float(f"{value:.12g}")


SPACES: dict[str, type[Space]] = {
    "mml": MMLSpace,
    "mml_shape": MMLShapeSpace,
    "ccl": CCLSpace,
    **dict.fromkeys(FIELDS, FieldSpace),
}
