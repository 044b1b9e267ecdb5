"""What a command's flags and a call's arguments ask for, carried out: a whole search, a whole confirmation."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.storages import BaseStorage
from rich.console import Console

from hpo.cli.context import existing_workspace
from hpo.cli.flags import check_rival_seeds
from hpo.confirmation.outcome import Confirmation
from hpo.pipeline import confirm_study, export_study, go_on_from, introduce, open_study, search_study
from hpo.reporting.dashboard_sync import publish
from hpo.reporting.export import claim
from hpo.runtime.process import SearchFailed
from hpo.runtime.signals import Stopper
from hpo.runtime.text import CHANGE_OUTPUT_HINT
from hpo.search.claims import STALE_HOURS
from hpo.search.dask import count_workers, search_on_dask
from hpo.search.processes import Backend, SearchJob, search_with_processes
from hpo.storage.address import shared_by_processes, without_password
from hpo.storage.open import open_storage
from hpo.study.definition import differences
from hpo.study.owner import while_it_exists
from hpo.study.spec import StudySpec, is_study_file, load_spec
from hpo.study.trials import best_trials
from hpo.study.widen import Widened
from hpo.study.workspace import Workspace
from trainers import Dataset
from trainers.checkpoints import EVERY_SECONDS
from trainers.engines import ENGINES
from trainers.engines.registry import AUTO
from trainers.errors import InputError
from trainers.files import writing
from trainers.losses.own import OWN

RENAME = "give the study that it repeats another name with --study-name"
RENAME_RIVAL = "in a study file of your own name rivals by their spaces, rivals: [ccl, ...]: their studies are called after it"


@dataclass(frozen=True)
class Search:
    """A search that is asked for: of a study, its repeats and its rivals.

    Attributes:
        rivals: the studies of its rivals.
        url: of the storage; a password in it is not shown.
        wide: where its trials come from if it goes on in wider ranges.
        workers: processes that share the search; None for one, on a cluster for all of its workers.
        scheduler: address of the Dask cluster that searches; None for this machine.
        timeout: seconds that each study is searched at most.
        tune_rivals: whether the rivals' studies are searched, too.
        table: the data where they are a table in memory.
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

    def open(self, console: Console) -> Workspace:
        """Look at all that is asked for before anything is written, and say what is searched.

        Raises:
            InputError: a rival that cannot be searched as the study is; workers that the storage or the cluster does not
                allow, or that cannot import a loss of the user's own; an engine that cannot train it; data that are not there,
                or too few for the objective.
        """
        _ = self.others, self.backend  # a mistake there should not wait for a search
        if self.scheduler or (self.workers or 1) > 1:
            for loss in (OWN[name] for name in {spec.space.loss_name for spec in (self.spec, *self.rivals)} & OWN.keys()):
                loss.check_importable()
        where = self.output, self.data_dir, self.engine, self.device
        work = Workspace.open(self.spec, *where, self.lanes, self._worker_count(), self.rivals, self.table)
        work.check_objective()
        introduce(work, console)
        return work

    def begin(self, work: Workspace, console: Console) -> tuple[optuna.Study, BaseStorage]:
        """Create or continue the study in its storage.

        Raises:
            InputError: data that do not allow the negatives; the folder cannot be written; the study exists with another
                definition.
        """
        work.check_negatives()
        _check_writable(work.folder)
        storage = open_storage(self.url)
        study = open_study(work, storage)
        work.keep_table()
        go_on_from(self.wide, work, study, storage, console)
        return study, storage

    def run(self, work: Workspace, study: optuna.Study, storage: BaseStorage, console: Console, stopper: Stopper) -> None:
        """Search the study and the others until the budget is met; export the best config of each and bring its report up to
        date.

        Raises:
            SearchFailed: too many trials of one failed, or none was complete in time.
            Stopped: SIGINT or SIGTERM; what is finished is kept.
        """
        for each, its_study in chain([(work, study)], self._other_studies(work, storage, console)):
            if each is not work:
                introduce(each, console)
            deadline = None if self.timeout is None else time.monotonic() + self.timeout
            job = SearchJob(each, self.url, deadline, self.stale_after, self.checkpoint_every)
            search_study(job, its_study, console, stopper, self.backend)
            if self.timeout is not None and not best_trials(its_study, 1):
                raise SearchFailed(
                    f"study {each.spec.name!r} has no complete trial after --timeout {self.timeout:g}; give it more "
                    "seconds, the same command continues"
                )
            with while_it_exists(its_study, "exported", each.folder), each.alone("export") as alone:
                if alone:
                    export_study(each, its_study, console, widen=self.spec.name)
                    publish(each.spec, its_study, storage, each.output)

    @cached_property
    def backend(self) -> Backend:
        """Who searches.

        Raises:
            InputError: a storage that several processes cannot share.
        """
        if (self.scheduler or (self.workers or 1) > 1) and not shared_by_processes(self.url):
            raise InputError(
                f"{without_password(self.url)}: SQLite may give a queued trial to two workers; use the journal or PostgreSQL "
                "instead"
            )
        if self.scheduler:
            return partial(search_on_dask, scheduler=self.scheduler, workers=self.workers)
        return partial(search_with_processes, workers=self.workers or 1)

    def _worker_count(self) -> int:
        """How many workers share the budget, and by default the lanes.

        Raises:
            InputError: a Dask cluster that cannot search on this storage.
        """
        return count_workers(self.scheduler, self.url, self.workers) if self.scheduler else self.workers or 1

    @cached_property
    def others(self) -> list[tuple[StudySpec, str]]:
        """The repeats of the study, then the rivals and theirs, to be searched with our budget: all rivals, or those that were
        and go on in wider ranges; with each how the user gives it another name.

        Raises:
            InputError: a rival cannot be searched as our study is.
        """
        searches = self.spec.confirm.searches
        specs = [(repeat, RENAME) for repeat in self.spec.repeats(searches)[1:]]
        for rival in self.rivals:
            if self.tune_rivals or (self.wide is not None and rival.name in self.wide.originals):
                specs += [(one, RENAME_RIVAL) for one in rival.with_budget_of(self.spec).repeats(searches)]
        return specs

    def _other_studies(
        self, work: Workspace, storage: BaseStorage, console: Console
    ) -> Iterator[tuple[Workspace, optuna.Study]]:
        """Their studies, opened one after the other. Their own rivals are not read: nobody asks for them here."""
        for spec, rename in self.others:
            self._worker_count()  # the cluster may have ended meanwhile
            its_work = Workspace.open(spec, work.output, work.data_dir, self.engine, self.device, rivals=(), table=self.table)
            if ENGINES[its_work.choice.name].many_lanes:
                its_work = replace(its_work, lanes=work.lanes)
            study = open_study(its_work, storage, rename=rename)
            go_on_from(self.wide, its_work, study, storage, console)
            yield its_work, study


def confirm(
    where: argparse.Namespace, changes: Mapping[str, Any], checkpoint_every: float, console: Console, stopper: Stopper
) -> Confirmation:
    """Confirm a study that has run, with another plan where one is given.

    Args:
        where: `study`, a name or a file, `output`, `storage` and `data_dir`, as flags have them.
        changes: of the confirm plan by dotted keys, as `StudySpec.override` takes them.

    Raises:
        InputError: see `existing_workspace` and `confirm_study`; another process is confirming it.
        Stopped: SIGINT or SIGTERM; what is finished is kept.
    """
    work, study, storage = existing_workspace(where)
    if is_study_file(where.study):
        work = _as_its_file_says(work, where.study)
    plan = work.spec.override(changes)
    check_rival_seeds(work.spec, plan, work.rivals, changes.get("confirm.rival_seeds"))
    work = replace(work, spec=plan)
    claim(work.folder, study)
    with while_it_exists(study, "confirmed", work.folder), work.alone("confirm") as alone:
        if not alone:
            raise InputError(f"study {work.spec.name!r} is being confirmed by another process; wait until it is done")
        return confirm_study(work, study, storage, console, stopper, checkpoint_every)


def _as_its_file_says(work: Workspace, file: str) -> Workspace:
    """A study that has run, with the confirm plan and the rivals of its file; budget, epochs and seed may have been flags.

    Raises:
        InputError: the file or a rival's is missing or broken, or it defines another study.
    """
    spec = work.spec
    asked = load_spec(file).override({"search": spec.search.model_dump()})
    if unlike := differences(work.definition(), replace(work, spec=asked).definition()):
        raise InputError(
            f"{file} is no longer what study {spec.name!r} was searched by ({'; '.join(map(str, unlike))}); restore the file, "
            f"give the study by its name, --study {spec.name}, or search what the file says as another study, --study-name"
        )
    spec = spec.override({"confirm": asked.confirm.model_dump(), "rivals": asked.rivals})
    return replace(work, spec=spec, rivals=tuple(spec.rival_specs()))


def _check_writable(folder: Path) -> None:
    """Find out before the search, not after it, and write nothing yet."""
    with writing(folder, CHANGE_OUTPUT_HINT):
        existing = next(path for path in (folder, *folder.parents) if path.exists())
        probe = existing / f".writable-{np.random.SeedSequence().entropy}"
        probe.touch()
        probe.unlink()
