"""A worker that sleeps longer than its claim lasts cannot write after it wakes up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

from filelock import Timeout
from optuna.trial import TrialState

from hpo.storage.journal import WholeLines
from hpo.study.attributes import RETRY_OF

from ..conftest import Place
from ..processes import PATIENCE, REPOSITORY, trials_of, wait_until

# A process with another host name, which counts as another machine.
ELSEWHERE = """
import socket, sys
socket.gethostname = lambda: "elsewhere"
from hpo.run import main
sys.exit(main(sys.argv[1:]))
"""
SLOW = "negatives: {name: uniform, count: 4000}"  # an epoch takes almost a second


def stop_without_the_lock(process: subprocess.Popen[str], place: Place) -> None:
    """Stop a process while it does not hold the lock of the journal. Else all others would wait for the lock."""
    lock = WholeLines(place.output / "journal.log").lock
    while True:
        os.kill(process.pid, signal.SIGSTOP)
        try:
            with lock.acquire(timeout=0.5):
                return
        except Timeout:
            os.kill(process.pid, signal.SIGCONT)
            time.sleep(0.02)


def test_a_stopped_worker_cannot_write_into_a_trial_that_another_took_over(place: Place):
    place.edit("negatives: {name: uniform, count: 7}", SLOW)
    place.edit("epochs: 3", "epochs: 12")
    place.edit("starts: 1", "starts: 0")
    flags = ["--study", str(place.study), *place.where, "--search-only", "--trials", "1", "--checkpoint-every", "0"]
    sleeper = subprocess.Popen(
        [sys.executable, "-c", ELSEWHERE, *flags],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: any(len(trial.intermediate_values) >= 2 for trial in trials_of(place)), sleeper)
    stop_without_the_lock(sleeper, place)
    asleep = trials_of(place)[0]
    assert asleep.state == TrialState.RUNNING
    time.sleep(1.0)
    assert place.run("--search-only", "--trials", "1", "--stale-after", "0.0002") == 0
    os.kill(sleeper.pid, signal.SIGCONT)
    shown, errors = sleeper.communicate(timeout=PATIENCE)
    assert sleeper.returncode == 0, errors
    assert "trial 0 was ended by another process, which assumed that this process was dead" in errors
    assert "Traceback" not in errors
    assert ": complete" not in shown, "the sleeper has finished no trial"
    first, second = trials_of(place)
    assert (first.state, second.state) == (TrialState.FAIL, TrialState.COMPLETE)
    assert first.intermediate_values == asleep.intermediate_values, "its reports after it woke up are refused"
    assert second.user_attrs[RETRY_OF] == 0
    assert sorted(second.intermediate_values) == list(range(1, 13))
    assert {epoch: second.intermediate_values[epoch] for epoch in asleep.intermediate_values} == asleep.intermediate_values
