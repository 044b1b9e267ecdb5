"""Which running trials are dead, and how they get back into the queue. Optuna's ask/tell has no heartbeat of its own."""

from __future__ import annotations

import os
import socket
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

WORKER = "worker"
PUBLISHED, NEAREST = "published", "nearest_to_published"  # marks of queued trials: the config itself, or a stand-in
RETRIES = "retries"
MAX_RETRIES = 3
STALE_HOURS = 24.0  # after that a trial of another machine counts as dead
CLAIM_SECONDS = 10.0  # a trial is asked for and signed within milliseconds; unsigned for this long, its worker was killed


def this_worker() -> dict[str, Any]:
    """The signature of this process: host, boot, process and its start time, so that a recycled pid is no alibi."""
    return {"host": socket.gethostname(), "boot": _boot_id(), "pid": os.getpid(), "started": _start_time(os.getpid())}


def is_dead(trial: FrozenTrial, now: datetime, stale_hours: float = STALE_HOURS) -> bool:
    """Whether the worker of a RUNNING trial is gone."""
    age = (now - trial.datetime_start).total_seconds() if trial.datetime_start else 0.0
    worker = trial.user_attrs.get(WORKER)
    if worker is None:
        return age > CLAIM_SECONDS
    if worker["host"] != socket.gethostname():
        return age > stale_hours * 3600.0
    if worker["boot"] != _boot_id():
        return True
    return not _exists(worker["pid"]) or _start_time(worker["pid"]) != worker["started"]


def reap(study: optuna.Study, stale_hours: float = STALE_HOURS) -> list[int]:
    """Fail the trials of dead workers and queue them again, each at most MAX_RETRIES times; returns their numbers."""
    now = datetime.now()
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    dead = [trial for trial in running if is_dead(trial, now, stale_hours)]
    return [trial.number for trial in dead if put_back(study, trial, count=True)]


def put_back(study: optuna.Study, trial: FrozenTrial, count: bool) -> bool:
    """End a running trial as FAIL and queue its parameters again; false when someone else has ended it already.

    Args:
        count: whether this counts towards the retry cap (a user's Ctrl-C does not).
    """
    try:
        study.tell(trial.number, state=TrialState.FAIL)
    except (ValueError, UpdateFinishedTrialError):  # finished meanwhile: by its worker, or by another reaper
        return False
    retries = trial.user_attrs.get(RETRIES, 0) + count
    params = {**trial.system_attrs.get("fixed_params", {}), **trial.params}  # a kill within ask leaves some unset
    if params and retries <= MAX_RETRIES:
        kept = {key: trial.user_attrs[key] for key in (PUBLISHED, NEAREST) if key in trial.user_attrs}
        study.enqueue_trial(params, user_attrs={**kept, RETRIES: retries})
    return True


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:  # not Linux
        return ""


def _start_time(pid: int) -> str:
    """Clock ticks from boot to the start of a process; empty where that cannot be known."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    state, *fields = stat.rpartition(")")[2].split()
    return "" if state == "Z" else fields[18]  # a zombie works no more


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it exists and belongs to someone else
        return True
    return True
