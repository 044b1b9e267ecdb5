from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from pydantic import ValidationError
from pydantic.dataclasses import dataclass

from search_spaces import SPACES, Space
from search_spaces.base import ALSO
from search_spaces.fields import FIELDS, FieldSpace
from search_spaces.ordered import weights_from_tau
from search_spaces.parameters import AtEnd, Choice, Parameter
from search_spaces.spaces import CCLSpace, MMLSpace
from trainers.config import TrainConfig
from trainers.errors import InputError
from trainers.losses import BSL, CCL, CML, LOSSES, MML
from trainers.published import PUBLISHED
from trainers.validation import SETTINGS, checked, choice

FIXED: dict[str, Any] = {"encoder": {"name": "mf", "dim": 16}, "batch_size": 128, "epochs": 7, "seed": 3}
EVERYTHING = tuple(ALSO)
BARE = sorted(name for name, fields in FIELDS.items() if not fields)


def made(name: str, **settings: Any) -> Space:
    return SPACES[name](name=name, **settings)


def everything(name: str) -> Any:
    """The fields that a space may search besides its loss."""
    without = name in LOSSES and not LOSSES[name].needs_negatives
    return tuple(field for field in EVERYTHING if field != "negatives" or not without)


ALL_SPACES = [
    *(made("mml", n_margins=k, also=also) for k in (1, 2, 3, 4, 7) for also in ((), EVERYTHING)),
    *(made(name, also=also) for name in sorted(set(SPACES) - {"mml", *BARE}) for also in ((), everything(name))),
    *(made(name, also=("learning_rate",)) for name in BARE),
]


def point_of(boxes: dict[str, BaseDistribution]) -> st.SearchStrategy[dict[str, Any]]:
    """Points of a box, often its corners."""

    def values(box: Any) -> st.SearchStrategy[Any]:
        if isinstance(box, CategoricalDistribution):
            return st.sampled_from(box.choices)
        if isinstance(box, IntDistribution):
            return st.integers(box.low, box.high)
        return st.one_of(st.just(box.low), st.just(box.high), st.floats(box.low, box.high))

    return st.fixed_dictionaries({name: values(box) for name, box in boxes.items()})


@pytest.mark.parametrize("space", ALL_SPACES, ids=repr)
@given(data=st.data())
def test_every_point_is_a_valid_config_and_round_trips(space: Space, data: st.DataObject):
    config = space.config(data.draw(point_of(space.boxes())), FIXED)  # TrainConfig checks it
    params = space.params(config)
    assert space.config(params, FIXED) == config
    for name, box in space.boxes().items():
        assert box._contains(box.to_internal_repr(params[name])), f"{name} = {params[name]} is outside its box {box}"


@pytest.mark.parametrize(("dataset", "n_margins"), [("yelp2018", 4), ("gowalla", 3)])
def test_published_mml_is_in_its_space_to_the_bit(dataset: str, n_margins: int):
    space = made("mml", n_margins=n_margins)
    config = TrainConfig.from_dict({**FIXED, "loss": PUBLISHED["mml"][dataset]})
    assert space.config(space.params(config), FIXED) == config
    expected = {
        "yelp2018": ((0.6, 0.7, 0.8, 0.9), (0.05, 0.15, 0.2, 0.6), 400.0),
        "gowalla": ((0.7, 0.8, 0.9), (0.1, 0.15, 0.75), 700.0),
    }
    loss = space.loss(space.params(config))
    assert isinstance(loss, MML)
    assert (loss.margins, loss.weights, loss.negative_weight) == expected[dataset]


@pytest.mark.parametrize("dataset", ["yelp2018", "gowalla"])
def test_published_mml_has_no_exact_shape_but_a_nearest_one(dataset: str):
    space = made("mml_shape", also=("learning_rate",))
    config = TrainConfig.from_dict({**FIXED, "loss": PUBLISHED["mml"][dataset]})
    with pytest.raises(InputError, match="tau: weights"):
        space.params(config)
    params = space.nearest(config)
    assert params is not None
    assert (params["margin_top"], params["curvature"], params["learning_rate"]) == (0.9, 1.0, config.learning_rate)
    near = space.config(params, FIXED)
    assert space.nearest(near) == params
    assert (space.nearest(config.replace(learning_rate=1.0)) or {})["learning_rate"] == 0.1, "the end of its range"
    assert space.nearest(near.replace(loss=PUBLISHED["ccl"][dataset])) is None


def test_one_margin_is_a_shape():
    """It is the form of CCL. The lowest margin is the highest, so low_fraction, curvature and tau have no effect."""
    space = made("mml_shape")
    point = {"n_margins": 1, "margin_top": 0.9, "negative_ratio": 150.0, "positive_weight": 1.0}
    shapes = ({"low_fraction": f, "curvature": c, "tau": t} for f, c, t in ((0.0, 0.25, 0.03), (0.7, 3.0, 1.0)))
    for shape in shapes:
        config = space.config({**point, **shape}, FIXED)
        assert config.loss == MML(margins=(0.9,), weights=(1.0,), negative_weight=150.0)
        assert space.params(config) == {**point, "low_fraction": 1.0, "curvature": 1.0, "tau": 1.0}


@pytest.mark.parametrize(
    ("name", "dataset"), [(name, data) for name, losses in PUBLISHED.items() for data in losses if name != "mml"]
)
def test_published_rivals_are_in_their_spaces(name: str, dataset: str):
    space = made(name, also=("learning_rate",))
    config = TrainConfig.from_dict({**FIXED, "loss": PUBLISHED[name][dataset]})
    assert space.config(space.params(config), FIXED) == config


@pytest.mark.parametrize("name", BARE)
def test_a_loss_without_settings_needs_another_searched_field(name: str):
    with pytest.raises(ValidationError, match="no settings to search; name others in also"):
        made(name)


@pytest.mark.parametrize("name", sorted(SPACES))
def test_a_further_searched_field_may_occur_once(name: str):
    with pytest.raises(InputError, match=r"mine: also: each field may occur once, l2 is repeated, got \['l2', .*'l2'\]"):
        checked(SPACES[name], {"name": name, "also": ["l2", "dropout", "l2"]}, "mine")


def test_the_number_of_negatives_is_not_searched_for_a_loss_that_needs_none():
    """A study that searches it searches the other fields for such a rival."""
    with pytest.raises(ValidationError, match=r"loss directau needs no negatives, .* remove it from also"):
        made("directau", also=("negatives",))
    ours = made("mml", also=("negatives", "l2"), ranges={"negatives": (10, 20), "l2": (1e-6, 1e-3)})
    settings = FieldSpace.to_hold("directau", None, ours)
    assert settings == {"name": "directau", "also": ("l2",), "ranges": {"l2": (1e-6, 1e-3)}}
    config = made(**settings).config({"gamma": 1.0, "l2": 1e-4}, {**FIXED, "negatives": {"name": "uniform", "count": 7}})
    assert config.negatives.name == "none"


@pytest.mark.parametrize("field", ["negatives", "encoder"])
@pytest.mark.parametrize("given", ["uniform", None, 3, [], [{"name": "mf"}], {}, {"dim": 8}])
def test_the_fixed_part_of_a_searched_field_must_be_a_mapping(field: str, given: Any):
    """The message is the same as without a search of the field."""
    messages = []
    for also in (EVERYTHING, ("l2",)):
        space = made("ccl", also=also)
        with pytest.raises(InputError, match=f"config: {field}: must be a mapping with a name") as caught:
            space.config(space.corner(), {**FIXED, field: given})
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    assert messages[0].endswith(f"got {given!r}")


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.sampled_from(["mf", "uniform"])
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["name", "dim", "count"]), inner)
)


@settings(max_examples=300)
@given(
    name=st.sampled_from(sorted(SPACES)),
    also=st.lists(st.sampled_from([*EVERYTHING, "epochs"]), max_size=4),
    fixed=st.dictionaries(st.sampled_from(sorted(TrainConfig.model_fields)), VALUES, max_size=3),
)
def test_any_study_gives_a_config_or_an_input_error(name: str, also: list[str], fixed: dict[str, Any]):
    with suppress(InputError):
        space = checked(SPACES[name], {"name": name, "also": also}, "space")
        space.config(space.corner(), fixed)


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_has_a_space(name: str):
    searched = {made(space, also=("l2",)).loss_name for space in SPACES}
    assert name in searched, f"add a line for {name!r} to FIELDS of search_spaces/fields.py"


def test_every_space_has_a_loss():
    assert {made(name, also=("l2",)).loss_name for name in SPACES} <= set(LOSSES)


@pytest.mark.parametrize("name", sorted(SPACES))
def test_points_from_optuna_give_configs(name: str):
    space = made(name, also=everything(name))
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(20):
        params = study.ask(fixed_distributions=space.boxes()).params
        assert set(params) == set(space.boxes())
        config = space.config(params, FIXED)
        assert config.loss.name == space.loss_name
        assert (config.epochs, config.seed) == (7, 3)
        assert (config.encoder.dim, config.batch_size) == (params["dim"], params["batch_size"])


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_the_message_about_an_unknown_key_has_the_keys_of_the_space(name: str):
    """The space is chosen by its name, as in a study."""

    @dataclass(config=SETTINGS)
    class Study:
        space: choice("space", SPACES)  # type: ignore[valid-type]

    with pytest.raises(InputError, match=r"mine: space: unknown key 'n_margins'; known: also, name, ranges$"):
        checked(Study, {"space": {"name": name, "n_margins": 2, "also": ["l2"]}}, "mine")


def test_the_low_end_of_the_range_of_l2_means_0():
    space = made("ccl", also=("l2",))
    config = TrainConfig.from_dict({**FIXED, "loss": CCL(margin=0.9, negative_weight=150.0), "l2": 0.0})
    assert space.config(space.params(config), FIXED).l2 == 0.0


def shaped(margins: Sequence[float], tau: float = 0.1, **changes: float) -> MML:
    margins = tuple(round(margin, 13) for margin in margins)
    return MML(margins=margins, weights=weights_from_tau(margins, tau), **{"negative_weight": 400.0, **changes})


MML_LOSS = MML(margins=(0.6, 0.9), weights=(0.4, 0.6), negative_weight=400.0)


@pytest.mark.parametrize(
    ("space", "changes", "named"),
    [
        (
            made("mml", n_margins=2),
            {"loss": MML(margins=(0.899, 0.9), weights=(0.4, 0.6), negative_weight=400.0)},
            "margin_drop_1",
        ),
        (
            made("mml", n_margins=2),
            {"loss": MML(margins=(0.6, 0.995), weights=(0.4, 0.6), negative_weight=400.0)},
            "margin_top",
        ),
        (
            made("mml", n_margins=2),
            {"loss": MML(margins=(0.6, 0.9), weights=(0.4, 0.6), negative_weight=0.4)},
            "negative_ratio",
        ),
        (made("mml", n_margins=3), {"loss": MML_LOSS}, "n_margins 3"),
        (
            made("mml", n_margins=2),
            {"loss": MML(margins=(0.6, 0.9), weights=(0.4, 0.6), positive_weight=0.0, negative_weight=4.0)},
            "positive_weight",
        ),
        (made("mml_shape"), {"loss": CCL(margin=0.9, negative_weight=150.0)}, "a loss in space mml_shape must be mml"),
        (made("mml_shape"), {"loss": shaped((0.6, 0.995))}, "margin_top"),
        (made("mml_shape"), {"loss": shaped((0.9123456789012,))}, "curvature: margins must follow a power law"),
        (made("mml_shape", ranges={"low_fraction": (0.5, 1.0)}), {"loss": shaped((0.2, 0.9))}, "low_fraction"),
        (made("mml_shape"), {"loss": shaped((0.6, 0.61, 0.9))}, "curvature: margins must follow a power law"),
        (made("mml_shape"), {"loss": shaped((0.6, 0.8, 0.7 + 0.2))}, "curvature: margins must follow a power law"),
        (made("mml_shape"), {"loss": shaped((0.6, 0.75, 0.9), tau=0.008)}, "tau: weights"),
        (made("mml_shape"), {"loss": shaped((0.6, 0.9), tau=2.0)}, "tau: weights"),
        (made("mml_shape"), {"loss": MML_LOSS}, "tau: weights"),
        (made("mml_shape"), {"loss": shaped([0.5 + 0.05 * k for k in range(9)])}, "n_margins"),
        (made("mml_shape"), {"loss": shaped((0.6, 0.9), negative_weight=0.5)}, "negative_ratio"),
        (made("mml_shape"), {"loss": shaped((0.6, 0.9), positive_weight=0.0)}, "positive_weight"),
        (made("ccl"), {"loss": MML_LOSS}, "space ccl"),
        (made("bsl"), {"loss": BSL(temperature=0.1, mode="multi")}, "mode"),
        (made("bsl"), {"loss": BSL(temperature=1.5)}, "temperature"),
        (
            made("mml", n_margins=2, also=("negatives",)),
            {"loss": MML_LOSS, "negatives": {"name": "uniform", "count": 5}},
            "negatives",
        ),
        (
            made("mml", n_margins=2, also=("dropout",)),
            {"loss": MML_LOSS, "encoder": {"name": "mf", "dropout": 0.6}},
            "dropout",
        ),
        (made("mml", n_margins=2, also=("learning_rate",)), {"loss": MML_LOSS, "learning_rate": 1.0}, "learning_rate"),
    ],
)
def test_the_error_about_a_config_outside_the_space_names_the_parameter(space: Space, changes: dict[str, Any], named: str):
    config = TrainConfig.from_dict({**FIXED, **changes})
    with pytest.raises(InputError, match=named):
        space.params(config)


def test_fields_that_are_not_searched_must_have_the_value_of_the_space():
    other = CML(margin=1.0, rank_weight=False)
    with pytest.raises(InputError, match="rank_weight: this space has True, got False"):
        made("cml").params(TrainConfig.from_dict({**FIXED, "loss": other}))


@pytest.mark.parametrize("space", ALL_SPACES, ids=repr)
@pytest.mark.parametrize("highest", [False, True])
def test_corners_of_a_space_are_valid_points(space: Space, highest: bool):
    corner = space.corner(highest)
    assert set(corner) == set(space.boxes())
    assert space.config(corner, FIXED)


def at(space: Space, **values: float) -> dict[str, Any]:
    """A point with these values, and the middle of every other range."""
    middle = {}
    for name, box in space.boxes().items():
        assert isinstance(box, FloatDistribution)
        middle[name] = math.sqrt(box.low * box.high) if box.log else (box.low + box.high) / 2
    return middle | values


class TestRanges:
    def test_a_study_may_give_ranges(self):
        space = made(
            "mml", n_margins=3, also=("learning_rate",), ranges={"negative_ratio": [1, 100], "margin_drop": [0.05, 0.5]}
        )
        boxes = space.boxes()
        assert boxes["negative_ratio"] == FloatDistribution(1.0, 100.0, log=True)
        assert boxes["margin_drop_1"] == boxes["margin_drop_2"] == FloatDistribution(0.05, 0.5, log=True)
        assert boxes["learning_rate"] == FloatDistribution(1e-5, 1e-1, log=True), "other ranges are unchanged"
        assert space.ranges_said()["negative_ratio"] == "1 to 100 (log)"
        assert space.ranges_said()["margin_top"] == "0 to 0.99"

    def test_the_ranges_of_one_margin_are_those_that_are_searched(self):
        assert [*made("mml", n_margins=1).ranges_said()] == ["margin_top", "negative_ratio", "positive_weight"]
        assert {"margin_drop", "weight_ratio"} < made("mml", n_margins=2).ranges_said().keys()

    def test_ranges_may_be_whole_numbers_and_choices(self):
        space = made("sl", also=("batch_size", "dim"), ranges={"batch_size": [32, 64], "dim": [128, 32]})
        assert space.boxes()["batch_size"] == IntDistribution(32, 64, log=True)
        assert space.boxes()["dim"] == CategoricalDistribution((32, 128))
        assert space.ranges_said() == {"temperature": "0.01 to 1 (log)", "batch_size": "32 to 64 (log)", "dim": "32 or 128"}

    @pytest.mark.parametrize(
        ("ranges", "message"),
        [
            ({"negative_rato": [1, 2]}, "unknown parameter 'negative_rato'; did you mean 'negative_ratio'"),
            ({"learning_rate": [0.1, 1.0]}, "learning_rate is not searched; name it in also"),
            ({"negative_ratio": [2, 1]}, "ranges.negative_ratio: low must be below high, got \\[2, 1\\]"),
            ({"negative_ratio": [1]}, "must be two numbers"),
            ({"negative_ratio": ["1", 2]}, "must be two numbers"),
            ({"negative_ratio": [True, 2]}, "must be two numbers"),
            ({"negative_ratio": [0, 2]}, "must lie in \\[1e-06, 1000000000\\], got \\[0, 2\\]"),
            ({"margin_top": [0.5, 1.0]}, "must lie in \\[0, 0.9999\\]"),
            ({"margin_drop_1": [0.5, 1.0]}, "unknown parameter 'margin_drop_1'; did you mean 'margin_drop'"),
            ({"l2": [1e-6, 1e-3], "batch_size": [1.5, 3]}, "ranges.batch_size: must be two whole numbers"),
            ({"dim": [64]}, "ranges.dim: must be two or more different values, such as"),
            ({"dim": [64, 64]}, "must be two or more different values"),
            ({"schedule": ["linear", "cosine"]}, "must be two or more different values"),
        ],
    )
    def test_an_invalid_range_is_refused(self, ranges: dict[str, Any], message: str):
        also = tuple(name for name in ("l2", "batch_size", "dim", "schedule") if name in ranges)
        with pytest.raises(ValidationError, match=message):
            made("mml", also=also, ranges=ranges)

    def test_the_low_end_of_a_given_range_of_l2_is_not_0(self):
        space = made("ccl", also=("l2",), ranges={"l2": (1e-6, 1e-3)})
        assert space.config(space.corner(), FIXED).l2 == 1e-6, "only the low end of the default range means 0"

    def test_rivals_search_shared_parameters_in_the_same_ranges(self):
        ours = made(
            "mml",
            also=("learning_rate",),
            ranges={"negative_ratio": (2, 20), "learning_rate": (1e-3, 1e-2), "margin_top": (0.5, 0.9)},
        )
        ccl = made(**CCLSpace.to_hold("ccl", None, ours))
        assert ccl.ranges == {"negative_weight": (2.0, 20.0), "margin": (0.0, 0.9), "learning_rate": (1e-3, 1e-2)}
        assert made(**FieldSpace.to_hold("bsl", None, ours)).ranges == {"learning_rate": (1e-3, 1e-2)}
        back = made(**MMLSpace.to_hold("mml", None, ccl))
        assert back.ranges == {"negative_ratio": (2.0, 20.0), "margin_top": (0.0, 0.9), "learning_rate": (1e-3, 1e-2)}
        assert made(**FieldSpace.to_hold("bpr", None, made("mml"))).also == ("learning_rate",)


class TestAtEnds:
    def ends(self, space: Space, **values: float) -> dict[str, str]:
        return {each.name: each.end for each in space.at_ends(at(space, **values))}

    def test_a_twentieth_of_the_range_counts_as_its_end(self):
        space = made("mml", n_margins=2)
        assert self.ends(space) == {}
        assert self.ends(space, negative_ratio=10_000**0.049) == {"negative_ratio": "low"}
        assert self.ends(space, negative_ratio=10_000**0.051) == {}
        assert self.ends(space, negative_ratio=10_000**0.951, margin_top=0.95) == {
            "negative_ratio": "high",
            "margin_top": "high",
        }

    def test_the_result_has_the_range(self):
        (found,) = made("mml", n_margins=3).at_ends(at(made("mml", n_margins=3), margin_drop_2=0.0101))
        assert found == AtEnd("margin_drop_2", "margin_drop", 0.0101, 0.01, 1.0, "low")

    def test_limits_of_a_parameter_do_not_count_as_ends(self):
        space = made("mml", n_margins=2, also=("l2", "dropout"))
        assert self.ends(space, margin_top=0.0, weight_ratio_1=1.0, margin_drop_1=1.0, l2=1e-10, dropout=0.0) == {}
        assert self.ends(space, weight_ratio_1=0.0, l2=1e-2, dropout=0.5) == {"l2": "high", "dropout": "high"}
        assert self.ends(made("triplet"), margin=4.0) == {}

    def test_a_factor_of_the_whole_loss_has_no_ends(self):
        assert self.ends(made("mml", n_margins=1), positive_weight=0.5) == {}

    def test_the_first_and_last_of_ordered_choices_are_ends(self):
        space = made("sl", also=("dim", "schedule"))
        point = {"temperature": 0.1, "schedule": "linear"}
        assert [each.end for dim in (16, 64, 256) for each in space.at_ends(point | {"dim": dim})] == ["low", "high"]


@pytest.mark.parametrize(
    ("name", "values", "ranges"),
    [
        ("mml", {"negative_ratio": 1.0}, {"negative_ratio": (0.1, 10_000.0)}),
        ("mml", {"negative_ratio": 1e4, "margin_top": 0.99}, {"negative_ratio": (1.0, 1e5), "margin_top": (0.0, 0.9999)}),
        ("bsl", {"exponent": 0.3}, {"exponent": (0.03, 3.0)}),
    ],
)
def test_a_range_is_doubled_or_an_end_moves_tenfold_within_limits(name: str, values: dict[str, float], ranges: dict[str, Any]):
    space = made(name)
    widened = space.widened(space.at_ends(at(space, **values)))
    assert widened == ranges
    wider = made(name, ranges=widened)
    assert wider.params(space.config(at(space, **values), FIXED)) == pytest.approx(at(space, **values)), (
        "every old config is in the wider range"
    )


def test_the_unchanged_end_of_a_range_is_not_rounded():
    space = made("mml", ranges={"negative_ratio": (1000.126, 4000.5)}, also=("negatives",))
    wider = space.widened(space.at_ends(at(made("mml"), negative_ratio=4000.0) | {"negatives": 100}))
    assert wider["negative_ratio"] == (1000.126, 17_000.0)
    space = made("sl", ranges={"negatives": (2, 3)}, also=("negatives",))
    assert space.widened(space.at_ends({"temperature": 0.1, "negatives": 2})) == {"negatives": (1, 3)}


def test_choices_grow_by_one():
    space = made("sl", also=("dim", "batch_size"), ranges={"batch_size": (64, 128)})
    point = {"temperature": 0.1, "dim": 256, "batch_size": 64}
    assert space.widened(space.at_ends(point)) == {"dim": (16, 32, 64, 128, 256, 512), "batch_size": (32, 128)}


def test_a_range_of_whole_numbers_never_gets_narrower():
    whole = Parameter(0, 10, whole=True)
    assert whole.widened(whole.box(), "low") == (-10, 10)
    limited = Parameter(2, 10, whole=True, limits=(0, 12.5))
    assert limited.widened(limited.box(), "low") == (0, 10)
    assert limited.widened(limited.box(), "high") == (2, 12)
    log = Parameter(2, 3, log=True, whole=True)
    assert log.widened(log.box(), "low") == (1, 3)
    assert log.widened(log.box(), "high") == (2, 5), "4.5 is rounded outwards"
    assert log.end(log.box((1, 100)), 1) is None, "a logarithm of whole numbers starts at 1"


def test_choices_stay_within_what_the_study_accepts():
    space = made("sl", also=("dim",), ranges={"dim": (1, 3000)})
    assert space.widened(space.at_ends({"temperature": 0.1, "dim": 3000})) == {"dim": (1, 3000, 4096)}
    assert space.at_ends({"temperature": 0.1, "dim": 1}) == ()
    space = made("sl", also=("dim",), ranges={"dim": (3, 4096)})
    assert space.at_ends({"temperature": 0.1, "dim": 4096}) == ()
    assert space.widened(space.at_ends({"temperature": 0.1, "dim": 3})) == {"dim": (1, 3, 4096)}
    with pytest.raises(ValidationError, match=r"ranges.dim: must lie in \[1, 4096\], got \[64, 8192\]"):
        made("sl", also=("dim",), ranges={"dim": (64, 8192)})


def test_choices_without_limits_are_widened_only_where_a_value_can_be_added():
    few = Choice((0, 2, 4), int)
    assert few.end(few.box(), 0) is None, "half of 0 is 0"
    assert few.end(few.box(), 4) == "high"
    assert few.widened(few.box(), "high") == (0, 2, 4, 8)


def test_the_nearest_mml_has_as_many_margins_as_the_space():
    loss = MML(margins=(0.7, 0.8, 0.9), weights=(0.1, 0.15, 0.75), negative_weight=700.0)
    config = TrainConfig.from_dict({**FIXED, "loss": loss})

    def nearest(n_margins: int, **settings: Any) -> MML:
        space = made("mml", n_margins=n_margins, **settings)
        params = space.nearest(config)
        assert params is not None
        found = space.config(params, FIXED).loss
        assert isinstance(found, MML)
        return found

    assert nearest(3) == loss
    more = nearest(4)
    assert (more.margins, more.weights) == ((0.63, 0.7, 0.8, 0.9), (0.0, 0.1, 0.15, 0.75)), "the further margin has weight 0"
    fewer = nearest(2)
    assert fewer.margins == (0.8, 0.9)
    assert fewer.weights == pytest.approx((0.15 / 0.9, 0.75 / 0.9))
    assert nearest(1) == MML(margins=(0.9,), weights=(1.0,), negative_weight=700.0)
    assert nearest(3, ranges={"negative_ratio": (1.0, 20.0)}).negative_weight == 20.0, "the end of the given range"
    assert made("ccl").nearest(config) is None, "a loss of another kind"
