"""Runs at full budget: a signal keeps finished runs, early stopping gives the best epoch, and no progress bar stays open."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpo.runs import provenance
from hpo.runs.store import FinishedRun, RunKey, RunStore
from hpo.runs.train import CHECKPOINTS, FullRuns
from hpo.runtime.signals import Stopper
from trainers import Interactions, TrainConfig, evaluate, hold_out
from trainers.early_stopping import Plateau
from trainers.engines import EngineChoice, EpochResult, make_engine
from trainers.engines.protocol import every
from trainers.errors import InputError, OutOfMemory
from trainers.stopping import Stopped, never
from trainers.train import Run

from ...held_out import apart

CHOICE = EngineChoice("torch", "cpu", "tested")
CONFIG = TrainConfig.from_dict(
    {
        "loss": {"name": "ccl", "margin": 0.2, "negative_weight": 20.0},
        "encoder": {"name": "mf", "dim": 8, "init_std": 0.1},
        "negatives": {"name": "uniform", "count": 5},
        "learning_rate": 1e-2,
        "batch_size": 50,
        "epochs": 3,
    }
)


def pairs(seed: int) -> Interactions:
    rng = np.random.default_rng(seed)
    return Interactions.from_pairs(rng.integers(0, 30, 200), rng.integers(0, 40, 200), 30, 40)


SEEN, HELD_OUT = apart(pairs(0), pairs(1))
METRICS = "ndcg@20", "recall@20", "ndcg@50"


def run_of(folder: Path, metrics: tuple[str, ...], curve_every: int = 0) -> FinishedRun:
    runs = FullRuns(RunStore(folder), Bars(), Stopper(), metrics)
    return runs.train({"x": CONFIG}, CHOICE, SEEN, HELD_OUT, curve_every)[0]


class Bars:
    """A progress display that records its calls."""

    def __init__(self) -> None:
        self.open: list[str] = []
        self.advanced: list[str] = []
        self.finished: list[str] = []

    @contextmanager
    def run(self, label: str, epochs: int, unit: str = "epoch") -> Iterator[Callable[[], None]]:
        self.open.append(label)
        try:
            yield partial(self.advanced.append, label)
            self.finished.append(label)
        finally:
            self.open.remove(label)


def test_a_stop_keeps_finished_runs_and_the_next_call_trains_the_others(tmp_path: Path):
    configs = {name: CONFIG.replace(seed=seed) for seed, name in enumerate("abc")}
    keys = {name: key_of(one) for name, one in configs.items()}
    bars, store = Bars(), RunStore(tmp_path)
    runs = FullRuns(store, bars, Stopper(deserted=lambda: "b" in bars.advanced), METRICS)
    with pytest.raises(Stopped):
        runs.train(configs, CHOICE, SEEN, HELD_OUT)
    assert bars.advanced == ["a", "a", "a", "b"]
    assert (bars.finished, bars.open) == (["a"], []), "the bar of b is closed at once, and does not count as finished"
    assert [name for name, key in keys.items() if store.load(key)] == ["a"]
    bars = Bars()
    found = FullRuns(store, bars, Stopper(), METRICS).train(configs, CHOICE, SEEN, HELD_OUT)
    assert [run.config.seed for run in found] == [0, 1, 2]
    assert bars.finished == ["b", "c"]


def test_a_measured_curve_does_not_change_the_run(tmp_path: Path):
    plain, curve = run_of(tmp_path / "plain", METRICS), run_of(tmp_path / "curve", METRICS, 2)
    assert (plain.curve, list(curve.curve)) == ({}, [2, 3])
    assert plain.metrics == curve.metrics
    assert curve.curve[3] == curve.metrics["ndcg@20"]


def test_a_run_has_the_requested_metrics_even_if_others_are_stored(tmp_path: Path):
    """The first metric gives the curve, and the length of the lists for figures beyond accuracy."""
    run_of(tmp_path, METRICS, 2)
    run = run_of(tmp_path, ("map@5", "recall@5"), 2)
    assert list(run.metrics) == ["map@5", "recall@5"]
    assert run.curve[3] == pytest.approx(run.metrics["map@5"], abs=1e-9)
    assert run.beyond is not None
    assert run.beyond.k == 5
    assert sum(group.recall for group in run.beyond.groups) == pytest.approx(run.metrics["recall@5"])


def test_early_stopping_gives_the_best_epoch_like_a_single_run(tmp_path: Path):
    config, plateau = CONFIG.replace(epochs=60), Plateau("ndcg@20", patience=2)
    bars = Bars()
    runs = FullRuns(RunStore(tmp_path), bars, Stopper(), METRICS)
    (found,) = runs.train({"x": config}, CHOICE, SEEN, HELD_OUT, plateau=plateau)
    alone = Run(make_engine(CHOICE, SEEN, HELD_OUT, every(1)), config, plateau)
    curve = {result.epoch: result.metrics["ndcg@20"] for result in alone if result.metrics is not None}
    assert found.curve == curve
    assert 2 < len(curve) < 60
    assert bars.advanced == ["x"] * len(curve)
    assert found.metrics["ndcg@20"] == pytest.approx(max(curve.values()), abs=1e-6)
    (again,) = runs.train({"x": config}, CHOICE, SEEN, HELD_OUT, plateau=plateau)
    assert again.metrics == found.metrics
    (plain,) = runs.train({"x": config.replace(epochs=len(curve))}, CHOICE, SEEN, HELD_OUT)
    assert plain.metrics != found.metrics
    assert bars.finished == ["x", "x"], "the second call reads the store"


def test_the_epoch_may_be_chosen_on_other_data(tmp_path: Path):
    """The curve is that of the other data, the figures are those of the chosen epoch on `held_out`."""
    config, plateau = CONFIG.replace(epochs=24), Plateau("ndcg@20", patience=2, cut=None, every=4)
    rest, validation = hold_out(SEEN, fraction=0.2)
    runs = FullRuns(RunStore(tmp_path), Bars(), Stopper(), METRICS)
    (found,) = runs.train({"x": config}, CHOICE, rest, HELD_OUT, plateau=plateau, chosen_on=validation)
    alone = Run(make_engine(CHOICE, rest, validation, every(4)), config, plateau)
    curve = {result.epoch: result.metrics["ndcg@20"] for result in alone if result.metrics is not None}
    assert found.curve == curve
    assert set(curve) <= {4, 8, 12, 16, 20, 24}
    on_test = evaluate(*alone.vectors(), seen=rest, held_out=HELD_OUT, metrics=METRICS)
    assert found.metrics == pytest.approx(on_test, abs=1e-6)
    (leaked,) = runs.train({"x": config}, CHOICE, rest, HELD_OUT, plateau=plateau)
    assert leaked.curve != found.curve, "the store tells them apart"


class TwoLanes:
    """Two engines as two lanes. If memory runs out, it frees all lanes and halves their number, as the CUDA engine does."""

    def __init__(self, call: str) -> None:
        self.lanes, self.call = 2, call
        self.engines = [make_engine(CHOICE, SEEN, HELD_OUT, every(1)) for _ in range(2)]

    should_stop = staticmethod(never)

    def start(self, lane: int, config: TrainConfig) -> None:
        self.engines[lane].start(0, config)

    def epoch(self) -> list[EpochResult]:
        return [replace(result, lane=lane) for lane, one in enumerate(self.engines) for result in one.epoch()]

    def snapshot(self, lane: int) -> Any:
        return self.in_memory("snapshot", lambda: self.engines[lane].snapshot(0))

    def restore(self, lane: int, snapshot: Any, learning_rate: float) -> None:
        return self.in_memory("restore", lambda: self.engines[lane].restore(0, snapshot, learning_rate))

    def in_memory(self, call: str, do: Callable[[], Any]) -> Any:
        if call == self.call and self.lanes == 2:
            self.stop(0)
            self.stop(1)
            self.lanes = 1
            raise OutOfMemory("out of memory on cuda")
        return do()

    def vectors(self, lane: int) -> Any:
        return self.engines[lane].vectors(0)

    def stop(self, lane: int) -> None:
        self.engines[lane].stop(0)


@pytest.mark.parametrize("call", ["snapshot", "restore"])
def test_after_out_of_memory_early_stopping_trains_again_in_fewer_lanes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, call: str
):
    configs = {name: CONFIG.replace(seed=seed, epochs=12) for seed, name in enumerate("ab")}
    plateau = Plateau("ndcg@20", patience=2)
    expected = FullRuns(RunStore(tmp_path / "one"), Bars(), Stopper(), METRICS).train(
        configs, CHOICE, SEEN, HELD_OUT, plateau=plateau
    )
    bars = Bars()
    monkeypatch.setattr("hpo.runs.train.make_engine", lambda *_, **__: TwoLanes(call))
    found = FullRuns(RunStore(tmp_path / "two"), bars, Stopper(), METRICS).train(
        configs, CHOICE, SEEN, HELD_OUT, plateau=plateau
    )
    assert "out of memory on cuda with 2 configs at once: continuing with 1" in caplog.text
    assert [(run.metrics, run.curve, run.losses) for run in found] == [(r.metrics, r.curve, r.losses) for r in expected]
    assert bars.finished == ["a", "b"]


def test_a_run_has_the_revision_at_the_start_of_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The checkout may change during training."""
    bars = Bars()
    monkeypatch.setattr("hpo.runs.provenance._output", lambda root, *what: "after" if bars.advanced else "before")
    provenance._git.cache_clear()
    try:
        (run,) = FullRuns(RunStore(tmp_path), bars, Stopper(), METRICS).train({"x": CONFIG}, CHOICE, SEEN, HELD_OUT)
    finally:
        provenance._git.cache_clear()
    assert run.trained_by is not None
    assert run.trained_by.revision in ("before", None), "None without a checkout"


def test_a_diverged_run_is_stored_with_the_reason(tmp_path: Path):
    store = RunStore(tmp_path)
    (run,) = FullRuns(store, Bars(), Stopper(), METRICS).train(
        {"x": CONFIG.replace(learning_rate=1e30)}, CHOICE, SEEN, HELD_OUT
    )
    assert "training diverged in epoch" in run.failure
    assert (run.metrics, run.per_user) == ({}, None)


LONG = CONFIG.replace(epochs=8)
ENCODERS = {
    "mf": {"name": "mf", "dim": 8, "init_std": 0.1},
    "simplex": {"name": "simplex", "dim": 8, "init_std": 0.1, "aggregation": "user_attention"},
    "lightgcn": {"name": "lightgcn", "dim": 8, "init_std": 0.1},
}


def in_sittings(
    folder: Path, configs: dict[str, TrainConfig], sittings: list[int], **how: Any
) -> tuple[list[FinishedRun], list[str]]:
    """Train the configs in sittings, each stopped after some epochs.

    Returns:
        The runs, and a label for each epoch that a bar has shown for the first time.
    """
    shown: list[str] = []
    for epochs in [*sittings, 10**9]:
        bars = Bars()
        before = {label: shown.count(label) for label in configs}
        runs = FullRuns(RunStore(folder), bars, Stopper(deserted=partial(is_over, bars, before, epochs)), METRICS)
        with suppress(Stopped):
            return runs.train(configs, CHOICE, SEEN, HELD_OUT, **how), shown
        shown += [label for label in configs for _ in range(bars.advanced.count(label) - before[label])]
    raise AssertionError("the last sitting has no end")


def is_over(bars: Bars, before: dict[str, int], epochs: int) -> bool:
    """Whether a sitting has trained its epochs. Its bars begin with the epochs of earlier sittings."""
    return sum(max(0, bars.advanced.count(label) - n) for label, n in before.items()) >= epochs


def without_times(run: FinishedRun) -> dict[str, Any]:
    """All facts of a run but times."""
    assert run.per_user is not None
    fields = {name: getattr(run, name) for name in ("config", "metrics", "beyond", "curve", "losses", "gradient", "failure")}
    return fields | {"per_user": run.per_user.to_dict()}


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_run_in_four_sittings_equals_an_unbroken_one(tmp_path: Path, encoder: str):
    config = TrainConfig.from_dict(LONG.to_dict() | {"encoder": ENCODERS[encoder]})
    unbroken, _ = in_sittings(tmp_path / "one", {"x": config}, [], curve_every=2)
    broken, shown = in_sittings(tmp_path / "four", {"x": config}, [3, 1, 2], curve_every=2)
    assert without_times(broken[0]) == without_times(unbroken[0])
    assert list(broken[0].losses) == list(range(1, 9))
    assert shown == ["x"] * 6, "no epoch is trained twice"
    assert sorted(path.suffix for path in (tmp_path / "four").iterdir()) == [".json", ".npz"], "no checkpoint is left"


def test_early_stopping_in_sittings_equals_an_unbroken_run(tmp_path: Path):
    """The checkpoint has the parameters of the best epoch, the epochs without improvement and the learning rate."""
    how = {"plateau": Plateau("ndcg@20", patience=3)}
    config = {"x": CONFIG.replace(epochs=60)}
    unbroken, _ = in_sittings(tmp_path / "one", config, [], **how)
    epochs = len(unbroken[0].losses)
    assert 5 < epochs < 60
    broken, _ = in_sittings(tmp_path / "many", config, [1] * (epochs - 1), **how)
    assert without_times(broken[0]) == without_times(unbroken[0])


def stopped_after_three_epochs(store: RunStore) -> None:
    bars = Bars()
    stopped = FullRuns(store, bars, Stopper(deserted=lambda: len(bars.advanced) >= 3), METRICS)
    with pytest.raises(Stopped):
        stopped.train({"x": LONG}, CHOICE, SEEN, HELD_OUT)


def test_a_run_does_not_continue_from_a_checkpoint_with_another_curve(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    store = RunStore(tmp_path / "b")
    stopped_after_three_epochs(store)
    found = FullRuns(store, Bars(), Stopper(), METRICS).train({"x": LONG}, CHOICE, SEEN, HELD_OUT, curve_every=2)
    assert "has another curve_every" in caplog.text
    assert list(found[0].curve) == [2, 4, 6, 8]


def test_a_run_does_not_continue_from_a_checkpoint_of_another_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    store = RunStore(tmp_path / "b")
    stopped_after_three_epochs(store)
    monkeypatch.setattr("trainers.engines.resources.device_name", lambda device: "another")
    FullRuns(store, Bars(), Stopper(), METRICS).train({"x": LONG}, CHOICE, SEEN, HELD_OUT)
    assert "has another machine; x starts without it" in caplog.text


def key_of(config: TrainConfig) -> RunKey:
    return RunKey(config, SEEN.checksum, HELD_OUT.checksum, "torch", "cpu", METRICS)


def test_a_checkpoint_that_was_left_beside_a_finished_run_is_removed(tmp_path: Path):
    """A process was killed after it stored the run."""
    run_of(tmp_path, METRICS)
    left = tmp_path / CHECKPOINTS / f"{key_of(CONFIG).digest()}.npz"
    left.parent.mkdir()
    left.write_bytes(b"left")
    run_of(tmp_path, METRICS)
    assert not left.exists()


def test_a_stored_run_of_other_users_is_refused(tmp_path: Path):
    run = run_of(tmp_path, METRICS)
    assert run.per_user is not None
    RunStore(tmp_path).save(key_of(CONFIG), replace(run, per_user=run.per_user.iloc[:-1]))
    with pytest.raises(InputError, match="its table has other users than the split"):
        run_of(tmp_path, METRICS)
