"""Finished training runs at full budget, kept with their per-user metrics: an interrupted confirm continues from them."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
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
Kind = TypeVar("Kind", bound=Stored)
Made = TypeVar("Made")


class PopularityGroup(BaseModel):
    """Items of like popularity, see `trainers.metrics.beyond_accuracy.summarise`; a mean over seeds."""

    model_config = SETTINGS | {"frozen": True}
    items: Figure
    share_of_interactions: Figure
    share_of_recommendations: Figure
    recall: Figure
    ndcg: Figure


class Beyond(BaseModel):
    """What is recommended, beyond accuracy, see `trainers.metrics.beyond_accuracy.summarise`; a run's, or a mean over seeds.

    Attributes:
        k: length of the lists that it is of.
    """

    model_config = SETTINGS | {"frozen": True}
    k: int
    coverage: Figure
    mean_popularity: Figure
    gini: Figure
    groups: list[PopularityGroup]


@dataclass(frozen=True)
class RunKey:
    """What decides a run's numbers, but for rounding: the config, the data that it sees and is measured on, the engine with the
    kind of its device (`cpu` or `cuda`), what it is measured in (the first is the objective, of which the curve is), when it
    stops, and the version of the code.

    How sums are rounded also depends on the kind of CPU or GPU and on library versions. These are recorded with the run and not
    part of its key, since a run for a hundred epochs again would be a high price for a last digit: the confirmation says where
    the runs that it compares differ in them.
    """

    config: TrainConfig
    seen: str
    held_out: str
    engine: str
    device: str
    measured_in: tuple[str, ...]
    plateau: Plateau | None = None

    @property
    def cache_version(self) -> int:
        """Of the numbers that this code computes, see `trainers.engines.cache_versions`."""
        return cache_versions.cache_version(self.engine, self.config.loss.name)

    @property
    def code(self) -> str:
        """The digest of the code of a loss of the user's own, which has no version; empty for a loss of this program."""
        return code_of(self.config.loss.name)

    @property
    def figures_version(self) -> int:
        """Of the figures that this code measures with the vectors, see `trainers.engines.cache_versions`."""
        return cache_versions.FIGURES_VERSION

    @property
    def versions(self) -> dict[str, int]:
        """Those that this code would store a run under."""
        return {"cache_version": self.cache_version, "figures_version": self.figures_version}

    def parts(self) -> dict[str, Any]:
        """The parts of the key as plain data."""
        plateau = asdict(self.plateau) if self.plateau else None
        code = {"code": self.code} if self.code else {}
        return asdict(self) | {"config": self.config.to_dict(), "plateau": plateau} | self.versions | code

    def digest(self) -> str:
        """A name for the run's files."""
        return hashlib.sha256(json.dumps(self.parts(), sort_keys=True).encode()).hexdigest()[:20]


@dataclass(frozen=True)
class FinishedRun:
    """A run's outcome.

    Attributes:
        metrics: means over users, by name; empty when it diverged.
        per_user: the same by user (index: user id), None when it diverged.
        seconds: of training.
        failure: why there are no metrics.
        beyond: beyond accuracy; None when it diverged.
        curve: the objective, which is the first of `metrics`, by epoch, where it was measured on the way.
        losses: the mean training loss by epoch.
        gradient: see `trainers.metrics.gradient_share`; empty when it diverged.
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
        """Fewer than the config's where it diverged or stopped early; the epoch in which it diverged counts."""
        return len(self.losses) + bool(self.failure)


class RunRecord(Stored):
    """The file of a finished run: its key and its outcome; the metrics by user are in a file of the same name."""

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
        """Those of a run that was trained to the end: runs of one method are averaged."""
        if self.failure:
            return self
        if self.beyond is None or len(self.beyond.groups) != N_GROUPS or self.beyond.k != Metric.parse(self.measured_in[0]).k:
            raise ValueError("beyond must hold the figures of lists that are as long as the objective looks at")
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
        """What was trained; its versions are today's."""
        return RunKey(self.config, self.seen, self.held_out, self.engine, self.device, self.measured_in, self.plateau)

    def is_of(self, key: RunKey) -> bool:
        """Whether this is what was trained and measured under a key, by code of today's versions."""
        same_code = self.code == key.code and all(getattr(self, name) == value for name, value in key.versions.items())
        return same_code and self.key() == key

    def run(self, table: bytes, users: NDArray[Any] | None = None) -> FinishedRun:
        """The run, with the arrays that lie beside the record.

        Args:
            users: whom they must be of; None: anybody.

        Raises:
            ValueError: they are damaged, or those of another run.
        """
        same = {name: getattr(self, name) for name in ("config", "metrics", "seconds", "failure", "beyond", "curve", "losses")}
        per_user = None if self.failure else from_npz(table, self.measured_in, users)
        return FinishedRun(**same, per_user=per_user, gradient=self.gradient, trained_by=self.trained_by)


class BaselineResult(Stored):
    """What a baseline reaches: `label` and `note` as in `trainers.baselines.Baseline`, seconds and revision that made it."""

    FORMAT: ClassVar[int] = 1
    label: str
    note: str
    metrics: dict[str, Figure]
    beyond: Beyond
    seconds: Figure
    made_by: str = UNKNOWN


class RunStore:
    """A folder with two files per run: `<digest>.json` (a `RunRecord`) and `<digest>.npz` (per-user metrics).

    Args:
        folder: of the runs.
        elsewhere: a folder of which each subfolder may have runs of its own: what is missing here is copied from there, since a
            run's name says all that decides its numbers.
    """

    def __init__(self, folder: Path, elsewhere: Path | None = None) -> None:
        self.folder, self.elsewhere = folder, elsewhere

    def load(self, key: RunKey, users: NDArray[Any] | None = None) -> FinishedRun | None:
        """The stored run, or None.

        Args:
            users: whom it must be measured on; None: anybody.

        Raises:
            InputError: its files are damaged, of another format or of another run.
        """

        def run(record: RunRecord, table: bytes) -> FinishedRun:
            if not record.is_of(key):
                raise ValueError("it is the run of another config, data, engine, metrics or version")
            return record.run(table, users)

        return self.read(f"{key.digest()}.json", RunRecord, run)

    def read(self, name: str, kind: type[Kind], use: Callable[[Kind, bytes], Made]) -> Made | None:
        """What `write_sealed` wrote under a name in this folder, or in a sound copy elsewhere, which is then kept here too.

        Args:
            use: what is made of the record and the arrays beside it; a ValueError where they are not what the name says.

        Raises:
            InputError: this folder's is damaged, of another format, or not the right one.
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
        """Keep a run; the .json is written last, so that its presence means the run is whole.

        Raises:
            InputError: the folder cannot be written.
        """
        table = b"" if run.per_user is None else to_npz(run.per_user)
        self.write(f"{key.digest()}.json", RunRecord.of(key, run), table)

    def write(self, name: str, content: Stored, table: bytes = b"") -> None:
        """Keep a record. The folder is made, but not the study's folder that it is in, which may have been moved or deleted.

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
        raise InputError(f"{path}: stored run is not what its name says: {error}; {REMEDY}") from None
