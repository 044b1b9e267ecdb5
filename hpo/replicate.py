"""`python -m hpo.replicate mml_mf`: train published configs and print the paper's row beside ours.

Beside hpo.confirm the only reader of the test split. The settings were chosen on test by the papers, so these figures say
whether the program computes what a paper computed, not which loss is better.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from hpo.cli import add_data_argument, add_engine_arguments, entry, positive, seed
from hpo.console import RunProgress, say, table
from hpo.provenance import provenance
from hpo.runs import FinishedRun, RunStore, keep_run
from hpo.stopping import Stopper
from trainers import TrainConfig, load_dataset, load_test
from trainers.engines import choose_engine
from trainers.errors import InputError, unknown
from trainers.published import PUBLISHED
from trainers.yaml_files import read_yaml, to_yaml, write_text

METRICS = ("recall@20", "ndcg@20")
# SimpleX's MF, in whose code the paper trains MML and CCL, and that of the BSL authors drop 10 % of the user vector's units.
COMMON: dict[str, Any] = {"learning_rate": 1.0e-4, "encoder": {"name": "mf", "dim": 64, "dropout": 0.1}}
BSL_FIELDS: dict[str, Any] = COMMON | {"batch_size": 1024}


@dataclass(frozen=True)
class PaperRow:
    """A row of a paper's table: what was trained, and what it gave on the test split."""

    loss: str
    dataset: str
    fields: dict[str, Any]
    recall: float
    ndcg: float | None  # None: the table gives recall only


# Ozsoy, arXiv 2405.04614, MF without early stop, 100 negatives, 100 epochs.
MML_MF = (
    PaperRow("mml", "yelp2018", COMMON | {"batch_size": 512}, 0.0702, 0.0580),
    PaperRow("ccl", "yelp2018", COMMON | {"batch_size": 512}, 0.0673, 0.0551),
    PaperRow("bsl", "yelp2018", BSL_FIELDS, 0.0703, 0.0580),
    PaperRow("mml", "gowalla", COMMON | {"batch_size": 256}, 0.1816, 0.1435),
    PaperRow("ccl", "gowalla", COMMON | {"batch_size": 256}, 0.1783, 0.1426),
    PaperRow("bsl", "gowalla", BSL_FIELDS, 0.1804, 0.1521),
)
# The same paper's comparison of losses: the classic ones as SimpleX's code has them, on cosines, untuned.
MML_LOSSES = (
    PaperRow("bpr", "yelp2018", COMMON | {"batch_size": 512}, 0.0272, None),
    PaperRow("hinge", "yelp2018", COMMON | {"batch_size": 512}, 0.0340, None),
    PaperRow("softmax_ce", "yelp2018", COMMON | {"batch_size": 512}, 0.0309, None),
    PaperRow("mse", "yelp2018", COMMON | {"batch_size": 512}, 0.0609, None),
    PaperRow("bpr", "gowalla", COMMON | {"batch_size": 256}, 0.0708, None),
    PaperRow("hinge", "gowalla", COMMON | {"batch_size": 256}, 0.0758, None),
    PaperRow("softmax_ce", "gowalla", COMMON | {"batch_size": 256}, 0.0734, None),
    PaperRow("mse", "gowalla", COMMON | {"batch_size": 256}, 0.1391, None),
    *MML_MF,
)
PAPER_NEGATIVES, PAPER_EPOCHS = 100, 100
REPLICATIONS = {"mml_mf": MML_MF, "mml_losses": MML_LOSSES}


@dataclass(frozen=True)
class Outcome:
    """A paper's row and the run that replicates it."""

    row: PaperRow
    negatives: int
    run: FinishedRun

    def cells(self) -> list[str]:
        """Measured beside the paper with the relative difference; the paper's row holds for its own negatives only."""
        cells = [f"{self.row.loss} {self.row.dataset}", str(self.negatives)]
        for metric, paper in zip(METRICS, (self.row.recall, self.row.ndcg), strict=True):
            measured = self.run.metrics.get(metric, float("nan"))
            comparable = self.negatives == PAPER_NEGATIVES and self.run.config.epochs == PAPER_EPOCHS
            cells += (
                [f"{measured:.4f}", f"{paper:.4f}", f"{100 * (measured / paper - 1):+.1f} %"]
                if comparable and paper is not None
                else [f"{measured:.4f}", "", ""]
            )
        return cells

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        published = zip(METRICS, (self.row.recall, self.row.ndcg), strict=True)
        paper = {metric: figure for metric, figure in published if figure is not None}
        measured = {"failure": self.run.failure} if self.run.failure else self.run.metrics
        config = self.run.config.to_dict()
        return {
            "dataset": self.row.dataset,
            "paper": paper,
            "measured": measured,
            "seconds": round(self.run.seconds, 3),  # as it is stored
            "config": config,
        }


def main(argv: list[str] | None = None) -> int:
    """Train published configs and print the paper's row beside ours; finished runs are kept and not trained again."""
    parser = argparse.ArgumentParser(prog="python -m hpo.replicate", description=main.__doc__)
    parser.add_argument("table", choices=sorted(REPLICATIONS), help="which table")
    parser.add_argument("--losses", metavar="A,B", help="only these losses")
    parser.add_argument("--datasets", metavar="A,B", help="only these datasets")
    parser.add_argument("--negatives", metavar="N,N", default=str(PAPER_NEGATIVES), help="negatives per positive, a sweep")
    parser.add_argument("--epochs", type=positive, default=PAPER_EPOCHS, metavar="N")
    parser.add_argument("--seed", type=seed, default=0, metavar="N")
    parser.add_argument("--output", type=Path, default=Path("runs"), metavar="DIR")
    add_data_argument(parser)
    add_engine_arguments(parser)
    return entry(parser, argv, _replicate)


def _replicate(arguments: argparse.Namespace) -> int:
    chosen = _chosen(REPLICATIONS[arguments.table], arguments)
    counts = [positive_count(text) for text in arguments.negatives.split(",")]
    console, folder = Console(), arguments.output / "replicate"
    with Stopper().catching() as stopper, RunProgress(console) as progress:
        outcomes = list(_outcomes(chosen, counts, arguments, RunStore(folder / "runs"), progress, stopper))
    header = ["run", "N", *(name for metric in METRICS for name in (metric, "paper", ""))]
    title = f"{arguments.table}: test split, {arguments.epochs} epochs, last epoch, seed {arguments.seed}"
    console.print(table(title, header, [outcome.cells() for outcome in outcomes]))
    say(console, "the papers chose these settings on the test split; their rows are single runs")
    path = folder / f"{arguments.table}.yaml"
    origin = provenance(choose_engine(outcomes[0].run.config, arguments.engine, arguments.device).device)
    rows = [outcome.to_dict() for outcome in outcomes]
    write_text(path, to_yaml({"runs": [*_earlier(path, rows), *rows], "provenance": origin}))
    say(console, f"wrote {path}")
    return 0


def _outcomes(
    rows: list[PaperRow],
    counts: list[int],
    arguments: argparse.Namespace,
    store: RunStore,
    progress: RunProgress,
    stopper: Stopper,
) -> Iterator[Outcome]:
    planned = []  # all of it before any data is read or fetched: bad input shows at once
    for row in rows:
        for count in counts:
            fields = row.fields | {"negatives": {"name": "uniform", "count": count}, "epochs": arguments.epochs}
            config = TrainConfig.from_dict({**fields, "seed": arguments.seed, "loss": PUBLISHED[row.loss][row.dataset]})
            planned.append((row, count, config, choose_engine(config, arguments.engine, arguments.device)))
    for row, count, config, choice in planned:
        seen = load_dataset(row.dataset, arguments.data_dir).train
        test = load_test(row.dataset, arguments.data_dir)
        label = f"{row.loss} {row.dataset}, {count} negatives"
        yield Outcome(row, count, keep_run(store, choice, config, seen, test, label, progress, stopper))


def _earlier(path: Path, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The file's rows of other commands: other losses, datasets, negatives, epochs or seeds."""
    if not path.exists():
        return []
    now = [(row["dataset"], row["config"]) for row in rows]
    try:
        return [row for row in read_yaml(path)["runs"] if (row["dataset"], row["config"]) not in now]
    except (KeyError, TypeError):
        raise InputError(f"{path}: is not a table of hpo.replicate; delete it, finished runs are kept beside it") from None


def _chosen(rows: tuple[PaperRow, ...], arguments: argparse.Namespace) -> list[PaperRow]:
    wanted = {"loss": arguments.losses, "dataset": arguments.datasets}
    for field, text in wanted.items():
        known = {getattr(row, field) for row in rows}
        for name in text.split(",") if text else ():
            if name not in known:
                raise InputError(unknown(field, name, known))
    return [row for row in rows if all(not text or getattr(row, field) in text.split(",") for field, text in wanted.items())]


def positive_count(text: str) -> int:
    """A number of negatives.

    Raises:
        InputError: not a whole number of at least 1.
    """
    if not text.strip().isdecimal() or int(text) < 1:
        raise InputError(f"--negatives takes whole numbers of at least 1, separated by commas, got {text!r}")
    return int(text)


if __name__ == "__main__":
    raise SystemExit(main())
