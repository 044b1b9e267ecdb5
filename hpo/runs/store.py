"""The store of finished runs at full budget with their per-user metrics. An interrupted confirm continues from it."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, Field, model_validator

from hpo.runs.provenance import Provenance
from hpo.runs.sealed import REMEDY, read_sealed, write_sealed
from hpo.runs.tables import from_npz, to_npz
from hpo.runtime.text import CHANGE_OUTPUT_HINT
from hpo.runtime.typed_files import Stored
from trainers import TrainConfig
from trainers.early_stopping import Plateau
from trainers.engines import cache_versions
from trainers.errors import InputError
from trainers.files import writing
from trainers.losses.own import code_of
from trainers.metrics.beyond_accuracy import N_GROUPS
from trainers.metrics.definitions import Metric
from trainers.metrics.gradient_share import HARDEST
from trainers.validation import SETTINGS, Figure

log = logging.getLogger(__name__)

UNKNOWN = "an unknown revision"
RUNS_FOLDER = "runs"  # in a study's folder
Kind = TypeVar("Kind", bound=Stored)
Made = TypeVar("Made")


class PopularityGroup(BaseModel):
    """Figures of a group of items of similar popularity, see `trainers.metrics.beyond_accuracy.summarise`."""

    model_config = SETTINGS | {"frozen": True}
    items: Figure
    share_of_interactions: Figure
    share_of_recommendations: Figure
    recall: Figure
    ndcg: Figure


class Beyond(BaseModel):
    """Measures beyond accuracy, of a run or as a mean over seeds, see `trainers.metrics.beyond_accuracy.summarise`.

    Attributes:
        k: length of the recommendation lists.
    """

    model_config = SETTINGS | {"frozen": True}
    k: int
    coverage: Figure
    mean_popularity: Figure
    gini: Figure
    groups: list[PopularityGroup]


@dataclass(frozen=True)
class RunKey:
    """Everything that decides a run's numbers, except rounding.

    Rounding also depends on the kind of CPU or GPU and on library versions. They are recorded with the run but are not part of
    the key: training again for a last digit would cost too much. A confirmation has a caveat if its runs differ in them.

    Attributes:
        seen, held_out: checksums of the data for training and for measuring.
        device: `cpu` or `cuda`.
        measured_in: the metrics; the first is the objective, which the learning curve shows.
        plateau: early stopping; None without.
        chosen_on: checksum of the data on which the plateau measures; empty if these are `held_out`.
    """

    config: TrainConfig
    seen: str
    held_out: str
    engine: str
    device: str
    measured_in: tuple[str, ...]
    plateau: Plateau | None = None
    chosen_on: str = ""

    @property
    def cache_version(self) -> int:
        """The version of the trained numbers, see `trainers.engines.cache_versions`."""
        return cache_versions.cache_version(self.engine, self.config.loss.name, self.config.negatives.name)

    @property
    def code(self) -> str:
        """The digest of the code of a user's own loss; empty for a loss of this program."""
        return code_of(self.config.loss.name)

    @property
    def figures_version(self) -> int:
        """The version of the measured figures, see `trainers.engines.cache_versions`."""
        return cache_versions.FIGURES_VERSION

    @property
    def versions(self) -> dict[str, int]:
        """The versions of the current code."""
        return {"cache_version": self.cache_version, "figures_version": self.figures_version}

    def parts(self) -> dict[str, Any]:
        """The parts of the key as plain data."""
        plateau = asdict(self.plateau) if self.plateau else None
        given = asdict(self) | {"config": self.config.to_dict(), "plateau": plateau, "code": self.code} | self.versions
        return {name: value for name, value in given.items() if value or name not in ("code", "chosen_on")}

    def digest(self) -> str:
        """The name of the run's files."""
        return hashlib.sha256(json.dumps(self.parts(), sort_keys=True).encode()).hexdigest()[:20]


@dataclass(frozen=True)
class FinishedRun:
    """The outcome of a run.

    Attributes:
        metrics: means over users by name; empty if it diverged.
        per_user: the metrics by user (index: user id); None if it diverged.
        seconds: training time.
        failure: why there are no metrics; empty if there are.
        beyond: measures beyond accuracy; None if it diverged.
        curve: the objective by epoch, for epochs at which it was measured.
        losses: the mean training loss by epoch.
        gradient: see `trainers.metrics.gradient_share`; empty if it diverged.
        trained_by: provenance of the process that trained it.
    """

    config: TrainConfig
    metrics: dict[str, float]
    per_user: pd.DataFrame | None
    seconds: float
    failure: str = ""
    beyond: Beyond | None = None
    curve: dict[int, float] = field(default_factory=dict)
    losses: dict[int, float] = field(default_factory=dict)
    gradient: dict[str, float] = field(default_factory=dict)
    trained_by: Provenance | None = None

    @property
    def epochs_trained(self) -> int:
        """The number of trained epochs, including the one in which it diverged."""
        return len(self.losses) + bool(self.failure)


class RunRecord(Stored):
    """The JSON file of a finished run: its key and its outcome. The metrics by user are in an .npz file of the same name."""

    FORMAT: ClassVar[int] = 1
    config: TrainConfig
    seen: str
    held_out: str
    engine: str
    device: str
    cache_version: int
    figures_version: int
    code: str = ""
    measured_in: Annotated[tuple[str, ...], Field(min_length=1)]
    plateau: Plateau | None = None
    chosen_on: str = ""
    metrics: dict[str, Figure]
    beyond: Beyond | None = None
    gradient: dict[str, Figure]
    curve: dict[int, Figure]
    losses: dict[int, float]
    seconds: Figure
    failure: str
    trained_by: Provenance | None = None

    @model_validator(mode="after")
    def _has_all_figures(self) -> RunRecord:
        """Check that a run without failure has all figures, since runs of one method are averaged."""
        if self.failure:
            return self
        if self.beyond is None or len(self.beyond.groups) != N_GROUPS or self.beyond.k != Metric.parse(self.measured_in[0]).k:
            raise ValueError("beyond must hold the figures of lists whose length is the cut-off of the objective")
        if set(self.metrics) != set(self.measured_in):
            raise ValueError("metrics must be those of measured_in")
        if self.gradient and set(self.gradient) != {"active", *HARDEST}:
            raise ValueError("gradient must have the share of each kind of negatives")
        return self

    @classmethod
    def of(cls, key: RunKey, run: FinishedRun) -> RunRecord:
        """The record of a run."""
        outcome = {name: getattr(run, name) for name in cls.model_fields if hasattr(run, name)}
        return cls(**outcome | vars(key) | key.versions, code=key.code)

    def key(self) -> RunKey:
        """The key of the run, with the versions of the current code."""
        return RunKey(**{field.name: getattr(self, field.name) for field in fields(RunKey)})

    def is_of(self, key: RunKey) -> bool:
        """Whether the run has this key and was made by the current versions of the code."""
        same_code = self.code == key.code and all(getattr(self, name) == value for name, value in key.versions.items())
        return same_code and self.key() == key

    def run(self, table: bytes, users: NDArray[Any] | None = None) -> FinishedRun:
        """The run, with the arrays of the .npz file.

        Args:
            table: the content of the .npz file.
            users: the expected users; None for any.

        Raises:
            ValueError: the arrays are damaged or belong to another run.
        """
        same = {name: getattr(self, name) for name in ("config", "metrics", "seconds", "failure", "beyond", "curve", "losses")}
        per_user = None if self.failure else from_npz(table, self.measured_in, users)
        return FinishedRun(**same, per_user=per_user, gradient=self.gradient, trained_by=self.trained_by)


class RunStore:
    """A folder with two files per run: `<digest>.json` (a `RunRecord`) and `<digest>.npz` (per-user metrics).

    Args:
        folder: the folder of the runs.
        elsewhere: a folder whose subfolders may have run folders, too. Runs that are missing here are copied from there: the
            name of a run determines its numbers.
    """

    def __init__(self, folder: Path, elsewhere: Path | None = None) -> None:
        self.folder, self.elsewhere = folder, elsewhere

    def load(self, key: RunKey, users: NDArray[Any] | None = None) -> FinishedRun | None:
        """The stored run; None if there is none.

        Args:
            users: the expected users; None for any.

        Raises:
            InputError: its files are damaged, have another format, or belong to another run.
        """

        def run(record: RunRecord, table: bytes) -> FinishedRun:
            if not record.is_of(key):
                raise ValueError("it has another config, data, engine, metrics or version")
            return record.run(table, users)

        return self.read(f"{key.digest()}.json", RunRecord, run)

    def read(self, name: str, kind: type[Kind], use: Callable[[Kind, bytes], Made]) -> Made | None:
        """Read a record by its name from this folder, or copy it from another study's folder. None if there is none.

        Args:
            use: makes the result of the record and its arrays; raises ValueError if they do not match the name.

        Raises:
            InputError: the record in this folder is damaged, has another format, or does not match its name.
        """
        path = self.folder / name
        if path.exists():
            return _read(path, kind, use)[2]
        for other in sorted(self.elsewhere.glob(f"*/{self.folder.name}/{name}")) if self.elsewhere else ():
            try:
                found, table, made = _read(other, kind, use)
            except InputError as error:
                log.warning("%s", error)
                continue
            self.write(name, found, table)
            return made
        return None

    def save(self, key: RunKey, run: FinishedRun) -> None:
        """Store a run. The .json file is written last, so that a run with it is complete.

        Raises:
            InputError: the folder cannot be written.
        """
        table = b"" if run.per_user is None else to_npz(run.per_user)
        self.write(f"{key.digest()}.json", RunRecord.of(key, run), table)

    def write(self, name: str, content: Stored, table: bytes = b"") -> None:
        """Store a record. The folder is created if necessary, but not its parent, which may have been moved or deleted.

        Raises:
            InputError: the folder cannot be written.
        """
        with writing(self.folder, CHANGE_OUTPUT_HINT):
            self.folder.mkdir(exist_ok=True)
        write_sealed(self.folder / name, content, table)


def _read(path: Path, kind: type[Kind], use: Callable[[Kind, bytes], Made]) -> tuple[Kind, bytes, Made]:
    record, table = read_sealed(path)
    found = kind.from_dict(record, str(path), REMEDY)
    try:
        return found, table, use(found, table)
    except ValueError as error:
        raise InputError(f"{path}: stored run does not match its name: {error}; {REMEDY}") from None
