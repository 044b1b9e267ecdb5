"""Records the learning curves of a study: random configs and those of TPE, none pruned, evaluated after every epoch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.trial import FrozenTrial, TrialState, create_trial

from benchmarks.replay.recordings import CONFIGS, EVERYBODY, SUFFIX, Curve, Header, Recording, Short
from hpo.runtime.signals import Stopper
from hpo.study.rivals import rivals_of
from hpo.study.sampling import make_sampler
from hpo.study.spec import StudySpec, load_spec
from hpo.study.trials import trial_config
from hpo.study.workspace import Workspace
from trainers import TrainConfig, TrainingDiverged, evaluate
from trainers.engines import make_engine
from trainers.errors import InputError
from trainers.train import Run

EPOCHS = 30
STARTUP = 20  # random configs; TPE proposes the others
SHORT_EPOCHS = (6, 10)
SAMPLES = (1_000, 2_000, 5_000)  # users
SAMPLE_SEED = 2024
DIGITS = 6

Answer = TypeVar("Answer")


def load_group(name: str) -> StudySpec:
    """The study of a name, or of `STUDY:SPACE` with another space. Its search has the settings of a recording.

    Raises:
        InputError: no such study or space.
    """
    study, _, space = name.partition(":")
    spec = load_spec(study)
    if space:
        (spec,) = rivals_of(spec.override({"rivals": [space]})).specs
    plan = {"epochs": EPOCHS, "trials": CONFIGS, "starts": 0}
    sampler = {"sampler.name": "tpe", "sampler.n_startup_trials": STARTUP, "pruner.name": "none"}
    return spec.override({f"search.{key}": value for key, value in {**plan, **sampler}.items()})


@dataclass(frozen=True)
class Meter:
    """Trains configs of a study, and measures their values and times."""

    work: Workspace
    stopper: Stopper
    order: NDArray[np.int64]  # positions of the users with a held-out item; a sample has the first of them

    @classmethod
    def of(cls, work: Workspace, stopper: Stopper) -> Meter:
        """Compile the kernels that are timed later."""
        users = int((work.split[1].per_user > 0).sum())
        meter = cls(work, stopper, np.random.default_rng(SAMPLE_SEED).permutation(users))
        for _ in meter.epochs(work.spec.probe):
            pass
        return meter

    @property
    def samples(self) -> list[int]:
        """The sizes of the samples that are smaller than the number of users."""
        return [size for size in SAMPLES if size < len(self.order)]

    def epochs(self, config: TrainConfig, every: int = 1) -> Iterator[tuple[float, tuple[float, float], dict[int, float]]]:
        """For each epoch the training seconds. If it is evaluated: also the seconds of fetching and ranking, and values by
        sample.

        Raises:
            TrainingDiverged: a loss or vectors are not finite.
            Stopped: a signal has come.
        """
        seen, held_out = self.work.split
        metrics = self.work.spec.measured
        engine = make_engine(self.work.choice, seen, None, should_stop=self.stopper.should_stop, metrics=metrics)
        run = Run(engine, config)
        results = iter(run)
        for epoch in range(1, config.epochs + 1):
            training, _ = timed(lambda: next(results))
            if epoch % every:
                yield training, (0.0, 0.0), {}
                continue
            fetching, vectors = timed(run.vectors)
            if not all(np.isfinite(part).all() for part in vectors):
                raise TrainingDiverged(epoch, "the vectors are no longer finite")
            ranking, table = timed(
                lambda vectors=vectors: evaluate(*vectors, seen=seen, held_out=held_out, metrics=metrics, per_user=True)  # type: ignore[misc]
            )
            yield training, (fetching, ranking), self._means(table[metrics[0]].to_numpy())

    def _means(self, by_user: NDArray[np.float64]) -> dict[int, float]:
        samples = {size: by_user[self.order[:size]].mean() for size in self.samples}
        return {size: round(float(mean), DIGITS) for size, mean in ({EVERYBODY: by_user.mean()} | samples).items()}

    def curve(self, trial: int, params: dict[str, object], config: TrainConfig) -> Curve:
        """The curve of a config, with its short runs."""
        try:
            epochs = list(self.epochs(config))
            short = {length: self._short(config.replace(epochs=length)) for length in SHORT_EPOCHS}
        except TrainingDiverged as error:
            return Curve(trial=trial, params=params, config=config.to_dict(), failure=str(error))
        values = {size: [found[size] for _, _, found in epochs] for size in epochs[0][2]}
        seconds = np.round([(training, *evaluating) for training, evaluating, _ in epochs], 4).T.tolist()
        return Curve(
            trial=trial,
            params=params,
            config=config.to_dict(),
            values=values,
            train_seconds=seconds[0],
            fetch_seconds=seconds[1],
            rank_seconds=seconds[2],
            short=short,
        )

    def _short(self, config: TrainConfig) -> Short:
        epochs = list(self.epochs(config, every=config.epochs))
        training = sum(training for training, _, _ in epochs)
        _, (fetching, ranking), values = epochs[-1]
        return Short(value=values[EVERYBODY], train_seconds=round(training, 4), rank_seconds=round(fetching + ranking, 4))


def timed(action: Callable[[], Answer]) -> tuple[float, Answer]:
    """The processor seconds of an action, and its result. Other programs use the machine, so wall time would mislead."""
    start = time.process_time()
    answer = action()
    return time.process_time() - start, answer


def record(name: str, folder: Path, data_dir: str | None, stopper: Stopper, configs: int = CONFIGS) -> Recording:
    """Record the missing curves of a study. The file is written after each config.

    Raises:
        InputError: there is no such study or data, or the file is that of another recording.
        Stopped: a signal has come. Finished curves are kept.
    """
    spec = load_group(name)
    work = Workspace.open(spec, folder, data_dir, "auto", "auto", rivals=())
    path = folder / f"{spec.name}{SUFFIX}"
    meter = Meter.of(work, stopper)
    header = Header.of(work, STARTUP, len(meter.order), meter.samples)
    recording = _begun(path, header)
    study = optuna.create_study(direction="maximize", sampler=make_sampler(spec.search))
    for curve in recording.curves:
        study.add_trial(_as_trial(curve, header))
    while len(recording.curves) < configs:
        stopper.check()
        trial = study.ask(fixed_distributions=spec.space.boxes())
        curve = meter.curve(trial.number, trial.params, trial_config(trial, spec))
        if curve.failure is None:
            study.tell(trial, curve.final)
        else:
            study.tell(trial, state=TrialState.FAIL)
        recording.curves.append(curve)
        recording.write(path)
        _say(spec.name, curve)
    return recording


def _begun(path: Path, header: Header) -> Recording:
    if not path.exists():
        return Recording(header, [])
    found = Recording.read(path)
    if changed := found.header.differs(header):
        raise InputError(f"{path} was recorded with other settings: {changed}; move it away, or record to another folder")
    return found


def _as_trial(curve: Curve, header: Header) -> FrozenTrial:
    failed = curve.failure is not None
    state = TrialState.FAIL if failed else TrialState.COMPLETE
    value = None if failed else curve.final
    return create_trial(state=state, value=value, params=curve.params, distributions=header.distributions())


def _say(name: str, curve: Curve) -> None:
    seconds = sum(curve.train_seconds), sum(curve.fetch_seconds) + sum(curve.rank_seconds)
    found = curve.failure or f"{curve.final:.5f}, trained {seconds[0]:.1f} s, evaluated {seconds[1]:.1f} s, short " + " ".join(
        f"{epochs}: {run.value:.5f}" for epochs, run in curve.short.items()
    )
    print(f"{name} {curve.trial}: {found}", flush=True)
