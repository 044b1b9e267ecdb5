"""Runs at full budget: taken from the store, or trained now, several side by side where the engine can, and stored."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hpo.runs.provenance import provenance
from hpo.runs.store import BaselineResult, Beyond, FinishedRun, RunKey, RunStore, write_sealed
from hpo.runtime.signals import Stopper
from hpo.study.spec import OBJECTIVE
from trainers import Interactions, TrainConfig, TrainingDiverged, recommend
from trainers.baselines import BASELINES
from trainers.early_stopping import Plateau, PlateauRun
from trainers.engines import Engine, EngineChoice, EpochResult, make_engine
from trainers.engines.protocol import Vectors
from trainers.errors import OutOfMemory
from trainers.metrics.accuracy import evaluate_lists
from trainers.metrics.beyond_accuracy import profile_lists, summarise
from trainers.metrics.gradient_share import gradient_shares
from trainers.train import check_finite

CUTOFFS = (20, 50)


class Progress(Protocol):
    """Who is told how far runs are."""

    def run(self, label: str, epochs: int) -> AbstractContextManager[Callable[[], None]]:
        """A run begins; what the block gets is to be called after every epoch."""


def keep_runs(
    store: RunStore,
    choice: EngineChoice,
    configs: Mapping[str, TrainConfig],
    seen: Interactions,
    held_out: Interactions,
    progress: Progress,
    stopper: Stopper,
    curve_every: int = 0,
) -> list[FinishedRun]:
    """The runs of configs by label, from the store or trained now and stored: measured once, at their last epoch.

    An engine with lanes trains them side by side. With `curve_every` their objective is also measured every so many epochs,
    never on the test split.

    Raises:
        Stopped: SIGINT or SIGTERM; what has finished is kept.
    """
    keys = {
        label: RunKey(config, seen.checksum, held_out.checksum, choice.name, choice.device) for label, config in configs.items()
    }
    runs = {label: store.load(key) for label, key in keys.items()}
    missing = {label: config for label, config in configs.items() if runs[label] is None}
    if missing:
        engine = make_engine(choice, seen, held_out if curve_every else None, curve_every or 1, lanes=len(missing))
        for label, run in _side_by_side(engine, missing, choice.device, seen, held_out, progress, stopper):
            store.save(keys[label], run)
            runs[label] = run
    return [run for run in runs.values() if run is not None]


def keep_plateau_run(
    store: RunStore,
    choice: EngineChoice,
    config: TrainConfig,
    plateau: Plateau,
    seen: Interactions,
    held_out: Interactions,
    label: str,
    progress: Progress,
    stopper: Stopper,
) -> FinishedRun:
    """As `keep_runs`, of one config with early stopping on `held_out`. If that is the test split this leaks; only hpo.replicate
    does it, and labels the rows.

    Raises:
        Stopped: SIGINT or SIGTERM; nothing of this run is kept.
    """
    key = RunKey(config, seen.checksum, held_out.checksum, choice.name, choice.device, plateau)
    run = store.load(key)
    if run is None:
        training = PlateauRun(make_engine(choice, seen, held_out, 1), config, plateau)
        record, epochs = _Record(label, config, choice.device, progress), iter(training)
        try:
            while True:
                with stopper.interruptible():
                    result = next(epochs, None)
                if result is None:
                    break
                record.note(result)
        except TrainingDiverged as error:
            record.failure = str(error)
        with stopper.interruptible():
            run = record.finished(training.vectors, seen, held_out)
        store.save(key, run)
    return run


class _Record:
    """What is noted of a run while it trains."""

    def __init__(self, label: str, config: TrainConfig, device: str, progress: Progress) -> None:
        self.label, self.config, self.device = label, config, device
        self.seconds, self.failure = 0.0, ""
        self.curve: dict[int, float] = {}
        self.losses: dict[int, float] = {}
        self._bar = ExitStack()
        self._advance = self._bar.enter_context(progress.run(label, config.epochs))

    def note(self, result: EpochResult) -> bool:
        """Note an epoch; whether it was the last one."""
        self.seconds += result.train_seconds
        try:
            check_finite(result)
        except TrainingDiverged as error:
            self.failure = str(error)
            return True
        self.losses[result.epoch] = result.loss
        if result.metrics is not None:
            self.curve[result.epoch] = result.metrics[OBJECTIVE]
        self._advance()
        return result.epoch == self.config.epochs

    def finished(self, vectors: Callable[[], Vectors], seen: Interactions, held_out: Interactions) -> FinishedRun:
        """The outcome; only now is the run measured on `held_out`, and not when it diverged."""
        self._bar.close()
        by = provenance(self.device)
        run = FinishedRun(
            self.config, {}, None, round(self.seconds, 3), self.failure, curve=self.curve, losses=self.losses, trained_by=by
        )
        if self.failure:
            return run
        last, users = vectors(), np.flatnonzero(held_out.per_user)
        per_user, beyond = _measured(recommend(*last, seen=seen, users=users, k=max(CUTOFFS)), seen, held_out)
        return replace(
            run,
            metrics=_means(per_user),
            per_user=per_user.astype(np.float32),  # as it is stored: a verdict is the same before and after
            beyond=beyond,
            gradient=gradient_shares(self.config, *last, seen),
        )


def _side_by_side(
    engine: Engine,
    configs: Mapping[str, TrainConfig],
    device: str,
    seen: Interactions,
    held_out: Interactions,
    progress: Progress,
    stopper: Stopper,
) -> Iterator[tuple[str, FinishedRun]]:
    """Train configs, one in each of the engine's lanes, and give each run as it finishes."""
    waiting, lanes = list(configs), dict[int, _Record]()
    while waiting or lanes:
        before = engine.lanes
        try:
            with stopper.interruptible():
                while waiting and len(lanes) < engine.lanes:  # which has fewer when they do not fit
                    lane = min(set(range(engine.lanes)) - set(lanes))
                    engine.start(lane, configs[waiting[0]])
                    label = waiting.pop(0)
                    lanes[lane] = _Record(label, configs[label], device, progress)
                results = engine.epoch()
            for result in results:
                record = lanes[result.lane]
                if record.note(result):
                    with stopper.interruptible():
                        run = record.finished(partial(engine.vectors, result.lane), seen, held_out)
                    engine.stop(result.lane)
                    del lanes[result.lane]
                    yield record.label, run
        except OutOfMemory:
            if engine.lanes == before and len(lanes) < 2:
                raise
            waiting = [*(record.label for record in lanes.values()), *waiting]
            lanes.clear()


def keep_baseline(
    store: RunStore, name: str, seen: Interactions, held_out: Interactions, progress: Progress, stopper: Stopper
) -> BaselineResult:
    """A baseline of the table BASELINES, from the store or made now and stored.

    Raises:
        InputError: its file is damaged.
        Stopped: SIGINT or SIGTERM.
    """
    stored = f"baselines/{name}-{seen.checksum[:10]}-{held_out.checksum[:10]}.json"
    if found := store.read(stored, BaselineResult):
        return found[0]
    started = time.perf_counter()
    with progress.run(f"test, {name}, baseline", 1) as advance, stopper.interruptible():
        baseline = BASELINES[name](seen)
        lists = baseline.recommend(np.flatnonzero(held_out.per_user), max(CUTOFFS))
        per_user, beyond = _measured(lists, seen, held_out)
        advance()
    seconds = round(time.perf_counter() - started, 1)
    result = BaselineResult(label=baseline.label, note=baseline.note, metrics=_means(per_user), beyond=beyond, seconds=seconds)
    write_sealed(store.folder / stored, result)
    return result


def _measured(lists: NDArray[Any], seen: Interactions, held_out: Interactions) -> tuple[pd.DataFrame, Beyond]:
    """Per-user metrics and measures beyond accuracy of the lists (n, max(CUTOFFS)) of all users with a held-out item."""
    per_user = evaluate_lists(lists, held_out=held_out, ks=CUTOFFS)
    return per_user, Beyond(**summarise(profile_lists(lists[:, : CUTOFFS[0]], held_out=held_out), seen))


def _means(per_user: pd.DataFrame) -> dict[str, float]:
    return {str(name): float(per_user[name].mean()) for name in per_user}
