"""Finished training runs at full budget, kept with their per-user metrics: an interrupted confirm continues from them."""

from __future__ import annotations

import hashlib
import json
import os
import time
from dataclasses import asdict, dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hpo.console import RunProgress
from hpo.provenance import provenance
from hpo.spec import OBJECTIVE
from hpo.stopping import Stopper
from trainers import Interactions, Run, TrainConfig, TrainingDiverged, recommend
from trainers.beyond import profile_lists, summarise
from trainers.engines import EngineChoice, make_engine
from trainers.errors import InputError
from trainers.evaluation import evaluate_lists
from trainers.gradients import gradient_shares
from trainers.plateau import Plateau, PlateauRun
from trainers.sanity import UNTRAINED
from trainers.yaml_files import write_text

KS = (20, 50)
CHECKSUM = "sha256"


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
        text = json.dumps(parts, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:20]


@dataclass(frozen=True)
class FinishedRun:
    """A run's outcome.

    Attributes:
        metrics: means over users, by name; empty when it diverged.
        per_user: the same by user (index: user id), None when it diverged.
        failure: why there are no metrics.
        beyond: beyond accuracy, see `trainers.beyond.summarise`; empty when it diverged.
        curve: the objective by epoch, where it was measured on the way.
        losses: the mean training loss by epoch.
        gradient: see `trainers.gradients.gradient_shares`; empty when it diverged, and of runs from before it was kept.
    """

    config: TrainConfig
    metrics: dict[str, float]
    per_user: pd.DataFrame | None
    seconds: float
    failure: str = ""
    device: str = "cpu"
    beyond: dict[str, Any] = field(default_factory=dict)
    curve: dict[int, float] = field(default_factory=dict)
    losses: dict[int, float] = field(default_factory=dict)
    gradient: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Reference:
    """What a rival without training reaches: `label` and `note` as in `trainers.sanity.Untrained`, `seconds` to make it."""

    label: str
    note: str
    metrics: dict[str, float]
    beyond: dict[str, Any]
    seconds: float


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
        record, table = _read_sealed(path)
        per_user = None if record["failure"] else _from_npz(table)
        curve, losses = ({int(epoch): value for epoch, value in record.get(name, {}).items()} for name in ("curve", "losses"))
        outcome = record["metrics"], per_user, record["seconds"], record["failure"]
        gradient = record.get("gradient", {})
        return FinishedRun(key.config, *outcome, beyond=record["beyond"], curve=curve, losses=losses, gradient=gradient)

    def save(self, key: RunKey, run: FinishedRun) -> None:
        """Keep a run; the .json is written last, so that its presence means the run is whole.

        Raises:
            InputError: the folder cannot be written.
        """
        record: dict[str, Any] = asdict(key) | {"config": run.config.to_dict(), "metrics": run.metrics}
        record |= {"beyond": run.beyond, "gradient": run.gradient, "curve": run.curve, "losses": run.losses}
        record |= {"seconds": round(run.seconds, 3), "failure": run.failure, "trained_by": provenance(run.device)}
        table = b"" if run.per_user is None else _to_npz(run.per_user)
        _write_sealed(self.folder / f"{key.digest()}.json", record, table)


def keep_reference(
    store: RunStore, name: str, seen: Interactions, held_out: Interactions, progress: RunProgress, stopper: Stopper
) -> Reference:
    """An untrained rival of the table UNTRAINED, from the store or made now and stored.

    Raises:
        InputError: its file is damaged.
        Stopped: SIGINT or SIGTERM.
    """
    path = store.folder / "untrained" / f"{name}-{seen.checksum[:10]}-{held_out.checksum[:10]}.json"
    if path.exists():
        return Reference(**_read_sealed(path)[0])
    started = time.perf_counter()
    with progress.run(f"test, {name}, untrained", 1) as advance, stopper.interruptible():
        untrained = UNTRAINED[name](seen)
        lists = untrained.recommend(np.flatnonzero(held_out.per_user), max(KS))
        per_user, beyond = _measured(lists, seen, held_out)
        advance()
    seconds = round(time.perf_counter() - started, 1)
    reference = Reference(untrained.label, untrained.note, _means(per_user), beyond, seconds)
    _write_sealed(path, asdict(reference))
    return reference


def keep_run(
    store: RunStore,
    choice: EngineChoice,
    config: TrainConfig,
    seen: Interactions,
    held_out: Interactions,
    label: str,
    progress: RunProgress,
    stopper: Stopper,
    curve_every: int = 0,
    plateau: Plateau | None = None,
) -> FinishedRun:
    """The run of a config, from the store or trained now and stored: measured once, at its last epoch.

    With `curve_every` its objective is also measured every so many epochs, never on the test split. With a plateau it is
    measured after every epoch, and the best one counts: on the test split that is a leak, which hpo.replicate names.

    Raises:
        Stopped: SIGINT or SIGTERM; nothing of this run is kept.
    """
    key = RunKey(config, seen.checksum, held_out.checksum, choice.name, plateau)
    run = store.load(key)
    if run is None:
        engine = make_engine(choice, seen, held_out if curve_every or plateau else None, 1 if plateau else curve_every or 1)
        training = PlateauRun(engine, config, plateau) if plateau else Run(engine, config)
        with progress.run(label, config.epochs) as advance:
            run = _train(training, choice.device, seen, held_out, advance, stopper)
        store.save(key, run)
    return run


def _train(
    run: Run,
    device: str,
    seen: Interactions,
    held_out: Interactions,
    advance: RunProgress.Advance,
    stopper: Stopper,
) -> FinishedRun:
    epochs, seconds, curve, losses = iter(run), 0.0, {}, {}
    try:
        while True:
            with stopper.interruptible():
                result = next(epochs, None)
            if result is None:
                break
            seconds += result.train_seconds
            losses[result.epoch] = result.loss
            if result.metrics is not None:
                curve[result.epoch] = result.metrics[OBJECTIVE]
            advance()
    except TrainingDiverged as error:
        return FinishedRun(run.config, {}, None, seconds, str(error), device, curve=curve, losses=losses)
    with stopper.interruptible():
        users = np.flatnonzero(held_out.per_user)
        vectors = run.vectors()
        per_user, beyond = _measured(recommend(*vectors, seen=seen, users=users, k=max(KS)), seen, held_out)
        gradient = gradient_shares(run.config, *vectors, seen)
    means = _means(per_user)
    per_user = per_user.astype(np.float32)  # as it is stored: a verdict is the same before and after
    return FinishedRun(run.config, means, per_user, seconds, "", device, beyond, curve, losses, gradient)


def _measured(lists: NDArray[Any], seen: Interactions, held_out: Interactions) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Per-user metrics and measures beyond accuracy of the lists (n, max(KS)) of all users with a held-out item."""
    per_user = evaluate_lists(lists, held_out=held_out, ks=KS)
    return per_user, summarise(profile_lists(lists[:, : KS[0]], held_out=held_out), seen)


def _means(per_user: pd.DataFrame) -> dict[str, float]:
    return {str(name): float(per_user[name].mean()) for name in per_user}


def _write_sealed(path: Path, record: dict[str, Any], table: bytes = b"") -> None:
    """A record and the arrays beside it, with a checksum over both: a damaged figure must not pass for a measured one."""
    record = json.loads(json.dumps(record))  # its keys as they will be read
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if table:
            scratch = path.with_name(f".{os.getpid()}.{path.stem}.npz")
            scratch.write_bytes(table)
            os.replace(scratch, path.with_suffix(".npz"))
    except OSError as error:
        raise InputError(f"{path.parent}: cannot be written: {error.strerror}; give another folder with --output") from None
    write_text(path, json.dumps(record | {CHECKSUM: _checksum(record, table)}, indent=1) + "\n")


def _read_sealed(path: Path) -> tuple[dict[str, Any], bytes]:
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
