"""`python -m hpo.compare A B ...`: is one method better than another? For files of any library, and for finished runs."""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

from rich.console import Console

from hpo.cli.console import say, table
from hpo.cli.entry import Parser, entry
from hpo.cli.flags import OUTPUT, path, place
from hpo.comparison.arguments import read_methods
from hpo.comparison.columns import canonical
from hpo.comparison.outcome import compared
from hpo.comparison.page import write_page
from hpo.comparison.sides import RECOMMENDATIONS
from hpo.comparison.truth import read_truth
from hpo.reporting.overview import CAVEATS_TITLE
from hpo.study.objective import DEFAULT_OBJECTIVE, measured
from trainers.data.readers.layout import Layout
from trainers.errors import InputError
from trainers.metrics.definitions import Metric, metrics_at
from trainers.validation import checked
from trainers.yaml_files import parse_yaml

EPILOG = """\
A METHOD is NAME=FILE, or NAME=FILE,FILE with a file for each seed, or just FILE. A file (CSV, TSV, Parquet) has metrics by
user (a column user and columns of metrics), or recommendations (columns user, item, and rank or score), which are scored
against --truth. The folder of a confirmed study (runs/yelp_mml) gives all its methods, and runs/yelp_mml:LABEL gives one.
See docs/compare.md.

example: python -m hpo.compare A=a_1.csv,a_2.csv B=b_1.csv,b_2.csv --objective ndcg@20
"""


def main(argv: list[str] | None = None) -> int:
    """Compare methods by their figures for each user and seed; a verdict is given if users and seeds agree."""
    parser = Parser(
        prog="python -m hpo.compare",
        description=main.__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "methods", nargs="+", type=place, metavar="METHOD", help="two or more methods: NAME=FILE,..., FILE, or a study's folder"
    )
    parser.add_argument(
        "--objective",
        type=place,
        metavar="METRIC",
        help=f"the metric to judge by, such as ndcg@20 (default: the only common one; with --truth {DEFAULT_OBJECTIVE})",
    )
    parser.add_argument("--truth", type=path, metavar="FILE", help="the test file that recommendations are scored against")
    parser.add_argument(
        "--data", metavar="YAML", help="the layout of the --truth file, as in a study file: '{columns: {user: 0, item: 1}}'"
    )
    against = parser.add_mutually_exclusive_group()
    against.add_argument("--baseline", type=place, metavar="NAME", help="compare every other method with this one")
    against.add_argument("--ours", type=place, metavar="NAME", help="compare this method with every other one")
    parser.add_argument(
        "--deterministic",
        type=place,
        action="append",
        default=[],
        metavar="NAME",
        help="this method has no seed (popularity, EASE, nearest neighbours), so one run of it is enough; may be given again",
    )
    parser.add_argument(
        "--output",
        type=path,
        default=OUTPUT / "compare",
        metavar="DIR",
        help=f"folder for compare.yaml and compare.html (default: {OUTPUT / 'compare'})",
    )
    parser.add_argument("--no-report", action="store_true", help="print, and write nothing")
    return entry(parser, argv, _compare, stopped="nothing was written")


def _compare(arguments: argparse.Namespace) -> int:
    objective, truth, metrics = arguments.objective, None, tuple[Metric, ...]()
    if arguments.data is not None and arguments.truth is None:
        raise InputError("--data is the layout of the --truth file, and no --truth is given; give one, or leave --data out")
    if arguments.truth is not None:
        objective = objective or DEFAULT_OBJECTIVE
        metrics = metrics_at(measured(canonical(objective)))
        truth = read_truth(arguments.truth, _layout(arguments.data))
    sides, notes, files = read_methods(arguments.methods, truth, metrics)
    if truth is not None and all(side.kind != RECOMMENDATIONS for side in sides):
        raise InputError("--truth is for recommendations, and no method has any; leave it out")
    if truth is not None:
        files[str(truth.path)] = hashlib.sha256(Path(truth.path).read_bytes()).hexdigest()
    outcome = compared(sides, objective, arguments.ours, arguments.baseline, arguments.deterministic, notes, files)
    console = Console()
    for line in [*([truth.said] if truth else []), *outcome.said]:
        say(console, line)
    console.print(table(outcome.title, outcome.columns, outcome.rows()))
    for line in (*filter(None, [outcome.spread()]), *outcome.statements()):
        say(console, line)
    caveats = outcome.sentences()
    for line in [f"{CAVEATS_TITLE}:", *(f"- {sentence}" for sentence in caveats)] if caveats else ():
        say(console, line)
    if not arguments.no_report:
        say(console, f"wrote {outcome.write(arguments.output, make_folder=True)}, {write_page(outcome, arguments.output)}")
    return 0


def _layout(text: str | None) -> Layout:
    """The layout in the value of `--data`.

    Raises:
        InputError: it is not YAML, or not a layout.
    """
    return checked(Layout, parse_yaml(text, "--data") if text else {}, "--data")


if __name__ == "__main__":
    raise SystemExit(main())
