"""Losses with a threshold for each user on the numba engine, against the torch engine and against plain Python."""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from trainers import Interactions, TrainConfig
from trainers.engines.numba_engine import NumbaEngine, why_not
from trainers.engines.numba_engine.thresholds.row_functions import threshold_row
from trainers.engines.row_losses import THRESHOLD_ROWS, row_loss_of
from trainers.engines.torch_engine import TorchEngine
from trainers.engines.triton_engine import limits
from trainers.losses import LOSSES, Scores
from trainers.negatives import Step

from ...loss_cases import LOSS_CASES, drrl_row
from .cases import THRESHOLD_LOSSES, config, data, started
from .test_numba_engine import MANY_STEPS, ONE_STEP, assert_same_state

SLATK = LOSS_CASES["slatk"] | {"refresh": 1}  # new thresholds in every epoch
N_ITEMS = 70
SIMPLEX = {"name": "simplex", "history_table": "own", "dim": 8, "init_std": 0.1, "g": 0.4}
every_loss = pytest.mark.parametrize("loss", THRESHOLD_LOSSES, ids=lambda loss: loss["name"])


@numba.njit(error_model="numpy")
def one_row(kind: int, settings: Any, threshold: Any, positive: Any, scores: Any, gradients: Any) -> Any:
    return threshold_row(kind, settings, threshold, positive, scores, 0, scores.shape[1], gradients)


@every_loss
@pytest.mark.parametrize("largest", [1.4, 60.0])
def test_row_functions(loss: dict[str, Any], largest: float) -> None:
    """Value and gradients on any scores: dropout gives scores above 1, and inner products have no bound."""
    formula, rng = config(loss).loss, np.random.default_rng(3)
    row = row_loss_of(formula, N_ITEMS)
    for n, threshold in [(1, 0.0), (2, 0.3), (9, -0.2), (40, 0.9), (40, -0.5 * largest), (40, 0.5 * largest)]:
        scores = rng.uniform(-largest, largest, (1, n + 1)).astype(np.float32)
        positive, negative = (torch.tensor(part, requires_grad=True) for part in (scores[:, 0], scores[:, 1:]))
        ids = torch.zeros(1)
        value = formula.rows(Scores(positive, negative, ids, ids, N_ITEMS, torch.tensor([threshold]))).sum()
        value.backward()  # type: ignore[no-untyped-call]
        gradients, given = np.zeros((1, n), np.float32), np.ascontiguousarray(scores[:, 1:])
        got, gradient = one_row(row.kind, row.settings, np.float32(threshold), scores[0, 0], given, gradients)
        assert positive.grad is not None
        assert negative.grad is not None
        assert got == pytest.approx(float(value.detach()), rel=2e-5, abs=1e-5)
        assert gradient == pytest.approx(float(positive.grad[0]), rel=2e-5, abs=1e-5)
        assert gradients == pytest.approx(negative.grad.numpy(), rel=2e-4, abs=1e-5)


def thresholds_of(engine: Any) -> NDArray[np.float32]:
    found: NDArray[np.float32] = engine.state(0)["thresholds"]
    return found


def with_thresholds(seen: Interactions, settings: TrainConfig, given: NDArray[np.float32]) -> tuple[Any, Any]:
    """Both engines, with these thresholds before the first step."""
    ours, theirs = started(NumbaEngine, seen, settings), started(TorchEngine, seen, settings)
    ours.thresholds.arrays.values[:] = given
    theirs.thresholds.values.data[:] = torch.from_numpy(given)
    return ours, theirs


def some_thresholds(n_users: int) -> NDArray[np.float32]:
    return np.random.default_rng(2).uniform(-0.3, 0.6, n_users).astype(np.float32)


@every_loss
@pytest.mark.parametrize(("size", "count", "n_users", "n_items"), [(1, 1, 3, 40), (32, 7, 8, 60), (100, 64, 30, 300)])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_one_step(loss: dict[str, Any], size: int, count: int, n_users: int, n_items: int, dropout: float) -> None:
    """Most users have several rows in the batch. With dropout each of these has scores of its own."""
    seen = data(n_users, n_items, size)
    fields = {"refresh": 1} if loss["name"] == "slatk" else {}
    settings = config(loss | fields, count, batch_size=size, dropout=dropout)
    ours, theirs = with_thresholds(seen, settings, some_thresholds(n_users))
    assert ours.epoch()[0].loss == pytest.approx(theirs.epoch()[0].loss, rel=1e-5, abs=1e-6)
    assert_same_state(ours, theirs, ONE_STEP)
    np.testing.assert_allclose(thresholds_of(ours), thresholds_of(theirs), atol=1e-6)
    moved = thresholds_of(ours) != some_thresholds(n_users)
    assert (moved == (seen.per_user > 0)).mean() > 0.9, "all users are in the batch, and no threshold stays without a reason"


CHANGES: list[dict[str, Any]] = [
    {},
    {"dropout": 0.3},
    {"l2": 1e-2, "schedule": "linear"},
    {"score": "inner_product", "init_std": 0.5},
    {"batch_size": 3, "count": 2},  # most seen items rest
    {"negatives": {"name": "popularity", "count": 9, "beta": 0.5}},
    {"negatives": {"name": "unseen", "count": 9}},
    {"encoder": SIMPLEX},
]


@every_loss
@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_some_epochs(loss: dict[str, Any], change: dict[str, Any]) -> None:
    seen = data(50, 80, 300)
    encoder = {"encoder": change["encoder"]} if "encoder" in change else {}
    settings = config(loss, **{key: value for key, value in change.items() if key != "encoder"}).replace(**encoder)
    ours, theirs = with_thresholds(seen, settings, some_thresholds(50))
    for _ in range(settings.epochs):
        assert ours.epoch()[0].loss == pytest.approx(theirs.epoch()[0].loss, rel=1e-4)
        np.testing.assert_allclose(thresholds_of(ours), thresholds_of(theirs), atol=MANY_STEPS)
    assert_same_state(ours, theirs, MANY_STEPS)


def scores_by_hand(engine: NumbaEngine, settings: TrainConfig) -> list[tuple[int, list[float], list[float]]]:
    """Of each row of the first epoch, whose only step comes next: (user, scores of the items that the user has seen, scores of
    the negatives).
    """
    rows, users, items = engine._pairs(settings, 0, 0, 1)
    drawn = settings.negatives.sampler(engine.seen).draw(Step(settings.seed, 0, 0, rows, users, items, engine._directions(0)))
    of_users, of_items = engine.vectors(0)
    scores = of_users.astype(np.float64) @ of_items.T.astype(np.float64)
    seen = [engine.seen.items[engine.seen.indptr[user] : engine.seen.indptr[user + 1]] for user in users]
    return [(int(u), scores[u, own].tolist(), scores[u, row].tolist()) for u, own, row in zip(users, seen, drawn, strict=True)]


@pytest.mark.parametrize("k", [1, 3, 8, 10, 1000])
def test_slatk_takes_the_kth_best_of_the_first_row(k: int) -> None:
    """The step is the whole epoch. A user has up to 6 seen items and 4 negatives."""
    seen, settings = data(5, 30, 22), config(SLATK | {"k": k}, count=4)
    engine = started(NumbaEngine, seen, settings)
    expected = np.zeros(5)
    for user, own, negative in reversed(scores_by_hand(engine, settings)):  # so that the first row is the last to write
        ranked = sorted([*own, *negative], reverse=True)
        expected[user] = ranked[min(k, len(ranked)) - 1]
    assert seen.per_user.max() == 6
    engine.epoch()
    np.testing.assert_allclose(thresholds_of(engine), expected, atol=1e-6)
    assert (expected != 0.0).all()


def test_talos_descends_the_pinball_loss_of_all_rows() -> None:
    """After one step Adam's first moment is a tenth of the gradient. A negative stands for several unseen items."""
    seen, settings, given = data(5, 30, 22), config(LOSS_CASES["talos"] | {"k": 6}, count=4), some_thresholds(5)
    engine, expected, level = started(NumbaEngine, seen, settings), np.zeros(5), 1.0 - 6 / 30
    engine.thresholds.arrays.values[:] = given
    for user, own, negative in scores_by_hand(engine, settings):
        weighted = [(score, 1.0) for score in own] + [(score, (30 - len(own)) / 4) for score in negative]
        expected[user] += sum(weight * (-level if score > given[user] else 1.0 - level) for score, weight in weighted) / 30
    engine.epoch()
    np.testing.assert_allclose(engine.state(0)["thresholds.exp_avg"], 0.1 * expected, rtol=1e-5)
    np.testing.assert_allclose(thresholds_of(engine) - given, -1e-3 * np.sign(expected), rtol=1e-3)


def test_talos_thresholds_of_users_without_a_row_move_on() -> None:
    """The second step has one row, so one user. Adam's moments move the other thresholds all the same."""
    seen = data(5, 30, 22)
    settings = config(LOSS_CASES["talos"], count=4, batch_size=len(seen) - 1)
    engine = started(NumbaEngine, seen, settings.replace(epochs=2))
    engine.epoch()
    arrays = engine.thresholds.arrays
    assert engine.steps_done == 2
    assert (np.abs(arrays.values) > 1.2e-3).all(), "one step moves a threshold by 1e-3"
    assert not arrays.gradients.any()


def test_drrl_descends_its_formula_by_the_sum_of_a_users_rows() -> None:
    """A row has 4 negatives, as `drrl_row` expects."""
    seen, given = data(5, 30, 22), some_thresholds(5)
    settings = config(LOSS_CASES["drrl"] | {"threshold_rate": 0.01}, count=4)
    engine, expected = started(NumbaEngine, seen, settings), given.astype(np.float64)
    engine.thresholds.arrays.values[:] = given
    for user, _, negative in scores_by_hand(engine, settings):
        _, _, gradients = drrl_row(settings.loss, 0.0, [*negative], float(given[user]))
        expected[user] -= 0.01 * (1.0 - sum(gradients))
    engine.epoch()
    np.testing.assert_allclose(thresholds_of(engine), expected, atol=1e-6)
    assert (np.abs(expected - given) > 1e-3).all()


def test_slatk_keeps_thresholds_in_other_epochs() -> None:
    engine, found = started(NumbaEngine, data(20, 30, 200), config(SLATK | {"refresh": 2})), []
    for _ in range(4):
        engine.epoch()
        found.append(thresholds_of(engine))
    assert not found[0].any()
    assert found[1].any()
    assert np.array_equal(found[1], found[2])
    assert not np.array_equal(found[2], found[3])


@every_loss
@pytest.mark.parametrize("change", [{"dropout": 0.1}, {"encoder": SIMPLEX}], ids=str)
def test_the_same_bits_for_any_number_of_threads_and_length_of_calls(
    loss: dict[str, Any], change: dict[str, Any], all_threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user has about 13 rows in a batch."""
    seen, settings = data(20, 300, 2_000), config(loss | ({"refresh": 1} if loss["name"] == "slatk" else {}), count=20)
    settings = settings.replace(batch_size=256, epochs=2)
    settings = settings.replace(encoder=settings.to_dict()["encoder"] | change.get("encoder", change))
    results = []
    for plan in [(1000, 1), (1000, all_threads), (3, all_threads)]:
        monkeypatch.setattr("trainers.engines.numba_engine.autotune.Autotuner.next", lambda tuner, plan=plan: plan)
        engine = started(NumbaEngine, seen, settings)
        losses = [engine.epoch()[0].loss for _ in range(settings.epochs)]
        results.append((losses, thresholds_of(engine).tobytes(), *[vectors.tobytes() for vectors in engine.vectors(0)]))
    assert results[0] == results[1] == results[2]


@every_loss
def test_a_second_config_starts_afresh(loss: dict[str, Any]) -> None:
    """Also after a divergence, which ends a step early."""
    seen, settings = data(50, 80, 300), config(loss)
    engine = started(NumbaEngine, seen, settings)
    first = [engine.epoch()[0].loss for _ in range(3)]
    engine.start(0, settings.replace(learning_rate=3e38))
    assert not math.isfinite([engine.epoch()[0].loss for _ in range(2)][-1])
    engine.start(0, config(LOSS_CASES["mml"]))
    engine.epoch()
    assert "thresholds" not in engine.state(0)
    engine.start(0, settings)
    assert [engine.epoch()[0].loss for _ in range(3)] == first


@every_loss
def test_only_triton_refuses_them(loss: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_why_no_triton", lambda: "")  # perhaps it is not installed
    assert why_not(config(loss)) == ""
    assert limits.why_not(config(loss)) == f"loss {loss['name']} has no row function"


def test_losses_with_thresholds_that_stay_on_torch() -> None:
    assert why_not(config(LOSS_CASES["mawu"], negatives={"name": "none"})) == "loss mawu has no row function"
    assert set(THRESHOLD_ROWS) <= set(LOSSES.values())
