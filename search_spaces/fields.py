"""The space of losses whose fields are searched directly. To add one, add a line to `FIELDS`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import field_validator, model_validator
from pydantic.dataclasses import dataclass

from search_spaces.base import Params, Space, check_kind
from search_spaces.parameters import Parameter, Searched
from trainers.errors import InputError, unknown
from trainers.losses import LOSSES, Loss
from trainers.text import shown
from trainers.validation import SETTINGS

TEMPERATURE = Parameter(0.01, 1.0, log=True, limits=(1e-3, 100.0))  # for cosine scores
GAMMA = Parameter(0.1, 20.0, log=True, limits=(1e-3, 1000.0))  # the weight of uniformity over that of alignment

# By loss the range of each searched field. Other fields have their defaults.
FIELDS: dict[str, Searched] = {
    "bsl": {"temperature": TEMPERATURE, "exponent": Parameter(0.3, 3.0, log=True, limits=(0.01, 100.0))},
    "sl": {"temperature": TEMPERATURE},
    "psl": {"temperature": TEMPERATURE},
    "slatk": {"temperature": TEMPERATURE, "weight_temperature": Parameter(0.1, 10.0, log=True, limits=(1e-3, 1000.0))},
    "talos": {"temperature": TEMPERATURE},
    "drrl": {
        "omega": Parameter(1.05, 200.0, log=True, limits=(1.001, 1e6)),
        "negative_weight": Parameter(1.0, 1000.0, log=True, limits=(1e-3, 1e6)),
        "margin": Parameter(0.0, 0.99, limits=(-1.0, 1.0)),
    },
    "ssm": {"temperature": TEMPERATURE},
    "infonce": {"temperature": TEMPERATURE},
    # at these limits and beyond every pair has a gradient
    "hinge": {"margin": Parameter(0.01, 2.0, limits=(0.01, 2.0))},  # a difference of cosines
    "contrastive": {"margin": Parameter(0.01, 2.0, limits=(0.01, 2.0))},  # a distance of unit vectors
    "triplet": {"margin": Parameter(0.01, 4.0, limits=(0.01, 4.0))},  # a difference of squared distances
    "cml": {"margin": Parameter(0.01, 4.0, limits=(0.01, 4.0))},  # the same
    "directau": {"gamma": GAMMA},
    "mawu": {"gamma_user": GAMMA, "gamma_item": GAMMA},
    "bpr": {},
    "softmax_ce": {},
    "mse": {},
    "bce": {},
}


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class FieldSpace(Space):
    """The space of a loss in `FIELDS`.

    Raises:
        pydantic.ValidationError: a loss without searched fields, and an empty `also`; or negatives are searched for a loss
            that needs none.
    """

    name: str

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in FIELDS:
            raise ValueError(unknown("loss", name, FIELDS))
        return name

    @model_validator(mode="after")
    def _something_to_search(self) -> FieldSpace:
        if not FIELDS[self.name] and not self.also:
            raise ValueError(f"loss {self.name} has no settings to search; name others in also, such as also: [learning_rate]")
        return self

    @model_validator(mode="after")
    def _needs_negatives_to_search(self) -> FieldSpace:
        if "negatives" in self.also and not LOSSES[self.name].needs_negatives:
            raise ValueError(f"loss {self.name} needs no negatives, so their number cannot be searched; remove it from also")
        return self

    @classmethod
    def to_hold(cls, name: str, loss: Loss | None, like: Space) -> dict[str, Any]:
        """As in the base class, without negatives if the loss needs none; if nothing else is searched, the learning rate is."""
        settings = super().to_hold(name, loss, like)
        if not LOSSES[name].needs_negatives:
            settings["also"] = tuple(each for each in like.also if each != "negatives")
            settings["ranges"].pop("negatives", None)
        return settings if settings["also"] or FIELDS[name] else settings | {"also": ("learning_rate",)}

    @classmethod
    def loss_parameters(cls, name: str) -> Searched:
        return FIELDS[name]

    def loss(self, params: Mapping[str, Any]) -> Loss:
        return LOSSES[self.name](**{field: params[field] for field in FIELDS[self.name]})

    def loss_params(self, loss: Any) -> Params:
        check_kind(self.name, LOSSES[self.name], loss)
        params = {field: getattr(loss, field) for field in FIELDS[self.name]}
        for field, value in vars(self.loss(params)).items():
            if getattr(loss, field) != value:
                raise InputError(f"{field}: this space has {value!r}, got {shown(getattr(loss, field))}")
        return params
