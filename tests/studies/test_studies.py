from __future__ import annotations

import pytest

from hpo.spec import load_spec, shipped_studies
from trainers.config import TrainConfig


def test_what_ships():
    assert shipped_studies() == [f"{data}_{loss}" for data in ("demo", "gowalla", "yelp") for loss in ("bsl", "ccl", "mml")]


@pytest.mark.parametrize("name", shipped_studies())
def test_every_study_starts_with_its_published_config(name: str):
    spec = load_spec(name)
    published = spec.published(spec.search.epochs, spec.search.seed)
    assert published is not None
    config, source = published
    assert source == (spec.dataset if spec.dataset != "demo" else "yelp2018")
    params = spec.space.params(config)
    assert spec.space.config(params, spec.fields(spec.search.epochs, spec.search.seed)) == config


@pytest.mark.parametrize("name", [name for name in shipped_studies() if name.endswith("_mml")])
def test_rivals_are_searched_at_equal_budget(name: str):
    spec = load_spec(name)
    assert len(spec.rivals) == 2
    for rival in map(load_spec, spec.rivals):
        assert rival.dataset == spec.dataset
        assert rival.split_seed == spec.split_seed
        assert rival.search == spec.search
        assert rival.space.also == spec.space.also
        ours, theirs = (
            TrainConfig.from_dict({**s.config, "loss": {"name": "ccl", "margin": 0.5, "negative_weight": 1.0}})
            for s in (spec, rival)
        )
        assert ours == theirs
