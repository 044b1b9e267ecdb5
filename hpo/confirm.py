"""`python -m hpo.confirm --study NAME`: retrain the best configs at full budget and compare the winner with its rivals."""

from __future__ import annotations

import argparse

from rich.console import Console

from hpo.calls import confirm
from hpo.cli.entry import command_parser, entry
from hpo.cli.flags import (
    add_checkpoint_argument,
    add_confirm_arguments,
    add_location_arguments,
    add_memory_argument,
    add_study_arguments,
    confirm_changes,
)
from hpo.runtime.signals import Stopper


def main(argv: list[str] | None = None) -> int:
    """Retrain a study's best configs at full epochs, choose on validation, and compare with the rivals on test."""
    parser = command_parser("confirm", main.__doc__, "--study yelp_mml --confirm-seeds 10")
    add_study_arguments(parser)
    add_location_arguments(parser)
    add_checkpoint_argument(parser)
    add_confirm_arguments(parser)
    add_memory_argument(parser)
    return entry(parser, argv, _confirm, trains=True)


def _confirm(arguments: argparse.Namespace) -> int:
    with Stopper().catching() as stopper:
        confirm(arguments, confirm_changes(arguments), arguments.checkpoint_every, Console(), stopper, arguments.max_memory)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
