"""What every command needs of a study: its spec, data, split, engine and storage, opened once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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

MAX_LANES = 8  # trials that are asked for at once know nothing of one another


def default_lanes(trials: int, workers: int) -> int:
    """At most a tenth of the trials for all workers together: a sampler learns from finished ones."""
    return max(1, min(MAX_LANES, trials // (10 * workers)))


@contextmanager
def alone(folder: Path, task: str, wait: bool = False) -> Iterator[bool]:
    """Within the block, whether this process alone does a task on a study's folder; the lock ends with the process.

    Args:
        wait: until the process that does it has ended it, so that this one is alone.

    Raises:
        InputError: the folder is not there, or cannot be written.
    """
    with writing(folder, CHANGE_OUTPUT_HINT):
        folder.stat()  # the lock would make a folder anew that was moved or deleted
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
        spec: the study, flags applied.
        output: folder of all studies' results.
        data_dir: where datasets are looked for first, None for the default folders.
        choice: the engine that trains it.
        rivals: the studies of its rivals, read once: their files may change before the search ends.
        lanes: trials trained concurrently, if the engine supports it.
        table: the data where they were made of a table in memory; `keep_table` writes them where the study says that they are.
    """

    spec: StudySpec
    output: Path
    data_dir: str | None
    choice: EngineChoice
    rivals: tuple[StudySpec, ...] = ()
    lanes: int = 1
    table: Dataset | None = field(default=None, repr=False)

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
    ) -> Workspace:
        """Resolve engine, lanes of each worker and, unless given, the rivals; the data are read when first used.

        Raises:
            InputError: an engine that is unknown, absent or cannot train the study; lanes that it does not have; a rival
                that is missing or broken.
        """
        choice = choose_engine(spec.probe, engine, device)
        if ENGINES[choice.name].many_lanes:
            lanes = lanes or default_lanes(spec.search.trials, workers)
        elif lanes is not None and lanes > 1:
            raise InputError(f"engine {choice.name} trains one trial at a time, got --lanes {lanes}; use --workers {lanes}")
        found = spec.rival_specs() if rivals is None else rivals
        return cls(spec, output, data_dir, choice, tuple(found), lanes or 1, table)

    @property
    def folder(self) -> Path:
        """The study's own folder."""
        return self.output / self.spec.name

    def alone(self, task: str, wait: bool = False) -> AbstractContextManager[bool]:
        """Whether this process alone does a task on the study's folder, see `alone`."""
        return alone(self.folder, task, wait)

    @cached_property
    def dataset(self) -> Dataset:
        """Training data; no test data in it. A table that lies in the study's folder is found there when that was moved."""
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
        """Write the table where the study's definition says that its data are, so that workers and commands can read it.

        Raises:
            InputError: another table lies there, or it cannot be written.
        """
        if self.table is None:
            return
        path, name = Path(self.spec.dataset), self.spec.name
        if path.exists() and not self.table.is_of(path):
            raise InputError(
                f"study {name!r} was searched on other data: {path} holds the table of then, and this one has other "
                "interactions; give this study another name with --study-name, or the table as it was"
            )
        if not path.exists():
            self.table.save(path)

    @property
    def validation(self) -> ValidationSplit:
        """How validation is held out."""
        return self.spec.validation or self.dataset.default_validation()

    @cached_property
    def parts(self) -> Split:
        """What the search trains on and what it is measured on, and how many pairs were dropped between the two.

        Raises:
            InputError: no such data, or they do not allow that validation.
        """
        dataset, how = self.dataset, self.validation
        try:
            return dataset.hold_out(how)
        except InputError as error:
            raise InputError(f"study {self.spec.name}: validation: {error}") from None

    @property
    def split(self) -> tuple[Interactions, Interactions]:
        """(train, validation): what the search sees."""
        return self.parts.seen, self.parts.held_out

    @cached_property
    def sample(self) -> Interactions:
        """What of the validation a trial is measured on before its last epoch: all of it, or that of some users.

        It is the same for all trials, and in wider ranges: it follows from the fixed settings, also where they are searched.
        """
        (seen, validation), fixed = self.split, self.spec.fixed
        negatives = fixed.negatives.per_row(fixed.batch_size)
        size = self.spec.search.sample_size(validation.n_users_with_pairs, seen.n_items, len(seen), negatives)
        return of_some_users(validation, size, self.validation.seed)

    def definition(self, spec: StudySpec | None = None) -> Definition:
        """The definition of the study, or of a rival's on the same data."""
        seen, held_out = self.split
        data = SplitData(self.dataset.checksum, self.validation, seen.checksum, held_out.checksum)
        return definition_of(spec or self.spec, data, self.choice.name)

    def check_objective(self) -> None:
        """Before anything is trained.

        Raises:
            InputError: it looks at more items than there are.
        """
        metric, n_items = Metric.parse(self.spec.objective), self.split[0].n_items
        if metric.k > n_items:
            smaller = replace(metric, k=max(1, min(20, n_items // 2)))
            raise InputError(
                f"study {self.spec.name}: objective {metric} looks at {metric.k:,} items of each list, and "
                f"{self.spec.data_name} has {n_items:,} in all; take a smaller cut-off, such as {smaller}"
            )

    def check_negatives(self) -> None:
        """Before hours are spent: those of the study and of its rivals, on what search and stage 2 of confirm train on.

        Raises:
            InputError: these data do not allow them.
        """
        for spec in (self.spec, *self.rivals):
            negatives = spec.probe.negatives
            for seen in (self.split[0], self.dataset.train):
                negatives.check(seen)

    def study(self, storage: BaseStorage, **rename: str) -> optuna.Study:
        """Create or continue the study in a storage; `rename` as in `open_study`.

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
            **rename,
        )
        if EVALUATED_ON not in study.user_attrs:
            study.set_user_attr(EVALUATED_ON, [part.n_users_with_pairs for part in (self.sample, self.split[1])])
        study.set_user_attr(SPEC, StoredStudy.of(self.spec, self.rivals).to_dict())
        stored_study(study)
        return study

    def check_data(self, study: optuna.Study) -> None:
        """Whether the data are those that the study has searched, and the code of its loss, where that is the user's own.

        Raises:
            InputError: they have changed since.
        """
        then = stored_definition(study.study_name, study.user_attrs)
        remedy = "or search as another study, with --study-name"
        check_code(then, self.definition(), f"study {self.spec.name!r} cannot go on:", remedy)
        if self.dataset.checksum != then.checksum:
            raise InputError(
                f"study {self.spec.name!r} was searched on other data: {self.spec.dataset} has changed since (checksum was "
                f"{then.checksum[:12]}, now {self.dataset.checksum[:12]}); restore it, or search again"
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
                f"study {self.spec.name!r} was searched on data of another order: {self.spec.dataset} has the same pairs, but "
                "other ones are the last of their users; restore the files, or search again"
            )
