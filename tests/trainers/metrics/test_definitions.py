"""Metrics against plain code with sets and loops and against values by hand. Names of metrics."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from trainers import InputError, Interactions, evaluate
from trainers.metrics.accuracy import evaluate_lists
from trainers.metrics.definitions import MAX_K, METRICS, Metric, metrics_at

from ...plain_metrics import plain

N_ITEMS = 12


@st.composite
def users_with_lists(draw: DrawFn) -> list[tuple[list[int], set[int]]]:
    """For a few users: a list without its end, and the held-out items, some of them not in the list."""
    items = st.permutations(range(N_ITEMS))
    length, wanted = st.integers(0, N_ITEMS), st.sets(st.integers(0, N_ITEMS - 1), min_size=1)
    return [(draw(items)[: draw(length)], draw(wanted)) for _ in range(draw(st.integers(1, 5)))]


@settings(max_examples=200)
@given(users=users_with_lists(), k=st.integers(1, 2 * N_ITEMS))
def test_metrics_agree_with_the_definition(users: list[tuple[list[int], set[int]]], k: int) -> None:
    pairs = [(user, item) for user, (_, wanted) in enumerate(users) for item in sorted(wanted)]
    held_out = Interactions.from_pairs(*np.array(pairs).T, len(users), N_ITEMS)
    lists = np.array([ranked + [-1] * (2 * N_ITEMS - len(ranked)) for ranked, _ in users])
    found = evaluate_lists(lists, held_out=held_out, ks=(k,), metrics=tuple(METRICS))
    assert found.columns.tolist() == [f"{name}@{k}" for name in METRICS]
    for name in METRICS:
        expected = [plain(name, ranked, wanted, k) for ranked, wanted in users]
        assert found[f"{name}@{k}"].tolist() == pytest.approx(expected, abs=1e-12), name


def of_one_user(order: list[int], held_out: list[int], seen: list[int], n_items: int, k: int) -> dict[str, float]:
    """All metrics of a user. The items are ranked in this order."""
    scores = np.zeros((n_items, 1), np.float32)
    scores[order, 0] = np.arange(len(order), 0, -1)
    seen_pairs, wanted = (
        Interactions.from_pairs(np.zeros(len(items), int), np.array(items, int), 1, n_items) for items in (seen, held_out)
    )
    found = evaluate(np.ones((1, 1), np.float32), scores, seen=seen_pairs, held_out=wanted, ks=(k,), metrics=tuple(METRICS))
    return {name: found[f"{name}@{k}"] for name in METRICS}


def test_metrics_agree_with_values_by_hand() -> None:
    """The list is 3 1 0 2 4 5, since 6 is seen.

    Items 1, 2, 4 and 5 are held out. Hits are at ranks 2 and 4, with k = 5 also at 5.
    """
    order, wanted, seen = [6, 3, 1, 0, 2, 4, 5], [1, 2, 4, 5], [6]
    third, fifth = 1 / math.log2(3), 1 / math.log2(5)
    ideal = 1 + third + 1 / 2 + fifth
    assert of_one_user(order, wanted, seen, 7, k=4) == pytest.approx(
        {
            "ndcg": (third + fifth) / ideal,
            "recall": 2 / 4,
            "hit": 1.0,
            "precision": 2 / 4,
            "map": (1 / 2 + 2 / 4) / 4,
            "mrr": 1 / 2,
        }
    )
    of_five = of_one_user(order, wanted, seen, 7, k=5)
    assert of_five["map"] == pytest.approx((1 / 2 + 2 / 4 + 3 / 5) / 4)
    assert of_five["precision"] == pytest.approx(3 / 5)
    of_two = of_one_user(order, wanted, seen, 7, k=2)
    assert of_two["map"] == pytest.approx((1 / 2) / 2), "at most two items can be found"
    assert set(of_one_user(order, wanted, seen, 7, k=1).values()) == {0.0}


def test_lists_may_be_shorter_than_k() -> None:
    """Two of three items are unseen, and both are held out. Precision counts empty ranks as misses."""
    found = of_one_user([0, 1, 2], [1, 2], [0], 3, k=20)
    assert found == pytest.approx({"ndcg": 1.0, "recall": 1.0, "hit": 1.0, "precision": 2 / 20, "map": 1.0, "mrr": 1.0})
    assert of_one_user([0, 1, 2], [1, 2], [0], 3, k=MAX_K)["recall"] == 1.0


def test_a_name_with_a_cut_off_gives_that_metric_alone() -> None:
    asked = metrics_at(["recall", "map@5", "ndcg", "recall@20"], ks=(20, 50))
    assert [str(metric) for metric in asked] == ["recall@20", "ndcg@20", "recall@50", "ndcg@50", "map@5"]


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("ndgc@20", "; did you mean 'ndcg@20'?"),
        ("ndcg", "; did you mean 'ndcg@20'?"),
        ("NDCG@10", "; did you mean 'ndcg@10'?"),
        ("recal@5", "; did you mean 'recall@5'?"),
        ("ndcg@0", "; did you mean 'ndcg@20'?"),
        ("ndcg@-1", "; did you mean 'ndcg@20'?"),
        ("ndcg@20.5", "; did you mean 'ndcg@20'?"),
        ("ndcg@02", "; did you mean 'ndcg@20'?"),
        ("ndcg@ 20", "; did you mean 'ndcg@20'?"),
        ("ndcg@٢", "; did you mean 'ndcg@20'?"),
        ("ndcg@20\n", "; did you mean 'ndcg@20'?"),
        ("ndcg@1000000000", "; did you mean 'ndcg@100000000'?"),
        ("auc@20", ""),
        ("", ""),
    ],
)
def test_an_invalid_name_is_refused(text: str, hint: str) -> None:
    with pytest.raises(InputError) as caught:
        Metric.parse(text)
    rule = (
        "a metric must be one of hit, map, mrr, ndcg, precision, recall at a whole cut-off from 1 to 999999999, such as ndcg@20"
    )
    assert str(caught.value) == f"{rule}, got {text!r}{hint}"


def test_an_unknown_name_with_cut_offs_is_refused() -> None:
    with pytest.raises(InputError, match="got 'recal@20'; did you mean 'recall@20'"):
        metrics_at(["recal"], ks=(20,))
    with pytest.raises(InputError, match="a metric needs a cut-off, got recall; write recall@20"):
        metrics_at(["recall"])
    with pytest.raises(InputError, match="metrics must not be empty"):
        metrics_at([])


@pytest.mark.parametrize("name", METRICS)
def test_a_valid_name_is_read_unchanged(name: str) -> None:
    assert Metric.parse(f"{name}@5") == Metric(name, 5)
    assert str(Metric(name, 5)) == f"{name}@5"
