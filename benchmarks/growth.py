"""`python -m benchmarks.growth`: the cost of a trial, and of each command, in a study that has many trials.

It fills a study, on a journal and on PostgreSQL, and prints for each number of trials:

- for each trial the processor time of this program, Optuna and the client of the storage, with the random sampler and with
  TPE. The time of TPE grows with the trials that it learns from. An engine with given curves replaces the training;
- the processor time of commands that read the study.
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
    print(f"{'':24}{'ms per trial':>24}  {'seconds of':>12}")
    print(f"{'storage':12}{'trials':>12}{'random':>12}{'tpe':>12}  " + "".join(f"{name:>14}" for name in COMMANDS), flush=True)
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
                trials = [1000.0 * seconds_per_trial(storage, sampler) for sampler in ("random", "tpe")]
                commands = [seconds_of(command, root, where) for command in COMMANDS.values()]
                print(
                    f"{kind:12}{size:>12,}" + "".join(f"{one:>12.1f}" for one in trials) + "  "
                    + "".join(f"{one:>14.1f}" for one in commands),
                    flush=True,
                )  # fmt: skip
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


def seconds_per_trial(storage: BaseStorage, sampler: str) -> float:
    """The mean processor time of MEASURED further trials, which stay in the study."""
    study = optuna.load_study(study_name=NAME, storage=storage)
    budget = len(study.get_trials(deepcopy=False)) + MEASURED
    spec: StudySpec = stored_spec(study).override({"search.trials": budget, "search.sampler": {"name": sampler}})
    study.sampler, study.pruner = make_sampler(spec.search), make_pruner(spec.search.pruner, spec.search.epochs)
    scheduler = Scheduler(study, spec, GivenCurves(), NoProgress(), Stopper())  # type: ignore[arg-type]
    began = time.process_time()
    scheduler.run()
    return (time.process_time() - began) / MEASURED


def seconds_of(command: list[str], root: Path, where: list[str]) -> float:
    """The processor time of a command."""
    flags = where if command[0] != "hpo.studies" else where[:2]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", *command, *flags], env=environment, check=True, stdout=subprocess.DEVNULL, cwd=root)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    raise SystemExit(main())
