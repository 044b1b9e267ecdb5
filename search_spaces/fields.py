"""Spaces of losses whose fields are searched as they are: to add one, a class with boxes, and a line in `FIELD_SPACES`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from optuna.distributions import BaseDistribution, FloatDistribution
from pydantic import model_validator
from pydantic.dataclasses import dataclass

from search_spaces.base import Also, Params, Space, check_kind
from trainers.errors import InputError
from trainers.losses import BCE, BPR, CCL, CML, MSE, SL, SSM, Contrastive, Hinge, InfoNCE, Loss, SoftmaxCE, Triplet
from trainers.validation import SETTINGS

MARGIN_TOP = (0.6, 0.98)
LOWEST_MARGIN = 0.3  # of a cosine; below, most negatives have gradients: slow, and quality collapses
NEGATIVE_RATIO = FloatDistribution(50.0, 3000.0, log=True)
TEMPERATURE = FloatDistribution(0.04, 0.3, log=True)

Boxes = dict[str, FloatDistribution]


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class FieldSpace(Space):
    """A loss whose fields are searched as they are.

    Raises:
        pydantic.ValidationError: a loss without fields, and nothing in `also`: there is nothing to search.
    """

    kind: ClassVar[type[Loss]]
    fields: ClassVar[Boxes] = {}

    @model_validator(mode="after")
    def _something_to_search(self) -> FieldSpace:
        if not self.fields and not self.also:
            raise ValueError(f"loss {self.name} has no settings to search; name others in also, such as also: [learning_rate]")
        return self

    @classmethod
    def to_hold(cls, loss: Loss | None, also: Sequence[Also]) -> dict[str, Any]:
        """A loss without settings of its own has its learning rate searched where nothing else is."""
        return {"also": tuple(also) if also or cls.fields else ("learning_rate",)}

    def loss_boxes(self) -> dict[str, BaseDistribution]:
        return dict(self.fields)

    def loss(self, params: Mapping[str, Any]) -> Loss:
        return self.kind(**{field: params[field] for field in self.fields})

    def loss_params(self, loss: Any) -> Params:
        check_kind(self.name, self.kind, loss)
        params = {field: getattr(loss, field) for field in self.fields}
        for field, value in vars(self.loss(params)).items():
            if getattr(loss, field) != value:
                raise InputError(f"{field}: this space has {value!r}, got {getattr(loss, field)!r}")
        return params


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class CCLSpace(FieldSpace):
    """`margin` over the range of MML's margins, and `negative_weight` over the range of MML's ratio."""

    name: Literal["ccl"] = "ccl"
    kind: ClassVar[type[Loss]] = CCL
    fields: ClassVar[Boxes] = {"margin": FloatDistribution(LOWEST_MARGIN, MARGIN_TOP[1]), "negative_weight": NEGATIVE_RATIO}


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class TemperatureSpace(FieldSpace):
    """`temperature` alone."""

    fields: ClassVar[Boxes] = {"temperature": TEMPERATURE}


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class SLSpace(TemperatureSpace):
    """`temperature`."""

    name: Literal["sl"] = "sl"
    kind: ClassVar[type[Loss]] = SL


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class SSMSpace(TemperatureSpace):
    """`temperature`."""

    name: Literal["ssm"] = "ssm"
    kind: ClassVar[type[Loss]] = SSM


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class InfoNCESpace(TemperatureSpace):
    """`temperature`."""

    name: Literal["infonce"] = "infonce"
    kind: ClassVar[type[Loss]] = InfoNCE


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class HingeSpace(FieldSpace):
    """`margin`, of a difference of cosines."""

    name: Literal["hinge"] = "hinge"
    kind: ClassVar[type[Loss]] = Hinge
    fields: ClassVar[Boxes] = {"margin": FloatDistribution(0.05, 1.5)}


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class ContrastiveSpace(FieldSpace):
    """`margin`, a distance: 1.41 is that of orthogonal vectors."""

    name: Literal["contrastive"] = "contrastive"
    kind: ClassVar[type[Loss]] = Contrastive
    fields: ClassVar[Boxes] = {"margin": FloatDistribution(0.3, 1.4)}


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class TripletSpace(FieldSpace):
    """`margin`, of a difference of squared distances."""

    name: Literal["triplet"] = "triplet"
    kind: ClassVar[type[Loss]] = Triplet
    fields: ClassVar[Boxes] = {"margin": FloatDistribution(0.1, 3.0)}


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class CMLSpace(FieldSpace):
    """`margin`, of a difference of squared distances, with the rank's weight and without the covariance term."""

    name: Literal["cml"] = "cml"
    kind: ClassVar[type[Loss]] = CML
    fields: ClassVar[Boxes] = {"margin": FloatDistribution(0.1, 3.0)}


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class BPRSpace(FieldSpace):
    """Nothing of its own."""

    name: Literal["bpr"] = "bpr"
    kind: ClassVar[type[Loss]] = BPR


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class SoftmaxCESpace(FieldSpace):
    """Nothing of its own."""

    name: Literal["softmax_ce"] = "softmax_ce"
    kind: ClassVar[type[Loss]] = SoftmaxCE


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class MSESpace(FieldSpace):
    """Nothing of its own."""

    name: Literal["mse"] = "mse"
    kind: ClassVar[type[Loss]] = MSE


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class BCESpace(FieldSpace):
    """Nothing of its own."""

    name: Literal["bce"] = "bce"
    kind: ClassVar[type[Loss]] = BCE


FIELD_SPACES: dict[str, type[Space]] = {
    "ccl": CCLSpace,
    "sl": SLSpace,
    "ssm": SSMSpace,
    "infonce": InfoNCESpace,
    "hinge": HingeSpace,
    "contrastive": ContrastiveSpace,
    "triplet": TripletSpace,
    "cml": CMLSpace,
    "bpr": BPRSpace,
    "softmax_ce": SoftmaxCESpace,
    "mse": MSESpace,
    "bce": BCESpace,
}
