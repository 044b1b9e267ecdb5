"""Encoders against dense computations in NumPy for each user, and gradients against finite differences.

The tolerance is 1e-7, because the edges of the graph are float32.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from trainers import InputError, Interactions, TrainConfig, train
from trainers.encoders import ENCODERS
from trainers.encoders.modules import EncoderModule
from trainers.engines import choose_engine
from trainers.scores import SCORES

N_USERS, N_ITEMS, DIM = 5, 8, 3
Floats = NDArray[np.float64]

CASES: dict[str, dict[str, Any]] = {
    "mf": {"name": "mf"},
    "simplex mean": {"name": "simplex", "g": 0.4},
    "simplex self-attention": {"name": "simplex", "g": 0.4, "aggregation": "self_attention", "max_history": 2},
    "simplex user-attention": {"name": "simplex", "g": 0.7, "aggregation": "user_attention", "history_table": "own"},
    "lightgcn 1": {"name": "lightgcn", "layers": 1},
    "lightgcn 3": {"name": "lightgcn", "layers": 3},
}


@pytest.fixture
def graph() -> Interactions:
    """11 pairs. User 4 and item 7 have none."""
    users = np.array([0, 0, 0, 1, 1, 2, 2, 2, 3, 3, 3])
    items = np.array([0, 2, 5, 1, 2, 0, 3, 6, 4, 5, 6])
    return Interactions.from_pairs(users, items, N_USERS, N_ITEMS)


def config(encoder: dict[str, Any], **fields: Any) -> TrainConfig:
    loss = {"name": "bpr"}
    return TrainConfig.from_dict({"loss": loss, "encoder": {"dim": DIM, "init_std": 0.5, **encoder}, "seed": 3, **fields})


def built(encoder: dict[str, Any], graph: Interactions) -> EncoderModule:
    module = config(encoder).encoder.build(graph, 3).double()
    generator = torch.Generator().manual_seed(1)
    for parameter in module.parameters():  # biases start at zero, and the test needs other values
        parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    module.refresh()
    return module


def numbers(module: EncoderModule) -> dict[str, Floats]:
    return {name: parameter.detach().numpy() for name, parameter in module.named_parameters()}


def simplex_by_hand(settings: Any, table: dict[str, Floats], graph: Interactions) -> Floats:
    found = np.zeros((N_USERS, DIM))
    history = table["history"] if settings.history_table == "own" else table["items"]
    for user in range(N_USERS):
        items = [int(item) for u, item in zip(graph.users, graph.items, strict=True) if u == user][-settings.max_history :]
        logits = []
        for item in items:
            if settings.aggregation == "mean":
                logits.append(0.0)
                continue
            key = [math.tanh(table["key"][a] @ history[item] + table["bias"][a]) for a in range(DIM)]
            query = table["query"][0] if settings.aggregation == "self_attention" else table["users"][user]
            logits.append(sum(key[a] * query[a] for a in range(DIM)))
        total = sum(math.exp(logit) for logit in logits)
        pooled = sum(
            (math.exp(logit) / total * history[item] for logit, item in zip(logits, items, strict=True)), np.zeros(DIM)
        )
        found[user] = settings.g * table["users"][user] + (1 - settings.g) * table["value"] @ pooled
    return found


def lightgcn_by_hand(layers: int, table: dict[str, Floats], graph: Interactions) -> tuple[Floats, Floats]:
    """LightGCN with the whole graph as one dense square matrix."""
    n = N_USERS + N_ITEMS
    adjacency = np.zeros((n, n))
    for user, item in zip(graph.users, graph.items, strict=True):
        adjacency[user, N_USERS + item] = adjacency[N_USERS + item, user] = 1
    degree = adjacency.sum(1)
    for a in range(n):
        for b in range(n):
            if adjacency[a, b]:
                adjacency[a, b] /= math.sqrt(degree[a] * degree[b])
    layer = np.concatenate([table["users"], table["items"]])
    total = layer.copy()
    for _ in range(layers):
        layer = adjacency @ layer
        total += layer
    mean = total / (layers + 1)
    return mean[:N_USERS], mean[N_USERS:]


@pytest.mark.parametrize("case", CASES)
def test_vectors_agree_with_a_computation_by_hand(case: str, graph: Interactions) -> None:
    module, settings = built(CASES[case], graph), config(CASES[case]).encoder
    table: Any = numbers(module)
    expected = {
        "mf": lambda: (table["users"], table["items"]),
        "simplex": lambda: (simplex_by_hand(settings, table, graph), table["items"]),
        "lightgcn": lambda: lightgcn_by_hand(settings.layers, table, graph),  # type: ignore[attr-defined]
    }[settings.name]()
    order = torch.tensor([3, 0, 4, 0, 2, 1])
    np.testing.assert_allclose(module.user_vectors(order).detach().numpy(), expected[0][order], rtol=1e-6, atol=1e-7)
    several = torch.tensor([[7, 0], [3, 3], [6, 2]])
    np.testing.assert_allclose(module.item_vectors(several).detach().numpy(), expected[1][several], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("case", CASES)
def test_gradients_agree_with_finite_differences(case: str, graph: Interactions) -> None:
    module = built(CASES[case], graph)
    weights = torch.randn(6, DIM, generator=torch.Generator().manual_seed(2), dtype=torch.float64)

    def value() -> torch.Tensor:
        module.refresh()
        users, items = (
            module.user_vectors(torch.tensor([3, 0, 4, 0, 2, 1])),
            module.item_vectors(torch.tensor([7, 0, 3, 3, 6, 2])),
        )
        return (SCORES["cosine"].users(users) * SCORES["cosine"].items(items) * weights).sum() + (users * items).sum()

    module.zero_grad()
    value().backward()  # type: ignore[no-untyped-call]
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, f"{name} has no effect on the scores"
        for index in range(parameter.numel()):
            flat, step = parameter.data.view(-1), 1e-6
            before = float(flat[index])
            flat[index] = before + step
            above = float(value().detach())
            flat[index] = before - step
            below = float(value().detach())
            flat[index] = before
            gradient = (above - below) / (2 * step)
            assert float(parameter.grad.view(-1)[index]) == pytest.approx(gradient, rel=1e-5, abs=1e-7), f"{name}[{index}]"


def test_simplex_with_g_one_is_mf(graph: Interactions) -> None:
    """The official config for Yelp2018 has g = 1."""
    runs = [
        train(config({"name": name, **more}, epochs=2), graph, engine="torch")
        for name, more in (("mf", {}), ("simplex", {"g": 1.0, "history_table": "own"}))
    ]
    losses = [[result.loss for result in run] for run in runs]
    assert losses[0] == losses[1]
    for one, other in zip(runs[0].vectors(), runs[1].vectors(), strict=True):
        assert np.array_equal(one, other)


def test_tables_are_the_embedding_tables(graph: Interactions) -> None:
    """l2 and a maximal norm apply to their rows. Other matrices are not among them."""
    for case, count in {"mf": 2, "simplex mean": 2, "simplex user-attention": 3, "lightgcn 3": 2}.items():
        tables = built(CASES[case], graph).tables()
        assert len(tables) == count
        assert {len(table) for table in tables} <= {N_USERS, N_ITEMS}


@pytest.mark.parametrize("case", sorted(set(CASES) - {"mf"}))
def test_every_encoder_learns(case: str, parity: Any) -> None:
    settings = config(
        CASES[case] | {"dim": 8, "init_std": 0.1},
        loss={"name": "ccl", "margin": 0.5, "negative_weight": 3.0},
        negatives={"name": "uniform", "count": 12},
        learning_rate=0.02,
        batch_size=500,
        epochs=12,
        l2=1e-6,
    )
    choice = choose_engine(settings, device="cpu")
    assert choice.name == ("numba" if case == "simplex user-attention" else "torch"), choice.reason
    metrics = train(settings, parity.seen, parity.held_out, device="cpu", evaluate_every=12).finish().metrics
    assert metrics is not None
    assert metrics["recall@20"] > 0.9, f"metrics {metrics}"


@pytest.mark.parametrize("case", CASES)
def test_the_same_config_gives_the_same_bits(case: str, graph: Interactions) -> None:
    runs = [train(config(CASES[case], epochs=2), graph, engine="torch") for _ in range(2)]
    assert [r.loss for r in runs[0]] == [r.loss for r in runs[1]]
    assert runs[0].vectors()[0].tobytes() == runs[1].vectors()[0].tobytes()


@pytest.mark.parametrize(
    ("encoder", "words"),
    [
        ({"name": "simplex", "g": 1.5}, ["encoder.g", "less than or equal to 1", "1.5"]),
        ({"name": "simplex", "aggregation": "attention"}, ["encoder.aggregation", "'user_attention'", "'attention'"]),
        ({"name": "simplex", "max_history": 0}, ["encoder.max_history", "greater than or equal to 1"]),
        ({"name": "lightgcn", "layers": 0}, ["encoder.layers", "greater than or equal to 1"]),
        ({"name": "lightgcm"}, ["unknown encoder 'lightgcm'", "lightgcn"]),
    ],
)
def test_invalid_settings_are_refused(encoder: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        config(encoder)
    assert not [word for word in words if word not in str(caught.value)], str(caught.value)


def test_every_encoder_is_tested() -> None:
    assert {case["name"] for case in CASES.values()} == set(ENCODERS)
