"""The spaces: for each loss a box of parameters, the loss that a point stands for, and the point that a loss stands at.

Boxes are fixed for a study, so that the sampler's joint model sees every parameter and an importance has one meaning. A loss
whose fields are searched as they are has a line in `search_spaces.fields.FIELDS`; else add a class here and a line in `SPACES`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from optuna.distributions import FloatDistribution
from pydantic import Field
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

# Margins are cosines: below 0 every negative has a gradient, from 1 on none has.
MARGIN = Parameter(0.0, 0.99, limits=(0.0, 0.9999))
MARGIN_DROP = Parameter(0.01, 1.0, log=True, limits=(1e-6, 1.0))  # so that margins crowd at the top, as the published ones do
WEIGHT_RATIO = Parameter(0.0, 1.0, limits=(0.0, 1.0))
NEGATIVE_RATIO = Parameter(1.0, 10_000.0, log=True, limits=(1e-6, 1e9))
FURTHER_DROP = 0.1  # of a margin of weight 0 below the next
POSITIVE_WEIGHT = Parameter(0.5, 2.0, log=True, limits=(1e-6, 1e6), is_scale=True)


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class MMLSpace(Space):
    """Margins as the highest and successive drops, weights as successive ratios then normalised, and the two weights.

    Parameters for K margins: `margin_top`, `margin_drop_1 .. K-1` (the share by which margin k lies below margin k + 1),
    `weight_ratio_1 .. K-1` (weight k over weight k + 1), `negative_ratio` (negative_weight / positive_weight) and
    `positive_weight`. Equal margins, which act as one, belong to a space of fewer.

    Attributes:
        n_margins: how many margins, for name mml.
    """

    name: Literal["mml"] = "mml"
    n_margins: Annotated[Whole, Field(ge=1, le=16)] = 4

    @classmethod
    def to_hold(cls, name: str, loss: Loss | None, like: Space) -> dict[str, Any]:
        """As many margins as it has."""
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
            names |= {f"{name}_{k}": name for k in steps} if name in ("margin_drop", "weight_ratio") else {name: name}
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
        """As many margins as the space has: further ones below with weight 0, which change nothing, or without the lowest."""
        check_kind(self.name, MML, loss)
        return self.loss_params(with_margins(loss, self.n_margins))


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class MMLShapeSpace(Space):
    """MML by the shape of its margins and weights: as many parameters whatever their number, which is searched too.

    `n_margins`, `margin_top`, `low_fraction` (the lowest margin over the highest),
    `curvature` of the spacing, `tau` (weights proportional to exp(margin / tau)); then `negative_ratio` and
    `positive_weight` as in space mml. With one margin low_fraction, curvature and tau have no effect.
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
            # from all weight on the highest margin to nearly equal weights
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
            raise InputError(f"curvature: no power law in the space gives these margins, got {shown(list(loss.margins))}")
        if weights_from_tau(margins, point["tau"]) != loss.weights:
            raise InputError(
                f"tau: weights are not proportional to exp(margin / tau) in the space, got {shown(list(loss.weights))}"
            )
        return point

    def _margins(self, params: Mapping[str, Any]) -> tuple[float, ...]:
        top = params["margin_top"]
        return margins_from_shape(params["n_margins"], params["low_fraction"] * top, top, params["curvature"])

    def fitted(self, loss: Any) -> Params:
        """As many margins, the same lowest and highest, and margins and weights by least squares."""
        check_kind(self.name, MML, loss)
        boxes = self.boxes()
        curvature, tau = boxes["curvature"], boxes["tau"]
        assert isinstance(curvature, FloatDistribution)  # as `loss_parameters` has them
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
    """CCL over the ranges of MML: `margin` over that of its margins, `negative_weight` over that of its ratio."""

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
    """The loss with so many margins: the same function where it has no more than that, else without its lowest ones."""
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
    """Ranges of MML as those of CCL. Its margin reaches as low as MML's lowest one, which may be 0."""
    found = {"negative_weight": ranges["negative_ratio"]} if "negative_ratio" in ranges else {}
    return found | ({"margin": (MARGIN.low, ranges["margin_top"][1])} if "margin_top" in ranges else {})


def _both_weights(params: Mapping[str, Any]) -> Params:
    """MML's positive and negative weight."""
    positive = params["positive_weight"]
    return {"positive_weight": positive, "negative_weight": _significant(params["negative_ratio"] * positive)}


def _ratio_params(loss: MML) -> Params:
    if loss.positive_weight == 0.0:
        raise InputError("positive_weight must be above 0 in the space, got 0.0")
    return {"negative_ratio": loss.negative_weight / loss.positive_weight, "positive_weight": loss.positive_weight}


def _significant(value: float) -> float:
    """Twelve significant digits: rounding that undoes what division and multiplication add."""
    return float(f"{value:.12g}")


SPACES: dict[str, type[Space]] = {
    "mml": MMLSpace,
    "mml_shape": MMLShapeSpace,
    "ccl": CCLSpace,
    **dict.fromkeys(FIELDS, FieldSpace),
}
