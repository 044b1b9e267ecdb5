"""Checks of the environment before a command loads its libraries."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import hpo

from .processes import REPOSITORY

VARIABLES = ["NUMBA_NUM_THREADS", "LOKY_MAX_CPU_COUNT"]


@pytest.mark.parametrize("name", VARIABLES)
@pytest.mark.parametrize("value", ["0", "-1", "abc", "", " ", "2.5", "1000000000", "9" * 5000])
def test_an_invalid_number_of_threads_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str
):
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as caught:
        hpo._refuse_thread_counts()
    assert caught.value.code == 2
    shown = capsys.readouterr().err
    assert shown.startswith(
        f"error: {name} must be a whole number from 1 to 4,096, got {value[:80]!r}; set it to one, such as "
    )
    assert shown.endswith(", or unset it\n")


def test_a_valid_number_of_threads_or_no_number_is_accepted(monkeypatch: pytest.MonkeyPatch):
    for value in ("1", " 2 ", "4096"):
        for name in VARIABLES:
            monkeypatch.setenv(name, value)
        hpo._refuse_thread_counts()
    for name in VARIABLES:
        monkeypatch.delenv(name)
    hpo._refuse_thread_counts()


def test_a_command_with_an_invalid_number_of_threads_ends_with_a_message():
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "NUMBA_NUM_THREADS": "0"}
    command = [sys.executable, "-m", "hpo.run", "--study", "demo_mml"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: NUMBA_NUM_THREADS must be a whole number")
    assert done.stderr.count("\n") == 1
