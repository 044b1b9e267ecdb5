"""Early stopping with a falling rate, as in SimpleX, on both CPU engines: the kept epoch, the return to it, and the end."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from trainers import Interactions, TrainConfig, evaluate
from trainers.early_stopping import LOWEST_RATE, EarlyStopping, Plateau
from trainers.engines import EpochResult, choose_engine, make_engine
from trainers.engines.protocol import every
from trainers.engines.torch_engine import TorchEngine
from trainers.train import Run

from ..held_out import apart

SIMPLEX = {"name": "simplex", "aggregation": "user_attention", "history_table": "own"}


def data(seed: int, n_pairs: int) -> Interactions:
    rng = np.random.default_rng(seed)
    return Interactions.from_pairs(rng.integers(0, 40, n_pairs), rng.integers(0, 60, n_pairs), 40, 60)


SEEN, HELD_OUT = apart(data(0, 400), data(1, 80))


def config(**fields: Any) -> TrainConfig:
    encoder = {"dim": 8, "init_std": 0.1, "name": "mf", **fields.pop("encoder", {})}
    loss = {"name": "mml", "margins": [0.1, 0.4], "weights": [0.3, 0.7], "negative_weight": 20.0}
    common = {"negatives": {"name": "uniform", "count": 7}, "learning_rate": 1e-2, "batch_size": 32, "epochs": 40, "seed": 5}
    return TrainConfig.from_dict({"loss": loss, "encoder": encoder, **common, **fields})


def engine_of(settings: TrainConfig, name: str) -> Any:
    return make_engine(choose_engine(settings, name, "cpu"), SEEN, HELD_OUT, every(1))


@pytest.mark.parametrize("encoder", [{}, SIMPLEX], ids=["mf", "simplex"])
def test_going_back_is_the_same_on_both_engines(encoder: dict[str, Any]):
    found = []
    for name in ("torch", "numba"):
        engine = engine_of(config(encoder=encoder), name)
        engine.start(0, config(encoder=encoder))
        engine.epoch()
        before, kept = engine.vectors(0), engine.snapshot(0)
        losses = [engine.epoch()[0].loss for _ in range(2)]
        engine.restore(0, kept, 1e-3)
        for one, other in zip(before, engine.vectors(0), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-6)
        losses += [engine.epoch()[0].loss for _ in range(3)]
        found.append((losses, engine.vectors(0)))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-4)
    for one, other in zip(found[0][1], found[1][1], strict=True):
        np.testing.assert_allclose(one, other, atol=2e-4)


@pytest.mark.parametrize("name", ["torch", "numba"])
@pytest.mark.parametrize("cut", [None, 0.1])
def test_early_stopping_ends_with_the_best_epoch(name: str, cut: float | None):
    """The held-out pairs are random. So there is nothing to learn, and a new best value is luck."""
    settings = config()
    run = Run(engine_of(settings, name), settings, Plateau("ndcg@20", patience=3, cut=cut))
    curve = [result.metrics["ndcg@20"] for result in run]
    assert len(curve) < settings.epochs
    best = int(np.argmax(curve))
    assert len(curve) - 1 - best == 3, "three epochs without a new best"
    ndcg = evaluate(*run.vectors(), seen=SEEN, held_out=HELD_OUT, ks=(20,))["ndcg@20"]
    assert ndcg == pytest.approx(curve[best], abs=1e-6)


@pytest.mark.parametrize("epochs", [40, 8])
def test_epochs_between_measurements_do_not_count(epochs: int):
    """With `every` 3 the epochs 3, 6, ... count, and the last one does, too."""
    settings = config(epochs=epochs)
    engine = make_engine(choose_engine(settings, "torch", "cpu"), SEEN, HELD_OUT, every(1))
    run = Run(engine, settings, Plateau("ndcg@20", patience=2, cut=None, every=3))
    curve = {result.epoch: result.metrics["ndcg@20"] for result in run}
    counted = {epoch: value for epoch, value in curve.items() if epoch % 3 == 0 or epoch == epochs}
    best = max(counted, key=lambda epoch: counted[epoch])
    assert len(curve) == min(epochs, best + 6)
    ndcg = evaluate(*run.vectors(), seen=SEEN, held_out=HELD_OUT, ks=(20,))["ndcg@20"]
    assert ndcg == pytest.approx(counted[best], abs=1e-6)


def test_an_epoch_that_counts_must_be_measured():
    settings = config(epochs=10)
    engine = make_engine(choose_engine(settings, "torch", "cpu"), SEEN, HELD_OUT, ())
    with pytest.raises(ValueError, match="evaluates after every 3 epochs, got epoch 3"):
        Run(engine, settings, Plateau("ndcg@20", every=3)).finish()


class Recorder(TorchEngine):
    """An engine that records its learning rates."""

    rates: list[float]

    def restore(self, lane: int, snapshot: Any, learning_rate: float) -> None:
        vars(self).setdefault("rates", []).append(learning_rate)
        super().restore(lane, snapshot, learning_rate)


def test_the_rate_is_cut_at_every_epoch_without_a_new_best():
    settings = config(learning_rate=2e-5)
    engine = Recorder(SEEN, HELD_OUT, every(1))
    results = list(Run(engine, settings, Plateau("ndcg@20", patience=4)))
    best = float("-inf")
    rate, expected = 2e-5, []
    for result in results:
        assert result.metrics is not None
        if result.metrics["ndcg@20"] > best + 1e-6:
            best = result.metrics["ndcg@20"]
        else:
            rate = max(LOWEST_RATE, rate * 0.1)
            expected.append(rate)
    assert engine.rates[:-1] == pytest.approx(expected[:-1]), (
        "after the last epoch the best parameters are restored without a cut"
    )
    assert engine.rates[-1] == pytest.approx(expected[-2])
    assert min(engine.rates) >= LOWEST_RATE


def test_the_metric_of_a_plateau_must_be_measured_by_the_engine():
    settings = config()
    with pytest.raises(ValueError, match="plateau of recall@10 needs an engine that measures it, this one has ndcg@20"):
        Run(engine_of(settings, "torch"), settings, Plateau("recall@10")).finish()


class Still:
    """An engine that has nothing to store."""

    def snapshot(self, lane: int) -> dict[str, Any]:
        return {}

    def restore(self, lane: int, snapshot: Any, learning_rate: float) -> None: ...


@pytest.mark.parametrize(("rise", "ends"), [(9e-7, True), (2e-6, False)])
def test_a_new_best_is_higher_by_more_than_a_millionth(rise: float, ends: bool):
    """The rises add up, and each epoch is compared with the best one."""
    stopping = EarlyStopping(Plateau("ndcg@20", patience=1, cut=None), config(epochs=9))
    results = [EpochResult(0, epoch, 0.5, {"ndcg@20": 0.1 + rise * epoch}, 0.0, 0.0) for epoch in (1, 2)]
    assert [stopping.ends(Still(), result) for result in results] == [False, ends]  # type: ignore[arg-type]


def test_only_a_constant_rate_can_be_cut():
    settings = config(schedule="linear")
    engine = engine_of(settings, "torch")
    with pytest.raises(ValueError, match="constant learning rate"):
        engine.restore(0, None, 1e-3)
    engine.start(0, settings)
    with pytest.raises(ValueError, match="constant learning rate"):
        engine.restore(0, engine.snapshot(0), 1e-3)
