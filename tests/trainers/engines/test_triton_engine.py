"""The CUDA engine against the torch engine, and its other rules. Without CUDA, Triton's interpreter runs the same kernels.

The interpreter is slow, so the data are very small then. Tolerances are those of test_numba_engine: 2e-4 for unit vectors, 5
times as much for moments relative to the largest one, and 1e-4 relative for losses.
"""

from __future__ import annotations

import importlib.metadata
import logging
import os
import subprocess
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("triton", reason="needs triton")

import triton
import triton.language as tl

from trainers import TrainConfig, rng
from trainers.engines import choose_engine
from trainers.engines.registry import engine_for
from trainers.engines.row_losses import ROW_FUNCTIONS, RowSize
from trainers.engines.torch_engine import TorchEngine
from trainers.engines.triton_engine import limits, pool, step
from trainers.engines.triton_engine import rng as words
from trainers.engines.triton_engine.engine import TritonEngine
from trainers.engines.triton_engine.ranks import Ranker
from trainers.errors import InputError, OutOfMemory, TrainingDiverged
from trainers.losses import Scores
from trainers.metrics.accuracy import evaluate
from trainers.metrics.ranking import held_out_ranks
from trainers.stopping import Stopped, never
from trainers.train import Run

from ...held_out import apart
from .cases import ALL_LOSSES, BSL, CML, CONTRASTIVE, MML, assert_close, config, data, started

pytestmark = pytest.mark.usefixtures("few_programs")

ROOT = Path(__file__).resolve().parents[3]
CUDA = torch.cuda.is_available()
DEVICE = "cuda" if CUDA else "cpu"
TOLERANCE = 2e-4

# (users, items, pairs) and other sizes. The interpreter needs about 35 ms for a row of a batch.
SIZE, FIELDS = ((50, 80, 300), {}) if CUDA else ((12, 25, 11), {"batch_size": 7, "epochs": 2})
SEEN, HELD_OUT = apart(data(*SIZE), data(*SIZE, seed=1))
EVERYTHING = {"dropout": 0.3, "l2": 1e-2, "schedule": "linear"}


def small(loss: dict[str, Any], **fields: Any) -> TrainConfig:
    return config(loss, **{**FIELDS, **fields})


def engine(lanes: int = 1) -> TritonEngine:
    return TritonEngine(SEEN, None, (), DEVICE, lanes)


def ours(settings: TrainConfig, lanes: int = 1, lane: int = 0) -> TritonEngine:
    one = engine(lanes)
    one.start(lane, settings)
    return one


def assert_same_state(mine: TritonEngine, theirs: TorchEngine, tolerance: float = TOLERANCE) -> None:
    """As in test_numba_engine. For cml 90 % of the rows are compared."""
    settings = mine.running[0].config
    share = 0.9 if settings.loss.name == "cml" else 1.0
    for one, other in zip(mine.vectors(0), theirs.vectors(0), strict=True):
        assert_close("vectors", one, other, tolerance, share=share)
    lanes = mine.pools[mine.running[0].shape]
    for table, parameter in zip((lanes.users, lanes.items), theirs.model.tables(), strict=True):
        dense = theirs.optimizer.state[parameter]
        idle = (lanes.steps_done[0] - table.last_step[0].cpu().numpy().astype(np.float64))[:, None]
        for name, moment, base in (("exp_avg", table.mean, 0.9), ("exp_avg_sq", table.square, 0.999)):
            found = moment[0].cpu().numpy()[:, : settings.encoder.dim] * base**idle
            assert_close(name, found, dense[name].cpu().numpy(), 5 * tolerance, relative=True, share=share)


def assert_agrees(settings: TrainConfig, tolerance: float = TOLERANCE) -> None:
    mine, theirs = ours(settings), started(TorchEngine, SEEN, settings)
    for _ in range(settings.epochs):
        assert mine.epoch()[0].loss == pytest.approx(theirs.epoch()[0].loss, rel=1e-4)
    assert_same_state(mine, theirs, tolerance)


@pytest.mark.parametrize("loss", ALL_LOSSES, ids=lambda loss: f"{loss['name']}-{loss.get('mode', '')}")
def test_agrees_with_torch(loss: dict[str, Any]) -> None:
    """Near its margin the gradient of contrastive is mostly rounding, which Adam enlarges. Gradients of cml may cancel: sums of
    whole numbers are then 0, and the row gets no l2, but sums of floats are rounding errors."""
    settings = small(loss, **EVERYTHING | ({"l2": 0.0} if loss["name"] == "cml" else {}))
    assert_agrees(settings, (5 if loss is CONTRASTIVE else 1) * TOLERANCE)


CHANGES: list[dict[str, Any]] = [
    {},
    {"dim": 20},
    {"count": 40},
    {"count": 300, "epochs": 1},
    {"init_std": 1e-4},
    {"score": "cosine_in_training"},
    {"negatives": {"name": "popularity", "count": 9, "beta": 0.5}},
]


@pytest.mark.parametrize("change", CHANGES, ids=str)
@pytest.mark.parametrize("loss", [MML, BSL], ids=["mml", "bsl"])
def test_each_change_agrees_with_torch(loss: dict[str, Any], change: dict[str, Any]) -> None:
    """Tested with a loss with few negatives that have a gradient, and one with all. The next test has every loss, on a GPU."""
    assert_agrees(small(loss, **change))


@pytest.mark.cuda
@pytest.mark.parametrize("loss", ALL_LOSSES, ids=lambda loss: f"{loss['name']}-{loss.get('mode', '')}")
@pytest.mark.parametrize("change", [*CHANGES, {"dropout": 0.3}, {"l2": 1e-2}, {"schedule": "linear"}], ids=str)
def test_every_loss_agrees_with_torch(loss: dict[str, Any], change: dict[str, Any]) -> None:
    assert_agrees(small(loss, **change), (5 if loss is CONTRASTIVE else 1) * TOLERANCE)


@pytest.mark.cuda
@pytest.mark.parametrize(("loss", "schedule"), [(MML, "constant"), (BSL, "linear")], ids=["mml", "bsl"])
def test_a_thousand_steps_with_rows_that_rest(loss: dict[str, Any], schedule: str) -> None:
    seen = data(400, 900, 500)
    settings = config(loss, count=1, batch_size=2, schedule=schedule)
    mine, theirs = TritonEngine(seen, None, (), DEVICE), started(TorchEngine, seen, settings)
    mine.start(0, settings)
    for _ in range(settings.epochs):
        mine.epoch()
        theirs.epoch()
    assert_same_state(mine, theirs)


@pytest.mark.cuda
@pytest.mark.parametrize("loss", [MML, BSL, CML], ids=lambda loss: loss["name"])
def test_the_same_bits_again_at_scale(loss: dict[str, Any]) -> None:
    """Each step has tens of thousands of rows, on the whole device. So races would show."""
    seen, found = data(20_000, 30_000, 300_000), []
    for lanes in (1, 4):
        mine = TritonEngine(seen, None, (), DEVICE, lanes)
        for lane in range(lanes):
            mine.start(lane, config(loss, count=100, batch_size=4096, epochs=2, dropout=0.1, seed=5 + lane))
        losses = [mine.epoch()[0].loss for _ in range(2)]
        found.append((losses, *(vectors.tobytes() for vectors in mine.vectors(0))))
    assert found[0] == found[1]


SHAPES = [
    (3, 5, 6, {"batch_size": 1}),
    (4, 6, 7, {"batch_size": 512}),
    (4, 6, 7, {"dim": 1}),
    (4, 6, 7, {"dim": 3, "count": 1}),
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_small_and_odd_shapes(shape: tuple[int, int, int, dict[str, Any]]) -> None:
    seen, settings = data(*shape[:3]), small(MML, **shape[3])
    mine, theirs = TritonEngine(seen, None, (), DEVICE), started(TorchEngine, seen, settings)
    mine.start(0, settings)
    for _ in range(settings.epochs):
        assert mine.epoch()[0].loss == pytest.approx(theirs.epoch()[0].loss, rel=1e-4)
    for one, other in zip(mine.vectors(0), theirs.vectors(0), strict=True):
        assert_close("vectors", one, other, TOLERANCE)


def test_a_lane_does_not_depend_on_the_others() -> None:
    """It has the same bits alone and with other lanes, which begin earlier, have other settings, and end."""
    settings = small(MML, dropout=0.3, seed=9)
    alone = ours(settings)
    losses = [alone.epoch()[0].loss for _ in range(2)]
    crowd = engine(3)
    crowd.start(0, small(MML | {"negative_weight": 7.0}, learning_rate=0.01))
    crowd.start(1, small(BSL, epochs=2))
    crowd.epoch()
    crowd.stop(0)
    crowd.start(2, settings)
    crowd.start(0, small(MML, seed=3))
    found = []
    for _ in range(2):
        results = {result.lane: result for result in crowd.epoch()}
        found.append(results[2].loss)
    assert found == losses
    for one, other in zip(crowd.vectors(2), alone.vectors(0), strict=True):
        np.testing.assert_array_equal(one, other)
    assert 1 not in results, "lane 1 has finished its epochs"
    assert results[0].loss != results[2].loss


def test_evaluation_is_that_of_the_cpu() -> None:
    settings = small(MML, epochs=3)
    asked = ["map@5", "recall@20"]
    mine = TritonEngine(SEEN, HELD_OUT, {2}, DEVICE, metrics=asked)
    mine.start(0, settings)
    results = [mine.epoch()[0] for _ in range(3)]
    assert [result.metrics is not None for result in results] == [False, True, True]
    assert results[-1].metrics == evaluate(*mine.vectors(0), seen=SEEN, held_out=HELD_OUT, metrics=asked)
    assert mine.epoch() == []


def test_ranks_with_ties_and_seen_items(monkeypatch: pytest.MonkeyPatch) -> None:
    """With whole numbers scores are exact, and many are equal. Users are ranked in blocks of four."""
    monkeypatch.setattr("trainers.engines.triton_engine.ranks.BLOCK_SCORES", 4 * SEEN.n_items)
    generator = np.random.default_rng(0)
    users, items = (generator.integers(-1, 2, (n, 3)).astype(np.float32) for n in (SEEN.n_users, SEEN.n_items))
    users[2] = np.inf  # the scores are infinite or NaN, which are misses
    there = [torch.from_numpy(vectors).to(DEVICE) for vectors in (users, items)]
    for k in (3, 20):
        expected = held_out_ranks(users, items, SEEN, HELD_OUT, k)
        np.testing.assert_array_equal(Ranker(SEEN, HELD_OUT, DEVICE).ranks(*there, k).cpu().numpy(), expected)
        assert (expected == k).any()
        assert (expected < k).any()


@triton.jit
def draw_all(key, keep, other, n, half_bits, out, N: tl.constexpr):  # type: ignore[no-untyped-def]
    i = tl.program_id(0) + tl.arange(0, 1)
    drawn = words.bits(words.word(tl.load(key)), i)
    tl.store(out + i, words.permuted(words.word(tl.load(key)), i, n, half_bits))
    tl.store(out + N + i, words.below(drawn, n).to(tl.int64))
    tl.store(out + 2 * N + i, words.weighted(drawn, keep, other, n, i >= 0).to(tl.int64))


def test_rng() -> None:
    n = 13
    key = rng.key(2**62, rng.Purpose.NEGATIVES, 3)
    keep, other = rng.alias_table(np.arange(n, dtype=np.float64))
    out = torch.zeros((3, n), dtype=torch.int64, device=DEVICE)
    arrays = [torch.from_numpy(np.atleast_1d(array).view(np.int64)).to(DEVICE) for array in (key, keep, other)]
    draw_all[(n,)](*arrays, n, rng.half_bits_for(n), out, N=n, **step.ROUNDING)
    drawn = rng.bits(key, np.arange(n, dtype=np.uint64))
    expected = [
        rng.permuted(key, np.arange(n), n),
        rng.below(drawn, np.uint64(n)),
        rng.weighted(drawn, keep, other),
    ]
    np.testing.assert_array_equal(out.cpu().numpy(), np.stack([one.astype(np.int64) for one in expected]))


@pytest.mark.parametrize("loss", ALL_LOSSES, ids=lambda loss: f"{loss['name']}-{loss.get('mode', '')}")
def test_no_row_is_steeper_than_said(loss: dict[str, Any]) -> None:
    """Gradients are summed as whole numbers, which needs this bound."""
    formula, n_items = config(loss).loss, 1_000
    bound = ROW_FUNCTIONS[type(formula)].gradient_bound
    generator = np.random.default_rng(3)
    steepest = 0.0
    for n in (1, 9, 40):
        for width in (1.0, 0.1, 2.0):
            negative = torch.tensor(generator.uniform(-width, width, (50, n)), requires_grad=True)
            positive = torch.tensor(generator.uniform(-width, width, 50), requires_grad=True)
            formula.rows(Scores(positive, negative, torch.zeros(1), torch.zeros(1), n_items)).sum().backward()  # type: ignore[no-untyped-call]
            assert positive.grad is not None
            assert negative.grad is not None
            steep = positive.grad.abs() + negative.grad.abs().sum(1)
            steepest = max(steepest, float(steep.max()) / bound(formula, RowSize(n, n_items, width)))
    assert steepest <= 1.0
    assert steepest > (1e-6 if loss is CONTRASTIVE else 0.1), "the bound says nothing"


def test_a_gradient_is_summed_finely() -> None:
    """The unit is below a thousandth of Adam's epsilon, though all gradients of a batch may be for one row."""
    steep = {"name": "mml", "margins": [0.3], "weights": [1.0], "positive_weight": 2.0, "negative_weight": 6000.0}
    for settings in (config(steep, dropout=0.5), config(CML, batch_size=4096), config(BSL | {"temperature": 0.01})):
        scale = limits.gradient_scale(settings, 10**6)
        assert 1 / scale < 1e-11
        assert np.log2(scale) == int(np.log2(scale))


@pytest.mark.parametrize(
    "loss",
    [MML | {"positive_weight": 0.0, "negative_weight": 0.0}, BSL | {"temperature": 1e-46}, BSL | {"temperature": 1e-320}],
    ids=str,
)
def test_the_unit_of_extreme_settings(loss: dict[str, Any]) -> None:
    """Weights of 0 have no gradient. A temperature that is 0 in float32 gives NaN, which ends the run."""
    scale = limits.gradient_scale(config(loss), 1_000)
    assert 0.0 < np.float32(scale) < np.inf


def test_going_back() -> None:
    settings = small(MML, epochs=6)
    mine, theirs = ours(settings), started(TorchEngine, SEEN, settings)
    kept = []
    for one in (mine, theirs):
        one.epoch()
        kept.append(one.snapshot(0))
        one.epoch()
        one.restore(0, kept[-1], 1e-4)
        one.epoch()
    assert_same_state(mine, theirs)
    falling = ours(small(MML, schedule="linear"))
    now = falling.snapshot(0)
    with pytest.raises(ValueError, match="constant learning rate"):
        falling.restore(0, now, 1e-4)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # from NumPy, which the interpreter uses
@pytest.mark.parametrize("loss", [MML | {"negative_weight": 1e38, "positive_weight": 1e38}, MML], ids=["steep", "fast"])
def test_divergence_shows_in_the_loss(loss: dict[str, Any]) -> None:
    run = Run(engine(), small(loss, learning_rate=3e38))
    with pytest.raises(TrainingDiverged):
        run.finish()


class TestMemory:
    def test_as_many_lanes_as_fit(self, small_device: Callable[[int], list[int]], caplog: pytest.LogCaptureFixture) -> None:
        small_device(2)
        mine = engine(8)
        with caplog.at_level(logging.WARNING, logger="trainers"):
            mine.start(0, small(MML))
        assert mine.lanes == 2
        assert "8 lanes do not fit into the memory" in caplog.text
        assert len(mine.epoch()) == 1

    def test_the_lane_that_starts_is_among_those_that_must_fit(self, small_device: Callable[[int], list[int]]) -> None:
        mine = engine(8)
        mine.start(0, small(MML))
        small_device(4)
        with pytest.raises(OutOfMemory):
            mine.start(4, small(BSL))
        assert mine.lanes == 4
        mine.start(3, small(BSL))
        assert [result.lane for result in mine.epoch()] == [3]

    def test_not_even_one(self, small_device: Callable[[int], list[int]]) -> None:
        small_device(0)
        with pytest.raises(OutOfMemory, match="out of memory"):
            engine(4).start(0, small(MML))

    def test_of_the_host(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Python raises an error without text."""

        def full(*arguments: Any) -> None:
            raise MemoryError

        monkeypatch.setattr(pool.Pool, "__init__", full)
        with pytest.raises(OutOfMemory, match=r"out of memory on c.*: MemoryError"):
            engine(1).start(0, small(MML))

    def test_in_an_epoch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """All lanes are freed, and half of them continue. The error references the frames that used the arrays."""
        mine = engine(4)
        for lane in range(4):
            mine.start(lane, small(MML, seed=lane))
        arrays = [weakref.ref(one) for pool in mine.pools.values() for one in (*pool.users[:-2], *pool.items[:-2])]
        alive: list[int] = []

        def full(these: pool.Pool, *arguments: Any) -> None:
            rows = these.users.rows
            raise torch.OutOfMemoryError(f"CUDA out of memory for {rows.shape}")

        with monkeypatch.context() as patch:
            patch.setattr(pool.Pool, "epoch", full)
            patch.setattr(mine, "_empty_cache", lambda: alive.append(sum(one() is not None for one in arrays)))
            with pytest.raises(OutOfMemory):
                mine.epoch()
        assert (mine.lanes, alive) == (2, [0])
        assert mine.epoch() == []
        mine.start(1, small(MML))
        assert [result.lane for result in mine.epoch()] == [1]


class TestLanes:
    def test_free_and_unknown_lanes(self) -> None:
        mine = engine(2)
        mine.stop(0)
        with pytest.raises(RuntimeError, match="lane 0 is free"):
            mine.vectors(0)
        with pytest.raises(ValueError, match="2 lanes, numbered from 0, got 2"):
            mine.start(2, small(MML))

    def test_memory_stays_for_the_next_config_of_a_shape(self) -> None:
        mine = engine(2)
        mine.start(0, small(MML))
        first = mine.pools[mine.running[0].shape]
        mine.stop(0)
        mine.start(0, small(MML, seed=1))
        assert list(mine.pools.values()) == [first]
        mine.start(1, small(BSL))
        assert len(mine.pools) == 2
        mine.start(1, small(BSL, dim=20))
        assert [pool.shape.dim for pool in mine.pools.values()] == [8, 20], "no lane has BSL with width 8"

    def test_a_stopped_epoch_frees_the_lanes(self) -> None:
        """Their rows are those of a step in the middle of the epoch."""

        mine = ours(small(MML))
        answers = iter([True] if CUDA else [False, True])  # a single replay of a graph has all steps of this epoch
        mine.should_stop = lambda: next(answers)
        with pytest.raises(Stopped):
            mine.epoch()
        mine.should_stop = never
        with pytest.raises(RuntimeError, match="lane 0 is free"):
            mine.vectors(0)
        expected = ours(small(MML)).epoch()[0].loss
        mine.start(0, small(MML))
        assert mine.epoch()[0].loss == expected


class TestChoice:
    def test_what_it_cannot_run(self) -> None:
        assert limits.why_not(small(MML)) == ""
        assert limits.why_not(small(MML, negatives={"name": "popularity", "count": 3})) == ""
        assert "encoder simplex is not matrix" in limits.why_not(small(MML).replace(encoder={"name": "simplex"}))
        assert "score euclidean is not bounded" in limits.why_not(small(CML, score="euclidean"))
        assert "weight_decay 0.01 moves every row" in limits.why_not(small(MML, weight_decay=0.01))
        assert "pools positives" in limits.why_not(small(BSL | {"mode": "multi"}))
        assert "negatives unseen are not drawn" in limits.why_not(small(MML, negatives={"name": "unseen", "count": 3}))
        many = {"name": "mml", "margins": [0.1] * 40, "weights": [0.025] * 40, "negative_weight": 1.0}
        assert "loss mml has 84 settings, 64 fit" in limits.why_not(small(many))
        assert limits.why_not(small(MML, count=5000)) == "5000 negatives per positive, 4096 at most"
        assert limits.why_not(small(MML, dim=2000)) == "encoder.dim 2000, 1024 at most"
        with pytest.raises(ValueError, match="triton engine cannot run"):
            engine().start(0, small(many))

    @pytest.mark.skipif(CUDA, reason="there is a CUDA device")
    def test_without_cuda(self) -> None:
        with pytest.raises(InputError, match="engine triton needs a CUDA device, and torch finds none; use engine numba"):
            choose_engine(small(MML), engine="triton")

    def test_what_the_machine_lacks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("torch.cuda.is_available", lambda: True)
        monkeypatch.setattr("torch.cuda.get_device_capability", lambda: (7, 5))
        assert limits.why_not(small(MML)) == "the GPU has compute capability 7.5, 8.0 is needed"
        monkeypatch.setattr("torch.cuda.get_device_capability", lambda: (9, 0))
        monkeypatch.setattr("shutil.which", lambda name: None)
        monkeypatch.delenv("CC", raising=False)
        assert limits.why_not(small(MML)) == "Triton needs a C compiler, and there is no gcc or clang; install one, or set CC"
        choice = choose_engine(small(MML))
        assert (choice.name, choice.device) == ("numba", "cpu")
        monkeypatch.setenv("CC", "/opt/cc")
        assert limits.why_not(small(MML)) == ""

    def test_a_rival_goes_where_auto_would_send_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """This does not hold for a requested device."""
        monkeypatch.setattr("torch.cuda.is_available", lambda: True)
        monkeypatch.setattr("torch.cuda.get_device_capability", lambda: (9, 0))
        monkeypatch.setattr("shutil.which", lambda name: name)
        rival = small(MML, negatives={"name": "unseen", "count": 3})
        ours = choose_engine(small(MML))
        assert (ours.name, engine_for(rival, ours).name) == ("triton", "numba")
        assert engine_for(rival, choose_engine(small(MML), device="cuda")).name == "torch"
        assert engine_for(small(BSL), ours) == ours

    def test_without_triton(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def version(name: str) -> str:
            raise importlib.metadata.PackageNotFoundError(name)

        monkeypatch.setattr("importlib.metadata.version", version)
        assert limits.why_not(small(MML)) == "triton is not installed (pip install 'mml-hpo[gpu]')"
        monkeypatch.setattr("importlib.metadata.version", lambda name: "3.4.0")
        assert limits.why_not(small(MML)) == "triton 3.4.0 is installed, 3.6 or newer is needed"

    @pytest.mark.parametrize(
        ("settings", "device", "expected"),
        [
            (small(MML), "auto", ("triton", "cuda")),
            (small(MML), "cuda", ("triton", "cuda")),
            (small(MML), "cpu", ("numba", "cpu")),
            (small(MML, negatives={"name": "unseen", "count": 3}), "auto", ("numba", "cpu")),
            (small(MML, negatives={"name": "unseen", "count": 3}), "cuda", ("torch", "cuda")),
            (small(MML).replace(encoder={"name": "simplex", "history_table": "own"}), "auto", ("torch", "cuda")),
            (small(MML).replace(encoder={"name": "simplex", "history_table": "own"}), "cpu", ("numba", "cpu")),
        ],
        ids=str,
    )
    def test_auto_with_cuda(
        self, settings: TrainConfig, device: str, expected: tuple[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("torch.cuda.is_available", lambda: True)
        monkeypatch.setattr("torch.cuda.get_device_capability", lambda: (9, 0))
        choice = choose_engine(settings, device=device)
        assert (choice.name, choice.device) == expected

    def test_nothing_of_it_is_imported_before_it_is_asked_for(self) -> None:
        program = (
            "import sys; from trainers import TrainConfig; from trainers.engines import choose_engine\n"
            "choose_engine(TrainConfig.from_dict({'loss': {'name': 'bpr'}}), device='cpu')\n"
            "print([name for name in sys.modules if name == 'triton' or name.startswith('trainers.engines.triton_engine')])"
        )
        done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"


def test_kernels_compile_for_a_data_centre_gpu() -> None:
    """Triton's compiler makes machine code without a GPU. No operation may be fused: if one were fused in some rows of a tile
    only, the bits of a run would depend on timing."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, "-m", "benchmarks.cuda_kernels"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count(" bytes of machine code, 0 operations that may be fused\n") == 19, done.stdout
