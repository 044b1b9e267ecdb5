"""A search as a value that worker processes can receive, and the interface of the functions that run it."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import optuna
from optuna.storages import BaseStorage

from hpo.runtime.signals import Stopper
from hpo.search.checkpoints import FOLDER as CHECKPOINTS
from hpo.search.checkpoints import TrialCheckpoints
from hpo.search.claims import STALE_HOURS
from hpo.search.progress import Progress
from hpo.search.scheduler import POLL_SECONDS, Scheduler
from hpo.storage.address import is_url
from hpo.storage.open import open_storage
from hpo.storage.retrying import PATIENCE_SECONDS
from hpo.study.owner import while_it_exists
from hpo.study.workspace import Workspace
from search_spaces.own import OwnLossRecord, recorded
from trainers.checkpoints import EVERY_SECONDS, training_key
from trainers.engines import make_engine
from trainers.errors import InputError


@dataclass(frozen=True)
class SearchJob:
    """A search, as it is sent to worker processes. It includes the data; workers open the storage themselves.

    Attributes:
        storage: URL or journal path; a password in it is only passed between processes.
        deadline: the time.monotonic() of this machine at which the search ends; None for no limit.
        stale_after: hours after which a trial of another machine counts as dead.
        checkpoint_every: seconds between two checkpoints of a trial.
        losses: the study's loss if it is a user's own, which worker processes must import.
    """

    work: Workspace
    storage: str = field(repr=False)
    deadline: float | None = None
    stale_after: float = STALE_HOURS
    checkpoint_every: float = EVERY_SECONDS
    checkpoint_folder: Path = field(init=False)
    losses: tuple[OwnLossRecord, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "losses", recorded([self.work.spec.space.loss_name]))
        folder = Path(os.path.abspath(self.work.folder)) / CHECKPOINTS  # workers may have another current folder
        object.__setattr__(self, "checkpoint_folder", folder)

    @property
    def checkpoints(self) -> TrialCheckpoints:
        """The checkpoints of the study's trials."""
        seen, validation = self.work.split
        choice, measured = self.work.choice, self.work.spec.measured
        key = training_key(self.work.spec.probe, seen, validation, choice) | {
            "measured_in": measured,
            "evaluation": self.work.spec.search.evaluation,
        }
        return TrialCheckpoints(self.checkpoint_folder, key, self.checkpoint_every)

    def run(self, stopper: Stopper, progress: Progress, study: optuna.Study | None = None) -> None:
        """Search in this process until the budget is met.

        Args:
            study: the open study, if this process searches alone. None for one of several workers: it opens the study itself,
                and a `SearchMonitor` counts the failures of all workers.

        Raises:
            SearchFailed: too many trials failed, or the study was deleted.
            Stopped: see `hpo.runtime.signals`; the trials are requeued.
        """
        for loss in self.losses:
            loss.restore()
            loss.check_code()  # its file may have been edited since the parent imported it
        alone = study is not None
        study = study or self.work.study(self._open_patiently(stopper))
        seen, validation = self.work.split
        work = self.work
        at, metrics = work.spec.search.evaluate_at, work.spec.measured
        engine = make_engine(work.choice, seen, validation, at, work.lanes, stopper.should_stop, metrics, work.sample)
        with while_it_exists(study, "searched"):
            Scheduler(
                study,
                work.spec,
                engine,
                progress,
                stopper,
                self.deadline,
                self.stale_after,
                stop_on_failures=alone,
                checkpoints=self.checkpoints,
            ).run()

    def _open_patiently(self, stopper: Stopper) -> BaseStorage:
        """Open the storage, and retry for PATIENCE_SECONDS: the parent could open it, so its server is only away."""
        given_up = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return open_storage(self.storage, create=False)
            except InputError:
                if not is_url(self.storage) or time.monotonic() > given_up:
                    raise
                stopper.wait(POLL_SECONDS)


class Backend(Protocol):
    """A function that searches a study until its budget is met: `search_with_processes`, or `search_on_dask` with a scheduler.

    Its arguments are the job, the open study, the display of its progress, and the stopper that it must look at.
    """

    def __call__(self, job: SearchJob, study: optuna.Study, progress: Progress, stopper: Stopper) -> None: ...
