"""train(): every loss learns data with a known answer on every engine. Choice of engine and device. Errors."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from trainers import InputError, Interactions, Run, TrainConfig, evaluate, train
from trainers.engines import ENGINES, EpochResult, choose_engine
from trainers.engines.torch_engine import TorchEngine
from trainers.errors import TrainingDiverged
from trainers.losses import LOSSES, Loss, Scores
from trainers.negatives import NEGATIVES
from trainers.scores import SCORES
from trainers.stopping import Stopped

from ..loss_cases import LOSS_CASES

CCL = {"name": "ccl", "margin": 0.5, "negative_weight": 3.0}
FEW = {"bce": 2}  # users like many of the negatives, so a sum over more of them outweighs the positive


# Weights and margins for which losses learn here. A user likes many of the few unseen items.
GENTLE: dict[str, dict[str, Any]] = {
    "mml": {"margins": [0.4, 0.6, 0.8], "weights": [0.1, 0.3, 0.6], "positive_weight": 1.0, "negative_weight": 3.0},
    "ccl": {"margin": 0.5, "negative_weight": 3.0},
}


def config(loss: dict[str, Any], **changes: Any) -> TrainConfig:
    mapping: dict[str, Any] = {
        "loss": loss | GENTLE.get(loss["name"], {}),
        "encoder": {"name": "mf", "dim": 8, "init_std": 0.1},
        "negatives": {"name": "uniform", "count": FEW.get(loss["name"], 12)},
        "learning_rate": 0.02,
        "batch_size": 500,
        "epochs": 12,
        "seed": 1,
    }
    return TrainConfig.from_dict({**mapping, **changes})


OTHER_SAMPLERS: list[dict[str, Any]] = [
    {"name": "unseen", "count": 12},
    {"name": "popularity", "count": 12},
    {"name": "in_batch"},
    {"name": "hard", "count": 4, "pool": 3},
    {"name": "two_stage", "count": 6, "candidates": 60, "refresh": 10},
]
assert {sampler["name"] for sampler in OTHER_SAMPLERS} | {"uniform", "none"} == set(NEGATIVES)
# Multi pools the rows of a user, and there are few users.
MULTI: dict[Any, dict[str, int]] = {"multi": {"batch_size": 16, "epochs": 4}}
SUMS = {"bce": 2, "mse": 6}  # with more negatives their sum outweighs the positive


def with_sampler(loss: dict[str, Any], sampler: dict[str, Any]) -> TrainConfig:
    """A config with 220 steps, or more if a smaller batch has fewer negatives."""
    few = SUMS.get(loss["name"])
    encoder = {"name": "mf", "dim": 8, "init_std": 0.1}
    if few and sampler["name"] == "in_batch":
        return config(loss, negatives=sampler, encoder=encoder, batch_size=few + 1, epochs=3)
    if loss.get("mode") == "multi":
        return config(loss, negatives=sampler, encoder=encoder, **MULTI["multi"])
    if few:
        sampler = sampler | {"count": few}
    return config(loss, negatives=sampler, encoder=encoder, batch_size=250, epochs=20, learning_rate=0.05)


def recalls(settings: TrainConfig, known: Any, engine: str = "torch") -> Iterator[float]:
    """recall@20 after each epoch. The training ends with the last requested value."""
    for result in train(settings, known.seen, known.held_out, engine=engine, device="cpu", evaluate_every=1):
        assert result.metrics is not None
        yield result.metrics["recall@20"]


def own_parity_first(vectors: tuple[np.ndarray, np.ndarray], parity: Any) -> float:
    """The share of pairs (held-out item, item of the other parity) in the right order."""
    scores = vectors[0] @ vectors[1].T
    right = [
        (scores[user, item] > scores[user, 1 - user % 2 :: 2]).mean()
        for user, item in zip(parity.held_out.users, parity.held_out.items, strict=True)
    ]
    return float(np.mean(right))


def has_learned(run: Run, result: EpochResult, parity: Any) -> bool:
    """Whether nearly all held-out items are among the first 20, and before the items of the other parity."""
    assert result.metrics is not None
    return min(result.metrics["ndcg@20"], result.metrics["recall@20"]) > 0.97 and own_parity_first(run.vectors(), parity) > 0.98


def until_learned(run: Run, parity: Any) -> Iterator[EpochResult]:
    """The epochs of a run up to the first one after which it has learned."""
    for result in run:
        yield result
        if has_learned(run, result, parity):
            return


@dataclass(frozen=True)
class Flipped(Loss):
    """A loss with the wrong sign."""

    inner: Loss
    name: str = "flipped"

    def rows(self, scores: Scores) -> Tensor:
        return -self.inner.rows(scores)

    def reduce(self, rows: Tensor) -> Tensor:
        return self.inner.reduce(rows)


def skip_what_cannot_run(loss_case: dict[str, Any], engine: str) -> None:
    if reason := ENGINES[engine].refuses(config(loss_case), "cpu"):
        pytest.skip(reason)


def test_each_engine_measures_the_requested_metrics(any_engine: str, parity: Any) -> None:
    asked, data = ["map@5", "mrr@3", "recall@7"], {"seen": parity.seen, "held_out": parity.held_out}
    run = train(config({"name": "ccl"}, epochs=2), **data, engine=any_engine, device="cpu", metrics=asked)
    metrics = run.finish().metrics
    assert metrics is not None
    assert list(metrics) == asked
    assert metrics == evaluate(*run.vectors(), **data, metrics=asked)
    with pytest.raises(InputError, match="did you mean 'map@5'"):
        train(config({"name": "ccl"}), **data, engine=any_engine, device="cpu", metrics=["mapp@5"])
    with pytest.raises(InputError, match="metrics must not be empty"):
        train(config({"name": "ccl"}), **data, engine=any_engine, device="cpu", metrics=[])


class TestLearning:
    """Data with a known answer: even users like even items, odd users like odd items."""

    def test_every_loss_learns_on_every_engine(self, loss_case: dict[str, Any], any_engine: str, parity: Any) -> None:
        skip_what_cannot_run(loss_case, any_engine)
        run = train(config(loss_case), parity.seen, parity.held_out, engine=any_engine, device="cpu", evaluate_every=1)
        results = list(until_learned(run, parity))
        assert [result.epoch for result in results] == list(range(1, len(results) + 1))
        assert has_learned(run, results[-1], parity), f"metrics {results[-1].metrics} after {len(results)} epochs"
        assert results[-1].loss < results[0].loss, "training lowers the loss"

    def test_the_wrong_sign_does_not_learn(self, loss_case: dict[str, Any], parity: Any) -> None:
        """This shows that the test above would notice a wrong gradient. Most losses learn within 3 epochs."""
        right = config(loss_case, epochs=6)
        wrong = right.model_copy(update={"loss": Flipped(right.loss)})
        run = train(wrong, parity.seen, parity.held_out, engine="torch", device="cpu", evaluate_every=1)
        for result in run:
            assert result.metrics is not None
            assert result.metrics["ndcg@20"] < 0.5, f"metrics {result.metrics}"
        assert own_parity_first(run.vectors(), parity) < 0.6

    @pytest.mark.parametrize("sampler", OTHER_SAMPLERS, ids=lambda sampler: sampler["name"])
    def test_every_loss_learns_with_every_sampler(self, loss_case: dict[str, Any], sampler: dict[str, Any], ring: Any) -> None:
        """3 of 63 unseen items are right, so 20 guesses find 32 %. A loss must find 75 % within 20 epochs."""
        if not LOSSES[loss_case["name"]].needs_negatives and sampler != OTHER_SAMPLERS[0]:
            pytest.skip("it has no negatives, whatever the sampler")
        assert any(recall > 0.75 for recall in recalls(with_sampler(loss_case, sampler), ring))

    @pytest.mark.parametrize("loss", ["mml", "bsl", "mse"])
    @pytest.mark.parametrize("sampler", OTHER_SAMPLERS, ids=lambda sampler: sampler["name"])
    def test_the_wrong_sign_learns_with_no_sampler(self, loss: str, sampler: dict[str, Any], ring: Any) -> None:
        """Tested with a hinge, a softmax and a sum over negatives. The test above would notice a wrong gradient."""
        settings = with_sampler(dict(LOSS_CASES[loss]), sampler)
        flipped = settings.replace(epochs=max(1, settings.epochs // 2)).model_copy(update={"loss": Flipped(settings.loss)})
        assert all(recall < 0.6 for recall in recalls(flipped, ring))

    @pytest.mark.parametrize("score", sorted(set(SCORES) - {"cosine"}))
    def test_every_loss_learns_with_every_score(self, loss_case: dict[str, Any], score: str, parity: Any) -> None:
        """Refused combinations are skipped. The fused engine trains if it can. Other tests compare it with torch."""
        try:
            settings = config(loss_case, score=score, **MULTI.get(loss_case.get("mode"), {}))
            if score == "euclidean" and loss_case["name"] in SUMS:
                settings = settings.replace(epochs=40)  # with so few dimensions it takes longer
        except InputError as refused:
            pytest.skip(str(refused))
        engine = "torch" if ENGINES["numba"].refuses(settings, "cpu") else "numba"
        assert any(recall > 0.9 for recall in recalls(settings, parity, engine))

    def test_untrained_vectors_are_at_chance(self, parity: Any) -> None:
        """10 of the 70 unseen items of a user are right, so 20 guesses find 29 %."""
        run = train(config(CCL, learning_rate=1e-12, epochs=1), parity.seen, parity.held_out, engine="torch")
        metrics = run.finish().metrics
        assert metrics is not None
        assert 0.2 < metrics["recall@20"] < 0.4, f"metrics {metrics}"

    @pytest.mark.cuda
    def test_every_loss_learns_on_cuda(self, loss_case: dict[str, Any], parity: Any) -> None:
        metrics = train(config(loss_case), parity.seen, parity.held_out, device="cuda", evaluate_every=12).finish().metrics
        assert metrics is not None
        assert metrics["ndcg@20"] > 0.97


class TestRun:
    def test_metrics_belong_to_the_vectors(self, any_engine: str, parity: Any) -> None:
        run = train(config(CCL, epochs=2), parity.seen, parity.held_out, engine=any_engine, device="cpu")
        last = run.finish()
        assert last.epoch == 2
        assert last.metrics == evaluate(*run.vectors(), seen=parity.seen, held_out=parity.held_out, ks=(20,))

    def test_vectors_after_each_epoch(self, parity: Any) -> None:
        run = train(config(CCL, epochs=3), parity.seen, engine="torch")
        seen = [run.vectors()[0].tobytes() for _ in run]
        assert len(set(seen)) == 3, "vectors change with every epoch"

    def test_finish_trains_the_rest_and_may_be_repeated(self, parity: Any) -> None:
        run = train(config(CCL, epochs=3), parity.seen, engine="torch")
        first = next(iter(run))
        assert first.epoch == 1
        last = run.finish()
        assert last.epoch == 3
        assert run.finish() is last, "a finished run keeps its last epoch"
        assert list(run) == []

    def test_vectors_before_training_are_an_error(self, parity: Any) -> None:
        with pytest.raises(RuntimeError, match="start a config"):
            train(config(CCL), parity.seen, engine="torch").vectors()

    def test_results_have_the_seconds_of_training_and_evaluation(self, parity: Any) -> None:
        results = list(train(config(CCL, epochs=10), parity.seen, parity.held_out, engine="torch", evaluate_every=2))
        without, evaluated = results[::2], results[1::2]
        assert all(result.train_seconds > 0 for result in results)
        assert [result.metrics for result in without] == [None] * 5
        shortest = [min(result.evaluate_seconds for result in some) for some in (without, evaluated)]
        assert shortest[0] < shortest[1], "others may wait for a busy machine"

    def test_the_same_config_gives_the_same_bits(self, any_engine: str, parity: Any) -> None:
        runs = [train(config(CCL, epochs=2), parity.seen, engine=any_engine, device="cpu") for _ in range(2)]
        losses = [[result.loss for result in run] for run in runs]
        assert losses[0] == losses[1]
        assert runs[0].vectors()[0].tobytes() == runs[1].vectors()[0].tobytes()

    @pytest.mark.parametrize("loss", ["directau", "ssm"])
    def test_a_last_batch_of_one_row_is_left_out(self, loss: str, parity: Any) -> None:
        """It has no in-batch negatives, and no pairs for a uniformity."""
        n_rows = 41
        settings = config(LOSS_CASES[loss], negatives={"name": "in_batch"}, batch_size=n_rows - 1, epochs=1)
        engine = TorchEngine(parity.seen.where(np.arange(len(parity.seen)) < n_rows), None)
        engine.start(0, settings)
        before = engine.snapshot(0)
        assert engine.step(settings, 0, np.array([n_rows - 1]), np.array([0])) == 0.0
        assert all(np.array_equal(engine.snapshot(0)[name], values) for name, values in before.items())
        (result,) = engine.epoch()
        assert np.isfinite(result.loss)

    def test_engines_agree_on_the_loss(self, loss_case: dict[str, Any], parity: Any) -> None:
        """Draws and formulas are the same. So the mean losses of an epoch agree much better than those of two seeds."""
        skip_what_cannot_run(loss_case, "numba")
        settings = config(loss_case, epochs=2)
        runs = [train(settings, parity.seen, engine=engine, device="cpu") for engine in ("torch", "numba")]
        reference, got = ([result.loss for result in run] for run in runs)
        assert got == pytest.approx(reference, rel=1e-3)


class TestChoice:
    def test_auto_takes_the_fused_engine_on_a_cpu(self, caplog: pytest.LogCaptureFixture, parity: Any) -> None:
        """A line in the log has the engine and the reason."""
        caplog.set_level(logging.INFO, logger="trainers.train")
        choice = choose_engine(config(CCL), device="cpu")
        assert (choice.name, choice.device) == ("numba", "cpu")
        assert choice.reason
        train(config(CCL), parity.seen, device="cpu")
        lines = [record.getMessage() for record in caplog.records if record.name == "trainers.train"]
        assert lines == [f"engine {choice.name} on cpu: {choice.reason}"]

    def test_torch_can_be_requested(self) -> None:
        choice = choose_engine(config(CCL), engine="torch", device="cpu")
        assert (choice.name, choice.device, choice.reason) == ("torch", "cpu", "asked for")

    def test_weight_decay_needs_torch(self) -> None:
        decayed = config(CCL).replace(weight_decay=1e-4)
        choice = choose_engine(decayed, device="cpu")
        assert (choice.name, "numba: weight_decay 0.0001 moves every row" in choice.reason) == ("torch", True)
        with pytest.raises(InputError, match=r"numba cannot run this: weight_decay .*; use engine torch or auto"):
            choose_engine(decayed, engine="numba", device="cpu")

    @pytest.mark.cuda
    def test_triton_engine(self) -> None:
        for device in ("auto", "cuda"):
            assert choose_engine(config(CCL), engine="torch", device=device).device == "cuda"
        assert choose_engine(config(CCL), device="cuda").device == "cuda"
        with pytest.raises(InputError, match="numba cannot run this"):
            choose_engine(config(CCL), engine="numba", device="cuda")

    @pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
    @pytest.mark.parametrize("engine", ["auto", "torch", "numba"])
    def test_cuda_is_refused_without_a_device(self, engine: str, parity: Any) -> None:
        with pytest.raises(InputError, match="finds no CUDA device; use --device cpu"):
            train(config(CCL), parity.seen, engine=engine, device="cuda")

    def test_an_unknown_engine_is_refused(self, parity: Any) -> None:
        with pytest.raises(
            InputError, match=r"unknown engine 'troch'; did you mean 'torch'\? known: auto, numba, torch, triton"
        ):
            train(config(CCL), parity.seen, engine="troch")

    def test_an_unknown_device_is_refused(self, parity: Any) -> None:
        with pytest.raises(InputError, match=r"unknown device 'cudda'; did you mean 'cuda'\? known: auto, cpu, cuda"):
            train(config(CCL), parity.seen, device="cudda")

    def test_every_engine_of_the_table_can_be_requested(self, any_engine: str) -> None:
        assert choose_engine(config(CCL), engine=any_engine, device="cpu").name == any_engine


class TestFailures:
    """A run that has failed says so again. It does not give its last epoch as a result."""

    def test_finish_raises_the_error_of_a_diverged_run_again(self, parity: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        losses = iter([0.5, float("nan")])
        monkeypatch.setattr(TorchEngine, "_train_epoch", lambda *_: next(losses))
        run = train(config(CCL, epochs=4), parity.seen, engine="torch", device="cpu")
        for _ in range(2):
            with pytest.raises(TrainingDiverged, match="training diverged in epoch 2"):
                run.finish()

    def test_finish_raises_a_stop_again(self, parity: Any) -> None:
        run = train(config(CCL), parity.seen, engine="torch", device="cpu", should_stop=lambda: True)
        for _ in range(2):
            with pytest.raises(Stopped):
                run.finish()


class TestErrors:
    """All errors come before the first epoch."""

    @pytest.mark.parametrize("every", [0, -2])
    def test_evaluate_every_must_be_positive(self, every: int, any_engine: str, parity: Any) -> None:
        with pytest.raises(InputError, match=f"evaluate_every must be at least 1, got {every}"):
            train(config(CCL), parity.seen, parity.held_out, engine=any_engine, device="cpu", evaluate_every=every)
        with pytest.raises(InputError, match=r"evaluate_every must be a whole number, got 1.5"):
            train(config(CCL), parity.seen, parity.held_out, device="cpu", evaluate_every=1.5)  # type: ignore[arg-type]
        with pytest.raises(InputError, match="metrics must be a list, got 'ndcg@20'"):
            train(config(CCL), parity.seen, parity.held_out, engine=any_engine, device="cpu", metrics="ndcg@20")

    def test_data_without_pairs_are_refused(self, any_engine: str) -> None:
        none = np.empty(0, np.int64)
        with pytest.raises(InputError, match="nothing to train on"):
            train(config(CCL), Interactions.from_pairs(none, none, 3, 4), engine=any_engine, device="cpu")

    def test_held_out_pairs_of_other_data_are_refused(self, any_engine: str, parity: Any) -> None:
        other = Interactions.from_pairs(np.array([0]), np.array([1]), 3, 4)
        with pytest.raises(InputError, match="same ids, got 90 x 120 and 3 x 4"):
            train(config(CCL), parity.seen, other, engine=any_engine, device="cpu")

    def test_held_out_data_without_pairs_are_refused(self, any_engine: str, parity: Any) -> None:
        none = np.empty(0, np.int64)
        empty = Interactions.from_pairs(none, none, parity.seen.n_users, parity.seen.n_items)
        with pytest.raises(InputError, match="held_out must have pairs"):
            train(config(CCL), parity.seen, empty, engine=any_engine, device="cpu")
