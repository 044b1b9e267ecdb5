"""What every verb needs of a study: its spec, data, split, engine and storage, opened once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import optuna
from filelock import FileLock, Timeout
from optuna.storages import BaseStorage

from hpo.runs import RunStore
from hpo.sampling import make_pruner, make_sampler
from hpo.spec import StudySpec
from hpo.storage import SPEC, open_study
from hpo.stored import stored_spec
from trainers import Dataset, Interactions, hold_out, load_dataset
from trainers.engines import EngineChoice, choose_engine
from trainers.errors import InputError


@dataclass(frozen=True)
class Workspace:
    """A study with its data.

    Attributes:
        spec: the study, flags applied.
        output: folder of all studies' results.
        data_dir: where datasets are looked for first, None for the default places.
        choice: the engine that trains it.
    """

    spec: StudySpec
    output: Path
    data_dir: str | None
    choice: EngineChoice

    @classmethod
    def open(cls, spec: StudySpec, output: Path, data_dir: str | None, engine: str, device: str) -> Workspace:
        """Resolve the engine; the data are read when first used."""
        probe = spec.space.config(spec.space.corner(), spec.fields(1, 0))
        return cls(spec, output, data_dir, choose_engine(probe, engine, device))

    @property
    def folder(self) -> Path:
        """The study's own folder."""
        return self.output / self.spec.name

    @property
    def runs(self) -> RunStore:
        """Finished runs at full budget."""
        return RunStore(self.folder / "runs")

    @contextmanager
    def alone(self, task: str) -> Iterator[bool]:
        """Within the block, whether this process alone does a task on the study's folder; the lock ends with the process.

        Raises:
            InputError: the folder cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.folder / f".{task}.lock", blocking=False)
            lock.acquire()
        except Timeout:
            yield False
            return
        except OSError as error:
            raise InputError(f"{self.folder}: cannot be written: {error.strerror}; give another folder with --output") from None
        try:
            yield True
        finally:
            lock.release()

    @cached_property
    def dataset(self) -> Dataset:
        """Training data; no test data in it."""
        return load_dataset(self.spec.dataset, self.data_dir)

    @cached_property
    def split(self) -> tuple[Interactions, Interactions]:
        """(train, validation): what the search sees."""
        return hold_out(self.dataset.train, self.spec.split_seed)

    def study(self, storage: BaseStorage, lanes: int = 1) -> optuna.Study:
        """Create or continue the study in a storage.

        Raises:
            InputError: it exists with another definition, or is damaged.
        """
        sampler = make_sampler(self.spec.search, lanes)
        definition = self.spec.definition(self.dataset.checksum, self.choice.name)
        study = open_study(storage, self.spec.name, definition, sampler, make_pruner(self.spec.search.pruner))
        study.set_user_attr(SPEC, self.spec.model_dump(mode="json"))
        stored_spec(study)
        return study
