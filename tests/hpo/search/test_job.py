"""A search as a value: which checkpoints its trials continue from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from hpo.search.job import SearchJob
from hpo.study.spec import load_spec
from hpo.study.workspace import Workspace
from trainers.checkpoints import Checkpoint, CheckpointFile, Notes

from ..conftest import Place, make_place


@pytest.fixture
def tiny(tmp_path: Path) -> Place:
    return make_place(tmp_path)


def checkpoint_of(place: Place, trial: optuna.Trial, changes: Mapping[str, Any]) -> CheckpointFile:
    """The checkpoint file of a trial in a search of the tiny study with changes."""
    spec = load_spec(str(place.study)).override(changes)
    work = Workspace.open(spec, place.output, str(place.root / "data"), "numba", "cpu", rivals=[])
    work.folder.mkdir(parents=True, exist_ok=True)
    found = SearchJob(work, "").checkpoints.of(trial, spec.probe)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"search.trials": 9}, ""),
        ({"objective": "recall@20"}, "has another measured_in; trial 0 starts without it"),
        ({"search.pruner.interval_steps": 2}, "has another evaluation; trial 0 starts without it"),
    ],
)
def test_a_trial_continues_only_where_the_same_was_measured_at_the_same_epochs(
    tiny: Place, caplog: pytest.LogCaptureFixture, changes: dict[str, Any], named: str
):
    """The number of trials makes no difference."""
    trial = optuna.create_study().ask()
    checkpoint_of(tiny, trial, {}).save(Checkpoint({"epochs_done": np.array(1)}, Notes()))
    assert checkpoint_of(tiny, trial, {}).load() is not None
    caplog.clear()
    assert (checkpoint_of(tiny, trial, changes).load() is None) == bool(named)
    assert named in caplog.text
