"""`python -m hpo.replicate mml_mf`: train published configs and print the paper's figures next to ours.

It reads the test split. The papers chose their settings on the test split, so the figures show whether this program reproduces
a paper, not which loss is better. The tables are in `hpo.replication.papers`.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock
from rich.console import Console

from hpo.cli.console import RunProgress, say, table
from hpo.cli.entry import command_parser, entry
from hpo.cli.flags import OUTPUT, add_checkpoint_argument, add_data_argument, add_engine_arguments, path, positive, seed
from hpo.confirmation.caveats import other_revisions
from hpo.confirmation.wording import sentence
from hpo.replication.outcome import Outcome, ReplicatedRow, ReplicatedTable, diverged_lines, gain_lines
from hpo.replication.papers import TABLES
from hpo.replication.rows import PaperRow, PaperTable
from hpo.replication.validation import tenth
from hpo.runs.provenance import provenance
from hpo.runs.store import RunStore
from hpo.runs.train import FullRuns
from hpo.runtime.signals import Stopper
from hpo.runtime.text import CHANGE_OUTPUT_HINT, counted
from hpo.study.objective import DEFAULT_OBJECTIVE, measured_at_full_budget
from trainers import TrainConfig, load_dataset, load_test
from trainers.engines import EngineChoice, choose_engine
from trainers.errors import InputError, unknown
from trainers.files import write_text, writing
from trainers.yaml_files import to_yaml


def main(argv: list[str] | None = None) -> int:
    """Train published configs and print the paper's figures next to ours. Finished runs are kept and not trained again."""
    parser = command_parser("replicate", main.__doc__, "mml_mf --only mml,ccl --datasets yelp2018")
    parser.add_argument("table", choices=sorted(TABLES), help="the table of a paper")
    parser.add_argument("--only", metavar="A,B", help="only the rows with these names (default: all)")
    parser.add_argument("--datasets", metavar="A,B", help="only these datasets (default: all)")
    parser.add_argument(
        "--negatives",
        type=counts,
        metavar="N,N",
        help="numbers of negatives per positive, each 1 or more, to train each row with (default: the paper's number)",
    )
    parser.add_argument("--epochs", type=positive, metavar="N", help="epochs of each run, 1 or more (default: the paper's)")
    parser.add_argument("--seed", type=seed, default=0, metavar="N", help="seed of all runs, 0 or more (default: %(default)s)")
    parser.add_argument(
        "--output", type=path, default=OUTPUT, metavar="DIR", help="folder for finished runs (default: %(default)s)"
    )
    add_data_argument(parser)
    add_engine_arguments(parser)
    add_checkpoint_argument(parser)
    return entry(parser, argv, _replicate, trains=True)


def _replicate(arguments: argparse.Namespace) -> int:
    paper_table = TABLES[arguments.table]
    planned = _planned(paper_table, arguments)  # before data are read or fetched, so that bad input shows at once
    console, folder = Console(), arguments.output / "replicate"
    path = folder / f"{arguments.table}.yaml"
    _earlier(path)  # refuse a damaged file before training
    with Stopper().catching() as stopper, RunProgress(console) as progress:
        store = RunStore(folder / "runs", elsewhere=arguments.output)
        measured = measured_at_full_budget(DEFAULT_OBJECTIVE)
        full_runs = FullRuns(store, progress, stopper, measured, arguments.checkpoint_every)
        outcomes = list(_outcomes(planned, arguments.data_dir, full_runs))
    header = ["run", "N", *(name for metric in paper_table.metrics for name in (metric, "paper", ""))]
    epochs = arguments.epochs or paper_table.epochs
    stopping = " (best epoch for rows with early stopping or validation)" if any(row.plateau for row, _, _ in planned) else ""
    title = f"{arguments.table}: test split, {counted(epochs, 'epoch')}, last epoch{stopping}, seed {arguments.seed}"
    console.print(table(title, header, [outcome.cells(paper_table) for outcome in outcomes]))
    for line in [*diverged_lines(outcomes), *gain_lines(outcomes, paper_table), paper_table.note]:
        say(console, line)
    for caveat in other_revisions(arguments.table, full_runs.programs.values(), provenance().program):
        say(console, sentence(caveat, DEFAULT_OBJECTIVE))
    rows = [outcome.to_row() for outcome in outcomes]
    now = [row.identity for row in rows]
    lock = FileLock(folder / f".{arguments.table}.lock")  # another process may write rows of this table
    with writing(folder, CHANGE_OUTPUT_HINT), lock:
        others = [row for row in _earlier(path) if row.identity not in now]
        content = ReplicatedTable(runs=[*others, *rows], provenance=provenance(planned[0][2].device))
        write_text(path, to_yaml(content.to_dict()), CHANGE_OUTPUT_HINT)
    say(console, f"wrote {path}")
    return 0


Planned = tuple[PaperRow, TrainConfig, EngineChoice]


def _planned(paper_table: PaperTable, arguments: argparse.Namespace) -> list[Planned]:
    if arguments.negatives and paper_table.count is None:
        raise InputError(
            f"--negatives cannot be used with {arguments.table}, whose rows have their own negatives; leave it out"
        )
    swept = arguments.negatives or [paper_table.count]
    planned = []
    for row in _chosen(paper_table.rows, arguments):
        for count in swept:
            config = row.config(arguments.epochs or paper_table.epochs, arguments.seed, count)
            planned.append((row, config, choose_engine(config, arguments.engine, arguments.device)))
    return planned


def _outcomes(planned: list[Planned], data_dir: Path | None, full_runs: FullRuns) -> Iterator[Outcome]:
    for row, config, choice in planned:
        train, test = load_dataset(row.dataset, data_dir).train, load_test(row.dataset, data_dir)
        seen, chosen_on = tenth(train) if row.validation else (train, None)
        folder = full_runs.store.folder
        with writing(folder, CHANGE_OUTPUT_HINT):  # only after the data were read
            folder.mkdir(parents=True, exist_ok=True)
        label = f"{row.name} {row.dataset}, {config.negatives.per_row(config.batch_size)} negatives"
        (run,) = full_runs.train({label: config}, choice, seen, test, plateau=row.plateau, chosen_on=chosen_on)
        yield Outcome(row, run, float((test.per_user > 0).mean()))


def _earlier(path: Path) -> list[ReplicatedRow]:
    """The rows in the file, which may have other losses, datasets, negatives, epochs or seeds."""
    return ReplicatedTable.read(path).runs if os.path.exists(path) else []


def _chosen(rows: tuple[PaperRow, ...], arguments: argparse.Namespace) -> list[PaperRow]:
    wanted = {"name": arguments.only, "dataset": arguments.datasets}
    for field, text in wanted.items():
        known = {getattr(row, field) for row in rows}
        for name in text.split(",") if text else ():
            if name not in known:
                raise InputError(unknown(field, name, known))
    chosen = [row for row in rows if all(not text or getattr(row, field) in text.split(",") for field, text in wanted.items())]
    if not chosen:
        raise InputError(
            f"table {arguments.table} has no row {arguments.only} on {arguments.datasets}; leave --only or --datasets out"
        )
    return chosen


def counts(text: str) -> list[int]:
    """An argparse type: `10,100`."""
    return [positive(number) for number in text.split(",")]


if __name__ == "__main__":
    raise SystemExit(main())
