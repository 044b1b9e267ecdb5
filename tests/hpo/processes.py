"""Commands as separate processes, and their trials in the storage."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TypeVar

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from hpo.search.claims import start_time
from hpo.storage.open import open_storage
from hpo.study.attributes import WORKER

from .conftest import Place
from .forked import CONTEXT, Command, Forked, start_server

PATIENCE = 120.0  # seconds
REPOSITORY = Path(__file__).parents[2]
ENVIRONMENT = {"PYTHONPATH": ".", "NUMBA_NUM_THREADS": "1"}  # threads wait for each other on a busy machine
Process = subprocess.Popen[str] | Forked
Result = TypeVar("Result")


def finish(process: Process) -> tuple[str, str]:
    shown, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, shown + errors
    assert "Traceback" not in errors
    return shown, errors


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def trials_at(storage: str) -> list[FrozenTrial]:
    """The trials so far in a journal file or at a URL. There are none before the study exists."""
    if "://" not in storage and not Path(storage).exists():
        return []
    opened = open_storage(storage)
    if "tiny_mml" not in optuna.get_all_study_names(opened):
        return []
    return optuna.load_study(study_name="tiny_mml", storage=opened).trials


def pids_at(storage: str) -> set[int]:
    return {t.user_attrs[WORKER]["pid"] for t in trials_at(storage) if t.state == TrialState.RUNNING and WORKER in t.user_attrs}


def check_whole_at(storage: str, budget: int, workers: int) -> list[FrozenTrial]:
    """Check the budget with its documented overshoot. No trial may run or wait, and no config may be finished twice."""
    trials = trials_at(storage)
    finished = [trial for trial in trials if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)]
    assert budget <= len(finished) <= budget + workers - 1
    assert not [trial for trial in trials if trial.state in (TrialState.RUNNING, TrialState.WAITING)]
    assert len({tuple(trial.params.items()) for trial in finished}) == len(finished)
    return finished


def journal(place: Place) -> str:
    return str(place.output / "journal.log")


def trials_of(place: Place) -> list[FrozenTrial]:
    return trials_at(journal(place))


def pids_at_work(place: Place) -> set[int]:
    return pids_at(journal(place))


def check_whole(place: Place, budget: int, workers: int) -> None:
    check_whole_at(journal(place), budget, workers)


def wait_until(condition: Callable[[], bool], process: Process) -> None:
    """Wait for a condition. Between checks there are pauses, because some conditions open a database."""
    deadline = time.monotonic() + PATIENCE
    while True:
        began = time.monotonic()
        if condition():
            return
        if time.monotonic() > deadline or process.poll() is not None:
            process.kill()
            pytest.fail(f"the condition was never met: {process.communicate()}")
        time.sleep(min(1.0, max(0.05, 4 * (time.monotonic() - began))))


def alive(pid: int) -> bool:
    return start_time(pid) is not None


def start(place: Place, *flags: str, search_only: bool = True, session: bool = False, before: str = "") -> Forked:
    """Start `hpo.run` as a fork, with `session` in its own process group, as under a shell.

    Args:
        before: a line of Python that runs first.
    """
    return command("hpo.run", *run_arguments(place, *flags, search_only=search_only), session=session, before=before)


def command(module: str, *arguments: str, session: bool = False, before: str = "") -> Forked:
    return Forked(Command(module, arguments, REPOSITORY, os.environ | ENVIRONMENT, session, before))


def in_a_fork(function: Callable[..., Result], *arguments: object) -> Result:
    """The result of a function in a new process that has loaded the libraries."""
    start_server(os.environ | ENVIRONMENT, REPOSITORY)
    with ProcessPoolExecutor(1, CONTEXT) as pool:
        return pool.submit(function, *arguments).result(PATIENCE)


def start_anew(place: Place, *flags: str, search_only: bool = True, session: bool = False) -> subprocess.Popen[str]:
    """Start `python -m hpo.run`, which loads the libraries itself."""
    return python("-m", "hpo.run", *run_arguments(place, *flags, search_only=search_only), session=session)


def run_arguments(place: Place, *flags: str, search_only: bool = True) -> list[str]:
    return ["--study", str(place.study), *place.where, *(["--search-only"] if search_only else []), *flags]


def python(*arguments: str, session: bool = False) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | ENVIRONMENT,
        start_new_session=session,
    )


def wait_for_a_running_trial(place: Place, process: Process) -> None:
    """Wait until a second trial runs."""

    def runs() -> bool:
        trials = trials_of(place)
        return len(trials) >= 2 and trials[-1].state == TrialState.RUNNING and WORKER in trials[-1].user_attrs

    wait_until(runs, process)
