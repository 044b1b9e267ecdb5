"""Trials and runs in several lanes of the CUDA engine get the same numbers as in one lane.

Triton's interpreter runs the kernels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import optuna
import pytest
import torch
from optuna.trial import TrialState
from rich.console import Console

from hpo.cli.console import RunProgress
from hpo.runs.store import FinishedRun, RunStore
from hpo.runs.train import FullRuns
from hpo.runtime.signals import Stopper
from hpo.search.scheduler import Scheduler
from hpo.study.sampling import make_sampler
from hpo.study.spec import StudySpec
from hpo.study.trials import trial_config
from hpo.study.workspace import default_lanes
from trainers import Interactions, TrainConfig
from trainers.engines import EngineChoice, make_engine
from trainers.engines.triton_engine import pool
from trainers.errors import OutOfMemory
from trainers.train import Run

from .conftest import Place
from .given_curves import Silent

pytest.importorskip("triton", reason="needs triton")

pytestmark = pytest.mark.usefixtures("few_programs")

CHOICE = EngineChoice("triton", "cuda" if torch.cuda.is_available() else "cpu", "tested")
MML = {"name": "mml", "margins": [0.1, 0.5], "weights": [0.3, 0.7], "negative_weight": 40.0}
SMALL = {"negatives": {"name": "uniform", "count": 5}, "batch_size": 10, "encoder": {"name": "mf", "dim": 8, "init_std": 0.1}}
CONFIG = TrainConfig.from_dict({"loss": MML, "epochs": 1, **SMALL})


def pairs(seed: int) -> Interactions:
    rng = np.random.default_rng(seed)
    return Interactions.from_pairs(rng.integers(0, 8, 14), rng.integers(0, 12, 14), 8, 12)


SEEN, HELD_OUT = pairs(0), pairs(1)


def kept(folder: Path, seeds: range) -> list[FinishedRun]:
    configs = {f"seed {seed}": CONFIG.replace(seed=seed) for seed in seeds}
    with RunProgress(Console(quiet=True)) as progress:
        runs = FullRuns(RunStore(folder), progress, Stopper(), ("ndcg@20", "recall@20"))
        return runs.train(configs, CHOICE, SEEN, HELD_OUT, curve_every=1)


@cache
def alone(seed: int) -> FinishedRun:
    """The run of an engine with one lane."""
    with TemporaryDirectory() as folder:
        (run,) = kept(Path(folder), range(seed, seed + 1))
    return run


def assert_same(one: FinishedRun, other: FinishedRun) -> None:
    assert (one.config, one.metrics, one.curve, one.losses) == (other.config, other.metrics, other.curve, other.losses)
    assert one.per_user is not None
    assert other.per_user is not None
    assert one.per_user.equals(other.per_user)


def test_runs_in_several_lanes_equal_those_in_one_lane(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = list(map(alone, range(2)))
    together = kept(tmp_path / "together", range(2))
    for one, other in zip(together, expected, strict=True):
        assert_same(one, other)
    assert together[0].losses != together[1].losses
    monkeypatch.setattr("hpo.runs.train.make_engine", lambda *arguments, **more: pytest.fail("they are stored"))
    for one, other in zip(kept(tmp_path / "together", range(2)), expected, strict=True):
        assert_same(one, other)


def test_runs_are_the_same_on_a_device_with_memory_for_fewer_lanes(
    tmp_path: Path, small_device: Callable[[int], list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At first two lanes fit, and later only one."""
    train = pool.Pool.epoch
    lanes = []

    def fuller(self: pool.Pool, epochs_done: dict[int, int], check: Callable[[], None]) -> dict[int, float]:
        lanes.append(len(epochs_done))
        if len(epochs_done) == 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate a lot")
        return train(self, epochs_done, check)

    expected = list(map(alone, range(4)))
    small_device(2)
    monkeypatch.setattr(pool.Pool, "epoch", fuller)
    for one, other in zip(kept(tmp_path / "tight", range(4)), expected, strict=True):
        assert_same(one, other)
    assert lanes == [2, 1, 1, 1, 1]


def test_a_last_run_that_does_not_fit_into_two_lanes_trains_in_one(
    tmp_path: Path, small_device: Callable[[int], list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pool for two lanes is too large for the last run. Then the engine makes a pool for one lane."""
    train = pool.Pool.epoch

    def full_with_two(self: pool.Pool, epochs_done: dict[int, int], check: Callable[[], None]) -> dict[int, float]:
        if len(self.steps_done) > 1 and len(epochs_done) == 1:
            raise RuntimeError("Triton Error [CUDA]: out of memory")
        return train(self, epochs_done, check)

    expected = list(map(alone, range(5)))
    asked = small_device(2)
    monkeypatch.setattr(pool.Pool, "epoch", full_with_two)
    for one, other in zip(kept(tmp_path / "tight", range(5)), expected, strict=True):
        assert_same(one, other)
    assert asked == [5, 2, 1]


def test_a_device_without_memory_for_one_run_is_an_error(tmp_path: Path, small_device: Callable[[int], list[int]]) -> None:
    small_device(0)
    with pytest.raises(OutOfMemory, match="out of memory"):
        kept(tmp_path, range(2))


def test_trials_in_several_lanes_have_the_same_values_as_alone() -> None:
    search = {"trials": 3, "epochs": 1, "pruner": {"name": "none"}}
    space = {"name": "ccl"}
    spec = StudySpec.model_validate({"name": "s", "dataset": "demo", "space": space, "search": search, "config": SMALL})
    study = optuna.create_study(direction="maximize", sampler=make_sampler(spec.search, 2))
    Scheduler(study, spec, make_engine(CHOICE, SEEN, HELD_OUT, lanes=2), Silent(), Stopper()).run()
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 3
    for trial in study.trials:
        last = Run(make_engine(CHOICE, SEEN, HELD_OUT), trial_config(trial, spec)).finish()
        assert last.metrics is not None
        assert trial.value == last.metrics["ndcg@20"]


@pytest.mark.parametrize(("trials", "workers", "lanes"), [(200, 1, 8), (40, 1, 4), (19, 1, 1), (3, 1, 1), (200, 4, 5)])
def test_the_default_number_of_lanes_is_a_tenth_of_the_trials_up_to_eight(trials: int, workers: int, lanes: int) -> None:
    assert default_lanes(trials, workers) == lanes


def test_several_lanes_are_refused_on_an_engine_with_one(place: Place, fails: Callable[[int], str]) -> None:
    shown = fails(place.run("--engine", "numba", "--lanes", "4"))
    assert "engine numba trains one trial at a time, got --lanes 4; use --workers 4" in shown
    assert place.run("--engine", "numba", "--lanes", "1", "--search-only") == 0


def test_the_engine_of_a_rival_may_have_a_single_lane() -> None:
    engine = make_engine(replace(CHOICE, name="torch", device="cpu"), SEEN, HELD_OUT, lanes=4)
    assert engine.lanes == 1
