"""`python -m hpo.confirm --study NAME`: the best configs at full budget, and the winner against its rivals on test."""

from __future__ import annotations

import argparse
from dataclasses import replace

from rich.console import Console

from hpo.cli.context import existing_workspace
from hpo.cli.entry import entry
from hpo.cli.flags import (
    add_checkpoint_argument,
    add_confirm_arguments,
    add_location_arguments,
    add_study_arguments,
    check_rival_seeds,
    confirm_changes,
)
from hpo.pipeline import confirm_study
from hpo.reporting.export import claim
from hpo.runtime.signals import Stopper
from hpo.study.definition import differences
from hpo.study.owner import while_it_exists
from hpo.study.spec import is_study_file, load_spec
from hpo.study.workspace import Workspace
from trainers.errors import InputError


def main(argv: list[str] | None = None) -> int:
    """Retrain a study's best configs at full epochs, choose on validation, compare with rivals on test."""
    parser = argparse.ArgumentParser(prog="python -m hpo.confirm", description=main.__doc__)
    add_study_arguments(parser)
    add_location_arguments(parser)
    add_checkpoint_argument(parser)
    add_confirm_arguments(parser)
    return entry(parser, argv, _confirm, trains=True)


def _confirm(arguments: argparse.Namespace) -> int:
    work, study, storage = existing_workspace(arguments)
    if is_study_file(arguments.study):
        work = _as_its_file_says(work, arguments.study)
    plan = work.spec.override(confirm_changes(arguments))
    check_rival_seeds(work.spec, plan, work.rivals, arguments.rival_seeds)
    work = replace(work, spec=plan)
    claim(work.folder, study)
    console = Console()
    with Stopper().catching() as stopper, while_it_exists(study, "confirmed", work.folder), work.alone("confirm") as alone:
        if not alone:
            raise InputError(f"study {work.spec.name!r} is being confirmed by another process; wait until it is done")
        confirm_study(work, study, storage, console, stopper, arguments.checkpoint_every)
    return 0


def _as_its_file_says(work: Workspace, file: str) -> Workspace:
    """A study that has run, with the confirm plan and the rivals of its file; budget, epochs and seed may have been flags.

    Raises:
        InputError: the file or a rival's is missing or broken, or it defines another study.
    """
    spec = work.spec
    asked = load_spec(file).override({"search": spec.search.model_dump()})
    if unlike := differences(work.definition(), replace(work, spec=asked).definition()):
        raise InputError(
            f"{file} is no longer what study {spec.name!r} was searched by ({'; '.join(map(str, unlike))}); restore the file, "
            f"give the study by its name, --study {spec.name}, or search what the file says as another study, --study-name"
        )
    spec = spec.override({"confirm": asked.confirm.model_dump(), "rivals": asked.rivals})
    return replace(work, spec=spec, rivals=tuple(spec.rival_specs()))


if __name__ == "__main__":
    raise SystemExit(main())
