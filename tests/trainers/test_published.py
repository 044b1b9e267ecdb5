"""Whose settings a study gets that no paper has been there before."""

from __future__ import annotations

import pytest

from trainers.losses import Loss
from trainers.published import BY_MODEL, PUBLISHED, published_loss

IN_BATCH = "lightgcn", "in_batch"


@pytest.mark.parametrize(
    ("name", "dataset", "model", "expected", "elsewhere"),
    [
        ("bsl", "gowalla", ("mf", "uniform"), PUBLISHED["bsl"]["gowalla"], ""),
        ("bsl", "gowalla", IN_BATCH, BY_MODEL[IN_BATCH]["bsl"]["gowalla"], ""),
        ("bsl", "mine", IN_BATCH, BY_MODEL[IN_BATCH]["bsl"]["yelp2018"], "yelp2018"),
        ("ccl", "mine", IN_BATCH, PUBLISHED["ccl"]["yelp2018"], "mf on yelp2018"),
        ("mml", "gowalla", ("mf", "popularity"), PUBLISHED["mml"]["gowalla"], "uniform negatives"),
    ],
)
def test_the_nearest_settings(name: str, dataset: str, model: tuple[str, str], expected: Loss, elsewhere: str) -> None:
    assert published_loss(name, dataset, *model) == (expected, elsewhere)


def test_what_nobody_published() -> None:
    assert published_loss("triplet", "gowalla") is None
