"""`python -m hpo.export --study NAME`: the best config as YAML, trials as a table."""

from __future__ import annotations

import argparse

from rich.console import Console

from hpo.cli.console import say
from hpo.cli.context import existing_workspace
from hpo.cli.entry import entry
from hpo.cli.flags import add_location_arguments, add_study_arguments
from hpo.reporting.export import TRIALS, claim, export_best, export_trials
from hpo.study.owner import while_it_exists
from hpo.study.trials import shown_metrics


def main(argv: list[str] | None = None) -> int:
    """Export the best config and the table of trials of a study that has run."""
    parser = argparse.ArgumentParser(prog="python -m hpo.export", description=main.__doc__)
    add_study_arguments(parser)
    add_location_arguments(parser)
    return entry(parser, argv, _export)


def _export(arguments: argparse.Namespace) -> int:
    work, study, _ = existing_workspace(arguments, to_train=False)
    claim(work.folder, study)
    console = Console()
    with while_it_exists(study, "exported", work.folder):
        path, trial = export_best(work, study)
        say(console, f"{path}: trial {trial.number}, validation {shown_metrics(trial, work.spec)}")
        say(console, f"{export_trials(study, work.folder / TRIALS)}: {len(study.get_trials(deepcopy=False))} trials")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
