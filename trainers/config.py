"""`TrainConfig`: a frozen, validated description of one training run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationInfo, field_validator, model_validator

from trainers.encoders import ENCODERS, MF, Encoder
from trainers.losses import LOSSES, Loss
from trainers.negatives import NEGATIVES, Negatives, NoNegatives, Uniform
from trainers.scores import SCORES, ScoreName
from trainers.validation import SETTINGS, Count, NonNegative, Positive, Whole, checked, choice

REGISTERED = "a loss of your own is known once Python has registered it with register_loss (docs/python.md)"

if TYPE_CHECKING:
    from typing import TypeAlias

    AnyLoss: TypeAlias = Loss
    AnyEncoder: TypeAlias = Encoder
    AnyNegatives: TypeAlias = Negatives
else:
    AnyLoss = choice("loss", LOSSES, REGISTERED)
    AnyEncoder = choice("encoder", ENCODERS)
    AnyNegatives = choice("negatives", NEGATIVES)

Schedule = Literal["constant", "linear"]

MAX_SEED = 2**63 - 1


# Settings that exclude each other for every loss, and why. Scores that a loss excludes are in its class, `Loss.not_with`.
REFUSED: tuple[tuple[Callable[[TrainConfig], bool], str], ...] = (
    (
        lambda config: config.loss.needs_negatives and isinstance(config.negatives, NoNegatives),
        "loss {config.loss.name} needs negatives, and negatives none are none; use uniform or another",
    ),
    (
        lambda config: not config.loss.needs_negatives and config.batch_size < 2,
        "loss {config.loss.name} compares the vectors of a batch: batch_size must be at least 2, got 1",
    ),
    (
        lambda config: config.loss.needs_negatives and config.negatives.per_row(config.batch_size) < 1,
        "negatives in_batch are the batch's other positives: batch_size must be at least 2, got 1",
    ),
    (
        lambda config: config.score == "euclidean" and config.encoder.dropout > 0.0,
        "dropout changes the length of a user's vector, and score euclidean depends on it: encoder.dropout must be 0, "
        "got {config.encoder.dropout}",
    ),
)


class TrainConfig(BaseModel):
    """One training run. Every field except `loss` has a default; unknown keys are errors.

    Attributes:
        encoder: the encoder of users and items as vectors: `{name: mf, dim, dropout, init_std}` or another.
        loss: `{name: mml, margins, weights, positive_weight, negative_weight}` or another of `trainers.losses.LOSSES`.
        score: `cosine`, `cosine_in_training` (ranks by inner products), `inner_product`, or `euclidean` (1 - |u - v|^2 / 2,
            with vectors limited to length 1).
        negatives: how negative items are drawn: `{name: uniform, count}` or another. A loss that needs none ignores this, and
            its config has `{name: none}`.
        learning_rate: learning rate of Adam (betas .9 and .999, epsilon 1e-8).
        schedule: `constant`, or `linear`: decays to zero over this config's epochs.
        l2: `l2 * row` is added to the gradient of rows that have a gradient in a step.
        weight_decay: `weight_decay * parameter` is added to the gradient of all parameters in every step, as in
            torch.optim.Adam; on the torch engine only.
        batch_size: positives per step; the last batch of an epoch may be smaller.
        epochs: number of epochs.
        seed: seed of initialisation, shuffling, negatives and dropout.
    """

    model_config = SETTINGS | {"frozen": True}

    encoder: AnyEncoder = MF()
    loss: AnyLoss
    score: ScoreName = "cosine"
    negatives: Annotated[AnyNegatives, Field(validate_default=True)] = Uniform()
    learning_rate: Positive = 1.0e-4
    schedule: Schedule = "constant"
    l2: NonNegative = 0.0
    weight_decay: NonNegative = 0.0
    batch_size: Count = 512
    epochs: Count = 100
    seed: Annotated[Whole, Field(ge=0, le=MAX_SEED)] = 0

    @field_validator("negatives")
    @classmethod
    def _none_if_not_needed(cls, negatives: Negatives, info: ValidationInfo) -> Negatives:
        loss = info.data.get("loss")  # missing if it is invalid
        return negatives if loss is None or loss.needs_negatives else NoNegatives()

    @model_validator(mode="after")
    def _compatible(self) -> TrainConfig:
        for clashes, reason in REFUSED:
            if clashes(self):
                raise ValueError(reason.format(config=self))
        if why := self.loss.not_with.get(self.score):
            others = [name for name in SCORES if name not in self.loss.not_with]
            raise ValueError(
                f"loss {self.loss.name} cannot be used with score {self.score}: {why}; use score {' or '.join(others)}"
            )
        return self

    @classmethod
    def from_dict(cls, mapping: Mapping[str, Any], where: str = "config") -> TrainConfig:
        """The checked config of a plain mapping, such as one from YAML.

        Raises:
            InputError: names `where`, the key, the rule and the offending value.
        """
        return checked(cls, mapping, where)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, numbers and strings; `TrainConfig.from_dict(config.to_dict()) == config`.

        A setting of the loss that is None and a weight_decay of 0, their defaults, are left out: a new one does not change the
        digest of a config.
        """
        content = self.model_dump(mode="json")
        if not self.weight_decay:
            del content["weight_decay"]
        return content | {"loss": {name: value for name, value in content["loss"].items() if value is not None}}

    def digest(self) -> str:
        """Twenty hex digits that tell configs apart."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()[:20]

    def replace(self, **changes: Any) -> TrainConfig:
        """A checked copy with top-level fields changed."""
        return TrainConfig.from_dict({**self.to_dict(), **changes})

    def same_but_seed(self, other: TrainConfig) -> bool:
        """Whether the two configs differ in their seed at most."""
        return self.replace(seed=0) == other.replace(seed=0)


def dotted(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested mapping with dotted keys: `{"encoder.dim": 64, ...}`."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        found |= dotted(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found
