"""Errors, help and exit codes of all commands."""

from __future__ import annotations

import argparse
import io
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from optuna.exceptions import StorageInternalError

import hpo
from hpo import compare, confirm, dashboard, export, proxy, recommend, replicate, report, run, studies, train
from hpo.cli.entry import entry
from trainers.errors import InputError, OutOfMemory

from ..conftest import Place
from ..processes import REPOSITORY


def test_every_command_has_help(capsys: pytest.CaptureFixture[str]):
    commands = (run, compare, confirm, dashboard, export, proxy, recommend, replicate, report, studies, train)
    for command in commands:
        assert command.main(["--help"]) == 0
        assert f"usage: python -m {command.__name__} " in capsys.readouterr().out
    package = Path(run.__file__).parent.glob("*.py")
    runnable = {f"hpo.{path.stem}" for path in package if "__main__" in path.read_text()}
    assert {command.__name__ for command in commands} == runnable


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OutOfMemory("out of memory on cuda"), "out of memory on cuda; fewer lanes or workers, a smaller batch_size or "),
        (
            StorageInternalError(""),
            "the storage failed: StorageInternalError; finished work is kept, and the same command continues\n",
        ),
    ],
)
def test_a_failure_ends_with_exit_code_1_and_one_message(capsys: pytest.CaptureFixture[str], error: Exception, message: str):
    def command(arguments: argparse.Namespace) -> int:
        raise error

    assert entry(argparse.ArgumentParser(), [], command) == 1
    shown = capsys.readouterr().err
    assert shown.startswith(f"error: {message}")
    assert shown.count("\n") == 1


def test_control_characters_of_an_error_are_escaped(capsys: pytest.CaptureFixture[str]):
    def command(arguments: argparse.Namespace) -> int:
        raise InputError("no such file: \x1b]0;title\x07 \u202e\nsecond line")

    assert entry(argparse.ArgumentParser(), [], command) == 2
    assert capsys.readouterr().err == "error: no such file: \\x1b]0;title\\x07 \\u202e\nsecond line\n"


@pytest.mark.parametrize("during", ["the flags", "the command"])
def test_ctrl_c_prints_one_line(capsys: pytest.CaptureFixture[str], during: str):
    def interrupted(*arguments: object) -> int:
        raise KeyboardInterrupt

    parser = argparse.ArgumentParser()
    parser.add_argument("--x", type=interrupted if during == "the flags" else str)
    assert entry(parser, ["--x", "1"], interrupted) == 130
    assert capsys.readouterr().err == "interrupted\n"


@pytest.mark.confirmed
def test_commands_work_on_an_ascii_terminal(place: Place, monkeypatch: pytest.MonkeyPatch):
    streams = {name: io.TextIOWrapper(io.BytesIO(), encoding="ascii") for name in ("stdout", "stderr")}
    for name, stream in streams.items():
        monkeypatch.setattr(sys, name, stream)
    assert confirm.main(["--study", "tiny_mml", *place.where]) == 0
    assert export.main(["--study", "m\xfcll", *place.where]) == 2
    shown = {name: (stream.flush(), stream.buffer.getvalue().decode("ascii"))[1] for name, stream in streams.items()}  # type: ignore[attr-defined]
    assert "mean \\xb1 sd over 2 seeds" in shown["stdout"]
    assert "report.html" in shown["stdout"]
    assert "unknown study 'm\\xfcll'" in shown["stderr"]


def test_ctrl_c_while_a_command_loads_libraries_prints_one_line(tmp_path: Path):
    """The exit code is 130. Another program that imports `hpo` keeps its own handler."""
    (tmp_path / "optuna.py").write_text("import signal\nsignal.raise_signal(signal.SIGINT)\n")
    path = {"PYTHONPATH": f"{tmp_path}:{REPOSITORY}"}
    done = subprocess.run([sys.executable, "-m", "hpo.run", "--help"], env=path, capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler, "the tests import hpo, too"


def test_a_command_begins_with_python_s_own_handler_of_sigint():
    before = signal.signal(signal.SIGINT, hpo._end_at_once)
    try:
        assert entry(argparse.ArgumentParser(), [], lambda arguments: 0) == 0
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--stduy", "demo_mml"], "error: unknown flag '--stduy'; did you mean '--study'? known: those in --help\n"),
        (
            ["--study", "demo_mml", "--trails=3"],
            "error: unknown flag '--trails'; did you mean '--trials'? known: those in --help\n",
        ),
    ],
)
def test_a_misspelt_flag_is_named(arguments: list[str], message: str, fails: Callable[[int], str]):
    """argparse names the missing --study only."""
    assert fails(run.main(arguments)) == message


@pytest.mark.parametrize(
    ("main", "arguments", "message"),
    [
        (run.main, ["--study", "x", "--trials", "abc"], "argument --trials: must be a whole number of at least 1, got 'abc'"),
        (run.main, [], "the following arguments are required: --study"),
        (train.main, [], "the following arguments are required: CONFIG.yaml"),
        (studies.main, ["delete"], "the following arguments are required: NAME"),
        (compare.main, [], "the following arguments are required: METHOD"),
    ],
)
def test_errors_in_the_arguments_are_one_line(
    main: Callable[[list[str]], int], arguments: list[str], message: str, fails: Callable[[int], str]
):
    """argparse prints the usage, up to 20 lines, before them."""
    shown = fails(main(arguments))
    assert shown.startswith(f"error: {message}; see python -m {main.__module__}")
    assert shown.endswith(" --help\n")
    assert shown.count("\n") == 1


def test_flags_of_subcommands_and_their_beginnings_are_known(fails: Callable[[int], str]):
    assert fails(studies.main(["delete", "mine", "--yess"])).startswith("error: unknown flag '--yess'; did you mean '--yes'?")
    assert run.main(["--study", "demo_mml", "--tria", "1", "--dry"]) == 0
