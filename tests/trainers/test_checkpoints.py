"""The file of a checkpoint: its content, when it is ignored, and that it never ends a run."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainers import TrainConfig, train
from trainers.checkpoints import ABOUT, Checkpoint, CheckpointFile, Notes, training_key
from trainers.engines import EngineChoice
from trainers.errors import InputError
from trainers.stopping import Stopped

from ..held_out import apart
from .engines.cases import MML, config, data

KEY = {"config": {"seed": 1}, "seen": "abc"}


def checkpoint(epochs: int = 3) -> Checkpoint:
    state = {"epochs_done": np.array(epochs), "rows": np.arange(6, dtype=np.float32).reshape(2, 3), "last": np.array([7, 8])}
    notes = Notes({"values": {"2": 0.1 + 0.2}, "best": -math.inf, "nan": math.nan}, {"rows": np.zeros((1, 2))})
    return Checkpoint(state, notes)


def at(path: Path, key: Any = KEY, **more: Any) -> CheckpointFile:
    return CheckpointFile(path, key, "run 5", **more)


def test_a_saved_checkpoint_is_loaded_to_the_bit(tmp_path: Path):
    file = at(tmp_path / "deep" / "a.npz")
    assert file.load() is None
    file.save(checkpoint(1))
    file.save(checkpoint())
    found = file.load()
    assert found is not None
    assert found.epochs == 3
    assert {name: (array.dtype, array.tolist()) for name, array in found.state.items()} == {
        name: (array.dtype, array.tolist()) for name, array in checkpoint().state.items()
    }
    assert found.notes.values["values"] == {"2": 0.1 + 0.2}
    assert found.notes.values["best"] == -math.inf
    assert math.isnan(found.notes.values["nan"])
    assert found.notes.arrays["rows"].shape == (1, 2)
    assert [path.name for path in file.path.parent.iterdir()] == ["a.npz"], "no temporary file is left"
    file.delete()
    assert list(file.path.parent.iterdir()) == []
    file.delete()


def test_of_several_attempts_the_checkpoint_with_the_most_epochs_is_used(tmp_path: Path):
    paths = [tmp_path / f"{name}.npz" for name in "abc"]
    for path, epochs in zip(paths, (2, 5, 4), strict=True):
        at(path).save(checkpoint(epochs))
    (tmp_path / ".99.b.npz").write_bytes(b"half")  # from a killed writer
    (tmp_path / "other.npz").write_bytes(b"")
    file = at(paths[0], earlier=tuple(paths[1:]))
    found = file.load()
    assert found is not None
    assert found.epochs == 5
    file.save(checkpoint(6))
    assert sorted(path.name for path in tmp_path.iterdir()) == [".99.b.npz", "a.npz", "other.npz"]
    file.delete()
    assert [path.name for path in tmp_path.iterdir()] == ["other.npz"]


@pytest.mark.parametrize(
    ("key", "named"),
    [
        (KEY | {"seen": "other"}, "has another seen; run 5 starts without it"),
        (KEY | {"config": {"seed": 2}, "threads": 2}, "has another config, threads; run 5"),
        ({}, "has another config, seen"),
    ],
)
def test_a_checkpoint_with_another_key_is_ignored_with_a_message(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, key: dict[str, Any], named: str
):
    at(tmp_path / "a.npz", key).save(checkpoint())
    assert at(tmp_path / "a.npz").load() is None
    assert named in caplog.text


def rewritten(path: Path, **changes: Any) -> None:
    """Write the file with other arrays, or with another text in ABOUT."""
    with np.load(path) as arrays:
        content = dict(arrays)
    np.savez(path, **(content | changes))


DAMAGES: dict[str, Any] = {
    "empty": lambda path: path.write_bytes(b""),
    "garbage": lambda path: path.write_bytes(b"PK\x03\x04 garbage"),
    "torn": lambda path: path.write_bytes(path.read_bytes()[:-200]),
    "a flipped bit": lambda path: path.write_bytes(path.read_bytes().replace(b"\x00\x00\x80?", b"\x00\x00\x81?", 1)),
    "no notes": lambda path: rewritten(path, **{ABOUT: np.array(json.dumps({"format": 2, "key": KEY}))}),
    "notes that are a list": lambda path: rewritten(path, **{ABOUT: np.array('{"format": 2, "key": {}, "notes": [3]}')}),
    "about that is a number": lambda path: rewritten(path, **{ABOUT: np.array(3)}),
    "about that is a list": lambda path: rewritten(path, **{ABOUT: np.array("[]")}),
    "pickled": lambda path: rewritten(path, **{ABOUT: np.array([object()])}),
    "another format": lambda path: rewritten(path, **{ABOUT: np.array('{"format": 3}')}),
    "a negative epoch": lambda path: rewritten(path, **{"engine:epochs_done": np.array(-1)}),
    "epochs that are a list": lambda path: rewritten(path, **{"engine:epochs_done": np.array([1, 2])}),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_ignored_and_the_next_one_replaces_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
):
    file = at(tmp_path / "a.npz")
    file.save(checkpoint())
    DAMAGES[damage](file.path)
    assert file.load() is None
    if damage == "a folder":
        return
    assert "a.npz: " in caplog.text
    file.save(checkpoint())
    assert file.load() is not None


def test_a_checkpoint_that_cannot_be_written_does_not_end_the_run(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    (tmp_path / "file").write_text("in the way")
    file = at(tmp_path / "file" / "a.npz")
    for _ in range(3):
        file.save(checkpoint())
    assert len(caplog.messages) == 1, "there is one message"
    assert "cannot be written" in caplog.text
    assert "run 5 continues, and starts from its first epoch if it is interrupted" in caplog.text
    assert file.load() is None
    file.delete()


def test_a_full_disk_leaves_the_last_whole_checkpoint(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    file = at(tmp_path / "a.npz")
    file.save(checkpoint(1))
    wide = Checkpoint({**checkpoint(2).state, "wide": np.zeros(1 << 16)}, Notes())
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))  # a larger file fails as on a full disk
        file.save(wide)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "cannot be written: File too large" in caplog.text
    found = file.load()
    assert found is not None
    assert found.epochs == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


SEEN, HELD_OUT = apart(data(30, 40, 300), data(30, 40, 60, seed=1))
SETTINGS = config(MML, learning_rate=1e-2, epochs=9)


def epochs_of(path: Path, stop_after: int, engine: str, settings: TrainConfig = SETTINGS) -> tuple[list[Any], Any]:
    """Train until this sitting has trained `stop_after` epochs. The result: loss and metrics by epoch, and the vectors."""
    seen: list[Any] = []
    run = train(
        settings, SEEN, HELD_OUT, engine, "cpu", evaluate_every=2, should_stop=lambda: len(seen) >= stop_after, checkpoint=path
    )
    try:
        for result in run:
            seen.append((result.epoch, result.loss, result.metrics))
        vectors: Any = [table.tolist() for table in run.vectors()]
    except Stopped:
        vectors = None
    return seen, vectors


def test_a_training_in_four_sittings_equals_an_unbroken_one(tmp_path: Path, any_engine: str):
    expected, vectors = epochs_of(tmp_path / "none.npz", 99, any_engine)
    path, together, last = tmp_path / "a.npz", [], None
    for stop_after in (2, 1, 3, 99):
        assert path.exists() == bool(together)
        found, last = epochs_of(path, stop_after, any_engine)
        together += found
    assert together == expected
    assert last == vectors
    assert list(tmp_path.iterdir()) == []


def test_a_training_with_another_config_starts_from_the_first_epoch(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    epochs_of(tmp_path / "a.npz", 2, "numba")
    found, _ = epochs_of(tmp_path / "a.npz", 1, "numba", SETTINGS.replace(seed=6))
    assert found[0][0] == 1
    assert "has another config; the run starts without it" in caplog.text
    with caplog.at_level(logging.INFO):
        assert epochs_of(tmp_path / "a.npz", 1, "numba", SETTINGS.replace(seed=6))[0][0][0] == 2
    assert "the run goes on after epoch 1 of 9" in caplog.text


@pytest.mark.parametrize(
    ("patched", "value", "named"),
    [
        ("trainers.engines.resources.device_name", lambda device: "another", "machine"),
        ("trainers.checkpoints._version", lambda package: "0.1", "libraries"),
        ("torch.get_num_threads", lambda: 77, "threads"),
    ],
)
def test_a_training_does_not_continue_where_numbers_are_rounded_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, patched: str, value: Any, named: str
):
    epochs_of(tmp_path / "a.npz", 2, "torch")
    monkeypatch.setattr(patched, value)
    found, _ = epochs_of(tmp_path / "a.npz", 1, "torch")
    assert f"has another {named}; the run starts without it" in caplog.text
    assert found[0][0] == 1


def test_the_key_has_the_threads_only_if_sums_depend_on_them():
    keys = {name: training_key(SETTINGS, SEEN, None, EngineChoice(name, "cpu", "")) for name in ("torch", "numba")}
    assert isinstance(keys["torch"]["threads"], int)
    assert keys["numba"]["threads"] is None
    assert keys["numba"]["held_out"] is None
    assert keys["numba"]["seen"] == SEEN.checksum
    assert set(keys["numba"]["libraries"]) == {"numba", "llvmlite", "numpy", "torch"}
    json.dumps(keys)


def test_a_file_that_is_no_checkpoint_is_not_replaced(tmp_path: Path):
    mine = tmp_path / "model.npz"
    np.savez(mine, users=np.zeros(3))
    before = mine.read_bytes()
    for content in (before, b"notes", b""):
        mine.write_bytes(content)
        with pytest.raises(InputError, match="must be a checkpoint, since it is replaced"):
            train(SETTINGS, SEEN, HELD_OUT, "numba", "cpu", checkpoint=mine)
        assert mine.read_bytes() == content


def test_files_with_other_names_are_not_changed(tmp_path: Path):
    others = [".important.a.npz", ".7.my.a.npz", "my.a.npz", "ab.npz", ".7.[a].npz"]
    for name in [*others, ".7.a.npz", "a.npz"]:
        (tmp_path / name).write_bytes(b"")
    at(tmp_path / "a.npz").delete()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(others)


def test_a_name_may_have_any_suffix(tmp_path: Path):
    epochs_of(tmp_path / "sitting", 2, "numba")
    assert [path.name for path in tmp_path.iterdir()] == ["sitting"]
    assert epochs_of(tmp_path / "sitting", 1, "numba")[0][0][0] == 3


def test_a_file_without_one_of_its_arrays_is_damaged(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    file = at(tmp_path / "a.npz")
    file.save(checkpoint())
    with np.load(file.path) as arrays:
        content = {name: array for name, array in arrays.items() if name != "owner:rows"}
    np.savez(file.path, **content)
    assert file.load() is None
    assert "it lacks arrays" in caplog.text
