"""A study with its data, split and engine, opened once for all steps of a command."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import optuna
from filelock import FileLock, Timeout
from optuna.storages import BaseStorage

from hpo.runtime.text import CHANGE_OUTPUT_HINT
from hpo.study.definition import (
    SPEC,
    Definition,
    SplitData,
    StoredStudy,
    check_code,
    definition_of,
    open_study,
    order_differs,
    stored_definition,
)
from hpo.study.rivals import RivalStudies, rivals_of
from hpo.study.sampling import make_pruner, make_sampler
from hpo.study.spec import StudySpec
from hpo.study.stored import EVALUATED_ON, stored_study
from trainers import Dataset, Interactions, load_dataset
from trainers.data.options import ValidationSplit
from trainers.data.splits import Split
from trainers.engines import ENGINES, EngineChoice, choose_engine
from trainers.errors import DataNotFound, InputError
from trainers.files import writing
from trainers.metrics.definitions import Metric
from trainers.metrics.sample import of_some_users

MAX_LANES = 8  # trials that are proposed together do not learn from one another


def default_lanes(trials: int, workers: int) -> int:
    """The default number of lanes per worker: at most a tenth of the trials over all workers of a study, since a sampler learns
    from finished trials."""
    return max(1, min(MAX_LANES, trials // (10 * workers)))


@contextmanager
def alone(folder: Path, task: str, wait: bool = False) -> Iterator[bool]:
    """Lock a task on a study's folder; yields whether this process has the lock. The lock ends with the process.

    Args:
        wait: wait until no other process has the lock.

    Raises:
        InputError: the folder does not exist or cannot be written.
    """
    with writing(folder, CHANGE_OUTPUT_HINT):
        folder.stat()  # the lock would create a moved or deleted folder again
        lock = FileLock(folder / f".{task}.lock", blocking=wait)
        with suppress(Timeout):
            lock.acquire()
    if not lock.is_locked:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


@dataclass(frozen=True)
class Workspace:
    """A study with its data.

    Attributes:
        spec: the study, with flags applied.
        output: the folder of all studies' results.
        data_dir: the folder that is searched first for datasets; None for the default folders.
        choice: the engine that trains.
        rivals: the studies of its rivals, read once, since their files may change before the search ends.
        lanes: trials trained concurrently, if the engine supports it.
        table: the data, if they are a table in memory; `keep_table` writes them to the path in the study.
        left_out: by loss the reason why `rivals: all` leaves it out.
    """

    spec: StudySpec
    output: Path
    data_dir: str | None
    choice: EngineChoice
    rivals: tuple[StudySpec, ...] = ()
    lanes: int = 1
    table: Dataset | None = field(default=None, repr=False)
    left_out: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def open(
        cls,
        spec: StudySpec,
        output: Path,
        data_dir: str | None,
        engine: str,
        device: str,
        lanes: int | None = None,
        workers: int = 1,
        rivals: Sequence[StudySpec] | None = None,
        table: Dataset | None = None,
        left_out: Mapping[str, str] | None = None,
    ) -> Workspace:
        """Choose the engine and the lanes of each worker and, unless given, load the rivals. The data are read at first use.

        Raises:
            InputError: an engine that is unknown, absent or cannot train the study; several lanes for an engine with one; a
                rival that is missing or broken.
        """
        choice = choose_engine(spec.probe, engine, device)
        if ENGINES[choice.name].many_lanes:
            lanes = lanes or default_lanes(spec.search.trials, workers)
        elif lanes is not None and lanes > 1:
            raise InputError(f"engine {choice.name} trains one trial at a time, got --lanes {lanes}; use --workers {lanes}")
        found = rivals_of(spec, engine, device) if rivals is None else RivalStudies(rivals, left_out or {})
        return cls(spec, output, data_dir, choice, tuple(found.specs), lanes or 1, table, found.left_out)

    @property
    def folder(self) -> Path:
        """The study's own folder."""
        return self.output / self.spec.name

    def alone(self, task: str, wait: bool = False) -> AbstractContextManager[bool]:
        """Lock a task on the study's folder, see the function `alone`."""
        return alone(self.folder, task, wait)

    @cached_property
    def dataset(self) -> Dataset:
        """The training data, without test data. A table in the study's folder is found there even if the folder was moved."""
        name, options = self.spec.dataset, self.spec.data.given()
        if self.table is not None:
            return self.table
        try:
            return load_dataset(name, self.data_dir, **options)
        except DataNotFound:
            kept = self.folder / Path(name).name
            if not kept.is_file():
                raise
            return load_dataset(str(kept.resolve()), **options)

    def keep_table(self) -> None:
        """Write the table to the path in the study, so that workers and commands can read it.

        Raises:
            InputError: the path holds another table, or cannot be written.
        """
        if self.table is None:
            return
        path, name = Path(self.spec.dataset), self.spec.name
        if path.exists() and not self.table.is_of(path):
            raise InputError(
                f"study {name!r} was searched on other data: {path} holds the earlier table, and the new one has other "
                "interactions; give this study another name with --study-name, or give the earlier table"
            )
        if not path.exists():
            self.table.save(path)

    @property
    def validation(self) -> ValidationSplit:
        """How validation is held out."""
        return self.spec.validation or self.dataset.default_validation()

    @cached_property
    def parts(self) -> Split:
        """The split into training and validation pairs, with the number of dropped pairs.

        Raises:
            InputError: the data are missing, or do not allow that validation split.
        """
        dataset, how = self.dataset, self.validation
        try:
            return dataset.hold_out(how)
        except InputError as error:
            raise InputError(f"study {self.spec.name}: validation: {error}") from None

    @property
    def split(self) -> tuple[Interactions, Interactions]:
        """(train, validation), the pairs of the search."""
        return self.parts.seen, self.parts.held_out

    @cached_property
    def sample(self) -> Interactions:
        """The validation pairs that a trial is measured on before its last epoch: all, or those of some users.

        They depend on the fixed settings of the file only, so they are the same for all trials, and in wider ranges.
        """
        (seen, validation), fixed = self.split, self.spec.fixed
        compared = fixed.negatives.compared_per_row(fixed.batch_size)
        size = self.spec.search.sample_size(validation.n_users_with_pairs, seen.n_items, len(seen), compared)
        return of_some_users(validation, size, self.validation.seed)

    def definition(self, spec: StudySpec | None = None) -> Definition:
        """The definition of the study, or of a rival on the same data."""
        seen, held_out = self.split
        data = SplitData(self.dataset.checksum, self.validation, seen.checksum, held_out.checksum)
        return definition_of(spec or self.spec, data, self.choice.name)

    def check_objective(self) -> None:
        """Check the objective before training.

        Raises:
            InputError: its cut-off exceeds the number of items.
        """
        metric, n_items = Metric.parse(self.spec.objective), self.split[0].n_items
        if metric.k > n_items:
            smaller = replace(metric, k=max(1, min(20, n_items // 2)))
            raise InputError(
                f"study {self.spec.name}: the cut-off of the objective may not exceed the {n_items:,} items of "
                f"{self.spec.data_name}, got {metric}; give a smaller cut-off, such as {smaller}"
            )

    def check_negatives(self) -> None:
        """Check the negatives of the study and its rivals, on the training data of the search and of stage 2 of confirm.

        Raises:
            InputError: the data do not allow these negatives.
        """
        for spec in (self.spec, *self.rivals):
            negatives = spec.probe.negatives
            for seen in (self.split[0], self.dataset.train):
                negatives.check(seen)

    def study(self, storage: BaseStorage, **said: str) -> optuna.Study:
        """Create or continue the study in a storage; `said` as in `open_study`.

        Raises:
            InputError: it exists with another definition, or is damaged.
        """
        sampler = make_sampler(self.spec.search, self.lanes)
        study = open_study(
            storage,
            self.spec.name,
            self.definition(),
            sampler,
            make_pruner(self.spec.search.pruner, self.spec.search.epochs),
            **said,
        )
        if EVALUATED_ON not in study.user_attrs:
            study.set_user_attr(EVALUATED_ON, [part.n_users_with_pairs for part in (self.sample, self.split[1])])
        study.set_user_attr(SPEC, StoredStudy.of(self.spec, self.rivals, self.left_out).to_dict())
        stored_study(study)
        return study

    def check_data(self, study: optuna.Study) -> None:
        """Check that the data, and the code of a user's own loss, have not changed since the search.

        Raises:
            InputError: they have changed.
        """
        then = stored_definition(study.study_name, study.user_attrs)
        remedy = "or search as another study, with --study-name"
        check_code(then, self.definition(), f"study {self.spec.name!r} cannot continue:", remedy)
        if self.dataset.checksum != then.checksum:
            raise InputError(
                f"study {self.spec.name!r} was searched on other data: {self.spec.dataset} has changed since (checksum was "
                f"{then.checksum[:12]}, now {self.dataset.checksum[:12]}); restore the files, or search again"
            )
        now = self.definition()
        if then.validation != now.validation:
            before, after = then.split_data.validation.said(), self.validation.said()
            raise InputError(
                f"study {self.spec.name!r} was searched on another validation split: it held out {before}, and would now hold "
                f"out {after}; restore the files, or search again"
            )
        if order_differs(then, now):
            raise InputError(
                f"study {self.spec.name!r} was searched on data in another order: {self.spec.dataset} has the same pairs, but "
                "other pairs are the last of their users; restore the files, or search again"
            )
        if then.held_out != now.held_out:
            raise InputError(
                f"study {self.spec.name!r} was searched by another version of this program, which measured on other validation "
                "pairs; use that version, or search again"
            )
