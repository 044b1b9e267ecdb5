"""Spellings of metrics and roles of columns."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpo.comparison.columns import Places, canonical, places_of, spelt_like

SPELT = {
    "ndcg@20": ["NDCG@20", "ndcg_20", "nDCG-20", "Ndcg 20", "ndcg_at_20", "ndcg20", "ndcg@20:float", "NDCG@k20"],
    "hitrate@5": ["HitRate@5", "hit_rate@5", "hit-rate_5"],
    "ndcgrendle2020": ["nDCGRendle2020", "ndcgrendle2020"],
    "ndcgrendle2020@10": ["nDCGRendle2020@10"],
    "ndcg": ["NDCG", "nDCG"],
    "f1": ["F1"],
}


@pytest.mark.parametrize(("name", "spelling"), [(name, spelling) for name, each in SPELT.items() for spelling in each])
def test_all_spellings_of_a_metric_are_known(name: str, spelling: str):
    assert canonical(spelling) == name


def test_a_column_with_the_exact_name_comes_first():
    assert spelt_like("NDCG@20", ["ndcg_20", "NDCG@20"]) == ["NDCG@20"]
    assert spelt_like("ndcg@20", ["ndcg_20", "NDCG@20", "ndcg@2"]) == ["ndcg_20", "NDCG@20"]


@pytest.mark.parametrize(
    ("names", "places"),
    [
        (["user_id:token", "item_id:token", "score:float"], Places(0, 1, None, 2, None, None)),
        (["", "NDCG@20"], Places(0, None, None, None, None, None, frozenset({0}))),
        (["", "userId", "seed", "NDCG"], Places(1, None, None, None, 2, None, frozenset({0}))),
        (["user", "Unnamed: 0", "NDCG"], Places(0, None, None, None, None, None, frozenset({1}))),
        (["model", "uid", "itemid", "prediction", "Rank"], Places(1, 2, 4, 3, None, 0)),
    ],
)
def test_columns_get_their_roles(names: list[str], places: Places):
    assert places_of(names, Path("x.csv")) == places
