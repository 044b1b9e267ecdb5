"""Whose settings a study gets that no paper has been there before."""

from __future__ import annotations

import pytest

from trainers.losses import Loss
from trainers.published import BY_MODEL, PUBLISHED, published_elsewhere, published_loss

IN_BATCH = "lightgcn", "in_batch"


@pytest.mark.parametrize(
    ("name", "dataset", "model", "expected", "elsewhere"),
    [
        ("bsl", "gowalla", ("mf", "uniform"), PUBLISHED["bsl"]["gowalla"], ""),
        ("bsl", "gowalla", IN_BATCH, BY_MODEL[IN_BATCH]["bsl"]["gowalla"], ""),
        ("bsl", "mine", IN_BATCH, BY_MODEL[IN_BATCH]["bsl"]["yelp2018"], "yelp2018"),
        ("ccl", "mine", IN_BATCH, PUBLISHED["ccl"]["yelp2018"], "mf on yelp2018"),
        ("psl", "gowalla_random", ("mf", "uniform"), PUBLISHED["psl"]["gowalla_random"], ""),
        ("mml", "gowalla", ("mf", "popularity"), PUBLISHED["mml"]["gowalla"], "uniform negatives"),
    ],
)
def test_the_nearest_settings(name: str, dataset: str, model: tuple[str, str], expected: Loss, elsewhere: str) -> None:
    assert published_loss(name, dataset, *model) == (expected, elsewhere)


def test_what_nobody_published() -> None:
    assert published_loss("triplet", "gowalla") is None
    assert published_loss("psl", "gowalla") is None, "only random splits have settings, of data of other users"


def test_settings_of_the_same_interactions_are_not_those_of_other_data() -> None:
    """gowalla_random has gowalla's interactions: what was chosen on the one has seen the other's test split."""
    others = {"health_random", "electronic_random"}
    assert {data for _, data in published_elsewhere("psl", "gowalla")} == others
    assert {data for _, data in published_elsewhere("psl", "gowalla_random")} == others
    assert {data for _, data in published_elsewhere("bsl", "gowalla_random")} == {"yelp2018"}
