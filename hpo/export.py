"""`python -m hpo.export --study NAME`: the best config as YAML and the trials as a table; or a study in one file."""

from __future__ import annotations

import argparse

from rich.console import Console

from hpo.cli.console import say
from hpo.cli.context import existing_workspace, stored_study
from hpo.cli.entry import command_parser, entry
from hpo.cli.flags import add_location_arguments, add_study_arguments, path
from hpo.confirmation.outcome import CONFIRM, confirmation
from hpo.reporting.export import TRIALS, check_owner, claim, export_best, export_trials, exported
from hpo.runtime.text import counted, listed
from hpo.study.owner import while_it_exists
from hpo.study.trials import shown_metrics


def main(argv: list[str] | None = None) -> int:
    """Export the best config and the table of trials of a study, or a bundle: the whole study in one file."""
    parser = command_parser("export", main.__doc__, "--study yelp_mml --bundle yelp_mml.zip")
    add_study_arguments(parser)
    add_location_arguments(parser)
    parser.add_argument(
        "--bundle",
        type=path,
        metavar="FILE",
        help="write only this zip file, to share: definition, trials, verdict, configs and report; no data, no vectors",
    )
    return entry(parser, argv, _export)


def _export(arguments: argparse.Namespace) -> int:
    if arguments.bundle is not None:
        return _bundle(arguments)
    work, study, _ = existing_workspace(arguments, to_train=False)
    claim(work.folder, study)
    console = Console()
    with while_it_exists(study, "exported", work.folder):
        best, trial = export_best(work, study)
        say(console, f"{best}: trial {trial.number}, validation {shown_metrics(trial, work.spec)}")
        if (outcome := confirmation(work.folder, study)) is not None:
            names, epochs = [*exported(outcome)], counted(work.spec.search.epochs, "epoch")
            are = "are those" if len(names) > 1 else "is that"
            say(console, f"{listed(names)} {are} of the confirmation; {best.name} is the best trial of the search, {epochs}")
        say(console, f"{export_trials(study, work.folder / TRIALS)}: {len(study.get_trials(deepcopy=False))} trials")
    return 0


def _bundle(arguments: argparse.Namespace) -> int:
    from hpo.reporting.bundle import write_bundle  # loads the drawing library for a second; other exports do not need it

    spec, study, storage = stored_study(arguments)
    folder = arguments.output / spec.name
    check_owner(folder, study, to_overwrite=False)
    with while_it_exists(study, "exported"):
        contents = write_bundle(study, storage, folder, arguments.bundle)
    size = f"{arguments.bundle.stat().st_size / 1e6:.1f} MB"
    say(Console(), f"wrote {arguments.bundle} ({size}): {', '.join(contents.sha256)}; searches: {', '.join(contents.searches)}")
    say(Console(), "it contains the path of the data and the command lines that were used")
    if CONFIRM not in contents.sha256:
        say(Console(), "it contains no verdict, since the study has not been confirmed")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
