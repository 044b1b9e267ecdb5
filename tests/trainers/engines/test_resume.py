"""A lane that continues from a state trains to the same bits as an uninterrupted one. Reading a lane changes no bit.

Both hold for every engine.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import pytest

from trainers import TrainConfig, evaluate, hold_out
from trainers.engines import ENGINES, EngineChoice, make_engine
from trainers.engines.protocol import USUAL_METRICS, State, every
from trainers.metrics.sample import of_some_users

from ..test_negatives import ALL as NEGATIVES
from .cases import MML, config, data
from .test_golden import CASES, CONFIGS
from .test_golden import OTHERS as UNUSUAL

EPOCHS = 3
SEEN, HELD_OUT = hold_out(data(60, 50, 700), seed=1)
# The sparse kernel, the dense kernel, and other settings with their own state.
LOOKED_AT = ("mml", "bsl mode=reweight", *UNUSUAL)


def engine_of(name: str) -> Any:
    return make_engine(EngineChoice(name, "cpu", "named"), SEEN, HELD_OUT, every(2))


def through_a_file(state: State) -> State:
    file = BytesIO()
    np.savez(file, allow_pickle=False, **state)
    file.seek(0)
    with np.load(file, allow_pickle=False) as arrays:
        return dict(arrays)


def same(one: Any, other: Any) -> bool:
    """Whether results agree without their seconds, and vectors to the bit."""
    shown = [[(result.epoch, result.loss, result.metrics) for result in run[0]] for run in (one, other)]
    return shown[0] == shown[1] and all(np.array_equal(a, b) for a, b in zip(one[1], other[1], strict=True))


def same_states(one: State, other: State) -> bool:
    """Whether states agree to the bit."""
    return one.keys() == other.keys() and all(np.array_equal(one[key], other[key], equal_nan=True) for key in one)


def unbroken(name: str, settings: TrainConfig) -> Any:
    engine = engine_of(name)
    engine.start(0, settings)
    return [engine.epoch()[0] for _ in range(settings.epochs)], engine.vectors(0)


def in_pieces(name: str, settings: TrainConfig) -> Any:
    """Train each epoch in a new engine. Each state is read twice, and the old engine trains on without an effect."""
    engine, results = engine_of(name), []
    engine.start(0, settings)
    for _ in range(settings.epochs):
        state = engine.state(0)
        again = engine.state(0)
        assert same_states(state, again)
        state = through_a_file(state)
        engine.epoch()
        engine = engine_of(name)
        engine.resume(0, settings, state)
        results += engine.epoch()
    return results, engine.vectors(0)


@pytest.mark.parametrize("case", CASES)
def test_a_state_after_every_epoch_changes_no_bit(case: str):
    label, _, name = case.partition(" / ")
    settings = CONFIGS[label].replace(epochs=EPOCHS)
    assert same(in_pieces(name, settings), unbroken(name, settings))


@pytest.mark.parametrize("case", [case for case in CASES if case.partition(" / ")[0] in LOOKED_AT])
def test_looking_at_a_lane_changes_no_bit(case: str):
    """One engine is measured and read (vectors, parameters, state) after every epoch, the other only after the last one.

    Before the last epoch only the users of a sample are measured.
    """
    label, _, name = case.partition(" / ")
    settings, ends, some = CONFIGS[label].replace(epochs=EPOCHS), [], of_some_users(HELD_OUT, 20, seed=1)
    for looks in (True, False):
        engine = make_engine(EngineChoice(name, "cpu", "named"), SEEN, HELD_OUT, every(1) if looks else (), sample=some)
        engine.start(0, settings)
        for epoch in range(1, EPOCHS + 1):
            (result,) = engine.epoch()
            if looks:
                engine.snapshot(0), engine.state(0)
                on = HELD_OUT if epoch == EPOCHS else some
                assert result.metrics == evaluate(*engine.vectors(0), seen=SEEN, held_out=on, metrics=USUAL_METRICS)
        ends.append((([result], engine.vectors(0)), engine.state(0)))
    (looked_at, state), (left_alone, its_state) = ends
    assert same(looked_at, left_alone)
    assert same_states(state, its_state), "nor does it change the next epoch"


SIMPLEX = {"name": "simplex", "dim": 8, "init_std": 0.1, "aggregation": "user_attention", "history_table": "own"}
OTHERS = {
    "simplex with matrices": {"encoder": SIMPLEX},
    # An epoch has 20 steps. The sampler uses the vectors of step 20 until step 40, and a state comes in between.
    "two_stage, rarely refreshed": {"negatives": {"name": "two_stage", "candidates": 20, "count": 5, "refresh": 30}},
}


@pytest.mark.parametrize("case", OTHERS)
def test_what_else_a_run_keeps_is_in_its_state(any_engine: str, case: str):
    settings = TrainConfig.from_dict(config(MML, learning_rate=1e-2, epochs=EPOCHS).to_dict() | OTHERS[case])
    assert not ENGINES[any_engine].refuses(settings, "cpu")
    assert same(in_pieces(any_engine, settings), unbroken(any_engine, settings))


@pytest.mark.parametrize("name", NEGATIVES)
def test_every_sampler_goes_on(name: str):
    """A sampler with a memory must have it in its `state`."""
    settings = config(MML, learning_rate=1e-2, epochs=EPOCHS, negatives=NEGATIVES[name])
    assert same(in_pieces("torch", settings), unbroken("torch", settings))


def test_after_going_back_the_new_rate_is_kept(any_engine: str):
    settings = config(MML, learning_rate=1e-2, epochs=6)
    found = []
    for interrupted in (False, True):
        engine = engine_of(any_engine)
        engine.start(0, settings)
        engine.epoch()
        kept = engine.snapshot(0)
        engine.epoch()
        engine.restore(0, kept, 1e-3)
        if interrupted:
            state = through_a_file(engine.state(0))
            engine = engine_of(any_engine)
            engine.resume(0, settings, state)
        found.append(([engine.epoch()[0] for _ in range(2)], engine.vectors(0)))
    assert same(*found)


def test_a_state_of_something_else_is_refused_and_the_lane_is_free(any_engine: str):
    settings = config(MML)
    engine = engine_of(any_engine)
    engine.start(0, settings)
    engine.epoch()
    state = dict(engine.state(0))
    name = next(key for key in state if state[key].ndim == 2)
    wrong = {
        "another width": config(MML, dim=4),
        "lacks an array": {key: array for key, array in state.items() if key != name},
        "other numbers": state | {name: state[name].astype(np.float64)},
        "other rows": state | {name: state[name][1:]},
        "no counter": {key: array for key, array in state.items() if key != "epochs_done"},
    }
    for case, one in wrong.items():
        with pytest.raises(ValueError, match="the state does not belong to this engine and config"):
            engine.resume(0, *((one, state) if isinstance(one, TrainConfig) else (settings, one)))
        assert engine.epoch() == [], case
    with pytest.raises(RuntimeError, match="the lane is free"):
        engine.state(0)
    engine.resume(0, settings, state)
    assert engine.epoch()[0].epoch == 2


def test_a_state_does_not_share_memory_with_the_lane(any_engine: str):
    engine = engine_of(any_engine)
    engine.start(0, config(MML))
    engine.epoch()
    state = engine.state(0)
    before = {name: array.copy() for name, array in state.items()}
    engine.epoch()
    assert all(np.array_equal(state[name], before[name], equal_nan=True) for name in state)
    engine.resume(0, config(MML), state)
    engine.epoch()
    assert all(np.array_equal(state[name], before[name], equal_nan=True) for name in state)
