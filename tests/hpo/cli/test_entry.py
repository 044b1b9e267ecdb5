"""Errors, help and exit codes of all commands."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
from optuna.exceptions import StorageInternalError

from hpo import confirm, dashboard, export, proxy, recommend, replicate, report, run, studies, train
from hpo.cli.entry import entry
from trainers.errors import OutOfMemory


def test_every_command_has_help(capsys: pytest.CaptureFixture[str]):
    commands = (run, confirm, dashboard, export, proxy, recommend, replicate, report, studies, train)
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
        (StorageInternalError(""), "the storage failed: StorageInternalError; what is finished is kept\n"),
    ],
)
def test_failures_that_end_in_a_message(capsys: pytest.CaptureFixture[str], error: Exception, message: str):
    def command(arguments: argparse.Namespace) -> int:
        raise error

    assert entry(argparse.ArgumentParser(), [], command) == 1
    shown = capsys.readouterr().err
    assert shown.startswith(f"error: {message}")
    assert shown.count("\n") == 1
