from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from pydantic import ValidationError
from pydantic.dataclasses import dataclass

from search_spaces import SPACES, Space
from search_spaces.base import ALSO
from search_spaces.fields import FIELDS
from search_spaces.ordered import weights_from_tau
from search_spaces.spaces import LOWEST_MARGIN
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


ALL_SPACES = [
    *(made("mml", n_margins=k, also=also) for k in (1, 2, 3, 4, 7) for also in ((), EVERYTHING)),
    *(made(name, also=also) for name in sorted(set(SPACES) - {"mml", *BARE}) for also in ((), EVERYTHING)),
    *(made(name, also=("learning_rate",)) for name in BARE),
]


def point_of(boxes: dict[str, BaseDistribution]) -> st.SearchStrategy[dict[str, Any]]:
    """Points of a box, its corners often among them."""

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
    config = space.config(data.draw(point_of(space.boxes())), FIXED)  # TrainConfig has checked it
    params = space.params(config)
    assert space.config(params, FIXED) == config
    for name, box in space.boxes().items():
        assert box._contains(box.to_internal_repr(params[name])), f"{name} = {params[name]} left its box {box}"
    if isinstance(config.loss, MML):
        assert config.loss.margins[0] >= LOWEST_MARGIN - 1e-9


@pytest.mark.parametrize(("dataset", "n_margins"), [("yelp2018", 4), ("gowalla", 3)])
def test_published_mml_is_in_its_space_bit_for_bit(dataset: str, n_margins: int):
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
def test_published_mml_has_no_shape_but_a_nearest_one(dataset: str):
    space = made("mml_shape", also=("learning_rate",))
    config = TrainConfig.from_dict({**FIXED, "loss": PUBLISHED["mml"][dataset]})
    with pytest.raises(InputError, match="tau: weights"):
        space.params(config)
    params = space.nearest(config)
    assert params is not None
    assert (params["margin_top"], params["curvature"], params["learning_rate"]) == (0.9, 1.0, config.learning_rate)
    near = space.config(params, FIXED)
    assert space.nearest(near) == params
    assert space.nearest(config.replace(learning_rate=1.0)) is None, "another field is outside"
    assert space.nearest(near.replace(loss=PUBLISHED["ccl"][dataset])) is None
    assert made("mml", n_margins=2).nearest(config) is None


def test_one_margin_is_a_shape():
    """CCL's form: the lowest margin is the highest, and neither it, the curvature nor tau has an effect."""
    space = made("mml_shape")
    point = {"n_margins": 1, "margin_top": 0.9, "negative_ratio": 150.0, "positive_weight": 1.0}
    shapes = ({"low_fraction": f, "curvature": c, "tau": t} for f, c, t in ((0.0, 0.25, 0.03), (0.7, 3.0, 1.0)))
    for shape in shapes:
        config = space.config({**point, **shape}, FIXED)
        assert config.loss == MML(margins=(0.9,), weights=(1.0,), negative_weight=150.0)
        assert space.params(config) == {**point, "low_fraction": 1.0, "curvature": 1.0, "tau": 1.0}


@pytest.mark.parametrize("name", sorted(set(PUBLISHED) - {"mml"}))
@pytest.mark.parametrize("dataset", ["yelp2018", "gowalla"])
def test_published_rivals_are_in_their_spaces(name: str, dataset: str):
    space = made(name, also=("learning_rate",))
    config = TrainConfig.from_dict({**FIXED, "loss": PUBLISHED[name][dataset]})
    assert space.config(space.params(config), FIXED) == config


@pytest.mark.parametrize("name", BARE)
def test_a_loss_without_settings_alone_is_nothing_to_search(name: str):
    with pytest.raises(ValidationError, match="no settings to search; name others in also"):
        made(name)


@pytest.mark.parametrize("name", sorted(SPACES))
def test_what_is_searched_beside_the_loss_is_named_once(name: str):
    with pytest.raises(InputError, match=r"mine: also: each field may be named once, l2 is repeated, got \['l2', .*'l2'\]"):
        checked(SPACES[name], {"name": name, "also": ["l2", "dropout", "l2"]}, "mine")


@pytest.mark.parametrize("field", ["negatives", "encoder"])
@pytest.mark.parametrize("given", ["uniform", None, 3, [], [{"name": "mf"}], {}, {"dim": 8}])
def test_the_rest_of_a_searched_field_must_be_a_mapping(field: str, given: Any):
    """In the words that are said where nothing of it is searched."""
    said = []
    for also in (EVERYTHING, ("l2",)):
        space = made("ccl", also=also)
        with pytest.raises(InputError, match=f"config: {field}: must be a mapping with a name") as caught:
            space.config(space.corner(), {**FIXED, field: given})
        said.append(str(caught.value))
    assert said[0] == said[1]
    assert said[0].endswith(f"got {given!r}")


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
def test_whatever_a_study_says_gives_a_config_or_the_reason_why_not(name: str, also: list[str], fixed: dict[str, Any]):
    with suppress(InputError):
        space = checked(SPACES[name], {"name": name, "also": also}, "space")
        space.config(space.corner(), fixed)


def test_every_loss_has_a_space():
    assert {made(name, also=("l2",)).loss_name for name in SPACES} == set(LOSSES)


@pytest.mark.parametrize("name", sorted(SPACES))
def test_optuna_asks_and_is_answered(name: str):
    space = made(name, also=EVERYTHING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(20):
        params = study.ask(fixed_distributions=space.boxes()).params
        assert set(params) == set(space.boxes())
        config = space.config(params, FIXED)
        assert config.loss.name == space.loss_name
        assert (config.encoder.dim, config.batch_size, config.epochs, config.seed) == (16, 128, 7, 3)


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_an_unknown_key_is_told_among_those_of_the_space(name: str):
    """As a study picks its space: by name, among all."""

    @dataclass(config=SETTINGS)
    class Study:
        space: choice("space", SPACES)  # type: ignore[valid-type]

    with pytest.raises(InputError, match=r"mine: space: unknown key 'n_margins'; known: also, name$"):
        checked(Study, {"space": {"name": name, "n_margins": 2, "also": ["l2"]}}, "mine")


def test_no_l2_is_the_bottom_of_its_box():
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
            {"loss": MML(margins=(0.2, 0.9), weights=(0.4, 0.6), negative_weight=400.0)},
            "margin_ratio_1",
        ),
        (
            made("mml", n_margins=2),
            {"loss": MML(margins=(0.6, 0.99), weights=(0.4, 0.6), negative_weight=400.0)},
            "margin_top",
        ),
        (
            made("mml", n_margins=2),
            {"loss": MML(margins=(0.6, 0.9), weights=(0.4, 0.6), negative_weight=4.0)},
            "negative_ratio",
        ),
        (made("mml", n_margins=3), {"loss": MML_LOSS}, "n_margins 3"),
        (
            made("mml", n_margins=2),
            {"loss": MML(margins=(0.6, 0.9), weights=(0.4, 0.6), positive_weight=0.0, negative_weight=4.0)},
            "positive_weight",
        ),
        (made("mml_shape"), {"loss": CCL(margin=0.9, negative_weight=150.0)}, "space mml_shape holds losses of kind mml"),
        (made("mml_shape"), {"loss": shaped((0.6, 0.99))}, "margin_top"),
        (made("mml_shape"), {"loss": shaped((0.1, 0.2))}, "margin_top"),
        (made("mml_shape"), {"loss": shaped((0.9123456789012,))}, "curvature: no power law"),
        (made("mml_shape"), {"loss": shaped((0.2, 0.9))}, "low_fraction"),
        (made("mml_shape"), {"loss": shaped((0.6, 0.61, 0.9))}, "curvature: no power law"),
        (made("mml_shape"), {"loss": shaped((0.6, 0.8, 0.7 + 0.2))}, "curvature: no power law"),
        (made("mml_shape"), {"loss": shaped((0.6, 0.75, 0.9), tau=0.02)}, "tau: weights"),
        (made("mml_shape"), {"loss": shaped((0.6, 0.9), tau=2.0)}, "tau: weights"),
        (made("mml_shape"), {"loss": MML_LOSS}, "tau: weights"),
        (made("mml_shape"), {"loss": shaped([0.5 + 0.05 * k for k in range(9)])}, "n_margins"),
        (made("mml_shape"), {"loss": shaped((0.6, 0.9), negative_weight=1.0)}, "negative_ratio"),
        (made("mml_shape"), {"loss": shaped((0.6, 0.9), positive_weight=0.0)}, "positive_weight"),
        (made("ccl"), {"loss": MML_LOSS}, "space ccl"),
        (made("bsl"), {"loss": BSL(temperature=0.1, mode="multi")}, "mode"),
        (made("bsl"), {"loss": BSL(temperature=0.5)}, "temperature"),
        (
            made("mml", n_margins=2, also=("negatives",)),
            {"loss": MML_LOSS, "negatives": {"name": "uniform", "count": 5}},
            "negatives",
        ),
        (
            made("mml", n_margins=2, also=("dropout",)),
            {"loss": MML_LOSS, "encoder": {"name": "mf", "dropout": 0.5}},
            "dropout",
        ),
        (made("mml", n_margins=2, also=("learning_rate",)), {"loss": MML_LOSS, "learning_rate": 1.0}, "learning_rate"),
    ],
)
def test_a_config_outside_the_space_names_the_parameter(space: Space, changes: dict[str, Any], named: str):
    config = TrainConfig.from_dict({**FIXED, **changes})
    with pytest.raises(InputError, match=named):
        space.params(config)


def test_fields_that_are_not_searched_must_be_as_the_space_has_them():
    other = CML(margin=1.0, rank_weight=False)
    with pytest.raises(InputError, match="rank_weight: this space has True, got False"):
        made("cml").params(TrainConfig.from_dict({**FIXED, "loss": other}))


@pytest.mark.parametrize("space", ALL_SPACES, ids=repr)
@pytest.mark.parametrize("highest", [False, True])
def test_corners_are_in_the_box(space: Space, highest: bool):
    corner = space.corner(highest)
    assert set(corner) == set(space.boxes())
    assert space.config(corner, FIXED)
