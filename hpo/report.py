"""`python -m hpo.report --study NAME`: write report.md and report.html (one file, needs no network) of a study at any stage."""

from __future__ import annotations

import argparse

from rich.console import Console

from hpo.cli.console import say
from hpo.cli.context import stored_study
from hpo.cli.entry import command_parser, entry
from hpo.cli.flags import add_location_arguments, add_study_arguments, path
from hpo.reporting.bundle import unpack, unpacked_folder
from hpo.reporting.export import claim
from hpo.reporting.figures import pictures
from hpo.reporting.overview import Overview
from hpo.reporting.pages import write_report
from hpo.study.owner import while_it_exists


def main(argv: list[str] | None = None) -> int:
    """Write report.md and report.html of a stored study, finished or not."""
    parser = command_parser("report", main.__doc__, "--study yelp_mml")
    which = parser.add_mutually_exclusive_group(required=True)
    add_study_arguments(which)
    which.add_argument(
        "--bundle", type=path, metavar="FILE", help="a file of hpo.export --bundle, to unpack into a folder of the same name"
    )
    add_location_arguments(parser)
    return entry(parser, argv, _report)


def _report(arguments: argparse.Namespace) -> int:
    if arguments.bundle is not None:
        for written in unpack(arguments.bundle, unpacked_folder(arguments.bundle)):
            say(Console(), f"wrote {written}")
        return 0
    spec, study, _ = stored_study(arguments)
    folder = arguments.output / spec.name
    claim(folder, study, to_overwrite=False)
    console = Console()
    with while_it_exists(study, "reported", folder):
        overview = Overview.of(spec, study, folder)
        for written in write_report(overview, pictures(overview), folder):
            say(console, f"wrote {written}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
