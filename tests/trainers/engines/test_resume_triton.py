"""The rules of test_resume for the triton engine, which has several lanes."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("triton", reason="needs triton")

from trainers import evaluate
from trainers.engines.protocol import USUAL_METRICS, every
from trainers.engines.triton_engine.engine import TritonEngine
from trainers.metrics.sample import of_some_users

from ...held_out import apart
from .cases import MML, data
from .test_triton_engine import DEVICE, EVERYTHING, engine, ours, small

pytestmark = pytest.mark.usefixtures("few_programs")


def test_going_on_from_a_state_changes_no_bit() -> None:
    """It continues in another lane of another engine, together with another config."""
    settings, other = small(MML, epochs=3, **EVERYTHING), small(MML, seed=9)
    unbroken, first, second = ours(settings), ours(settings), engine(lanes=2)
    expected = [unbroken.epoch()[0].loss for _ in range(2)]
    first.epoch()
    state = first.state(0)
    second.start(0, other)
    second.resume(1, settings, state)
    assert [result.loss for result in second.epoch()][1] == expected[1]
    assert all(np.array_equal(one, its) for one, its in zip(second.vectors(1), unbroken.vectors(0), strict=True))
    assert all(np.array_equal(array, unbroken.state(0)[name]) for name, array in second.state(1).items())
    with pytest.raises(ValueError, match="does not belong to this engine"):
        second.resume(1, small(MML, dim=4), state)
    with pytest.raises(RuntimeError, match="free"):
        second.state(1)


def test_looking_at_a_lane_changes_no_bit() -> None:
    settings, ends = small(MML, **EVERYTHING), []
    seen, held_out = apart(data(8, 24, 12), data(8, 24, 12, seed=1))
    some = of_some_users(held_out, 3, seed=1)
    for looks in (True, False):
        one = TritonEngine(seen, held_out, every(1) if looks else (), DEVICE, sample=some)
        one.start(0, settings)
        for epoch in range(1, settings.epochs + 1):
            (result,) = one.epoch()
            if looks:
                one.snapshot(0), one.state(0)
                on = held_out if epoch == settings.epochs else some
                assert result.metrics == evaluate(*one.vectors(0), seen=seen, held_out=on, metrics=USUAL_METRICS)
        ends.append(((result.loss, result.metrics), *one.vectors(0), one.state(0)))
    (measured, *vectors, state), (its, *its_vectors, its_state) = ends
    assert measured == its
    assert all(np.array_equal(one, other) for one, other in zip(vectors, its_vectors, strict=True))
    assert all(np.array_equal(array, its_state[name]) for name, array in state.items()), "nor does it change the next epoch"
