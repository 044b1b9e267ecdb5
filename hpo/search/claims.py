"""Finds running trials whose worker is dead, and requeues them. Optuna's ask/tell interface has no heartbeat."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
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
from hpo.study.trials import attempts, in_order_of_ranks, is_lost

log = logging.getLogger(__name__)

STALE_HOURS = 24.0  # a trial of another machine counts as dead after this time without a sign of life
CLAIM_SECONDS = 10.0  # a worker signs a trial when it takes it; after this time unsigned, the worker was killed
SAME_START_SECONDS = 2.0  # two readings of one process's start time differ by less, even if the clock is set in between
SIGNATURE = {"host": str, "machine": str, "boot": str, "pids": str, "pid": int, "started": float, "signed": float}


def this_worker() -> dict[str, Any]:
    """The signature of this process: machine, boot, pid, start time and current time. The start time detects a reused pid."""
    pid = os.getpid()
    return {**_here(), "boot": _boot_id(), "pid": pid, "started": start_time(pid), "signed": time.time()}


def ask_signed(study: optuna.Study) -> optuna.Trial:
    """Like `Study.ask`, but sign the trial before sampling, which takes seconds with some samplers.

    A new trial is created and signed in one write. A queued trial is taken first and then signed: it stays unsigned if its
    worker is killed in between.
    """
    study._thread_local.cached_all_trials = None  # as in Optuna: the sampler must see trials that others finished
    trial_id = _taken_from_queue(study)
    if trial_id is None:
        signed = optuna.trial.create_trial(state=TrialState.RUNNING, user_attrs={WORKER: this_worker()})
        trial_id = study._storage.create_new_trial(study._study_id, template_trial=signed)
    else:
        study._storage.set_trial_user_attr(trial_id, WORKER, this_worker())
    return optuna.Trial(study, trial_id)


def _taken_from_queue(study: optuna.Study) -> int | None:
    """Take the waiting trial of the lowest rank, so that an interrupted trial goes on before those that were queued after it.
    Returns its id; None if none waits."""
    trials = study.get_trials(deepcopy=False)
    some_wait = any(trial.state == TrialState.WAITING for trial in trials)
    for trial in in_order_of_ranks(trials) if some_wait else ():
        if trial.state == TrialState.WAITING:
            with suppress(UpdateFinishedTrialError):  # another process took it, and it has ended
                if study._storage.set_trial_state_values(trial._trial_id, state=TrialState.RUNNING):
                    return trial._trial_id
    return None


def signature(trial: FrozenTrial) -> dict[str, Any] | None:
    """The signature of the worker that trains a trial; None if it is not signed yet."""
    worker = trial.user_attrs.get(WORKER)
    is_whole = isinstance(worker, dict) and all(type(worker.get(key)) is kind for key, kind in SIGNATURE.items())
    return worker if is_whole else None


def is_own(trial: FrozenTrial) -> bool:
    """Whether this process signed a trial."""
    worker, own = signature(trial), {**_here(), "boot": _boot_id(), "pid": os.getpid()}
    return worker is not None and all(worker[key] == value for key, value in own.items())


def is_here(worker: dict[str, Any]) -> bool:
    """Whether a signature is from this machine and container, so that its process can be checked.

    The host name alone does not tell: cloned machines share it.
    """
    return all(worker[key] == value for key, value in _here().items())


def is_dead(trial: FrozenTrial, now: float, stale_hours: float = STALE_HOURS) -> bool:
    """Whether the worker that signed a RUNNING trial is gone; `now` is a value of time.time()."""
    worker = signature(trial)
    if worker is None:
        return False
    if not is_here(worker):
        signed: float = worker["signed"]
        return abs(now - signed) > stale_hours * 3600.0  # abs: its clock or ours may be wrong by days
    if worker["boot"] != _boot_id():
        return True
    try:
        started = start_time(worker["pid"])
    except psutil.AccessDenied:  # the process exists and belongs to another user
        return False
    return started is None or abs(started - worker["started"]) > SAME_START_SECONDS


def start_time(pid: int) -> float | None:
    """Seconds from boot to the start of a process; None if it has ended, zombies included.

    Seconds from boot do not change if the clock is set.

    Raises:
        psutil.AccessDenied: the process may not be inspected.
    """
    try:
        process = psutil.Process(pid)
        ended = process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
        return None if ended else process.create_time() - psutil.boot_time()
    except (psutil.NoSuchProcess, ValueError, OverflowError):  # the last two: not a possible pid
        return None


class Reaper:
    """Fails the trials of dead workers and requeues them, each at most MAX_RETRIES times in a row without a new epoch.

    An unsigned trial counts as dead after this object has seen it unsigned for CLAIM_SECONDS. Clocks of other machines do not
    matter.

    Attributes:
        awaits: whether the last look found an unsigned trial. New trials wait for it: the proposals may depend on it.
    """

    def __init__(
        self, study: optuna.Study, stale_hours: float = STALE_HOURS, trains: Callable[[], set[int]] | None = None
    ) -> None:
        """
        Args:
            trains: returns the numbers of the trials that this process trains in this study. Other trials that it signed were
                created twice, because an answer of the storage was lost. None: other threads may train some.
        """
        self._trains = trains
        self.study = study
        self.stale_hours = stale_hours
        self.awaits = False
        self._unsigned: dict[int, float] = {}

    def reap(self) -> list[int]:
        """Requeue the trials of dead workers once; returns their numbers."""
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
    """Requeue the signed trials of dead workers, see `Reaper`, and trials that were failed but not requeued because their
    reaper was killed in between. Returns their numbers.
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
    """End a running trial as FAIL and enqueue a retry with its parameters. Returns False if the trial has ended already, or if
    it has no retries left.

    For its own trial, a worker enqueues the retry first: if it is killed in between, the parameters are not lost. For the trial
    of a dead worker, only the reaper that ends it may enqueue the retry.

    Args:
        trial: this worker's own trial, or with `count` a trial whose worker is gone.
        count: whether this counts towards MAX_RETRIES (a user's Ctrl-C does not).
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
    except (ValueError, UpdateFinishedTrialError):  # its worker or another reaper has ended it
        return False
    if retries > MAX_RETRIES:
        log.warning("trial %d failed: %s", trial.number, _given_up_on(trial)["reason"])
        return False
    if count:
        _enqueue_retry(study, trial, retries)
    return True


def _has_gone_on(study: optuna.Study, trial: FrozenTrial) -> bool:
    """Whether a trial reached an epoch that no earlier attempt at it reached."""
    epochs = [_reached(one) for one in attempts(study.get_trials(deepcopy=False), trial.number)]
    return epochs[0] > max(epochs[1:], default=0)


def _reached(trial: FrozenTrial) -> int:
    """The last epoch that an attempt reported, or that it resumed after."""
    return max([*trial.intermediate_values, int(trial.user_attrs.get(RESUMED_AFTER, 0))])


def _given_up_on(trial: FrozenTrial) -> dict[str, Any]:
    reason = f"its worker was killed {MAX_RETRIES + 1} times, each time before another epoch was measured"
    return {"epoch": max(trial.intermediate_values, default=0), "reason": reason, WORKER_DIED: True}


def _enqueue_retry(study: optuna.Study, trial: FrozenTrial, retries: int) -> None:
    """Enqueue a trial's parameters, unless they are enqueued already.

    If the worker was killed during sampling, the retry samples again with the same seed, see `hpo.study.sampling`.
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
    """The pid namespace: containers may share their host's name and boot id, but not its pids."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:  # not Linux
        return ""
