"""The published settings for a dataset, or for data without settings those of another dataset."""

from __future__ import annotations

import pytest

from trainers.losses import BSL, SL, Loss
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
        ("bsl", "electronic_random", ("mf", "uniform"), BSL(temperature=0.2), ""),
        ("sl", "gowalla_random", ("mf", "uniform"), SL(temperature=0.1), ""),
        ("mml", "gowalla", ("mf", "popularity"), PUBLISHED["mml"]["gowalla"], "uniform negatives"),
    ],
)
def test_the_nearest_published_settings_are_used(
    name: str, dataset: str, model: tuple[str, str], expected: Loss, elsewhere: str
) -> None:
    assert published_loss(name, dataset, *model) == (expected, elsewhere)


def test_some_losses_have_no_published_settings() -> None:
    assert published_loss("triplet", "gowalla") is None
    assert published_loss("psl", "gowalla") is None, "only random splits of other data have settings"


def test_settings_from_the_same_interactions_do_not_count_as_other_data() -> None:
    """gowalla_random has the interactions of gowalla. Settings chosen on one have seen the test split of the other."""
    others = {"health_random", "electronic_random"}
    for shifted in ("electronic_popularity", "electronic_temporal"):
        assert "electronic_random" not in {data for _, data in published_elsewhere("sl", shifted)}
    assert {data for _, data in published_elsewhere("psl", "gowalla")} == others
    assert {data for _, data in published_elsewhere("psl", "gowalla_random")} == others
    assert {data for _, data in published_elsewhere("bsl", "gowalla_random")} == others | {"yelp2018"}
