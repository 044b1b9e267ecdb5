"""A user's own losses: registration, and the record that restores them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest
import torch
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from pydantic import Field

from search_spaces import SPACES, register_loss
from search_spaces.fields import FIELDS
from search_spaces.own import OwnLossRecord, recorded
from search_spaces.parameters import Choice, Parameter
from trainers import InputError, TrainConfig
from trainers.losses import LOSSES, Loss, Scores
from trainers.losses.own import OWN
from trainers.train import train

from ..conftest import KnownAnswer


@dataclass(frozen=True, kw_only=True)
class Soft(Loss):
    """A softened pairwise hinge."""

    name: Literal["soft"] = "soft"
    temperature: float
    power: int = 1
    mode: Literal["mean", "sum"] = "mean"

    def rows(self, scores: Scores) -> torch.Tensor:
        gaps = torch.nn.functional.softplus((scores.negative - scores.positive[:, None]) / self.temperature) ** self.power
        return gaps.mean(1) if self.mode == "mean" else gaps.sum(1)


RANGES: dict[str, Any] = {"temperature": (0.05, 1.0, "log"), "power": (1, 3), "mode": ["sum", "mean"]}


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """The tables are restored after each test."""
    before = [(table, dict(table)) for table in (LOSSES, OWN, FIELDS, SPACES)]
    yield
    for table, content in before:
        table.clear()
        table.update(content)  # type: ignore[arg-type]


def test_a_registered_loss_is_a_loss_and_a_space_like_the_others(parity: KnownAnswer):
    assert register_loss(Soft, ranges=RANGES) is Soft
    assert register_loss(Soft, ranges=RANGES) is Soft, "a second registration"
    boxes = SPACES["soft"](name="soft").boxes()
    assert boxes == {
        "temperature": FloatDistribution(0.05, 1.0, log=True),
        "power": IntDistribution(1, 3),
        "mode": CategoricalDistribution(("mean", "sum")),
    }
    space = SPACES["soft"](name="soft", ranges={"temperature": (0.1, 0.2)})
    config = space.config({"temperature": 0.1, "power": 2, "mode": "sum"}, {"learning_rate": 0.05, "epochs": 40})
    assert TrainConfig.from_dict(config.to_dict()) == config
    assert space.params(config) == {"temperature": 0.1, "power": 2, "mode": "sum"}
    trained = train(config.replace(encoder={"name": "mf", "dim": 8}, batch_size=128), parity.seen, parity.held_out).finish()
    assert trained.metrics is not None
    assert trained.metrics["recall@20"] > 0.5
    with pytest.raises(InputError, match=r"loss: unknown key 'temprature'; did you mean 'temperature'\?"):
        TrainConfig.from_dict({"loss": {"name": "soft", "temprature": 1.0}})
    with pytest.raises(InputError, match=r"loss\.mode: "):
        TrainConfig.from_dict({"loss": {"name": "soft", "temperature": 1.0, "mode": "max"}})


def made(**members: Any) -> type[Loss]:
    """A loss class with these members."""
    annotations = members.pop("__annotations__", {"name": str, "width": float})
    given = {"name": "made", "rows": lambda self, scores: scores.negative.sum(1) * self.width, **members}
    cls = type("Made", (Loss,), {"__annotations__": annotations, "__module__": __name__, **given})
    return dataclass(frozen=True, kw_only=True)(cls)


def test_an_own_loss_may_use_vectors_instead_of_negatives(parity: KnownAnswer):
    def rows(self: Any, scores: Scores) -> torch.Tensor:
        assert scores.user_vectors is not None
        assert scores.negative.shape == (len(scores.positive), 0)
        return self.width * scores.user_vectors.mean(0).square().sum() - scores.positive

    register_loss(made(name="spread", rows=rows, needs_negatives=False), ranges=WIDTH)
    config = SPACES["spread"](name="spread").config({"width": 0.5}, {"learning_rate": 0.05, "epochs": 30, "batch_size": 128})
    trained = train(config.replace(encoder={"name": "mf", "dim": 8}), parity.seen, parity.held_out).finish()
    assert trained.metrics is not None
    assert trained.metrics["recall@20"] > 0.5


class NoDataclass(Loss):
    name = "none"

    def rows(self, scores: Scores) -> torch.Tensor:
        return scores.positive


@dataclass
class NotFrozen(NoDataclass):
    name: str = "thawed"


@dataclass(frozen=True)
class NoFormula(Loss):
    name: str = "blank"


WIDTH = {"width": (0.1, 1.0)}
REFUSED: dict[str, tuple[Any, dict[str, Any], str]] = {
    "no class": (3, {}, "a loss is a class that is derived from trainers.losses.Loss, got 3"),
    "no dataclass": (NoDataclass, {}, "must be a frozen dataclass; write @dataclass"),
    "not frozen": (NotFrozen, {}, "must be a frozen dataclass"),
    "no formula": (NoFormula, {}, "has no formula; define rows"),
    "no name": (made(__annotations__={"width": float}), WIDTH, "needs a field name .* got none"),
    "a name that is none": (made(name="My Loss"), WIDTH, "needs a field name .* got 'My Loss'"),
    "a shipped name": (made(name="bsl"), WIDTH, "loss 'bsl' has the name of a space|is one of this program's"),
    "a space's name": (made(name="mml_shape"), WIDTH, "'mml_shape' has the name of a space of this program"),
    "another field": (made(), {"wdth": (0.1, 1.0)}, "ranges: unknown field 'wdth'; did you mean 'width'?"),
    "a field without range": (made(), {}, "field width has neither a range nor a default"),
    "no range": (made(), {"width": 3}, r"ranges.width: must be \(low, high\), .* got 3"),
    "an end that is no number": (made(), {"width": (0.1, "high")}, "must be two numbers, low and high"),
    "a word that is not log": (made(), {"width": (0.1, 1.0, "lin")}, r"must be \(low, high\), \(low, high, 'log'\)"),
    "low above high": (made(), {"width": (1.0, 0.1)}, "low must be below high"),
    "a logarithm from 0": (made(), {"width": (0.0, 1.0, "log")}, "low must be above 0 for a logarithm"),
    "halves of a whole number": (
        made(__annotations__={"name": str, "width": int}),
        {"width": (0.5, 2.0)},
        "must be two whole numbers",
    ),
    "a real range of a whole number": (
        made(__annotations__={"name": str, "width": int}),
        {"width": Parameter(1, 3)},
        "ranges.width: must have whole=True, as its field is a whole number",
    ),
    "a Parameter with a logarithm from 0": (
        made(),
        {"width": Parameter(0.0, 1.0, log=True)},
        r"ranges.width: low must be above 0 for a logarithm, got \(0.0, 1.0\)",
    ),
    "a Parameter with low above high": (made(), {"width": Parameter(1.0, 0.5)}, "ranges.width: low must be below high"),
    "a Parameter with halves": (made(), {"width": Parameter(0.1, 0.5, whole=True)}, "ranges.width: must be two whole numbers"),
    "a Parameter beyond its limits": (
        made(),
        {"width": Parameter(0.1, 5.0, limits=(0.0, 1.0))},
        r"ranges.width: must be within its limits, \(0.0, 1.0\), got \(0.1, 5.0\)",
    ),
    "a choice of another kind": (made(), {"width": Choice((1, 2))}, "ranges.width: a choice must have two or more .* one kind"),
    "a choice of one text": (made(), {"width": ["a", "a"]}, "ranges.width: a choice must have two or more different values"),
    "the name of a searched setting": (
        made(__annotations__={"name": str, "learning_rate": float}),
        {"learning_rate": (0.1, 1.0)},
        "field learning_rate has the name of a setting that studies search besides the loss; .* own_learning_rate",
    ),
    "a formula that fails": (made(rows=lambda self, scores: scores.nothing), WIDTH, "fails: AttributeError: .*nothing"),
    "one number for a batch": (
        made(rows=lambda self, scores: scores.negative.sum()),
        WIDTH,
        r"got .* shape \(\)",
    ),
    "no tensor": (
        made(rows=lambda self, scores: scores.negative.detach().numpy().sum(1)),
        WIDTH,
        "got a value of type ndarray",
    ),
    "no gradient": (
        made(rows=lambda self, scores: scores.negative.sum(1).detach()),
        WIDTH,
        "has no gradient; compute it from the tensors of scores in torch, without detach",
    ),
    "not finite": (
        made(rows=lambda self, scores: scores.negative.sum(1) / self.width),
        {"width": (0.0, 1.0)},
        r"loss made at an end of its ranges, \{'width': 0.0\}: .* got one that is not finite",
    ),
    "not finite below 0": (made(rows=lambda self, scores: scores.negative.sqrt().sum(1)), WIDTH, "got one that is not finite"),
    "a gradient that is not finite": (
        made(rows=lambda self, scores: torch.where(scores.negative > 0, scores.negative.sqrt(), 0.0).sum(1)),
        WIDTH,
        "must have a finite gradient",
    ),
    "the wrong sign": (
        made(rows=lambda self, scores: scores.positive - self.width * scores.negative.mean(1)),
        WIDTH,
        "must fall where a positive rises or its negatives fall, .*; got the opposite; change its sign",
    ),
    "a class that refuses an end": (
        made(__post_init__=lambda self: 1 / (self.width - 1.0), rows=lambda self, scores: -scores.positive),
        WIDTH,
        "at an end of its ranges, .* cannot be made: ZeroDivisionError",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_mistake_gives_one_message_and_registers_nothing(case: str):
    cls, ranges, message = REFUSED[case]
    before = {**LOSSES}
    with pytest.raises(InputError, match=message):
        register_loss(cls, ranges=ranges)
    assert before == LOSSES
    assert not OWN


def test_another_class_with_the_same_name_is_refused():
    register_loss(made(), ranges=WIDTH)
    other = made()
    other.__qualname__ = "Other"
    with pytest.raises(InputError, match=r"loss 'made' is registered already, as .*:Made; give .*:Other another name"):
        register_loss(other, ranges=WIDTH)


def test_a_new_version_of_a_class_replaces_the_old_one():
    """A cell of a notebook may be run again. Studies store the checksum of their code."""
    register_loss(made(), ranges=WIDTH)
    newer = made()
    register_loss(newer, ranges=WIDTH)
    assert LOSSES["made"] is newer


def test_the_record_of_a_loss_registers_it_in_another_process():
    register_loss(Soft, ranges={**RANGES, "temperature": Parameter(0.1, 1.0, limits=(0.0, 2.0))})
    (record,) = recorded(["bpr", "soft", "soft"])
    searched = FIELDS["soft"]
    for table in (LOSSES, OWN, FIELDS, SPACES):
        table.pop("soft")  # type: ignore[attr-defined]
    again = OwnLossRecord.model_validate(record.model_dump(mode="json"))
    again.restore()
    assert FIELDS["soft"] == searched
    assert LOSSES["soft"] is Soft
    again.check_code()
    with pytest.raises(InputError, match=r"the code of loss 'soft' .* has changed since"):
        again.model_copy(update={"code": "other"}).check_code()


def test_the_record_of_a_loss_keeps_the_kind_of_a_choice():
    power = Choice((3, 1), int, limits=(-math.inf, 5))
    register_loss(Scaled, {"scale": Choice((2.0, 0.5), float), "power": power})
    (record,) = recorded(["scaled"])
    for table in (LOSSES, OWN, FIELDS, SPACES):
        table.pop("scaled")  # type: ignore[attr-defined]
    OwnLossRecord.model_validate(record.model_dump(mode="json")).restore()
    assert FIELDS["scaled"] == {
        "scale": Choice((0.5, 2.0), float, limits=(5e-324, 8)),
        "power": Choice((1, 3), int, limits=(1, 5)),
    }
    space = SPACES["scaled"](name="scaled", ranges={"power": (2, 4)})
    assert space.widened(space.at_ends({"scale": 0.5, "power": 4})) == {"power": (2, 4, 5)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"where": "__main__:Soft"},
            "defined in a notebook or script, which this process cannot import; put the class",
        ),
        (
            {"where": "no_such_module:Soft"},
            "cannot be imported here .* folder of no_such_module.py, or name that",
        ),
        ({"where": f"{__name__}:Nothing"}, "cannot be imported here"),
        ({"where": f"{__name__}:made"}, "a loss is a class that is derived from"),
        ({"name": "softer"}, "that class now has another name"),
        ({"ranges": {"temperature": {"low": 1}}}, "its ranges in the study are damaged"),
    ],
)
def test_a_record_that_cannot_be_restored_is_refused(changes: dict[str, Any], message: str):
    record = OwnLossRecord(name="soft", where=f"{__name__}:Soft", code="x", ranges={})
    with pytest.raises(InputError, match=message):
        record.model_copy(update=changes).restore()
    assert not OWN


@dataclass(frozen=True, kw_only=True)
class Scaled(Loss):
    """A loss whose field has limits."""

    name: Literal["scaled"] = "scaled"
    scale: Annotated[float, Field(gt=0, le=8)]
    power: Annotated[int, Field(gt=0)] = 1

    def rows(self, scores: Scores) -> torch.Tensor:
        return self.scale * (scores.negative - scores.positive[:, None]).mean(1) ** self.power


def test_the_limits_of_a_field_are_those_of_its_range():
    """--widen must not leave them."""
    register_loss(Scaled, {"scale": (0.1, 2.0), "power": (1, 3)})
    found, whole = FIELDS["scaled"]["scale"], FIELDS["scaled"]["power"]
    assert isinstance(whole, Parameter)
    assert whole.limits == (1, math.inf)
    assert whole.end(whole.box(), 1) is None, "it cannot be widened there"
    assert isinstance(found, Parameter)
    assert found.widened(found.box((0.1, 2.0)), "low") == (5e-324, 2.0)
    assert found.widened(found.box((0.1, 6.0)), "high") == (0.1, 8.0)
    with pytest.raises(InputError, match="scale: must be above 0 and at most 8, as its field says, got"):
        register_loss(Scaled, {"scale": (0.1, 20.0)})
