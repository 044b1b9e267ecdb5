"""Why do some rows of papers not come out? `python -m benchmarks.unexplained_rows NAME ... --data-dir DIR`.

NAME is an experiment, or a row (`bpr`, `hinge`, `popularity`, `two_stage`, `sl`) for all of its experiments. Each experiment
changes one thing about the row that `hpo.replicate` trains: on Gowalla; `sl` is on Health and trains on all pairs in place of
nine tenths. A run is measured on the test split every few epochs, so the test split is read many times: the figures explain a
row and choose nothing. The table has the paper's number of epochs and the best epoch.

Finished runs are kept in the output folder. The same command continues.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pydantic.dataclasses import dataclass as settings
from rich.console import Console
from torch import Tensor

from hpo.cli.console import table
from hpo.replication.papers import TABLES
from hpo.replication.rows import PaperRow
from trainers import TrainConfig, load_dataset, load_test, train
from trainers.negatives import ScoredStep, TwoStage, Uniform
from trainers.negatives.adaptive import TwoStageSampler
from trainers.scores import unit
from trainers.validation import SETTINGS

EVERY = 5  # epochs between measurements
SOURCES = {  # the table of a row and its dataset
    "bpr": ("mml_losses", "gowalla"),
    "hinge": ("mml_losses", "gowalla"),
    "popularity": ("two_stage", "gowalla"),
    "two_stage": ("two_stage", "gowalla"),
    "sl": ("ir_benchmark", "health_random"),
}
COLUMNS = ["run", "metric", "paper", "at", "", "", "best at", "", ""]
SHORT = {"encoder": {"name": "mf", "dim": 64, "init_std": 0.1}, "learning_rate": 0.01}
SIMPLEX = {"name": "mf", "dim": 64, "dropout": 0.1}


@settings(frozen=True, kw_only=True, config=SETTINGS)
class FromUser(TwoStage):
    """2-stage sampling whose second stage compares candidates with the user instead of the positive item."""

    needs_scores: ClassVar[bool] = True  # of the vectors of users, which the torch engine has

    def sampler(self, seen: Any) -> FromUserSampler:
        self.check(seen)
        return FromUserSampler(seen, self)


class FromUserSampler(TwoStageSampler):
    def _anchors(self, step: Any) -> Tensor:
        assert isinstance(step, ScoredStep)
        users: Tensor = unit(step.user_vectors.detach()).cpu()
        return users


@dataclass(frozen=True)
class Experiment:
    """One change of a row.

    Attributes:
        row: the name of the row in its paper's table.
        change: fields of the config.
        epochs: their number; 0 for the paper's.
    """

    row: str
    change: dict[str, Any]
    epochs: int = 0

    def of_paper(self) -> PaperRow:
        """The row, with the paper's figures."""
        source, dataset = SOURCES[self.row]
        (found,) = [row for row in TABLES[source].rows if (row.name, row.dataset) == (self.row, dataset)]
        return found

    def config(self) -> TrainConfig:
        """The config to train."""
        paper = TABLES[SOURCES[self.row][0]]
        config = self.of_paper().config(self.epochs or paper.epochs, 0, paper.count)
        return TrainConfig(**{**vars(config), **self.change})


def _pairwise(row: str) -> dict[str, Experiment]:
    changes: dict[str, dict[str, Any]] = {
        "10 negatives": {"negatives": Uniform(count=10)},  # a tenth of the time, and the same expected gradient
        "rate 1e-3": {"learning_rate": 1e-3},
        "rate 1e-5": {"learning_rate": 1e-5},
        "initial length 100 times": {"encoder": {**SIMPLEX, "init_std": 1e-2}},
        "no dropout": {"encoder": {**SIMPLEX, "dropout": 0.0}},
        "batch 512": {"batch_size": 512},
    }
    experiments = {f"{row}: {name}": Experiment(row, change) for name, change in changes.items()}
    return {f"{row}: 300 epochs": Experiment(row, {}, 300)} | experiments


EXPERIMENTS = {
    **_pairwise("bpr"),
    **_pairwise("hinge"),
    "hinge: margin .9": Experiment("hinge", {"loss": {"name": "hinge", "margin": 0.9}}),
    "hinge: margin .5": Experiment("hinge", {"loss": {"name": "hinge", "margin": 0.5}}),
    "sl: all pairs": Experiment("sl", {}, 100),
    "sl: all pairs, initial length and rate a tenth": Experiment("sl", SHORT, 100),
    "popularity: as replicated": Experiment("popularity", {}),
    "two_stage: as replicated": Experiment("two_stage", {}),
    "two_stage: user as anchor": Experiment("two_stage", {"negatives": FromUser(count=1, candidates=627)}),
    "two_stage: 5,000 candidates": Experiment("two_stage", {"negatives": TwoStage(count=1, candidates=5000)}),
    "two_stage: dim 16": Experiment("two_stage", {"encoder": {"name": "mf", "dim": 16, "init_std": 0.1}}),
    "popularity: dim 16": Experiment("popularity", {"encoder": {"name": "mf", "dim": 16, "init_std": 0.1}}),
}


def main() -> None:
    """Train the experiments and print a row for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="experiments or rows; without a name they are listed")
    parser.add_argument("--data-dir", type=Path, metavar="DIR")
    parser.add_argument("--output", type=Path, default=Path("runs/unexplained_rows"))
    arguments = parser.parse_args()
    if not arguments.names:
        print("\n".join(EXPERIMENTS))
        return
    chosen = [name for name in EXPERIMENTS if {name, name.partition(":")[0]} & {*arguments.names}]
    if unknown := [name for name in arguments.names if not any(name in (one, one.partition(":")[0]) for one in chosen)]:
        parser.error(f"no experiment or row {unknown[0]!r}; without a name they are listed")
    arguments.output.mkdir(parents=True, exist_ok=True)
    rows = [_cells(name, _curve(name, arguments.output, arguments.data_dir)) for name in chosen]
    Console().print(table("test split", COLUMNS, rows))


def _curve(name: str, folder: Path, data_dir: Path | None) -> dict[int, dict[str, float]]:
    """The metrics by epoch of a finished run, trained now if it is not in the folder."""
    stem = folder / "".join(letter if letter.isalnum() else "_" for letter in name)
    path = stem.with_suffix(".json")
    if not path.exists():
        curve = dict(_measured(EXPERIMENTS[name], stem.with_suffix(".npz"), path.with_suffix(".jsonl"), data_dir))
        path.write_text(json.dumps(curve))
        path.with_suffix(".jsonl").unlink()
    return {int(epoch): metrics for epoch, metrics in json.loads(path.read_text()).items()}


def _measured(
    experiment: Experiment, checkpoint: Path, log: Path, data_dir: Path | None
) -> Iterator[tuple[int, dict[str, float]]]:
    """(epoch, metrics) of a run, which `log` keeps if the run is interrupted."""
    config, dataset = experiment.config(), experiment.of_paper().dataset
    metrics = [f"{kind}@{k}" for kind in ("ndcg", "recall") for k in (20, 50)]
    own = isinstance(config.negatives, FromUser)  # a checkpoint knows the fields of a config, not its class
    run = train(
        config,
        load_dataset(dataset, data_dir).train,
        load_test(dataset, data_dir),
        evaluate_every=EVERY,
        metrics=metrics,
        checkpoint=None if own else checkpoint,
    )
    for result in run:
        if result.metrics is not None:
            with log.open("a") as file:
                file.write(json.dumps([result.epoch, dict(result.metrics)]) + "\n")
    yield from ((int(epoch), found) for epoch, found in map(json.loads, log.read_text().splitlines()))


def _cells(name: str, curve: dict[int, dict[str, float]]) -> list[str]:
    """A row of the table, for the first metric of the paper that is an accuracy."""
    row = EXPERIMENTS[name].of_paper()
    metric = next(metric for metric in row.paper if "@" in metric)
    at = min(TABLES[SOURCES[row.name][0]].epochs, max(curve))
    cells = [name, metric, f"{row.paper[metric]:.4f}"]
    for epoch in (at, max(curve, key=lambda epoch: curve[epoch][metric])):
        value = curve[epoch][metric]
        cells += [str(epoch), f"{value:.4f}", f"{100 * (value / row.paper[metric] - 1):+.1f} %"]
    return cells


if __name__ == "__main__":
    main()
