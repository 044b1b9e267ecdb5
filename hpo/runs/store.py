"""Finished training runs at full budget, kept with their per-user metrics: an interrupted confirm continues from them."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hpo.runtime.text import CHANGE_OUTPUT_HINT
from trainers import TrainConfig
from trainers.early_stopping import Plateau
from trainers.errors import InputError
from trainers.files import write_bytes, write_text

log = logging.getLogger(__name__)

CHECKSUM = "sha256"
CACHE_VERSION = 1  # bump when code changes alter results; invalidates stored runs


@dataclass(frozen=True)
class RunKey:
    """What decides a run's numbers: the config, the data that it sees and is measured on, the engine, and when it stops."""

    config: TrainConfig
    seen: str
    held_out: str
    engine: str
    plateau: Plateau | None = None

    def digest(self) -> str:
        """A name for the run's files."""
        parts: list[Any] = [self.config.to_dict(), self.seen, self.held_out, self.engine]
        if self.plateau:
            parts.append(asdict(self.plateau))
        if CACHE_VERSION > 1:
            parts.append(CACHE_VERSION)
        text = json.dumps(parts, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:20]


@dataclass(frozen=True)
class FinishedRun:
    """A run's outcome.

    Attributes:
        metrics: means over users, by name; empty when it diverged.
        per_user: the same by user (index: user id), None when it diverged.
        failure: why there are no metrics.
        beyond: beyond accuracy, see `trainers.metrics.beyond_accuracy.summarise`; empty when it diverged.
        curve: the objective by epoch, where it was measured on the way.
        losses: the mean training loss by epoch.
        gradient: see `trainers.metrics.gradient_share`; empty when it diverged, and of runs from before it was kept.
        trained_by: provenance of the process that trained it.
    """

    config: TrainConfig
    metrics: dict[str, float]
    per_user: pd.DataFrame | None
    seconds: float
    failure: str = ""
    beyond: dict[str, Any] = field(default_factory=dict)
    curve: dict[int, float] = field(default_factory=dict)
    losses: dict[int, float] = field(default_factory=dict)
    gradient: dict[str, float] = field(default_factory=dict)
    trained_by: dict[str, Any] = field(default_factory=dict)


def revision_of(trained_by: Mapping[str, Any]) -> str:
    """The revision of the program in a provenance, its version where it was installed."""
    return str(trained_by.get("revision") or trained_by.get("version", "unknown")) + (
        " dirty" if trained_by.get("dirty") else ""
    )


def machine_of(trained_by: Mapping[str, Any]) -> str:
    """The kind of machine in a provenance; empty for those of earlier versions, which say `x86_64 CPU` of all kinds."""
    device = str(trained_by.get("device", ""))
    return "" if device.endswith(" CPU") else device


@dataclass(frozen=True)
class BaselineResult:
    """What a baseline reaches: `label` and `note` as in `trainers.baselines.Baseline`, `seconds` to make it."""

    label: str
    note: str
    metrics: dict[str, float]
    beyond: dict[str, Any]
    seconds: float


class RunStore:
    """A folder with two files per run: `<digest>.json` (config, means) and `<digest>.npz` (per-user metrics).

    Args:
        folder: of the runs.
        elsewhere: a folder of which each subfolder may have runs of its own: what is missing here is copied from there, since a
            run's name says all that decides its numbers.
    """

    def __init__(self, folder: Path, elsewhere: Path | None = None) -> None:
        self.folder, self.elsewhere = folder, elsewhere

    def load(self, key: RunKey) -> FinishedRun | None:
        """The stored run, or None.

        Raises:
            InputError: its files are damaged.
        """
        found = self.read(f"{key.digest()}.json")
        if found is None:
            return None
        record, table = found
        per_user = None if record["failure"] else _from_npz(table)
        curve, losses = ({int(epoch): value for epoch, value in record.get(name, {}).items()} for name in ("curve", "losses"))
        outcome = record["metrics"], per_user, record["seconds"], record["failure"]
        rest = {name: record.get(name, {}) for name in ("beyond", "gradient", "trained_by")}
        return FinishedRun(key.config, *outcome, curve=curve, losses=losses, **rest)

    def read(self, name: str) -> tuple[dict[str, Any], bytes] | None:
        """What `write_sealed` wrote under a name in this folder, or in a sound copy elsewhere, which is then kept here too.

        Raises:
            InputError: this folder's is damaged.
        """
        path = self.folder / name
        if path.exists():
            return read_sealed(path)
        for other in sorted(self.elsewhere.glob(f"*/{self.folder.name}/{name}")) if self.elsewhere else ():
            try:
                record, table = read_sealed(other)
            except InputError as error:
                log.warning("%s", error)
                continue
            write_sealed(path, record, table)
            return record, table
        return None

    def save(self, key: RunKey, run: FinishedRun) -> None:
        """Keep a run; the .json is written last, so that its presence means the run is whole.

        Raises:
            InputError: the folder cannot be written.
        """
        record: dict[str, Any] = asdict(key) | {"config": run.config.to_dict(), "metrics": run.metrics}
        record |= {"beyond": run.beyond, "gradient": run.gradient, "curve": run.curve, "losses": run.losses}
        record |= {"seconds": round(run.seconds, 3), "failure": run.failure, "trained_by": run.trained_by}
        table = b"" if run.per_user is None else _to_npz(run.per_user)
        write_sealed(self.folder / f"{key.digest()}.json", record, table)


def write_sealed(path: Path, record: dict[str, Any], table: bytes = b"") -> None:
    """A record and the arrays beside it, with a checksum over both: a damaged figure must not pass for a measured one.

    Raises:
        InputError: the folder cannot be written.
    """
    record = json.loads(json.dumps(record))  # its keys as they will be read
    if table:
        write_bytes(path.with_suffix(".npz"), table, CHANGE_OUTPUT_HINT)
    write_text(path, json.dumps(record | {CHECKSUM: _checksum(record, table)}, indent=1) + "\n", CHANGE_OUTPUT_HINT)


def read_sealed(path: Path) -> tuple[dict[str, Any], bytes]:
    """What `write_sealed` wrote.

    Raises:
        InputError: it is damaged.
    """
    arrays = path.with_suffix(".npz")
    try:
        record = json.loads(path.read_bytes())
        table = arrays.read_bytes() if arrays.exists() else b""
        if record.pop(CHECKSUM, "") != _checksum(record, table):
            raise ValueError("it does not match its checksum")
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: stored run is damaged ({error}); delete it to make it again") from None
    return record, table


def _checksum(record: dict[str, Any], table: bytes) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode() + table).hexdigest()


def _to_npz(table: pd.DataFrame) -> bytes:
    columns = {name: table[name].to_numpy(np.float32) for name in table.columns}
    buffer = BytesIO()
    np.savez_compressed(buffer, user=table.index.to_numpy(np.int32), **columns)  # type: ignore[arg-type]
    return buffer.getvalue()


def _from_npz(content: bytes) -> pd.DataFrame:
    with np.load(BytesIO(content), allow_pickle=False) as arrays:
        columns = {name: arrays[name] for name in arrays.files if name != "user"}
        return pd.DataFrame(columns, index=pd.Index(arrays["user"], name="user"))
