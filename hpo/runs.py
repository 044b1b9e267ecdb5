"""Finished training runs at full budget, kept with their per-user metrics: an interrupted confirm continues from them."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pandas as pd

from hpo.console import RunProgress
from hpo.provenance import provenance
from hpo.stopping import Stopper
from trainers import Interactions, Run, TrainConfig, TrainingDiverged, evaluate
from trainers.engines import EngineChoice, make_engine
from trainers.errors import InputError
from trainers.yaml_files import write_text

KS = (20, 50)


@dataclass(frozen=True)
class RunKey:
    """What decides a run's numbers: the config, the data that it sees and is measured on, and the engine."""

    config: TrainConfig
    seen: str
    held_out: str
    engine: str

    def digest(self) -> str:
        """A name for the run's files."""
        text = json.dumps([self.config.to_dict(), self.seen, self.held_out, self.engine], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:20]


@dataclass(frozen=True)
class FinishedRun:
    """A run's outcome.

    Attributes:
        metrics: means over users, by name; empty when it diverged.
        per_user: the same by user (index: user id), None when it diverged.
        failure: why there are no metrics.
    """

    config: TrainConfig
    metrics: dict[str, float]
    per_user: pd.DataFrame | None
    seconds: float
    failure: str = ""
    device: str = "cpu"


class RunStore:
    """A folder with two files per run: `<digest>.json` (config, means) and `<digest>.npz` (per-user metrics)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def load(self, key: RunKey) -> FinishedRun | None:
        """The stored run, or None.

        Raises:
            InputError: its files are damaged.
        """
        path = self.folder / f"{key.digest()}.json"
        if not path.exists():
            return None
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            per_user = None if record["failure"] else _read_table(path.with_suffix(".npz"))
            return FinishedRun(key.config, record["metrics"], per_user, record["seconds"], record["failure"])
        except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile) as error:
            raise InputError(f"{path}: stored run is damaged ({error}); delete it to train it again") from None

    def save(self, key: RunKey, run: FinishedRun) -> None:
        """Keep a run; the .json is written last, so that its presence means the run is whole.

        Raises:
            InputError: the folder cannot be written.
        """
        path = self.folder / f"{key.digest()}.json"
        record: dict[str, Any] = asdict(key) | {"config": run.config.to_dict(), "metrics": run.metrics}
        record |= {"seconds": round(run.seconds, 3), "failure": run.failure, "trained_by": provenance(run.device)}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if run.per_user is not None:
                _write_table(path.with_suffix(".npz"), run.per_user)
        except OSError as error:
            raise InputError(f"{self.folder}: cannot be written: {error.strerror}; give another folder with --output") from None
        write_text(path, json.dumps(record, indent=1) + "\n")


def keep_run(
    store: RunStore,
    choice: EngineChoice,
    config: TrainConfig,
    seen: Interactions,
    held_out: Interactions,
    label: str,
    progress: RunProgress,
    stopper: Stopper,
) -> FinishedRun:
    """The run of a config, from the store or trained now and stored: measured once, at its last epoch.

    Raises:
        Stopped: SIGINT or SIGTERM; nothing of this run is kept.
    """
    key = RunKey(config, seen.checksum, held_out.checksum, choice.name)
    run = store.load(key)
    if run is None:
        with progress.run(label, config.epochs) as advance:
            run = _train(choice, config, seen, held_out, advance, stopper)
        store.save(key, run)
    return run


def _train(
    choice: EngineChoice,
    config: TrainConfig,
    seen: Interactions,
    held_out: Interactions,
    advance: RunProgress.Advance,
    stopper: Stopper,
) -> FinishedRun:
    run = Run(make_engine(choice, seen, None), config)
    epochs, seconds = iter(run), 0.0
    try:
        for _ in range(config.epochs):
            with stopper.interruptible():
                seconds += next(epochs).train_seconds
            advance()
    except TrainingDiverged as error:
        return FinishedRun(config, {}, None, seconds, str(error), choice.device)
    with stopper.interruptible():
        per_user = evaluate(*run.vectors(), seen=seen, held_out=held_out, ks=KS, per_user=True)
    return FinishedRun(
        config, {str(name): float(per_user[name].mean()) for name in per_user}, per_user, seconds, device=choice.device
    )


def _write_table(path: Path, table: pd.DataFrame) -> None:
    scratch = path.with_name(f".{os.getpid()}.{path.name}")
    columns = {name: table[name].to_numpy(np.float32) for name in table.columns}
    with scratch.open("wb") as file:
        np.savez_compressed(file, user=table.index.to_numpy(np.int32), **columns)  # type: ignore[arg-type]
    os.replace(scratch, path)


def _read_table(path: Path) -> pd.DataFrame:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        columns = {name: arrays[name] for name in arrays.files if name != "user"}
        return pd.DataFrame(columns, index=pd.Index(arrays["user"], name="user"))
