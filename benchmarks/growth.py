"""`python -m benchmarks.growth`: the cost of a trial, and of each command, in a study that has many trials.

It fills a study, on a journal and on PostgreSQL, and prints for each number of trials:

- for each trial the time with the random sampler and with TPE, which grows with the trials that TPE learns from. An engine
  with given curves replaces the training;
- the time of commands that read the study.

Each time is printed twice: the time that passes, and the processor time of this program, Optuna and the client of the storage.
A trial also waits for the storage's server, which only the first one has. Other programs on the machine add to it, too.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage
from optuna.trial import TrialState, create_trial

from benchmarks.soak import postgresql, write_data
from hpo import run
from hpo.runtime.signals import Stopper
from hpo.search.progress import NoProgress
from hpo.search.scheduler import Scheduler
from hpo.storage.address import STORAGE_VARIABLE
from hpo.storage.open import open_storage
from hpo.study.sampling import make_pruner, make_sampler
from hpo.study.spec import StudySpec
from hpo.study.stored import stored_spec
from trainers import TrainConfig
from trainers.engines import EpochResult
from trainers.stopping import never

NAME = "growth"
STUDY = """\
dataset: tiny
space: {name: mml, n_margins: 4}
config: {encoder: {name: mf, dim: 8}, negatives: {name: uniform, count: 7}, learning_rate: 1.0e-2, batch_size: 64}
search: {trials: 1, epochs: 30}
"""
MEASURED = 20  # trials
COMMANDS = {
    "studies list": ["hpo.studies", "list"],
    "studies show": ["hpo.studies", "show", NAME],
    "export": ["hpo.export", "--study", NAME],
    "report": ["hpo.report", "--study", NAME],
}


def main() -> int:
    """Measure each storage with each number of trials."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="500,3000,10000", metavar="N,N,...")
    parser.add_argument("--storages", default="journal,postgresql")
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", ExperimentalWarning)
    print(f"{'':24}{'ms per trial':>30}  {'seconds of':>16}   (passed / of the processor)")
    print(f"{'storage':12}{'trials':>12}{'random':>15}{'tpe':>15}  " + "".join(f"{name:>16}" for name in COMMANDS), flush=True)
    for kind in arguments.storages.split(","):
        with tempfile.TemporaryDirectory(prefix="growth-") as folder, postgresql(kind == "postgresql") as url:
            root = Path(folder)
            write_data(root / "data" / "tiny")
            (root / f"{NAME}.yaml").write_text(STUDY)
            where = ["--output", str(root / "out"), "--data-dir", str(root / "data")]
            if url:
                os.environ[STORAGE_VARIABLE] = url
            run.main(["--study", str(root / f"{NAME}.yaml"), "--search-only", *where])
            storage = open_storage(url or str(root / "out" / "journal.log"))
            for size in map(int, arguments.sizes.split(",")):
                fill(storage, size)
                trials = [seconds_per_trial(storage, sampler) for sampler in ("random", "tpe")]
                commands = [seconds_of(command, root, where) for command in COMMANDS.values()]
                shown = [f"{f'{1000 * passed:.1f} / {1000 * processor:.1f}':>15}" for passed, processor in trials]
                shown += ["  ", *(f"{f'{passed:.1f} / {processor:.1f}':>16}" for passed, processor in commands)]
                print(f"{kind:12}{size:>12,}", *shown, sep="", flush=True)
            os.environ.pop(STORAGE_VARIABLE, None)
    return 0


def fill(storage: BaseStorage, size: int) -> None:
    """Add finished trials, half of them pruned, until the study has this many."""
    study = optuna.load_study(study_name=NAME, storage=storage)
    spec, dice, first = stored_spec(study), np.random.default_rng(0), study.trials[0]
    for _ in range(size - len(study.get_trials(deepcopy=False))):
        pruned = bool(dice.random() < 0.5)
        params = {name: float(dice.uniform(box.low, box.high)) for name, box in spec.space.boxes().items()}  # type: ignore[attr-defined]
        values = {epoch: float(dice.random()) for epoch in (8, *(() if pruned else (12, 16, 20, 24, 28, 30)))}
        study.add_trial(
            create_trial(
                state=TrialState.PRUNED if pruned else TrialState.COMPLETE,
                value=list(values.values())[-1],
                params=params,
                distributions=spec.space.boxes(),
                intermediate_values=values,
                user_attrs=first.user_attrs,
            )
        )


class GivenCurves:
    """An engine that trains nothing."""

    lanes = 1
    should_stop = staticmethod(never)

    def __init__(self) -> None:
        self.epochs = 0

    def start(self, lane: int, config: TrainConfig) -> None:
        self.epochs = 0

    def epoch(self) -> list[EpochResult]:
        self.epochs += 1
        value = self.epochs / 100.0
        metrics = {"ndcg@20": value, "recall@20": value} if self.epochs % 2 == 0 else None
        return [EpochResult(0, self.epochs, value, metrics, 0.0, 0.0)]

    def stop(self, lane: int) -> None:
        """Does nothing."""


def seconds_per_trial(storage: BaseStorage, sampler: str) -> tuple[float, float]:
    """The mean seconds and processor time of MEASURED further trials, which stay in the study."""
    study = optuna.load_study(study_name=NAME, storage=storage)
    budget = len(study.get_trials(deepcopy=False)) + MEASURED
    spec: StudySpec = stored_spec(study).override({"search.trials": budget, "search.sampler": {"name": sampler}})
    study.sampler, study.pruner = make_sampler(spec.search), make_pruner(spec.search.pruner, spec.search.epochs)
    scheduler = Scheduler(study, spec, GivenCurves(), NoProgress(), Stopper())  # type: ignore[arg-type]
    began, processor = time.perf_counter(), time.process_time()
    scheduler.run()
    return (time.perf_counter() - began) / MEASURED, (time.process_time() - processor) / MEASURED


def seconds_of(command: list[str], root: Path, where: list[str]) -> tuple[float, float]:
    """The seconds and the processor time of a command."""
    flags = where if command[0] != "hpo.studies" else where[:2]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", *command, *flags], env=environment, check=True, stdout=subprocess.DEVNULL, cwd=root)
    passed, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return passed, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    raise SystemExit(main())
