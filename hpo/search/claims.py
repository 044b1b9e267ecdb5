"""Which running trials are dead, and how they are requeued. Optuna's ask/tell has no heartbeat of its own."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import psutil
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from hpo.study.attributes import (
    DUPLICATE,
    FAILURE,
    LOST,
    MAX_RETRIES,
    RESUMED_AFTER,
    RETRIES,
    RETRY_OF,
    SAMPLED,
    START_MARKS,
    WORKER,
    WORKER_DIED,
)
from hpo.study.trials import attempts, is_lost

log = logging.getLogger(__name__)

STALE_HOURS = 24.0  # after that a trial of another machine counts as dead
CLAIM_SECONDS = 10.0  # a queued trial is signed as soon as it is taken; unsigned for this long, its worker was killed
SAME_START_SECONDS = 2.0  # start times of one process differ by less, though the clock is set in between
SIGNATURE = {"host": str, "machine": str, "boot": str, "pids": str, "pid": int, "started": float, "signed": float}


def this_worker() -> dict[str, Any]:
    """The signature of this process as of now: machine, boot, process and its start, so that a recycled pid is no alibi."""
    pid = os.getpid()
    return {**_here(), "boot": _boot_id(), "pid": pid, "started": start_time(pid), "signed": time.time()}


def ask_signed(study: optuna.Study) -> optuna.Trial:
    """As `Study.ask`, but the trial is signed before anything is sampled, which takes seconds with some samplers.

    A new trial is signed by the same write that makes it. One from the queue is taken first, and may stay unsigned when its
    worker is killed in the moment between the two.
    """
    study._thread_local.cached_all_trials = None  # as Optuna does: the samplers are to see what others have finished
    trial_id = study._pop_waiting_trial_id()
    if trial_id is None:
        signed = optuna.trial.create_trial(state=TrialState.RUNNING, user_attrs={WORKER: this_worker()})
        trial_id = study._storage.create_new_trial(study._study_id, template_trial=signed)
    else:
        study._storage.set_trial_user_attr(trial_id, WORKER, this_worker())
    return optuna.Trial(study, trial_id)


def signature(trial: FrozenTrial) -> dict[str, Any] | None:
    """Who trains a trial, None when it is not signed yet."""
    worker = trial.user_attrs.get(WORKER)
    is_whole = isinstance(worker, dict) and all(type(worker.get(key)) is kind for key, kind in SIGNATURE.items())
    return worker if is_whole else None


def is_own(trial: FrozenTrial) -> bool:
    """Whether this process has signed a trial."""
    worker, own = signature(trial), {**_here(), "boot": _boot_id(), "pid": os.getpid()}
    return worker is not None and all(worker[key] == value for key, value in own.items())


def is_here(worker: dict[str, Any]) -> bool:
    """Whether the process that gave a signature can be looked at from here: same machine, same container.

    Machines may have the same host name, as clones do.
    """
    return all(worker[key] == value for key, value in _here().items())


def is_dead(trial: FrozenTrial, now: float, stale_hours: float = STALE_HOURS) -> bool:
    """Whether the worker that signed a RUNNING trial is gone; `now` is as time.time() tells it."""
    worker = signature(trial)
    if worker is None:
        return False
    if not is_here(worker):
        signed: float = worker["signed"]
        return abs(now - signed) > stale_hours * 3600.0  # its clock, or ours, may have been wrong by days
    if worker["boot"] != _boot_id():
        return True
    try:
        started = start_time(worker["pid"])
    except psutil.AccessDenied:  # it exists and belongs to someone else
        return False
    return started is None or abs(started - worker["started"]) > SAME_START_SECONDS


def start_time(pid: int) -> float | None:
    """Seconds from boot to the start of a process, None when it has ended, also if nobody has waited for it yet (a zombie).

    Counted from boot, as a clock that is set moves the time of day of both.

    Raises:
        psutil.AccessDenied: it may not be looked at.
    """
    try:
        process = psutil.Process(pid)
        ended = process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
        return None if ended else process.create_time() - psutil.boot_time()
    except (psutil.NoSuchProcess, ValueError, OverflowError):  # ValueError, OverflowError: no process can have that number
        return None


class Reaper:
    """Fails the trials of dead workers and requeues them: each at most MAX_RETRIES times in a row without another epoch.

    A trial that is not signed counts as dead when this object has seen it unsigned for CLAIM_SECONDS: other machines' clocks
    do not matter.

    Attributes:
        awaits: whether it has seen such a trial when it last looked. What is proposed may depend on what becomes of it.
    """

    def __init__(
        self, study: optuna.Study, stale_hours: float = STALE_HOURS, trains: Callable[[], set[int]] | None = None
    ) -> None:
        """
        Args:
            trains: the numbers of the trials that this process trains in this study, when it is about to ask for the next one.
                What it has signed beyond these is nobody's: the answer of a storage was lost, and the trial was made twice.
                None: other threads may train some.
        """
        self._trains = trains
        self.study = study
        self.stale_hours = stale_hours
        self.awaits = False
        self._unsigned: dict[int, float] = {}

    def reap(self) -> list[int]:
        """Look once; returns the numbers of the trials that were requeued."""
        now = time.time()
        running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        self.awaits = any(signature(trial) is None for trial in running)
        dead = [trial for trial in running if self._given_up(trial) or is_dead(trial, now, self.stale_hours)]
        requeued = [trial.number for trial in dead if requeue(self.study, trial, count=True)]
        if self._trains is not None:
            mine = self._trains()
            lost = [trial for trial in running if is_own(trial) and trial.number not in mine]
            requeued += [trial.number for trial in lost if requeue(self.study, trial, count=False)]
        return requeued

    def _given_up(self, trial: FrozenTrial) -> bool:
        if signature(trial) is not None:
            return False
        return time.monotonic() - self._unsigned.setdefault(trial.number, time.monotonic()) > CLAIM_SECONDS


def reap(study: optuna.Study, stale_hours: float = STALE_HOURS) -> list[int]:
    """Requeue the trials of dead workers that have signed; see `Reaper`. Also those that another process has ended for this
    reason, and was killed before it could queue them.
    """
    return [*Reaper(study, stale_hours).reap(), *_queue_lost(study)]


def _queue_lost(study: optuna.Study) -> list[int]:
    trials = study.get_trials(deepcopy=False)
    again = {trial.user_attrs.get(RETRY_OF) for trial in trials}
    lost = [trial for trial in trials if is_lost(trial) and trial.number not in again]
    for trial in lost:
        _enqueue_retry(study, trial, trial.user_attrs.get(RETRIES, 0) + 1)
    return [trial.number for trial in lost]


def requeue(study: optuna.Study, trial: FrozenTrial, count: bool) -> bool:
    """End a running trial as FAIL and enqueue a retry with its parameters; false when someone else has ended it already.

    A worker queues its own trial first: whatever kills it before the end, the parameters are not lost. Of several reapers only
    the one that ends the trial may queue it.

    Args:
        trial: one of this worker's own, or with `count` one whose worker is gone.
        count: whether this counts towards the retry cap (a user's Ctrl-C does not).
    """
    retries = trial.user_attrs.get(RETRIES, 0)
    if count:
        retries = 1 if _has_gone_on(study, trial) else retries + 1
    if not count:
        _enqueue_retry(study, trial, retries)
    try:
        if count and retries <= MAX_RETRIES:
            study._storage.set_trial_user_attr(trial._trial_id, LOST, True)
        elif retries > MAX_RETRIES:
            study._storage.set_trial_user_attr(trial._trial_id, FAILURE, _given_up_on(trial))
        study.tell(trial.number, state=TrialState.FAIL)
    except (ValueError, UpdateFinishedTrialError):  # finished meanwhile: by its worker, or by another reaper
        return False
    if retries > MAX_RETRIES:
        log.warning("trial %d failed: %s", trial.number, _given_up_on(trial)["reason"])
        return False
    if count:
        _enqueue_retry(study, trial, retries)
    return True


def _has_gone_on(study: optuna.Study, trial: FrozenTrial) -> bool:
    """Whether a trial has got to an epoch that no earlier attempt at it had."""
    epochs = [_reached(one) for one in attempts(study.get_trials(deepcopy=False), trial.number)]
    return epochs[0] > max(epochs[1:], default=0)


def _reached(trial: FrozenTrial) -> int:
    """The last epoch that an attempt has reported, or found in the checkpoint of an earlier one."""
    return max([*trial.intermediate_values, int(trial.user_attrs.get(RESUMED_AFTER, 0))])


def _given_up_on(trial: FrozenTrial) -> dict[str, Any]:
    reason = f"its worker was killed {MAX_RETRIES + 1} times, each time before another epoch was measured"
    return {"epoch": max(trial.intermediate_values, default=0), "reason": reason, WORKER_DIED: True}


def _enqueue_retry(study: optuna.Study, trial: FrozenTrial, retries: int) -> None:
    """Enqueue a trial's parameters, unless that was done before.

    Where a worker was killed while it sampled, the retry samples: with the same seed, see `hpo.study.sampling`.
    """
    others = study.get_trials(deepcopy=False)[trial.number + 1 :]
    if DUPLICATE in trial.user_attrs or any(other.user_attrs.get(RETRY_OF) == trial.number for other in others):
        return
    sampled = trial.params if SAMPLED in trial.user_attrs else {}
    kept = {key: trial.user_attrs[key] for key in START_MARKS if key in trial.user_attrs}
    params = {**trial.system_attrs.get("fixed_params", {}), **sampled}
    study.enqueue_trial(params, user_attrs={**kept, RETRIES: retries, RETRY_OF: trial.number})


def _here() -> dict[str, str]:
    return {"host": socket.gethostname(), "machine": _machine_id(), "pids": _pid_space()}


def _machine_id() -> str:
    try:
        return Path("/etc/machine-id").read_text().strip()
    except OSError:  # not Linux, or a container without one
        return ""


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:  # not Linux
        return ""


def _pid_space() -> str:
    """Containers may share their host's name and boot, but not its process numbers."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:  # not Linux
        return ""
