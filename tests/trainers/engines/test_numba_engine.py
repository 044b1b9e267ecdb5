"""The fused CPU engine against the torch engine. It must also give reproducible bits, bounded work and visible divergence.

Tolerances are largest differences (in the rows of `assert_same_state`). After one step: 5e-6 for unit vectors, and 1e-5
relative for the loss. After 1,000 steps: 2e-4 for unit vectors. Moments have 5 times as much, relative to the largest one. The
two engines differ only by float32 rounding.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from trainers.engines.numba_engine import NumbaEngine, why_not
from trainers.engines.numba_engine.autotune import Autotuner
from trainers.engines.numba_engine.row_functions import row_loss
from trainers.engines.numba_engine.table import EmbeddingTable
from trainers.engines.row_losses import ROW_FUNCTIONS, row_loss_of
from trainers.engines.torch_engine import TorchEngine
from trainers.jit import compiled
from trainers.losses import LOSSES, Scores

from .cases import (
    ALL_LOSSES,
    BSL,
    CML,
    CONTRASTIVE,
    MML,
    UNWEIGHTED,
    assert_close,
    config,
    data,
    started,
)

ONE_STEP, MANY_STEPS = 5e-6, 2e-4

Floats = NDArray[np.float32]
N_ITEMS = 70


def moments(table: EmbeddingTable, step: int) -> tuple[Floats, Floats]:
    """The moments that dense Adam has after `step`."""
    dim = table.rows.shape[1]
    idle = (step - table.last_step.astype(np.float64))[:, None]
    return table.state[:, :dim] * 0.9**idle, table.state[:, dim : 2 * dim] * 0.999**idle


def assert_same_state(ours: NumbaEngine, theirs: TorchEngine, tolerance: float) -> None:
    """Compare the moments in all rows, and the vectors in 99 % of the rows.

    If a gradient is as small as Adam's epsilon, rounding decides how far its row moves. For cml both are compared in 90 % of
    the rows. Its score gradients all have the same size, so gradients often cancel, and rounding may decide which negative is
    nearest.
    """
    assert ours.config is not None
    share = 0.9 if ours.config.loss.name == "cml" else 1.0
    for name, one, other in zip(("users", "items"), ours.vectors(0), theirs.vectors(0), strict=True):
        assert_close(f"{name}' vectors", one, other, tolerance, share=min(share, 0.99))
    names = "users", "items", "history"  # only some encoders have a history
    for name, table, parameter in zip(names, ours.tables().values(), theirs.model.tables(), strict=False):
        dense = theirs.optimizer.state[parameter]
        mean, square = moments(table, ours.steps_done)
        assert_close(f"{name}' first moment", mean, dense["exp_avg"].numpy(), 5 * tolerance, relative=True, share=share)
        assert_close(f"{name}' second moment", square, dense["exp_avg_sq"].numpy(), 5 * tolerance, relative=True, share=share)


@pytest.mark.parametrize("loss", ALL_LOSSES, ids=lambda loss: f"{loss['name']}-{loss.get('mode', '')}")
@pytest.mark.parametrize(
    ("size", "count", "dim", "n_users", "n_items"), [(1, 1, 8, 3, 40), (32, 7, 8, 40, 60), (100, 64, 20, 30, 300)]
)
def test_one_step(loss: dict[str, Any], size: int, count: int, dim: int, n_users: int, n_items: int) -> None:
    seen = data(n_users, n_items, size)
    settings = config(loss, count, dim, batch_size=size)
    ours, theirs = started(NumbaEngine, seen, settings), started(TorchEngine, seen, settings)
    our_loss, their_loss = ours.epoch()[0].loss, theirs.epoch()[0].loss
    assert ours.steps_done == -(-len(seen) // size)
    assert our_loss == pytest.approx(their_loss, rel=1e-5, abs=1e-6)
    assert_same_state(ours, theirs, ONE_STEP)


@pytest.mark.parametrize("loss", ALL_LOSSES, ids=lambda loss: f"{loss['name']}-{loss.get('mode', '')}")
@pytest.mark.parametrize(
    "change",
    [{}, {"dropout": 0.3}, {"l2": 1e-2}, {"schedule": "linear"}, {"init_std": 1e-4}],
    ids=lambda change: next(iter(change), "plain"),
)
def test_some_epochs(loss: dict[str, Any], change: dict[str, Any]) -> None:
    seen = data(50, 80, 300)
    settings = config(loss, **change)
    ours, theirs = started(NumbaEngine, seen, settings), started(TorchEngine, seen, settings)
    for _ in range(settings.epochs):
        assert ours.epoch()[0].loss == pytest.approx(theirs.epoch()[0].loss, rel=1e-4)
    # Near its margin the gradient of contrastive is a small difference of distances, mostly rounding. Adam then enlarges it.
    assert_same_state(ours, theirs, 5 * MANY_STEPS if loss is CONTRASTIVE else MANY_STEPS)


TOWERS: list[dict[str, Any]] = [
    {"g": 0.4},
    {"g": 0.4, "aggregation": "self_attention", "max_history": 3},
    {"g": 0.7, "aggregation": "user_attention"},
    {"g": 0.7, "aggregation": "user_attention", "dropout": 0.3},
]


@pytest.mark.parametrize("encoder", TOWERS, ids=str)
@pytest.mark.parametrize("loss", [MML, BSL], ids=["mml", "bsl"])
@pytest.mark.parametrize("change", [{}, {"l2": 1e-2, "schedule": "linear"}, {"score": "inner_product"}], ids=str)
def test_users_that_torch_makes(encoder: dict[str, Any], loss: dict[str, Any], change: dict[str, Any]) -> None:
    seen = data(50, 80, 300)
    settings = config(loss, **change)
    encoder = {"name": "simplex", "history_table": "own", "init_std": 0.1, **encoder}
    settings = settings.replace(encoder=encoder)
    ours, theirs = started(NumbaEngine, seen, settings), started(TorchEngine, seen, settings)
    for _ in range(settings.epochs):
        assert ours.epoch()[0].loss == pytest.approx(theirs.epoch()[0].loss, rel=1e-4)
    assert_same_state(ours, theirs, MANY_STEPS)
    matrices = zip(ours.simplex_users.module.matrices(), theirs.model.matrices(), strict=True)
    for one, other in matrices:
        assert_close("matrix", *(np.atleast_2d(matrix.detach().numpy()) for matrix in (one, other)), MANY_STEPS)


BPR, MSE, SOFTMAX_CE = ({"name": name} for name in ("bpr", "mse", "softmax_ce"))
RAW = [("inner_product", loss) for loss in (MML, BSL, BPR, MSE)]
RAW += [("cosine_in_training", loss) for loss in (MML, BSL)]
RAW += [("euclidean", loss) for loss in (CML, UNWEIGHTED, CONTRASTIVE, BPR, SOFTMAX_CE)]


@pytest.mark.parametrize(("score", "loss"), RAW, ids=lambda part: part if isinstance(part, str) else part["name"])
@pytest.mark.parametrize("change", [{}, {"l2": 1e-2}, {"schedule": "linear"}, {"batch_size": 3, "epochs": 3}], ids=str)
def test_scores_that_are_not_cosines(score: str, loss: dict[str, Any], change: dict[str, Any]) -> None:
    seen = data(50, 80, 300)
    settings = config(loss, score=score, **change)
    ours, theirs = started(NumbaEngine, seen, settings), started(TorchEngine, seen, settings)
    for _ in range(settings.epochs):
        assert ours.epoch()[0].loss == pytest.approx(theirs.epoch()[0].loss, rel=1e-4)
    assert_same_state(ours, theirs, 5 * MANY_STEPS if loss is CONTRASTIVE else MANY_STEPS)


def test_psl_of_far_scores() -> None:
    """Long vectors have large inner products. 1 + tanh(d) is 0 in float32 for most pairs, but its logarithm must be finite."""
    seen, settings = data(50, 80, 300), config({"name": "psl", "temperature": 0.5}, score="inner_product", init_std=3.0)
    ours, theirs = started(NumbaEngine, seen, settings), started(TorchEngine, seen, settings)
    first = ours.epoch()[0].loss
    assert np.isfinite(first)
    assert first == pytest.approx(theirs.epoch()[0].loss, rel=1e-4)


def test_cosines_in_training_alone() -> None:
    """The training is that of the cosine, to the bit. The vectors for ranking keep their lengths."""
    seen, results = data(50, 80, 300), []
    for score in ("cosine", "cosine_in_training"):
        engine = started(NumbaEngine, seen, config(MML, score=score))
        losses = [engine.epoch()[0].loss for _ in range(4)]
        results.append((losses, engine.vectors(0)))
    assert results[0][0] == results[1][0]
    for one, other in zip(results[0][1], results[1][1], strict=True):
        lengths = np.linalg.norm(other, axis=1, keepdims=True)
        assert lengths.std() > 0.01
        np.testing.assert_allclose(one, other / lengths, atol=1e-6)


def test_rows_are_kept_in_the_unit_ball() -> None:
    seen = data(50, 80, 300)
    engine = started(NumbaEngine, seen, config(CML, score="euclidean", learning_rate=0.2, init_std=0.1))
    for _ in range(4):
        engine.epoch()
    lengths = np.linalg.norm(engine.items.rows, axis=1)
    assert np.isclose(lengths, 1, atol=1e-5).sum() > 10
    moved_last, moved_never = engine.items.last_step == engine.steps_done, engine.items.last_step == 0
    assert lengths[moved_last].max() <= 1 + 1e-6
    assert not moved_never.any() or lengths[moved_never].max() <= 1 + 1e-6


@pytest.mark.parametrize("engine", [NumbaEngine, TorchEngine])
def test_rows_start_in_the_unit_ball(engine: type[Any]) -> None:
    one = started(engine, data(50, 80, 300), config(CML, score="euclidean", dim=64, init_std=0.5))
    for vectors in one.vectors(0):
        lengths = np.linalg.norm(vectors[:, :64], axis=1)
        assert lengths == pytest.approx(1.0, abs=1e-6), "their length was 4"


@pytest.mark.parametrize("loss", [MML, BSL], ids=["mml", "bsl"])
@pytest.mark.parametrize("beta", [0.5, 2.0])
def test_negatives_by_popularity(loss: dict[str, Any], beta: float) -> None:
    seen = data(50, 80, 300)
    settings = config(loss, negatives={"name": "popularity", "count": 9, "beta": beta})
    ours, theirs = started(NumbaEngine, seen, settings), started(TorchEngine, seen, settings)
    for _ in range(settings.epochs):
        assert ours.epoch()[0].loss == pytest.approx(theirs.epoch()[0].loss, rel=1e-4)
    assert_same_state(ours, theirs, MANY_STEPS)


SAMPLED = [{"name": "unseen", "count": 9}, {"name": "two_stage", "count": 5, "candidates": 40, "refresh": 3}]


@pytest.mark.parametrize("negatives", SAMPLED, ids=lambda sampler: sampler["name"])
@pytest.mark.parametrize("loss", [MML, BSL], ids=["mml", "bsl"])
def test_negatives_that_a_sampler_gives(
    negatives: dict[str, Any], loss: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negatives are drawn for some steps at once. If they depend on the model, they are drawn at each step."""
    monkeypatch.setattr("trainers.engines.numba_engine.engine.MAX_DRAWN", 4 * 32 * 9)  # four steps
    seen = data(50, 80, 300)
    settings = config(loss, negatives=negatives)
    ours, theirs = started(NumbaEngine, seen, settings), started(TorchEngine, seen, settings)
    for _ in range(settings.epochs):
        assert ours.epoch()[0].loss == pytest.approx(theirs.epoch()[0].loss, rel=1e-4)
    assert_same_state(ours, theirs, MANY_STEPS)


@pytest.mark.parametrize(("loss", "schedule"), [(MML, "constant"), (BSL, "linear")], ids=["mml", "bsl"])
def test_a_thousand_steps_with_rows_that_rest(loss: dict[str, Any], schedule: str) -> None:
    """An epoch has 250 steps, and a user has one or two pairs.

    So rows get no gradient for hundreds of steps, or for the first time late.
    """
    seen = data(400, 900, 500)
    settings = config(loss, count=1, batch_size=2, schedule=schedule)
    ours, theirs = started(NumbaEngine, seen, settings), started(TorchEngine, seen, settings)
    for _ in range(settings.epochs):
        ours.epoch()
        theirs.epoch()
    assert ours.steps_done >= 990
    resting = ours.steps_done - ours.users.last_step[ours.users.last_step > 0]
    assert resting.max() > 200
    assert_same_state(ours, theirs, MANY_STEPS)


THREADED = {
    "mml": (MML, {"dropout": 0.1}),
    "bsl": (BSL, {"dropout": 0.1}),
    "euclidean": (CML, {"score": "euclidean"}),
    "two_stage": (MML, {"negatives": {"name": "two_stage", "count": 20, "candidates": 150, "refresh": 4}}),
    "simplex": (MML, {"encoder": {"name": "simplex", "history_table": "own", "aggregation": "user_attention"}}),
}


@pytest.mark.parametrize("case", THREADED)
def test_the_same_bits_for_any_number_of_threads(case: str, all_threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    loss, fields = THREADED[case]
    # Their number is large, so that the product of their matrices is divided among threads.
    size = (200, 9_000, 20_000) if case == "simplex" else (200, 300, 2_000)
    seen, settings = data(*size), config(loss, batch_size=256, count=20, epochs=2, **fields)
    results = []
    for n in (1, all_threads):
        monkeypatch.setattr("trainers.engines.numba_engine.autotune.Autotuner.next", lambda tuner, n=n: (1000, n))
        torch.set_num_threads(n)  # torch computes directions of items for two_stage, and vectors of users for simplex
        engine = started(NumbaEngine, seen, settings)
        losses = [engine.epoch()[0].loss for _ in range(settings.epochs)]
        results.append((losses, *[vectors.tobytes() for vectors in engine.vectors(0)]))
    torch.set_num_threads(1)
    assert results[0] == results[1]
    assert numba.get_num_threads() == all_threads


@pytest.mark.usefixtures("all_threads")
def test_the_length_of_kernel_calls_does_not_change_the_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, settings = data(60, 90, 500), config(MML, batch_size=8)
    vectors = []
    for plan in [(1, 1), (50, 2), (7, 1)]:
        monkeypatch.setattr("trainers.engines.numba_engine.autotune.Autotuner.next", lambda tuner, plan=plan: plan)
        engine = started(NumbaEngine, seen, settings)
        engine.epoch()
        vectors.append(engine.vectors(0)[1])
    assert all(np.array_equal(one, vectors[0]) for one in vectors)


def test_pace_keeps_the_faster_number_of_threads_and_tries_the_other_again() -> None:
    seconds = {1: 0.001, 4: 0.003}
    tuner, used = Autotuner(4), {1: 0, 4: 0}
    for _ in range(100):
        steps, threads = tuner.next()
        used[threads] += steps
        tuner.record(steps, threads, seconds[threads] * steps)
        assert seconds[threads] * steps <= 0.5
    assert used[1] > 50 * used[4] > 0
    assert Autotuner(1).next()[1] == 1


def test_a_second_config_starts_afresh() -> None:
    seen, settings = data(50, 80, 300), config(MML)
    engine = started(NumbaEngine, seen, settings)
    first = [engine.epoch()[0].loss for _ in range(2)]
    engine.start(0, config(BSL))
    engine.epoch()
    engine.start(0, settings)
    assert [engine.epoch()[0].loss for _ in range(2)] == first


def test_work_does_not_grow_with_the_catalogue() -> None:
    settings = config(MML, count=5, batch_size=20, epochs=1)
    updates = []
    for scale in (1, 10):
        seen = data(100 * scale, 200 * scale, 1_000)
        engine = started(NumbaEngine, seen, settings)
        engine.epoch()
        assert engine.row_updates <= engine.steps_done * 20 * (2 + 2 * (1 + 5) + 1)
        updates.append(engine.row_updates)
    assert updates[1] < 1.5 * updates[0], f"rows updated: {updates[0]} with 200 items, {updates[1]} with 2,000"


@pytest.mark.parametrize("loss", [MML | {"negative_weight": 1e38, "positive_weight": 1e38}, BSL | {"temperature": 1e-38}, MML])
def test_divergence_shows_in_the_loss(loss: dict[str, Any]) -> None:
    engine = started(NumbaEngine, data(50, 80, 300), config(loss, learning_rate=3e38))
    losses = [engine.epoch()[0].loss for _ in range(2)]
    assert not math.isfinite(losses[-1]), f"losses {losses}"


@pytest.mark.parametrize("loss", ALL_LOSSES, ids=lambda loss: f"{loss['name']}-{loss.get('mode')}")
def test_can_run(loss: dict[str, Any]) -> None:
    assert why_not(config(loss)) == ""


def test_cannot_run() -> None:
    assert "pools positives" in why_not(config(BSL | {"mode": "multi"}))
    too_much = config(MML).replace(batch_size=2**24, negatives={"name": "uniform", "count": 1000})
    assert "too much for one step" in why_not(too_much)
    assert "negatives in_batch need scores" in why_not(config(MML, negatives={"name": "in_batch"}))
    with pytest.raises(ValueError, match="cannot run this config"):
        started(NumbaEngine, data(50, 80, 300), too_much)
    assert "score cosine_of_next_year has no fused step" in why_not(
        config(MML).model_copy(update={"score": "cosine_of_next_year"})
    )
    simplex = config(MML).replace(encoder={"name": "simplex"})
    assert "gradients both as an item and as history" in why_not(simplex)
    assert why_not(simplex.replace(encoder={"name": "simplex", "g": 1.0})) == ""
    assert "weight_decay 0.01 moves every row" in why_not(config(MML, weight_decay=0.01))
    assert "encoder lightgcn is not mf or simplex" in why_not(config(MML).replace(encoder={"name": "lightgcn"}))
    own = {"name": "simplex", "history_table": "own"}
    assert "score euclidean needs rows of a table" in why_not(config(CML, score="euclidean").replace(encoder=own))


@numba.njit(error_model="numpy")
def one_row(kind: int, settings: Any, positive: Any, scores: Any, gradients: Any) -> Any:
    return row_loss(kind, settings, scores.shape[1], positive, scores, 0, scores.shape[1], gradients)


@pytest.mark.parametrize("loss", ALL_LOSSES, ids=lambda loss: f"{loss['name']}-{loss.get('mode', '')}")
def test_row_functions(loss: dict[str, Any]) -> None:
    """Value and gradients are compared on any scores, also above 1, because dropout may give such scores."""
    formula = config(loss).loss
    row = row_loss_of(formula, N_ITEMS)
    rng = np.random.default_rng(3)
    for n in (1, 2, 9, 40):
        scores = rng.uniform(-1.4, 1.4, (1, n + 1)).astype(np.float32)
        positive, negative = (torch.tensor(part, requires_grad=True) for part in (scores[:, 0], scores[:, 1:]))
        value = formula.rows(Scores(positive, negative, torch.zeros(1), torch.zeros(1), N_ITEMS)).sum()
        value.backward()  # type: ignore[no-untyped-call]
        gradients = np.zeros((1, n), np.float32)
        got, gradient = one_row(row.kind, row.settings, scores[0, 0], np.ascontiguousarray(scores[:, 1:]), gradients)
        assert got == pytest.approx(float(value.detach()), rel=2e-5, abs=1e-5)
        assert positive.grad is not None
        assert negative.grad is not None
        assert gradient == pytest.approx(float(positive.grad[0]), rel=2e-5, abs=1e-5)
        assert gradients == pytest.approx(negative.grad.numpy(), rel=2e-4, abs=1e-5)


@pytest.mark.parametrize("difference", [0.0, 8.0, 18.0, 40.0])
def test_psl_has_a_gradient_for_a_far_negative(difference: float) -> None:
    """With d half the difference it is (1 - tanh(d)) / (2 temperature), and 1 - tanh(d) is 0 in float32 from d = 9 on."""
    row = row_loss_of(config({"name": "psl", "temperature": 0.1}).loss, N_ITEMS)
    gradients = np.zeros((1, 1), np.float32)
    one_row(row.kind, row.settings, np.float32(-1.0), np.full((1, 1), difference - 1.0, np.float32), gradients)
    assert gradients[0, 0] == pytest.approx(2.0 / (1.0 + math.exp(difference)) / 0.2, rel=1e-5)


def test_every_row_function_is_tested() -> None:
    assert {cls.__dataclass_fields__["name"].default for cls in ROW_FUNCTIONS} == {loss["name"] for loss in ALL_LOSSES}  # type: ignore[attr-defined]
    assert set(ROW_FUNCTIONS) <= set(LOSSES.values())


def test_compiling_without_a_folder_for_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("numba.core.caching.CacheImpl._locator_classes", [])

    def twice(x: int) -> int:
        return 2 * x

    assert compiled(nogil=True)(twice)(21) == 42
