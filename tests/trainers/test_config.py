"""TrainConfig: round trips, immutability, and messages with key, rule, value and the nearest name."""

from __future__ import annotations

import dataclasses
import math
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from trainers import InputError, TrainConfig
from trainers.config import MAX_SEED, REFUSED
from trainers.losses import CCL

CCL_MAPPING = {"name": "ccl", "margin": 0.9, "negative_weight": 150.0}

unit = st.floats(0.0, 1.0, exclude_max=True)
positive = st.floats(1e-12, 1e6)
weight = st.floats(0.0, 1e6)


@st.composite
def mml(draw: st.DrawFn) -> dict[str, Any]:
    margins = sorted(draw(st.lists(unit, min_size=1, max_size=6)))
    raw = sorted(draw(st.lists(st.floats(1e-3, 1e3), min_size=len(margins), max_size=len(margins))))
    weights = [one / math.fsum(raw) for one in raw]
    return {
        "name": "mml",
        "margins": margins,
        "weights": weights,
        "positive_weight": draw(weight),
        "negative_weight": draw(weight),
    }


ccl = st.fixed_dictionaries({"name": st.just("ccl"), "margin": unit, "negative_weight": weight})
bsl = st.fixed_dictionaries(
    {"name": st.just("bsl"), "temperature": positive},
    optional={"exponent": positive, "mode": st.sampled_from(["multi", "reweight"])},
)
mappings = st.fixed_dictionaries(
    {"loss": mml() | ccl | bsl},
    optional={
        "encoder": st.fixed_dictionaries(
            {"name": st.just("mf")}, optional={"dim": st.integers(1, 4096), "dropout": unit, "init_std": positive}
        ),
        "negatives": st.fixed_dictionaries({"name": st.just("uniform")}, optional={"count": st.integers(1, 100_000)}),
        "learning_rate": positive,
        "schedule": st.sampled_from(["constant", "linear"]),
        "l2": weight,
        "batch_size": st.integers(1, 10**9),
        "epochs": st.integers(1, 10**9),
        "seed": st.integers(0, MAX_SEED),
    },
)


def contains(given_mapping: Any, written: Any) -> bool:
    """Whether `written` has everything of `given_mapping`. It may have more keys, with defaults."""
    if isinstance(given_mapping, dict):
        return all(key in written and contains(value, written[key]) for key, value in given_mapping.items())
    return bool(given_mapping == written)


@settings(max_examples=150)
@given(mapping=mappings)
def test_a_config_round_trips(mapping: dict[str, Any]) -> None:
    config = TrainConfig.from_dict(mapping)
    written = config.to_dict()
    assert contains(mapping, written), f"{mapping} was written as {written}"
    again = TrainConfig.from_dict(written)
    assert again == config
    assert hash(again) == hash(config)
    assert again.to_dict() == written


def test_a_config_of_only_a_loss_has_the_documented_defaults() -> None:
    mapping = {
        "encoder": {"name": "mf", "dim": 64, "dropout": 0.0, "init_std": 1.0e-4},
        "loss": {
            "name": "mml",
            "margins": [0.6, 0.7, 0.8, 0.9],
            "weights": [0.05, 0.15, 0.2, 0.6],
            "positive_weight": 1.0,
            "negative_weight": 400.0,
        },
        "score": "cosine",
        "negatives": {"name": "uniform", "count": 100},
        "learning_rate": 1.0e-4,
        "schedule": "constant",
        "l2": 0.0,
        "batch_size": 512,
        "epochs": 100,
        "seed": 0,
    }
    assert TrainConfig.from_dict(mapping).to_dict() == mapping
    assert TrainConfig.from_dict({"loss": mapping["loss"]}).to_dict() == mapping, "these are the documented defaults"


def test_to_dict_has_only_plain_values() -> None:
    def plain(value: Any) -> bool:
        if type(value) is dict:
            return all(type(key) is str and plain(inner) for key, inner in value.items())
        return all(map(plain, value)) if type(value) is list else type(value) in (str, int, float)

    written = TrainConfig.from_dict({"loss": {"name": "mml", "margins": [0.5], "weights": [1], "negative_weight": 3}}).to_dict()
    assert plain(written), written


def test_whole_numbers_are_accepted_as_floats() -> None:
    config = TrainConfig.from_dict({"loss": {"name": "ccl", "margin": 0, "negative_weight": 150}, "learning_rate": 1, "l2": 0})
    assert config == TrainConfig(loss=CCL(margin=0.0, negative_weight=150.0), learning_rate=1.0)
    assert isinstance(config.learning_rate, float)


def test_a_config_is_frozen() -> None:
    config = TrainConfig.from_dict({"loss": CCL_MAPPING})
    with pytest.raises(ValidationError, match="frozen"):
        config.epochs = 3
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.loss.margin = 0.5  # type: ignore[attr-defined]
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.encoder.dim = 3
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.negatives.count = 3


def test_equal_configs_have_one_hash() -> None:
    configs = {TrainConfig.from_dict({"loss": CCL_MAPPING, "seed": seed}) for seed in (0, 0, 1)}
    assert len(configs) == 2


def test_a_new_optional_setting_of_a_loss_does_not_change_digests() -> None:
    """Finished runs are stored under their digest. This one was recorded before BSL had a second temperature."""
    config = TrainConfig.from_dict({"loss": {"name": "bsl", "temperature": 0.1}})
    assert config.to_dict()["loss"] == {"name": "bsl", "temperature": 0.1, "exponent": 1.0, "mode": "reweight"}
    assert config.digest() == "19070a69f9b8f3e5a0c7"


def test_weight_decay_is_part_of_the_identity_unless_it_is_0() -> None:
    config = TrainConfig.from_dict({"loss": CCL_MAPPING})
    decayed = config.replace(weight_decay=1e-4)
    assert decayed.to_dict() == config.to_dict() | {"weight_decay": 1e-4}
    assert TrainConfig.from_dict(decayed.to_dict()) == decayed
    assert decayed.replace(weight_decay=0.0) == config
    assert len({config.digest(), decayed.digest(), config.replace(weight_decay=1e-5).digest()}) == 3


def test_replace_checks_the_new_values() -> None:
    config = TrainConfig.from_dict({"loss": CCL_MAPPING})
    longer = config.replace(epochs=7, loss={**CCL_MAPPING, "margin": 0.5})
    assert (longer.epochs, longer.loss) == (7, CCL(margin=0.5, negative_weight=150.0))
    assert config.epochs == 100, "the original is unchanged"
    assert config.replace(loss=longer.loss).loss == longer.loss, "a loss may be an object or a mapping"
    with pytest.raises(InputError, match=r"epochs: .*greater than or equal to 1, got 0"):
        config.replace(epochs=0)
    with pytest.raises(InputError, match=r"unknown key 'epoch'; did you mean 'epochs'\?"):
        config.replace(epoch=3)


def test_the_given_mapping_is_not_changed() -> None:
    mapping = {"loss": dict(CCL_MAPPING), "negatives": {"name": "uniform", "count": 3}}
    before = repr(mapping)
    TrainConfig.from_dict(mapping)
    assert repr(mapping) == before


BAD: list[tuple[str, Any, list[str]]] = [
    ("unknown key", {"batchsize": 512}, ["unknown key 'batchsize'", "did you mean 'batch_size'?", "learning_rate"]),
    (
        "unknown key in loss",
        {"loss": {**CCL_MAPPING, "margn": 1}},
        ["loss: unknown key 'margn'", "'margin'?", "negative_weight"],
    ),
    ("key of another loss", {"loss": {**CCL_MAPPING, "margins": [0.5]}}, ["loss: unknown key 'margins'", "'margin'?"]),
    ("unknown key in negatives", {"negatives": {"name": "uniform", "cout": 1}}, ["negatives: unknown key 'cout'", "'count'?"]),
    ("unknown key in encoder", {"encoder": {"name": "mf", "dims": 1}}, ["encoder: unknown key 'dims'", "'dim'?"]),
    ("unknown loss", {"loss": {"name": "mmll"}}, ["loss: unknown loss 'mmll'", "did you mean 'mml'?", "bsl", "ccl"]),
    ("loss name is a list", {"loss": {"name": ["mml"]}}, ["loss: unknown loss ['mml']", "mml"]),
    ("loss name is a mapping", {"loss": {"name": {}}}, ["loss: unknown loss {}"]),
    ("unknown encoder", {"encoder": {"name": "mff"}}, ["encoder: unknown encoder 'mff'", "'mf'?"]),
    ("unknown negatives", {"negatives": {"name": "unifrom"}}, ["negatives: unknown negatives 'unifrom'", "'uniform'?"]),
    (
        "loss without name",
        {"loss": {"margin": 0.9}},
        ["loss: must be a mapping with a name", "bce, bpr, bsl", "{'margin': 0.9}"],
    ),
    ("loss is a string", {"loss": "mml"}, ["loss: must be a mapping with a name", "'mml'"]),
    ("loss is null", {"loss": None}, ["loss: must be a mapping with a name", "None"]),
    ("loss lacks a field", {"loss": {"name": "ccl", "margin": 0.9}}, ["loss.negative_weight is required"]),
    ("text for a whole number", {"epochs": "100"}, ["epochs:", "whole number", "'100'"]),
    ("true for a whole number", {"epochs": True}, ["epochs:", "whole number", "True"]),
    ("fraction for a whole number", {"epochs": 5.5}, ["epochs:", "whole number", "5.5"]),
    ("null for a whole number", {"batch_size": None}, ["batch_size:", "whole number", "None"]),
    ("text for a number", {"learning_rate": "1e-4"}, ["learning_rate:", "number", "'1e-4'"]),
    ("true for a number", {"l2": True}, ["l2:", "number", "True"]),
    ("text inside loss", {"loss": {**CCL_MAPPING, "margin": "0.9"}}, ["loss.margin:", "number", "'0.9'"]),
    (
        "text inside margins",
        {"loss": {"name": "mml", "margins": [0.5, "0.6"], "weights": [0.5, 0.5], "negative_weight": 1.0}},
        ["loss.margins.1:", "number", "'0.6'"],
    ),
    ("NaN", {"learning_rate": math.nan}, ["learning_rate:", "finite", "nan"]),
    ("infinite", {"l2": math.inf}, ["l2:", "finite", "inf"]),
    ("NaN in encoder", {"encoder": {"name": "mf", "dropout": math.nan}}, ["encoder.dropout:", "finite", "nan"]),
    ("learning rate 0", {"learning_rate": 0.0}, ["learning_rate:", "greater than 0", "0.0"]),
    ("negative l2", {"l2": -1e-9}, ["l2:", "greater than or equal to 0", "-1e-09"]),
    ("negative decay", {"weight_decay": -1.0}, ["weight_decay:", "greater than or equal to 0", "-1"]),
    ("batch of none", {"batch_size": 0}, ["batch_size:", "greater than or equal to 1", "0"]),
    ("no epochs", {"epochs": 0}, ["epochs:", "greater than or equal to 1", "0"]),
    ("negative seed", {"seed": -1}, ["seed:", "greater than or equal to 0", "-1"]),
    ("huge seed", {"seed": 2**63}, ["seed:", "less than or equal to", str(2**63)]),
    ("dropout 1", {"encoder": {"name": "mf", "dropout": 1.0}}, ["encoder.dropout:", "less than 1", "1.0"]),
    ("no dimensions", {"encoder": {"name": "mf", "dim": 0}}, ["encoder.dim:", "greater than or equal to 1", "0"]),
    ("no negatives", {"negatives": {"name": "uniform", "count": 0}}, ["negatives.count:", "greater than or equal to 1", "0"]),
    ("unknown schedule", {"schedule": "liner"}, ["schedule:", "'constant' or 'linear'", "'liner'"]),
    ("a key that is no text", {1: 2}, ["keys must be text", "1"]),
]


@pytest.mark.parametrize(("change", "words"), [pytest.param(*case[1:], id=case[0]) for case in BAD])
def test_a_bad_value_gives_one_line_with_rule_and_value(change: dict[Any, Any], words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        TrainConfig.from_dict({"loss": CCL_MAPPING, **change}, where="studies/x.yaml")
    message = str(caught.value)
    assert len(message.splitlines()) == 1, f"one broken rule must give one line: {message}"
    missing = [word for word in ["studies/x.yaml", *words] if word not in message]
    assert not missing, f"the message lacks {missing}: {message}"


def test_a_missing_loss_is_refused() -> None:
    with pytest.raises(InputError, match=r"^config: loss is required and was not given$"):
        TrainConfig.from_dict({})


def test_every_violation_is_in_the_message() -> None:
    with pytest.raises(InputError) as caught:
        TrainConfig.from_dict({"loss": {**CCL_MAPPING, "margn": 1}, "epochs": 0, "lerning_rate": 1.0})
    lines = str(caught.value).splitlines()
    assert len(lines) == 3, lines
    for words in ("'margn'", "epochs: ", "'lerning_rate'"):
        assert sum(words in line for line in lines) == 1, f"{words} must be there once: {lines}"


@pytest.mark.parametrize("mapping", [None, "mml", 3, [1], [("loss", CCL_MAPPING)]])
def test_a_config_must_be_a_mapping(mapping: Any) -> None:
    with pytest.raises(InputError, match="must be a mapping"):
        TrainConfig.from_dict(mapping)


TEMPERATURES = ("bsl", "sl", "psl", "slatk", "talos", "ssm", "infonce")
REFUSED_PAIRS = {
    **{(loss, "euclidean"): "its margins are cosines" for loss in ("mml", "ccl", "drrl")},
    **{
        (loss, "euclidean"): "its temperature is for cosines"
        for loss in ("bsl", "sl", "psl", "slatk", "talos", "ssm", "infonce")
    },
    **{(loss, "inner_product"): "it is a loss of distances" for loss in ("contrastive", "triplet", "cml")},
    **{(loss, score): "it spreads unit vectors" for loss in ("directau", "mawu") for score in ("inner_product", "euclidean")},
}


@pytest.mark.parametrize("score", ["cosine", "inner_product", "euclidean"])
def test_scores_that_do_not_fit_a_loss_are_refused_with_the_reason(loss_case: dict[str, Any], score: str) -> None:
    mapping = {"loss": loss_case, "score": score}
    reason = REFUSED_PAIRS.get((loss_case["name"], score))
    if reason is None:
        assert TrainConfig.from_dict(mapping).score == score
        return
    with pytest.raises(InputError, match=reason) as caught:
        TrainConfig.from_dict(mapping)
    assert f"loss {loss_case['name']} cannot be used with score {score}" in str(caught.value)
    for other in str(caught.value).partition("use score ")[2].split(" or "):
        assert TrainConfig.from_dict(mapping | {"score": other}), "the remedy works"


def test_every_refusal_can_occur() -> None:
    """For each line of the table there is a config that breaks only this rule."""
    bpr = {"name": "bpr"}
    breaks: list[dict[str, Any]] = [
        {"loss": bpr, "negatives": {"name": "none"}},
        {"loss": {"name": "directau", "gamma": 1.0}, "batch_size": 1},
        {"loss": bpr, "negatives": {"name": "in_batch"}, "batch_size": 1},
        {"loss": bpr, "score": "euclidean", "encoder": {"name": "mf", "dropout": 0.1}},
    ]
    assert len(breaks) == len(REFUSED)
    for (_, reason), mapping in zip(REFUSED, breaks, strict=True):
        with pytest.raises(InputError) as caught:
            TrainConfig.from_dict(mapping)
        assert max(re.split(r"{.*?}", reason), key=len) in str(caught.value)
        assert "{" not in str(caught.value), "the reason is filled in"


@pytest.mark.parametrize("given", [{}, {"negatives": {"name": "uniform", "count": 7}}, {"negatives": {"name": "none"}}])
def test_negatives_are_ignored_by_a_loss_that_needs_none(given: dict[str, Any]) -> None:
    """So all of these are one config. A study gives its negatives to all its rivals."""
    config = TrainConfig.from_dict({"loss": {"name": "directau", "gamma": 1.0}, **given})
    assert config.to_dict()["negatives"] == {"name": "none"}
    assert config.negatives.per_row(config.batch_size) == 0
    assert config.negatives.compared_per_row(config.batch_size) == config.batch_size - 1, "the other rows of its batch"
    assert TrainConfig.from_dict(config.to_dict()) == config


def test_ignored_negatives_are_checked() -> None:
    with pytest.raises(InputError, match=r"negatives\.count: must be greater than or equal to 1, got 0"):
        TrainConfig.from_dict({"loss": {"name": "directau", "gamma": 1.0}, "negatives": {"name": "uniform", "count": 0}})


def test_every_field_is_written() -> None:
    """Else two configs could not be compared."""
    config = TrainConfig.from_dict({"loss": CCL_MAPPING, "weight_decay": 1e-6})
    assert config.to_dict().keys() == TrainConfig.model_fields.keys()
    assert config.to_dict()["score"] == "cosine"
    other = config.replace(score="inner_product")
    assert other.digest() != config.digest()
    assert TrainConfig.from_dict(other.to_dict()) == other
