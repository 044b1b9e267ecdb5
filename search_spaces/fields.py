"""The space of losses whose fields are searched as they are: to add one, a line in `FIELDS`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from optuna.distributions import BaseDistribution, FloatDistribution
from pydantic import model_validator
from pydantic.dataclasses import dataclass

from search_spaces.base import Also, Params, Space, check_kind
from trainers.errors import InputError
from trainers.losses import LOSSES, Loss
from trainers.text import shown
from trainers.validation import SETTINGS

TEMPERATURE = FloatDistribution(0.04, 0.3, log=True)

# By loss, the range of each field that is searched; a field that is not keeps its default.
FIELDS: dict[str, dict[str, FloatDistribution]] = {
    "bsl": {"temperature": TEMPERATURE, "exponent": FloatDistribution(0.6, 1.8)},
    "sl": {"temperature": TEMPERATURE},
    "ssm": {"temperature": TEMPERATURE},
    "infonce": {"temperature": TEMPERATURE},
    "hinge": {"margin": FloatDistribution(0.05, 1.5)},  # a difference of cosines
    "contrastive": {"margin": FloatDistribution(0.3, 1.4)},  # a distance: 1.41 is that of orthogonal vectors
    "triplet": {"margin": FloatDistribution(0.1, 3.0)},  # a difference of squared distances
    "cml": {"margin": FloatDistribution(0.1, 3.0)},  # the same
    "bpr": {},
    "softmax_ce": {},
    "mse": {},
    "bce": {},
}

if TYPE_CHECKING:
    from typing import TypeAlias

    Name: TypeAlias = str
else:
    Name = Literal[tuple(FIELDS)]


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class FieldSpace(Space):
    """A loss of `FIELDS`, whose fields are searched as they are.

    Raises:
        pydantic.ValidationError: a loss without fields, and nothing in `also`: there is nothing to search.
    """

    name: Name

    @model_validator(mode="after")
    def _something_to_search(self) -> FieldSpace:
        if not FIELDS[self.name] and not self.also:
            raise ValueError(f"loss {self.name} has no settings to search; name others in also, such as also: [learning_rate]")
        return self

    @classmethod
    def to_hold(cls, name: str, loss: Loss | None, also: Sequence[Also]) -> dict[str, Any]:
        """A loss without settings of its own has its learning rate searched where nothing else is."""
        return {"name": name, "also": tuple(also) if also or FIELDS[name] else ("learning_rate",)}

    def loss_boxes(self) -> dict[str, BaseDistribution]:
        return dict(FIELDS[self.name])

    def loss(self, params: Mapping[str, Any]) -> Loss:
        return LOSSES[self.name](**{field: params[field] for field in FIELDS[self.name]})

    def loss_params(self, loss: Any) -> Params:
        check_kind(self.name, LOSSES[self.name], loss)
        params = {field: getattr(loss, field) for field in FIELDS[self.name]}
        for field, value in vars(self.loss(params)).items():
            if getattr(loss, field) != value:
                raise InputError(f"{field}: this space has {value!r}, got {shown(getattr(loss, field))}")
        return params
