"""`rivals: all`: which losses it has, and why others are left out."""

from __future__ import annotations

from typing import Any

import pytest

from hpo.study.rivals import left_out_said, rivals_of
from hpo.study.spec import ALL, StudySpec
from trainers.engines.row_losses import ROW_FUNCTIONS, THRESHOLD_ROWS
from trainers.errors import InputError
from trainers.losses import LOSSES

FUSED = {name for name, loss in LOSSES.items() if loss in {*ROW_FUNCTIONS, *THRESHOLD_ROWS}}
OF_DISTANCES = {"contrastive", "triplet", "cml"}
OF_UNIT_VECTORS = {"directau", "mawu"}


def spec(space: str = "mml", rivals: Any = ALL, **config: Any) -> StudySpec:
    content = {"name": "mine", "dataset": "demo", "space": {"name": space, "also": ["learning_rate"]}, "config": config}
    return StudySpec.model_validate(content | {"rivals": rivals})


def losses(found: StudySpec, engine: str = "auto") -> set[str]:
    return {rival.space.loss_name for rival in rivals_of(found, engine, "cpu").specs}


def test_all_other_losses_are_rivals_with_the_settings_of_the_study():
    ours = spec(batch_size=64)
    rivals = rivals_of(ours)
    assert [rival.name for rival in rivals.specs] == [f"mine_{loss}" for loss in LOSSES if loss != "mml"]
    assert rivals.left_out == {}
    assert all(rival.config == ours.config for rival in rivals.specs)
    assert {rival.with_budget_of(ours).space.also for rival in rivals.specs} == {("learning_rate",)}


def test_a_second_space_of_a_loss_is_no_rival():
    assert losses(spec("mml_shape")) == {*LOSSES} - {"mml"}


def test_losses_that_the_score_excludes_are_left_out_with_the_reason():
    found = rivals_of(spec(score="inner_product"))
    assert set(found.left_out) == OF_DISTANCES | OF_UNIT_VECTORS
    assert losses(spec(score="inner_product")) == {*LOSSES} - {"mml"} - OF_DISTANCES - OF_UNIT_VECTORS
    assert left_out_said(found.left_out)[-1] == (
        "rivals: all leaves out MAWU: it cannot be used with score inner_product: it spreads unit vectors over the sphere"
    )


def test_losses_that_need_negatives_are_left_out_of_a_study_without_them():
    found = rivals_of(spec("directau", negatives={"name": "none"}))
    assert [rival.space.loss_name for rival in found.specs] == ["mawu"]
    assert found.left_out["ccl"] == "loss ccl needs negatives, and negatives none are none; use uniform or another"


def test_an_engine_that_is_asked_for_leaves_out_what_it_cannot_train():
    found = rivals_of(spec(), "numba", "cpu")
    assert {*found.left_out} == {*LOSSES} - FUSED
    assert found.left_out["mawu"] == "engine numba cannot run this: loss mawu has no row function; use engine torch or auto"
    assert losses(spec(), "numba") == FUSED - {"mml"}
    assert losses(spec(), "torch") == {*LOSSES} - {"mml"}


def test_a_list_is_not_cut_by_the_engine():
    assert losses(spec(rivals=["ccl", "mawu"]), "numba") == {"ccl", "mawu"}
    assert rivals_of(spec(rivals=["ccl"])).left_out == {}


@pytest.mark.parametrize(
    ("rivals", "league", "expected"), [(ALL, None, True), (ALL, False, False), (["ccl"], None, False), (["ccl"], True, True)]
)
def test_all_rivals_make_a_league_and_a_list_does_if_asked(rivals: Any, league: bool | None, expected: bool):
    assert spec(rivals=rivals).override({"confirm.league": league}).is_league is expected


@pytest.mark.parametrize("rivals", ["ccl", 3, [3]])
def test_other_rivals_are_refused_in_words(rivals: Any):
    with pytest.raises(InputError, match=r"^study mine: rivals(\.0)?: must be (a list or all|text), got ('ccl'|3)$"):
        spec(rivals=()).override({"rivals": rivals})


def test_a_file_keeps_the_word():
    assert "rivals: all" in spec().as_file()
    assert spec().override({}).rivals == ALL


def test_a_rival_whose_own_extra_parameter_is_not_searched_loses_its_range():
    ours = StudySpec.model_validate({"name": "x", "dataset": "demo", "space": {"name": "mml"}})
    space = {"name": "ccl", "also": ["learning_rate"], "ranges": {"learning_rate": [1e-3, 1e-2], "margin": [0.1, 0.9]}}
    rival = StudySpec.model_validate({"name": "y", "dataset": "demo", "space": space}).with_budget_of(ours)
    assert rival.space.also == ()
    assert rival.space.ranges == {"margin": (0.1, 0.9)}
