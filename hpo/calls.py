"""A whole search and a whole confirmation, for commands and for calls from Python."""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage
from rich.console import Console

from hpo.cli.console import say
from hpo.cli.context import existing_workspace, location_flags
from hpo.cli.flags import check_rival_seeds
from hpo.cli.study_file import as_its_file_says
from hpo.confirmation.outcome import Confirmation
from hpo.pipeline import (
    check_writable,
    confirm_study,
    export_study,
    go_on_from,
    introduce,
    introduce_data,
    open_study,
    search_studies,
    search_study,
)
from hpo.reporting.dashboard_sync import publish
from hpo.reporting.export import claim
from hpo.runtime.process import SearchFailed, TooManyFailedTrials
from hpo.runtime.signals import Stopper
from hpo.search.claims import STALE_HOURS
from hpo.search.dask import count_workers, search_on_dask
from hpo.search.job import Backend, SearchJob
from hpo.search.processes import search_with_processes
from hpo.search.side_by_side import shares
from hpo.storage.address import shared_by_processes, without_password
from hpo.storage.open import open_storage
from hpo.study.definition import DEFINITION, check_same
from hpo.study.owner import while_it_exists
from hpo.study.plan import MAX_MEMORY
from hpo.study.rivals import RENAME, RENAME_RIVAL, UNTUNED, check_league
from hpo.study.spec import StudySpec, is_study_file
from hpo.study.trials import best_trials
from hpo.study.widen import Widened
from hpo.study.workspace import Workspace
from trainers import Dataset
from trainers.checkpoints import EVERY_SECONDS
from trainers.engines import ENGINES, choose_engine
from trainers.engines.registry import AUTO
from trainers.errors import InputError
from trainers.losses.own import OWN

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Search:
    """A requested search of a study, its repeats and its rivals.

    Attributes:
        rivals: the studies of its rivals.
        url: the address of the storage; a password in it is not shown.
        wide: the originals, if the search continues in wider ranges.
        workers: number of processes; None for one, or on a cluster for all workers.
        scheduler: address of the Dask cluster that searches; None for this machine.
        timeout: largest duration of the search of each study, in seconds.
        stale_after: hours after which a trial of another machine counts as dead.
        checkpoint_every: seconds between two checkpoints of a trial.
        tune_rivals: whether the rivals' studies are searched, too.
        table: the data, if they are a table in memory.
        left_out: by loss the reason why `rivals: all` leaves it out.
    """

    spec: StudySpec
    rivals: Sequence[StudySpec]
    output: Path
    url: str = field(repr=False)
    data_dir: str | None = None
    wide: Widened | None = None
    engine: str = AUTO
    device: str = AUTO
    lanes: int | None = None
    workers: int | None = None
    scheduler: str | None = None
    timeout: float | None = None
    stale_after: float = STALE_HOURS
    checkpoint_every: float = EVERY_SECONDS
    tune_rivals: bool = False
    table: Dataset | None = field(default=None, repr=False)
    left_out: Mapping[str, str] = field(default_factory=dict)

    def open(self, console: Console) -> Workspace:
        """Check the request before anything is written, and print a description of the search.

        Raises:
            InputError: a league without rivals; a rival that cannot be searched like the study; workers that the storage or the
                cluster does not allow, or that cannot import a user's own loss; an engine that cannot train the study; data
                that are missing or have fewer items than the objective's cut-off.
        """
        check_league(self.spec, self.rivals)
        _ = self.backend  # find mistakes here and in rivals now, not after the first search
        for spec, _rename in self.others:
            choose_engine(spec.probe, self.engine, self.device)
        if self.scheduler or (self.workers or 1) > 1:
            for loss in (OWN[name] for name in {spec.space.loss_name for spec in (self.spec, *self.rivals)} & OWN.keys()):
                loss.check_importable()
        where = self.output, self.data_dir, self.engine, self.device
        of_rivals = self.rivals, self.table, self.left_out
        work = Workspace.open(self.spec, *where, self.lanes, self._worker_count(), *of_rivals)
        work.check_objective()
        introduce_data(work, console)  # not again for repeats and rivals, whose data are the same
        introduce(work, console)
        if self.spec.is_league and not self.tune_rivals and self.wide is None:  # --widen searches rivals, too
            say(console, UNTUNED)
        return work

    def begin(self, work: Workspace, console: Console) -> tuple[optuna.Study, BaseStorage]:
        """Create or continue the study in its storage.

        Raises:
            InputError: the data do not allow the negatives, the folder cannot be written, or the study, a rival or a repeat
                exists with another definition.
        """
        work.check_negatives()
        check_writable(work.folder)
        storage = open_storage(self.url)
        self._check_others(work, storage)
        if self.wide is not None:
            self.wide.check(storage, work.spec.name, work.definition())
        study = open_study(work, storage, console, self.url)
        work.keep_table()
        go_on_from(self.wide, work, study, storage, console)
        return study, storage

    def run(
        self, work: Workspace, study: optuna.Study, storage: BaseStorage, console: Console, stopper: Stopper
    ) -> dict[str, str]:
        """Search the study, its repeats and its rivals until the budget is met; export the best config of each and update its
        report.

        Returns:
            By the name of a rival or a repeat why its search has failed. That does not stop the others.

        Raises:
            SearchFailed: too many trials of the study failed, or a search had no complete trial before the timeout; those of
                rivals and repeats are reported when all searches have ended.
            Stopped: SIGINT or SIGTERM; finished trials are kept.
        """
        failed, late = dict[str, str](), list[str]()
        with closing(self._searched(work, study, storage, console, stopper)) as searched:
            for each, its_study, failure in searched:
                name = each.spec.name
                if failure:
                    log.warning("%s\nother searches are not stopped by this", failure)
                    failed[name] = failure
                if (failure or self.timeout is not None) and not best_trials(its_study, 1):
                    if not failure:
                        late.append(f"study {name!r} has no complete trial after --timeout {self.timeout:g} s")
                    if late and each is work:
                        break
                    continue
                with while_it_exists(its_study, "exported", each.folder), each.alone("export") as alone:
                    if alone:
                        export_study(each, its_study, console, widen=self.spec.name)
                        publish(each.spec, its_study, storage, each.output)
        if late:
            raise SearchFailed(f"{'; '.join(late)}; the same command continues, or give a longer --timeout")
        return failed

    def _searched(
        self, work: Workspace, study: optuna.Study, storage: BaseStorage, console: Console, stopper: Stopper
    ) -> Generator[tuple[Workspace, optuna.Study, str]]:
        """All studies, each when its search has ended, with the reason if it ended early: one after another, or side by side if
        there are several workers. If too many trials of the first study fail, all searches end."""
        jobs = self._jobs(work, study, storage, console)
        if self.others and not self.scheduler and (self.workers or 1) > 1:
            studies = 1 + len(self.others)
            for job, its_study, failure in search_studies(jobs, studies, self.workers or 1, console, stopper):
                yield job.work, its_study, failure
            return
        for number, (job, its_study) in enumerate(jobs):
            failure = ""
            try:
                search_study(job, its_study, console, stopper, self.backend)
            except TooManyFailedTrials as error:
                if number == 0:
                    raise
                failure = str(error)
            yield job.work, its_study, failure

    def _jobs(
        self, work: Workspace, study: optuna.Study, storage: BaseStorage, console: Console
    ) -> Iterator[tuple[SearchJob, optuna.Study]]:
        searches = chain([(work, study)], self._other_studies(work, storage, console))
        for number, (each, its_study) in enumerate(searches, 1):
            if self.others:
                say(console, f"search {number} of {1 + len(self.others)}: {each.spec.name}")
            if each is not work:
                introduce(each, console)
            deadline = None if self.timeout is None else time.monotonic() + self.timeout
            yield SearchJob(each, self.url, deadline, self.stale_after, self.checkpoint_every), its_study

    @cached_property
    def backend(self) -> Backend:
        """The function that searches: processes of this machine or a Dask cluster.

        Raises:
            InputError: several processes cannot share the storage.
        """
        if (self.scheduler or (self.workers or 1) > 1) and not shared_by_processes(self.url):
            raise InputError(
                f"{without_password(self.url)}: several workers cannot share SQLite, which may give a queued trial to two of "
                "them; use the journal or PostgreSQL instead"
            )
        if self.scheduler:
            return partial(search_on_dask, scheduler=self.scheduler, workers=self.workers)
        return partial(search_with_processes, workers=self.workers or 1)

    def _worker_count(self) -> int:
        """The number of workers of each study.

        Raises:
            InputError: the Dask cluster cannot search on this storage.
        """
        if self.scheduler:
            return count_workers(self.scheduler, self.url, self.workers)
        return shares(self.workers or 1, 1 + len(self.others))[0][1]

    @cached_property
    def others(self) -> list[tuple[StudySpec, str]]:
        """The other studies to search with the same budget, each with the way to rename it: the repeats, then rivals with their
        repeats. These are all rivals with `tune_rivals`, or those that continue in wider ranges.

        Raises:
            InputError: a rival cannot be searched like the study.
        """
        searches = self.spec.confirm.searches
        specs = [(repeat, RENAME) for repeat in self.spec.repeats(searches)[1:]]
        for rival in self.rivals:
            if self.tune_rivals or (self.wide is not None and rival.name in self.wide.originals):
                specs += [(one, RENAME_RIVAL) for one in rival.with_budget_of(self.spec).repeats(searches)]
        return specs

    def _check_others(self, work: Workspace, storage: BaseStorage) -> None:
        """Compare the definitions of the other studies that exist, before the first search and not after it."""
        studies = {study.study_name: study for study in optuna.get_all_study_summaries(storage, include_best_trial=False)}
        where = location_flags(self.output, self.url)
        for spec, rename in self.others:
            exists = spec.name in studies and DEFINITION in studies[spec.name].user_attrs  # else it may have just been created
            if not exists and self.wide is None:
                continue
            definition = self._other_work(spec, work).definition()
            if self.wide is not None:
                self.wide.check(storage, spec.name, definition)
            if exists:
                check_same(studies[spec.name], definition, rename, where)

    def _other_work(self, spec: StudySpec, work: Workspace) -> Workspace:
        """The workspace of another study; its own rivals are not read."""
        its_work = Workspace.open(spec, work.output, work.data_dir, self.engine, self.device, rivals=(), table=self.table)
        return replace(its_work, lanes=work.lanes) if ENGINES[its_work.choice.name].many_lanes else its_work

    def _other_studies(
        self, work: Workspace, storage: BaseStorage, console: Console
    ) -> Iterator[tuple[Workspace, optuna.Study]]:
        """Open the other studies one after another."""
        for spec, rename in self.others:
            self._worker_count()  # checks that the cluster still exists
            its_work = self._other_work(spec, work)
            if self.wide is not None:
                self.wide.check(storage, spec.name, its_work.definition())
            study = open_study(its_work, storage, console, self.url, rename=rename)
            go_on_from(self.wide, its_work, study, storage, console)
            yield its_work, study


def confirm(
    where: argparse.Namespace,
    changes: Mapping[str, Any],
    checkpoint_every: float,
    console: Console,
    stopper: Stopper,
    max_memory: float = MAX_MEMORY,
) -> Confirmation:
    """Confirm a stored study.

    Args:
        where: the flags `study` (a name or a file), `output`, `storage` and `data_dir`.
        changes: changes of the confirm plan by dotted keys, see `StudySpec.override`.
        checkpoint_every: seconds between two checkpoints of a run.
        max_memory: GB that a baseline may take.

    Raises:
        InputError: see `existing_workspace` and `confirm_study`; or another process is confirming the study.
        Stopped: SIGINT or SIGTERM; finished runs are kept.
    """
    work, study, storage = existing_workspace(where)
    if is_study_file(where.study):
        work = as_its_file_says(work, where.study)
    plan = work.spec.override(changes)
    check_rival_seeds(work.spec, plan, work.rivals, changes.get("confirm.rival_seeds"))
    work = replace(work, spec=plan)
    check_league(plan, work.rivals)
    claim(work.folder, study)
    with while_it_exists(study, "confirmed", work.folder), work.alone("confirm") as alone:
        if not alone:
            raise InputError(f"study {work.spec.name!r} is being confirmed by another process; wait until that has ended")
        return confirm_study(work, study, storage, console, stopper, checkpoint_every, max_memory)
