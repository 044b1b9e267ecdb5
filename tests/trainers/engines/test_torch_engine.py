"""The reference engine against a computation of score, loss, gradient and Adam in NumPy."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Container, Iterator
from typing import Any

import numpy as np
import pytest
import torch

from trainers import Interactions, TrainConfig, TrainingDiverged, rng, train
from trainers.encoders import MF
from trainers.engines.lazy_adam import learning_rate_at
from trainers.engines.protocol import every
from trainers.engines.torch_engine import TorchEngine
from trainers.errors import OutOfMemory
from trainers.rng import Purpose

N_USERS, N_ITEMS = 5, 8
MML = {"name": "mml", "margins": [0.1, 0.3, 0.6], "weights": [0.2, 0.3, 0.5], "positive_weight": 1.5, "negative_weight": 6.0}
BSL = {"name": "bsl", "temperature": 0.3, "exponent": 1.2}
BSL_MULTI = {**BSL, "mode": "multi"}


@pytest.fixture
def graph() -> Interactions:
    """11 pairs. User 4 and item 7 have none."""
    users = np.array([0, 0, 0, 1, 1, 2, 2, 2, 3, 3, 3])
    items = np.array([0, 2, 5, 1, 2, 0, 3, 6, 4, 5, 6])
    return Interactions.from_pairs(users, items, N_USERS, N_ITEMS)


@pytest.fixture
def held_out() -> Interactions:
    return Interactions.from_pairs(np.array([0, 1, 3]), np.array([1, 3, 7]), N_USERS, N_ITEMS)


def config(loss: dict[str, Any] = MML, **changes: Any) -> TrainConfig:
    """11 pairs in batches of 4: two full ones and one of 3. N = 6, dim = 3."""
    mapping: dict[str, Any] = {
        "loss": loss,
        "encoder": {"name": "mf", "dim": 3, "init_std": 0.5},
        "negatives": {"name": "uniform", "count": 6},
        "learning_rate": 0.03,
        "batch_size": 4,
        "epochs": 2,
        "seed": 3,
    }
    return TrainConfig.from_dict({**mapping, **changes})


class ByHand:
    """MF in float64 NumPy, straight from the formulas. Only the random draws come from the program."""

    def __init__(self, settings: TrainConfig, graph: Interactions) -> None:
        assert isinstance(settings.encoder, MF)
        users, items = settings.encoder.initial_tables(graph.n_users, graph.n_items, settings.seed)
        self.config, self.graph = settings, graph
        self.tables = [users.astype(np.float64), items.astype(np.float64)]
        self.moments = [[np.zeros_like(table), np.zeros_like(table)] for table in self.tables]
        self.steps = 0

    def epoch(self, number: int) -> float:
        n_rows, total = len(self.graph), 0.0
        n_steps = self.config.epochs * math.ceil(n_rows / self.config.batch_size)
        order = rng.permuted(rng.key(self.config.seed, Purpose.SHUFFLE, number), np.arange(n_rows), n_rows)
        for start in range(0, n_rows, self.config.batch_size):
            rows = range(start, min(start + self.config.batch_size, n_rows))
            rate = self.config.learning_rate
            if self.config.schedule == "linear":
                rate *= 1 - self.steps / n_steps
            total += self.step(number, rows, order[rows.start : rows.stop], rate) * len(rows)
        return total / n_rows

    def step(self, number: int, rows: range, pairs: np.ndarray, rate: float) -> float:
        """One batch, row by row: the loss, the gradients of both tables, and Adam on all rows of both tables."""
        dim, count, dropout = self.config.encoder.dim, self.config.negatives.count, self.config.encoder.dropout
        users, positives = self.graph.users[pairs], self.graph.items[pairs]
        negative_stream = rng.key(self.config.seed, Purpose.NEGATIVES, number)
        dropout_stream = rng.key(self.config.seed, Purpose.DROPOUT, number)
        items = np.empty((len(rows), 1 + count), np.int64)  # the positive is the first
        masks = np.ones((len(rows), dim))
        for index, row in enumerate(rows):
            at = np.arange(row * count, (row + 1) * count, dtype=np.uint64)
            items[index] = [positives[index], *rng.integers(negative_stream, at, self.graph.n_items)]
            if dropout:
                kept = rng.keep_mask(dropout_stream, np.arange(row * dim, (row + 1) * dim, dtype=np.uint64), dropout)
                masks[index] = kept / (1 - dropout)
        cosine, euclidean = self.config.score == "cosine", self.config.score == "euclidean"
        unit = [table / (np.linalg.norm(table, axis=1, keepdims=True) if cosine else 1.0) for table in self.tables]
        scores = np.array([unit[1][items[p]] @ (unit[0][users[p]] * masks[p]) for p in range(len(rows))])
        if euclidean:
            apart = [self.tables[1][items[p]] - self.tables[0][users[p]] for p in range(len(rows))]
            scores = 1 - np.square(apart).sum(-1) / 2
        value, score_gradients = self.loss_and_score_gradients(scores, users)
        gradients = [np.zeros_like(table) for table in self.tables]
        for p, user in enumerate(users):
            if not cosine:
                for item, score_gradient in zip(items[p], score_gradients[p], strict=True):
                    gradients[0][user] += score_gradient * (self.tables[1][item] * masks[p] - euclidean * self.tables[0][user])
                    gradients[1][item] += score_gradient * (self.tables[0][user] * masks[p] - euclidean * self.tables[1][item])
                continue
            to_unit_user = masks[p] * (score_gradients[p] @ unit[1][items[p]])
            gradients[0][user] += self.through_norm(to_unit_user, unit[0][user], self.tables[0][user])
            for item, score_gradient in zip(items[p], score_gradients[p], strict=True):
                to_unit_item = score_gradient * masks[p] * unit[0][user]
                gradients[1][item] += self.through_norm(to_unit_item, unit[1][item], self.tables[1][item])
        self.steps += 1
        for table, (m, v), gradient in zip(self.tables, self.moments, gradients, strict=True):
            moved = (gradient != 0).any(axis=1, keepdims=True)
            gradient += self.config.l2 * table * moved + self.config.weight_decay * table
            m[:] = 0.9 * m + 0.1 * gradient
            v[:] = 0.999 * v + 0.001 * gradient**2
            table -= rate * (m / (1 - 0.9**self.steps)) / (np.sqrt(v / (1 - 0.999**self.steps)) + 1e-8)
            if euclidean:
                table /= np.where(moved, np.maximum(1, np.linalg.norm(table, axis=1, keepdims=True)), 1)
        return value

    @staticmethod
    def through_norm(gradient: np.ndarray, unit: np.ndarray, raw: np.ndarray) -> np.ndarray:
        """The gradient by e from the gradient by e / |e|."""
        return (gradient - unit * (unit @ gradient)) / np.linalg.norm(raw)

    def loss_and_score_gradients(self, scores: np.ndarray, users: np.ndarray) -> tuple[float, np.ndarray]:
        """The mean over the batch, and its gradient by each score. The positive is the first."""
        loss: Any = self.config.loss
        size, count = len(scores), scores.shape[1] - 1
        positive, negative = scores[:, 0], scores[:, 1:]
        score_gradients = np.zeros_like(scores)
        if loss.name == "mml":
            value = loss.positive_weight * np.maximum(0, 1 - positive)
            score_gradients[:, 0] = -loss.positive_weight * (positive < 1)
            for margin, weight in zip(loss.margins, loss.weights, strict=True):
                value = value + loss.negative_weight / count * weight * np.maximum(0, negative - margin).sum(1)
                score_gradients[:, 1:] += loss.negative_weight / count * weight * (negative > margin)
            return float(value.mean()), score_gradients / size
        if loss.name == "cml":
            gaps = loss.margin + 2 * negative - 2 * positive[:, None]
            weight = np.log(1 + self.graph.n_items * (gaps > 0).mean(1))
            steepest = 2 * weight * (gaps.max(1) > 0)
            score_gradients[:, 1:] = (
                steepest[:, None]
                * (gaps == gaps.max(1, keepdims=True))
                / (negative == negative.max(1)[:, None]).sum(1)[:, None]
            )
            score_gradients[:, 0] = -steepest
            return float((weight * np.maximum(gaps.max(1), 0)).mean()), score_gradients
        heat = np.exp(negative / loss.temperature)
        score_gradients[:, 1:] = loss.exponent * heat / heat.sum(1, keepdims=True) / loss.temperature
        if loss.mode == "reweight":
            score_gradients[:, 0] = -1 / loss.temperature
            value = loss.exponent * np.log(heat.sum(1)) - positive / loss.temperature
        else:
            warmth = np.exp(positive / loss.temperature)
            pools = [warmth[users == user] for user in users]
            value = loss.exponent * np.log(heat.mean(1)) - np.log([pool.mean() for pool in pools])
            score_gradients[:, 0] = [
                -len(pool) * w / pool.sum() / loss.temperature for pool, w in zip(pools, warmth, strict=True)
            ]
        return float(value.mean()), score_gradients / size


VARIANTS = {
    "mml": config(MML),
    "bsl": config(BSL),
    "bsl multi": config(BSL_MULTI),
    "l2": config(MML, l2=0.05),
    "weight decay": config(MML, l2=0.05, weight_decay=0.02),
    "linear": config(BSL, schedule="linear"),
    "inner product": config(MML, score="inner_product", l2=0.05),
    "inner product, dropout": config(
        BSL, score="inner_product", encoder={"name": "mf", "dim": 3, "init_std": 0.5, "dropout": 0.4}
    ),
    "euclidean": config(
        {"name": "cml", "margin": 0.4},
        score="euclidean",
        l2=0.05,
        learning_rate=0.3,
        encoder={"name": "mf", "dim": 3, "init_std": 0.2},  # rows begin inside the ball and reach its surface
    ),
    "dropout": config(MML, encoder={"name": "mf", "dim": 3, "init_std": 0.5, "dropout": 0.4}),
    "all at once": config(
        BSL_MULTI, l2=0.02, schedule="linear", encoder={"name": "mf", "dim": 3, "init_std": 0.5, "dropout": 0.4}, seed=8
    ),
}


def started(settings: TrainConfig, graph: Interactions, device: str = "cpu", exact: bool = False) -> TorchEngine:
    engine = TorchEngine(graph, None, (), device)
    engine.start(0, settings)
    if exact:
        engine.model.double()
    return engine


def tables(engine: TorchEngine) -> list[np.ndarray]:
    return [table.detach().cpu().numpy().copy() for table in engine.model.parameters()]


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
@pytest.mark.parametrize("settings", VARIANTS.values(), ids=list(VARIANTS))
def test_epochs_equal_the_hand_computation(settings: TrainConfig, device: str, graph: Interactions) -> None:
    """Two epochs, which are six steps, in float64.

    They include momentum, bias corrections, and rows with and without gradients.
    """
    engine, hand = started(settings, graph, device, exact=True), ByHand(settings, graph)
    for number in range(2):
        (result,) = engine.epoch()
        assert result.loss == pytest.approx(hand.epoch(number), rel=1e-10), f"loss of epoch {number + 1}"
        for name, got, expected in zip(("users", "items"), tables(engine), hand.tables, strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-12, err_msg=f"{name} after epoch {number + 1}")


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
@pytest.mark.parametrize("name", ["mml", "bsl", "bsl multi"])
def test_one_float32_step_equals_the_hand_computation(name: str, device: str, graph: Interactions) -> None:
    settings = VARIANTS[name]
    engine, hand = started(settings, graph, device), ByHand(settings, graph)
    rows, pairs = np.arange(4), np.array([0, 7, 3, 10])
    loss = engine.step(settings, 0, rows, pairs)
    assert loss == pytest.approx(hand.step(0, range(4), pairs, settings.learning_rate), rel=1e-5)
    for got, expected in zip(tables(engine), hand.tables, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


def test_vectors_are_the_unit_rows(graph: Interactions) -> None:
    engine = started(config(encoder={"name": "mf", "dim": 3, "init_std": 0.5, "dropout": 0.4}), graph)
    engine.epoch()
    got = engine.vectors(0)
    for vectors, table, n in zip(got, tables(engine), (N_USERS, N_ITEMS), strict=True):
        assert vectors.dtype == np.float32
        assert vectors.shape == (n, 3)
        expected = table / np.linalg.norm(table, axis=1, keepdims=True)
        np.testing.assert_allclose(vectors, expected, atol=1e-6, err_msg="no dropout in ranking vectors")


def test_distances_rank_as_their_vectors_inner_products_do(graph: Interactions) -> None:
    engine = started(VARIANTS["euclidean"], graph)
    engine.epoch()
    engine.epoch()
    users, items = tables(engine)
    got = np.multiply.outer(np.ones(N_USERS), np.ones(N_ITEMS)) - np.square(users[:, None] - items[None]).sum(-1) / 2
    np.testing.assert_allclose(np.matmul(engine.vectors(0)[0], engine.vectors(0)[1].T), got, atol=1e-6)
    lengths = np.linalg.norm(np.concatenate([users, items]), axis=1)
    assert np.isclose(lengths, 1, atol=1e-6).any(), "some vectors must reach the surface of the ball"


def test_vectors_are_copies(graph: Interactions) -> None:
    engine = started(config(), graph)
    users, items = engine.vectors(0)
    kept = users.copy(), items.copy()
    engine.epoch()
    assert (users == kept[0]).all(), "training must not change returned vectors"
    assert (items == kept[1]).all()
    users[:] = 0
    assert engine.vectors(0)[0].any(), "the caller must not change the engine"


def test_l2_touches_exactly_the_rows_with_gradient(graph: Interactions) -> None:
    """Steps with and without l2 differ only in the rows with a gradient."""
    settings = config(MML, l2=0.3, negatives={"name": "uniform", "count": 2})
    rows, pairs = np.arange(3), np.array([0, 1, 4])
    with_l2, without = started(settings, graph, exact=True), started(settings.replace(l2=0.0), graph, exact=True)
    before = tables(with_l2)
    gradients = []
    for engine in (with_l2, without):
        engine.step(engine.config or settings, 0, rows, pairs)
        gradients.append([table.grad.numpy().copy() for table in engine.model.parameters() if table.grad is not None])
    some_unmoved = False
    for table, penalised, plain in zip(before, *gradients, strict=True):
        moved = (plain != 0).any(axis=1)
        some_unmoved |= not moved.all()
        np.testing.assert_allclose(penalised[moved], plain[moved] + 0.3 * table[moved], rtol=1e-12)
        assert (penalised[~moved] == 0).all(), "l2 must give no gradient to other rows"
    assert some_unmoved, "the test needs rows without a gradient"
    slots = np.arange(len(rows) * 2, dtype=np.uint64)
    negatives = rng.integers(rng.key(settings.seed, Purpose.NEGATIVES, 0), slots, N_ITEMS)
    drawn = set(negatives.ravel().tolist()) | set(graph.items[pairs].tolist())
    moved_items = set(np.flatnonzero((gradients[1][1] != 0).any(axis=1)).tolist())
    assert moved_items < drawn, "the test needs a drawn negative below all margins, which must not move either"


def test_dropout_mask_and_rescale(graph: Interactions) -> None:
    """Kept units are multiplied by 1 / (1 - p), others are zero. The mask comes from the counter-based generator."""
    dropout, dim = 0.4, 50
    settings = config(encoder={"name": "mf", "dim": dim, "init_std": 0.5, "dropout": dropout})
    engine = started(settings, graph, exact=True)
    rows = np.array([4, 5, 6])
    full = engine.score.users(engine.model.user_vectors(torch.tensor([0, 3, 0])))
    dropped = engine._with_dropout(settings, 1, rows, full)
    keep = dropped != 0
    expected = torch.where(keep, full / (1 - dropout), torch.zeros_like(full))
    torch.testing.assert_close(dropped, expected, rtol=1e-12, atol=0)
    stream = rng.key(settings.seed, Purpose.DROPOUT, 1)
    for row, mask in zip(rows, keep.numpy(), strict=True):
        units = np.arange(row * dim, (row + 1) * dim, dtype=np.uint64)
        assert mask.tolist() == (rng.uniform(stream, units) > dropout).tolist(), f"row {row}"
    assert (keep[0] != keep[1]).any(), "rows must have different masks"


def test_linear_schedule() -> None:
    settings = config(schedule="linear", epochs=3, learning_rate=0.5)
    n_rows, n_steps = 11, 9
    rates = [learning_rate_at(settings, step, n_rows) for step in range(n_steps)]
    assert rates == pytest.approx([0.5 * (1 - step / n_steps) for step in range(n_steps)])
    assert rates[0] == 0.5
    assert rates[-1] == pytest.approx(0.5 / n_steps)
    assert {learning_rate_at(config(learning_rate=0.5), step, n_rows) for step in range(n_steps)} == {0.5}


def test_the_optimiser_gets_the_schedule(graph: Interactions) -> None:
    settings = config(schedule="linear", epochs=3)
    engine = started(settings, graph)
    assert engine.optimizer.param_groups[0]["lr"] == settings.learning_rate
    for _ in range(3):
        engine.epoch()
    assert engine.steps_done == 9
    assert engine.optimizer.param_groups[0]["lr"] == pytest.approx(settings.learning_rate / 9), "rate of the last step"


def history(settings: TrainConfig, graph: Interactions) -> tuple[list[float], list[bytes]]:
    engine = started(settings, graph)
    losses = [engine.epoch()[0].loss for _ in range(settings.epochs)]
    return losses, [vectors.tobytes() for vectors in engine.vectors(0)]


@pytest.mark.parametrize("settings", [VARIANTS["mml"], VARIANTS["all at once"]], ids=["mml", "all at once"])
def test_a_config_gives_the_same_bits_again(settings: TrainConfig, graph: Interactions) -> None:
    first = history(settings, graph)
    torch.manual_seed(99)
    np.random.seed(99)
    assert history(settings, graph) == first, "global random generators must have no effect"


@pytest.fixture
def two_threads() -> Iterator[None]:
    """The suite runs torch on one thread, which would hide sums in a varying order."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(("negatives", "size"), [({"name": "uniform", "count": 12}, 500), ({"name": "in_batch"}, 2000)])
def test_threads_do_not_change_the_bits(negatives: dict[str, Any], size: int) -> None:
    """Rows occur many times in a batch, which is large enough for two threads. The second run has one thread."""
    generator = np.random.default_rng(7)
    users = np.repeat(np.arange(90), 50)
    items = np.concatenate([generator.permutation(120)[:50] for _ in range(90)])
    graph = Interactions.from_pairs(users, items, 90, 120)
    encoder = {"name": "mf", "dim": 16, "init_std": 0.1}
    settings = config(encoder=encoder, negatives=negatives, batch_size=size)
    runs = [history(settings, graph) for _ in range(4)]
    torch.set_num_threads(1)
    runs.append(history(settings, graph))
    assert len({vectors[1] for _, vectors in runs}) == 1, "item vectors differ"
    assert len({vectors[0] for _, vectors in runs}) == 1, "user vectors differ"
    assert len({tuple(losses) for losses, _ in runs}) == 1, "losses differ"


def test_a_used_engine_gives_the_same_bits(graph: Interactions) -> None:
    fresh = history(config(), graph)
    engine = started(config(BSL, seed=77), graph)
    engine.epoch()
    engine.start(0, config())
    losses = [engine.epoch()[0].loss for _ in range(2)]
    assert (losses, [vectors.tobytes() for vectors in engine.vectors(0)]) == fresh


def test_seeds_differ(graph: Interactions) -> None:
    runs = [history(config(seed=seed), graph) for seed in range(4)]
    assert len({tuple(losses) for losses, _ in runs}) == 4
    assert len({vectors[0] for _, vectors in runs}) == 4


@pytest.mark.parametrize(
    ("at", "epochs", "due"),
    [((), 3, {3}), (every(1), 3, {1, 2, 3}), (every(2), 5, {2, 4, 5}), (range(2, 6, 3), 6, {2, 5, 6}), (every(9), 4, {4})],
)
def test_evaluate_at(at: Container[int], epochs: int, due: set[int], graph: Interactions, held_out: Interactions) -> None:
    settings = config(epochs=epochs)
    engine = TorchEngine(graph, held_out, at)
    engine.start(0, settings)
    results = [engine.epoch()[0] for _ in range(epochs)]
    assert [result.epoch for result in results] == list(range(1, epochs + 1))
    assert {result.epoch for result in results if result.metrics is not None} == due
    for result in results:
        if result.metrics is not None:
            assert set(result.metrics) == {"recall@20", "ndcg@20"}
    without = history(settings, graph)
    assert [result.loss for result in results] == without[0], "evaluation must not change training"
    assert [vectors.tobytes() for vectors in engine.vectors(0)] == without[1]


def test_without_held_out_nothing_is_evaluated(graph: Interactions) -> None:
    engine = started(config(), graph)
    assert [engine.epoch()[0].metrics for _ in range(2)] == [None, None]


def test_a_lanes_life(graph: Interactions) -> None:
    engine = TorchEngine(graph, None)
    assert engine.epoch() == [], "nothing has been started"
    with pytest.raises(RuntimeError, match="start a config"):
        engine.vectors(0)
    engine.start(0, config())
    assert [engine.epoch()[0].epoch for _ in range(2)] == [1, 2]
    assert engine.epoch() == [], "the config is finished"
    assert engine.vectors(0)[0].shape == (N_USERS, 3), "a finished lane keeps its vectors"
    engine.stop(0)
    assert engine.epoch() == []
    with pytest.raises(RuntimeError, match="start a config"):
        engine.vectors(0)


def raising(error: Exception) -> Callable[[], object]:
    def fail() -> object:
        raise error

    return fail


# Failures for lack of memory, and a part of their messages. The first three come from PyTorch, NumPy and Python themselves.
FULL: dict[str, tuple[Callable[[], object], str]] = {
    "pytorch": (lambda: torch.empty(2**60, dtype=torch.bool), "DefaultCPUAllocator: can't allocate memory"),
    "numpy": (lambda: np.empty(2**60, np.bool_), "Unable to allocate"),
    "python": (lambda: [None] * 2**60, "MemoryError"),  # an error without text
    "cuda": (raising(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nmore")), "2 GiB;"),
    "cublas": (raising(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")), "CUBLAS"),
    "c++": (raising(RuntimeError("std::bad_alloc")), "bad_alloc"),
}


@pytest.mark.parametrize("call", ["_train_epoch", "_vectors", "_snapshot", "_restore"])
@pytest.mark.parametrize("case", FULL)
def test_out_of_memory_frees_the_lane_and_says_so_in_one_way(
    case: str, call: str, graph: Interactions, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_out, words = FULL[case]
    engine = TorchEngine(graph, None)
    engine.start(0, config())
    calls = {
        "_train_epoch": engine.epoch,
        "_vectors": lambda: engine.vectors(0),
        "_snapshot": lambda: engine.snapshot(0),
        "_restore": lambda: engine.restore(0, None, 1e-3),
    }
    with monkeypatch.context() as patch:
        patch.setattr(engine, call, lambda *arguments: run_out())
        with pytest.raises(OutOfMemory, match=f"out of memory on cpu: .*{re.escape(words)}"):
            calls[call]()
    assert not hasattr(engine, "model"), "the memory of the lane can be freed"
    assert engine.epoch() == []
    engine.start(0, config())
    assert len(engine.epoch()) == 1, "the engine can be used again"


def test_another_failure_is_not_taken_for_memory(graph: Interactions, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = started(config(), graph)
    monkeypatch.setattr(engine, "_train_epoch", lambda *arguments: raising(RuntimeError("shapes do not match"))())
    with pytest.raises(RuntimeError, match="shapes do not match"):
        engine.epoch()


@pytest.mark.parametrize("lane", [-1, 1])
def test_there_is_one_lane(lane: int, graph: Interactions) -> None:
    engine = started(config(), graph)
    assert engine.lanes == 1
    for call in (lambda: engine.start(lane, config()), lambda: engine.vectors(lane), lambda: engine.stop(lane)):
        with pytest.raises(ValueError, match=f"one lane, 0, got {lane}"):
            call()


DIVERGING = {
    "loss overflows": config(MML | {"positive_weight": 3e38}, epochs=5),
    "vectors overflow": config(BSL, learning_rate=1e30, epochs=5),
    "vectors overflow in the only step": config(BSL, learning_rate=1e30, epochs=1, batch_size=11),
}


@pytest.mark.parametrize("evaluated", [False, True])
@pytest.mark.parametrize("settings", DIVERGING.values(), ids=list(DIVERGING))
def test_divergence_is_told_with_its_epoch(
    settings: TrainConfig, evaluated: bool, graph: Interactions, held_out: Interactions
) -> None:
    """The engine reports it before the evaluation does, which refuses broken vectors.

    The last step may be the one that breaks them.
    """
    run = train(settings, graph, held_out if evaluated else None, engine="torch")
    with pytest.raises(TrainingDiverged) as caught:
        list(run)
    assert 1 <= caught.value.epoch <= settings.epochs
    assert f"epoch {caught.value.epoch}" in str(caught.value)
    assert "learning_rate" in str(caught.value)
