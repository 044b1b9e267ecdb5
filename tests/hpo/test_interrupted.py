"""Real signals to real processes in the middle of an epoch or a confirmation: they end soon and keep finished work."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from optuna.trial import TrialState

from hpo import confirm, train

from .conftest import Place
from .outcomes import confirmed
from .processes import PATIENCE, Process, command, python, start_anew, trials_of, wait_until

SOON = 5.0  # seconds on an idle machine, with the end of the interpreter, which takes one

# The demo's data with many negatives, so an epoch takes a minute.
LONG_EPOCHS = """\
dataset: demo
space: {name: bsl}
config: {encoder: {name: mf, dim: 8}, negatives: {name: uniform, count: 50000}, batch_size: 64}
search: {trials: 4, epochs: 2, starts: 0}
"""


def cpu_seconds(process: Process) -> float:
    times = psutil.Process(process.pid).cpu_times()
    return float(times.user + times.system)


def seconds_to_end(process: Process, number: int) -> tuple[float, str]:
    """The seconds from a signal to the end of a process, converted to an idle machine, and the messages.

    On an idle machine a computing process always has a CPU. Here it has one for a share of the time.
    """
    share = min(1.0, cpu_seconds(process) / (time.time() - psutil.Process(process.pid).create_time()))
    began = time.monotonic()
    process.send_signal(number)
    _, errors = process.communicate(timeout=PATIENCE)
    return share * (time.monotonic() - began), errors


@pytest.mark.parametrize("engine", ["numba", "torch"])
def test_a_signal_in_the_middle_of_an_epoch_ends_the_search(place: Place, engine: str):
    assert place.run("--search-only", "--trials", "1", study="tiny_bsl.yaml") == 0  # compiles the kernels first
    place.study.write_text(LONG_EPOCHS)
    process = start_anew(place, "--engine", engine, "--study-name", "tiny_mml")
    wait_until(lambda: any(trial.state == TrialState.RUNNING for trial in trials_of(place)), process)
    before = cpu_seconds(process)
    wait_until(lambda: cpu_seconds(process) > before + 1.0, process)  # it trains
    seconds, errors = seconds_to_end(process, signal.SIGINT)
    assert process.returncode == 130, errors
    assert "the same command continues" in errors
    assert "Traceback" not in errors
    assert [trial.state for trial in trials_of(place)] == [TrialState.FAIL, TrialState.WAITING]
    assert not trials_of(place)[0].intermediate_values, "the first epoch was not over"
    assert seconds < SOON


def runs_at(place: Place) -> list[Path]:
    return sorted((place.output / "tiny_mml" / "runs").glob("*.json"))


def test_an_interrupted_confirmation_keeps_finished_runs(place: Place):
    assert place.run("--search-only", "--trials", "2") == 0
    where = ["--study", "tiny_mml", *place.where, "--confirm-epochs", "250"]
    process = command("hpo.confirm", *where)
    wait_until(lambda: len(runs_at(place)) >= 2, process)
    process.terminate()
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 143, errors
    assert "the same command continues" in errors
    assert "Traceback" not in errors
    kept = {path.name: path.stat().st_mtime_ns for path in runs_at(place)}
    assert len(kept) >= 2
    assert not (place.output / "tiny_mml" / "confirm.yaml").exists()
    assert confirm.main(where) == 0
    assert confirmed(place).methods[0].label == "MML tuned"
    assert {path.name: path.stat().st_mtime_ns for path in runs_at(place) if path.name in kept} == kept, "not trained again"


def test_an_interrupted_training_keeps_a_checkpoint(tmp_path: Path):
    config = tmp_path / "mine.yaml"
    settings = "loss: {name: ccl, margin: 0.5, negative_weight: 1.0}\nbatch_size: 512\nencoder: {name: mf, dim: 8}\n"
    where = ["--dataset", "demo", "--output", str(tmp_path / "out"), "--save"]
    config.write_text(settings + "epochs: 100000\n")
    process = python("-m", "hpo.train", str(config), *where, str(tmp_path / "vectors.npz"))
    assert process.stdout is not None
    while not process.stdout.readline().startswith("epoch 3/"):
        assert process.poll() is None
    seconds, errors = seconds_to_end(process, signal.SIGINT)
    assert process.returncode == 130
    assert "stopped by SIGINT; the epochs trained so far are kept; the same command continues after them" in errors
    assert "Traceback" not in errors
    assert not (tmp_path / "vectors.npz").exists()
    assert seconds < SOON
    (checkpoint,) = (tmp_path / "out" / "train").iterdir()
    with np.load(checkpoint) as arrays:
        done = int(arrays["engine:epochs_done"])
    assert done >= 3


def test_a_training_killed_three_times_gives_the_same_file(tmp_path: Path):
    config, saved = tmp_path / "mine.yaml", [tmp_path / "unbroken.npz", tmp_path / "killed.npz"]
    config.write_text(
        "loss: {name: ccl, margin: 0.5, negative_weight: 1.0}\nencoder: {name: lightgcn, dim: 8}\nepochs: 14\n"
        "negatives: {name: uniform, count: 10}\nbatch_size: 8192\n"
    )
    arguments = [str(config), "--dataset", "demo", "--output", str(tmp_path / "out"), "--checkpoint-every", "0", "--save"]
    assert train.main([*arguments, str(saved[0])]) == 0
    shown = []
    for line in ("epoch 2/", "epoch 5/", "epoch 8/"):
        process = command("hpo.train", *arguments, str(saved[1]))
        assert process.stdout is not None
        while not (shown := [*shown, process.stdout.readline()])[-1].startswith(line):
            assert process.poll() is None
        process.kill()
        process.communicate()
    assert train.main([*arguments, str(saved[1])]) == 0
    assert saved[0].read_bytes() == saved[1].read_bytes()
    epochs = [line.split("/")[0] for line in shown if line.startswith("epoch")]
    assert len(epochs) <= 8 + 2, "two kills may come before the checkpoint of the last printed epoch"
    assert list((tmp_path / "out" / "train").iterdir()) == []
