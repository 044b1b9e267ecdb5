"""The spaces: for each loss a box of parameters, the loss that a point stands for, and the point that a loss stands at.

Boxes are fixed for a study, so that the sampler's joint model sees every parameter and an importance has one meaning. A loss
whose fields are searched as they are has a line in `search_spaces.fields.FIELDS`; else add a class here and a line in `SPACES`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from pydantic import Field
from pydantic.dataclasses import dataclass

from search_spaces.base import Also, Params, Space, check_kind, into_box
from search_spaces.fields import FIELDS, FieldSpace
from search_spaces.ordered import (
    margins_from_ratios,
    margins_from_shape,
    nearest_curvature,
    nearest_tau,
    ratios_of,
    weights_from_ratios,
    weights_from_tau,
)
from trainers.config import TrainConfig
from trainers.errors import InputError
from trainers.losses import CCL, MML, Loss
from trainers.text import shown
from trainers.validation import SETTINGS, Whole

MARGIN_TOP = (0.6, 0.98)
LOWEST_MARGIN = 0.3  # of a cosine; below, most negatives have gradients: slow, and quality collapses
NEGATIVE_RATIO = FloatDistribution(50.0, 3000.0, log=True)
POSITIVE_WEIGHT = FloatDistribution(0.5, 2.0, log=True)
N_MARGINS = (1, 8)
CURVATURE = (0.25, 4.0)
TAU = (0.03, 1.0)  # from nearly all weight on the highest margin to nearly equal weights


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class MMLSpace(Space):
    """Margins as top x successive ratios, weights as successive ratios then normalised, and the two weights.

    Parameters for K margins: `margin_top`, `margin_ratio_1 .. K-1` (margin k over margin k + 1), `weight_ratio_1 .. K-1`,
    `negative_ratio` (negative_weight / positive_weight) and `positive_weight`.
    """

    name: Literal["mml"] = "mml"
    n_margins: Annotated[Whole, Field(ge=1, le=16)] = 4

    @classmethod
    def to_hold(cls, name: str, loss: Loss | None, also: Sequence[Also]) -> dict[str, Any]:
        """As many margins as it has."""
        n_margins = {"n_margins": len(loss.margins)} if isinstance(loss, MML) else {}
        return super().to_hold(name, loss, also) | n_margins

    def loss_boxes(self) -> dict[str, BaseDistribution]:
        steps = range(1, self.n_margins)
        lowest_ratio = (LOWEST_MARGIN / MARGIN_TOP[0]) ** (1.0 / max(1, self.n_margins - 1))
        return {
            "margin_top": FloatDistribution(*MARGIN_TOP),
            **{f"margin_ratio_{k}": FloatDistribution(lowest_ratio, 1.0) for k in steps},
            **{f"weight_ratio_{k}": FloatDistribution(0.0, 1.0) for k in steps},
            "negative_ratio": NEGATIVE_RATIO,
            "positive_weight": POSITIVE_WEIGHT,
        }

    def loss(self, params: Mapping[str, Any]) -> MML:
        steps = range(1, self.n_margins)
        return MML(
            margins=margins_from_ratios(params["margin_top"], [params[f"margin_ratio_{k}"] for k in steps]),
            weights=weights_from_ratios([params[f"weight_ratio_{k}"] for k in steps]),
            **_both_weights(params),
        )

    def loss_params(self, loss: Any) -> Params:
        check_kind(self.name, MML, loss)
        if len(loss.margins) != self.n_margins:
            raise InputError(f"margins: this space has n_margins {self.n_margins}, got {shown(list(loss.margins))}")
        margin_ratios, weight_ratios = ratios_of(loss.margins), ratios_of(loss.weights)
        return {
            "margin_top": loss.margins[-1],
            **{f"margin_ratio_{k}": ratio for k, ratio in enumerate(margin_ratios, start=1)},
            **{f"weight_ratio_{k}": ratio for k, ratio in enumerate(weight_ratios, start=1)},
            **_ratio_params(loss),
        }


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class MMLShapeSpace(Space):
    """MML by the shape of its margins and weights: as many parameters whatever their number, which is searched too.

    `n_margins`, `margin_top`, `low_fraction` (where between LOWEST_MARGIN, 0, and the top, 1, the lowest margin lies),
    `curvature` of the spacing, `tau` (weights proportional to exp(margin / tau)); then `negative_ratio` and
    `positive_weight` as in space mml. With one margin low_fraction, curvature and tau have no effect.
    """

    name: Literal["mml_shape"] = "mml_shape"

    @property
    def loss_name(self) -> str:
        return "mml"

    def loss_boxes(self) -> dict[str, BaseDistribution]:
        return {
            "n_margins": IntDistribution(*N_MARGINS),
            "margin_top": FloatDistribution(*MARGIN_TOP),
            "low_fraction": FloatDistribution(0.0, 1.0),
            "curvature": FloatDistribution(*CURVATURE, log=True),
            "tau": FloatDistribution(*TAU, log=True),
            "negative_ratio": NEGATIVE_RATIO,
            "positive_weight": POSITIVE_WEIGHT,
        }

    def loss(self, params: Mapping[str, Any]) -> MML:
        margins = self._margins(params)
        return MML(margins=margins, weights=weights_from_tau(margins, params["tau"]), **_both_weights(params))

    def loss_params(self, loss: Any) -> Params:
        point = self._fitted(loss)
        margins = self._margins(point)
        if margins != loss.margins:
            raise InputError(f"curvature: no power law in the space gives these margins, got {shown(list(loss.margins))}")
        if weights_from_tau(margins, point["tau"]) != loss.weights:
            raise InputError(
                f"tau: weights are not proportional to exp(margin / tau) in the space, got {shown(list(loss.weights))}"
            )
        return point

    def nearest(self, config: TrainConfig) -> Params | None:
        """The point with a loss of as many margins, the same lowest and highest, and margins and weights by least squares."""
        try:
            return self.params(config.replace(loss=self.loss(self._fitted(config.loss))))
        except InputError:  # what is not fitted is outside
            return None

    def _margins(self, params: Mapping[str, Any]) -> tuple[float, ...]:
        top = params["margin_top"]
        low = LOWEST_MARGIN + params["low_fraction"] * (top - LOWEST_MARGIN)
        return margins_from_shape(params["n_margins"], low, top, params["curvature"])

    def _fitted(self, loss: Any) -> Params:
        check_kind(self.name, MML, loss)
        top = into_box("margin_top", loss.margins[-1], self.loss_boxes()["margin_top"])
        return {
            "n_margins": len(loss.margins),
            "margin_top": top,
            "low_fraction": (loss.margins[0] - LOWEST_MARGIN) / (top - LOWEST_MARGIN),
            "curvature": nearest_curvature(loss.margins, *CURVATURE),
            "tau": nearest_tau(loss.margins, loss.weights, *TAU),
            **_ratio_params(loss),
        }


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class CCLSpace(Space):
    """CCL over the ranges of MML: `margin` over that of its margins, `negative_weight` over that of its ratio."""

    name: Literal["ccl"] = "ccl"

    def loss_boxes(self) -> dict[str, BaseDistribution]:
        return {"margin": FloatDistribution(LOWEST_MARGIN, MARGIN_TOP[1]), "negative_weight": NEGATIVE_RATIO}

    def loss(self, params: Mapping[str, Any]) -> CCL:
        return CCL(margin=params["margin"], negative_weight=params["negative_weight"])

    def loss_params(self, loss: Any) -> Params:
        check_kind(self.name, CCL, loss)
        return {"margin": loss.margin, "negative_weight": loss.negative_weight}


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
