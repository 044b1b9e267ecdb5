"""`python -m hpo.run --study NAME --trials N`: search, export, confirm; run again, it continues."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import optuna
from optuna.storages import BaseStorage
from rich.console import Console

from hpo.cli.console import say
from hpo.cli.context import shown_storage, stored_name
from hpo.cli.entry import entry
from hpo.cli.flags import (
    OUTPUT,
    add_checkpoint_argument,
    add_confirm_arguments,
    add_engine_arguments,
    add_location_arguments,
    check_rival_seeds,
    confirm_changes,
    hours,
    positive,
    seconds,
    seed,
)
from hpo.pipeline import check_test_split, confirm_study, export_study, go_on_from, introduce, open_study, search_study
from hpo.reporting.dashboard_sync import publish
from hpo.reporting.pages import HTML
from hpo.runtime.process import SearchFailed
from hpo.runtime.signals import Stopper
from hpo.runtime.text import CHANGE_OUTPUT_HINT, counted
from hpo.search.claims import STALE_HOURS
from hpo.search.dask import count_workers, search_on_dask
from hpo.search.processes import Backend, SearchJob, search_with_processes
from hpo.storage.address import shared_by_processes, storage_url, without_password
from hpo.storage.open import open_storage
from hpo.study.owner import while_it_exists
from hpo.study.sampling import make_sampler
from hpo.study.spec import StudySpec, load_spec
from hpo.study.stored import find_study
from hpo.study.trials import best_trials, tally
from hpo.study.widen import Widened, widened
from hpo.study.workspace import Workspace
from trainers import Interactions, TrainConfig, train
from trainers.engines import ENGINES
from trainers.errors import InputError
from trainers.files import writing
from trainers.yaml_files import to_yaml

DRY_RUN_STEPS, DRY_RUN_CONFIGS = 4, 3
DASK = "dask"
BACKENDS = ("processes", DASK)
RENAME = "give the study that it repeats another name with --study-name"
RENAME_RIVAL = "in a study file of your own name rivals by their spaces, rivals: [ccl, ...]: their studies are called after it"


def main(argv: list[str] | None = None) -> int:
    """Search a study, export the best config, confirm it against its rivals. Run again, it continues."""
    parser = argparse.ArgumentParser(prog="python -m hpo.run", description=main.__doc__)
    parser.add_argument("--study", required=True, metavar="NAME|FILE", help="a shipped study or a YAML file")
    parser.add_argument("--study-name", metavar="NAME", help="store it under another name")
    parser.add_argument("--trials", type=positive, metavar="N", help="TOTAL of finished trials, those of earlier runs included")
    parser.add_argument("--epochs", type=positive, metavar="N", help="epochs of a search trial")
    parser.add_argument("--seed", type=seed, metavar="N", help="seed of sampler and trials")
    parser.add_argument("--timeout", type=seconds, metavar="SECONDS", help="stop searching a study after this time")
    parser.add_argument(
        "--stale-after",
        type=hours,
        default=STALE_HOURS,
        metavar="HOURS",
        help=f"when a trial of another machine that does not finish counts as dead ({STALE_HOURS:g})",
    )
    parser.add_argument(
        "--widen",
        action="store_true",
        help="search on as study NAME-wide: the trials of NAME, which count, in wider ranges where its best stand at an end",
    )
    parser.add_argument("--search-only", action="store_true", help="do not confirm")
    parser.add_argument(
        "--tune-rivals", action="store_true", help="search each rival's study too, with the same budget, before confirming"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="show study and sampled configs, train a few steps, write nothing"
    )
    _add_worker_arguments(parser)
    add_location_arguments(parser)
    add_engine_arguments(parser)
    add_checkpoint_argument(parser)
    add_confirm_arguments(parser)
    return entry(parser, argv, _run, trains=True)


def _add_worker_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--workers", type=positive, metavar="N", help="processes that share the search (1; with dask: all)")
    parser.add_argument(
        "--backend", choices=BACKENDS, default=BACKENDS[0], help="where they run: on this machine, or on a Dask cluster"
    )
    parser.add_argument("--scheduler", metavar="ADDRESS", help="of the Dask cluster, such as tcp://host:8786")
    parser.add_argument(
        "--lanes",
        type=positive,
        metavar="N",
        help="trials that a worker trains side by side on a GPU (a tenth of the trials, 8 at most)",
    )


def _backend(arguments: argparse.Namespace, url: str) -> Backend:
    """Who searches.

    Raises:
        InputError: flags that do not go together, or a storage that several processes cannot share.
    """
    on_dask = arguments.backend == DASK
    if on_dask != bool(arguments.scheduler):
        raise InputError("--backend dask and --scheduler ADDRESS go together; give both, or neither")
    if (on_dask or (arguments.workers or 1) > 1) and not shared_by_processes(url):
        raise InputError(
            f"{without_password(url)}: SQLite may give a queued trial to two workers; use the journal or PostgreSQL instead"
        )
    if on_dask:
        return partial(search_on_dask, scheduler=arguments.scheduler, workers=arguments.workers)
    return partial(search_with_processes, workers=arguments.workers or 1)


def _worker_count(arguments: argparse.Namespace, url: str) -> int:
    """How many workers share the budget, and by default the lanes.

    Raises:
        InputError: a Dask cluster that cannot search on this storage.
    """
    if arguments.backend == DASK:
        return count_workers(arguments.scheduler, url, arguments.workers)
    return arguments.workers or 1


def _run(arguments: argparse.Namespace) -> int:
    url = storage_url(arguments.storage, arguments.output)
    spec, rivals, wide = _asked(arguments, url)
    others = _other_specs(spec, rivals, arguments.tune_rivals, wide)  # a mistake there should not wait for a search
    plan = spec.override(confirm_changes(arguments))
    if arguments.search_only and plan != spec:
        raise InputError("--search-only does not confirm, and the flags of confirm are for one time: give them to hpo.confirm")
    check_rival_seeds(spec, plan, rivals, arguments.rival_seeds)
    backend = _backend(arguments, url)
    where = arguments.output, arguments.data_dir, arguments.engine, arguments.device
    work = Workspace.open(spec, *where, arguments.lanes, _worker_count(arguments, url), rivals)
    work.check_objective()
    console = Console()
    introduce(work, console)
    if arguments.dry_run:
        return _dry_run(work, console)
    work.check_negatives()
    if not arguments.search_only:
        check_test_split(work, console)
    _check_writable(work.folder)
    storage = open_storage(url)
    study = open_study(work, storage)
    go_on_from(wide, work, study, storage, console)
    with Stopper().catching() as stopper:
        for each, its_study in chain([(work, study)], _other_studies(others, work, storage, arguments, wide)):
            if each is not work:
                introduce(each, console)
            deadline = None if arguments.timeout is None else time.monotonic() + arguments.timeout
            job = SearchJob(each, url, deadline, arguments.stale_after, arguments.checkpoint_every)
            search_study(job, its_study, console, stopper, backend)
            if arguments.timeout is not None and not best_trials(its_study, 1):
                raise SearchFailed(
                    f"study {each.spec.name!r} has no complete trial after --timeout {arguments.timeout:g}; give it more "
                    "seconds, the same command continues"
                )
            with while_it_exists(its_study, "exported", each.folder), each.alone("export") as alone:
                if alone:
                    export_study(each, its_study, console, widen=spec.name)
                    publish(each.spec, its_study, storage, each.output)
        if not arguments.search_only:
            with while_it_exists(study, "confirmed", work.folder), work.alone("confirm") as alone:
                if not alone:
                    say(console, f"{spec.name}: another process confirms it; run this command again to see the verdict")
                    return 0
                to_confirm = replace(work, spec=plan)  # its flags are for this time only
                confirm_study(to_confirm, study, storage, console, stopper, arguments.checkpoint_every)
    say(console, f"look closer: {work.folder / HTML}, or python -m hpo.dashboard{_location_flags(arguments)}")
    return 0


def _other_specs(spec: StudySpec, rivals: Sequence[StudySpec], tune: bool, wide: Widened | None) -> list[tuple[StudySpec, str]]:
    """The repeats of the study, then the rivals and theirs, to be searched with our budget: all rivals, or those that were and
    go on in wider ranges; with each how the user gives it another name.

    Raises:
        InputError: a rival cannot be searched as our study is.
    """
    searches = spec.confirm.searches
    specs = [(repeat, RENAME) for repeat in spec.repeats(searches)[1:]]
    for rival in rivals:
        if tune or (wide is not None and rival.name in wide.originals):
            specs += [(one, RENAME_RIVAL) for one in rival.with_budget_of(spec).repeats(searches)]
    return specs


def _other_studies(
    specs: Sequence[tuple[StudySpec, str]],
    work: Workspace,
    storage: BaseStorage,
    arguments: argparse.Namespace,
    wide: Widened | None,
) -> Iterator[tuple[Workspace, optuna.Study]]:
    """Their studies, opened one after the other. Their own rivals are not read: nobody asks for them here."""
    for spec, rename in specs:
        _worker_count(arguments, storage_url(arguments.storage, arguments.output))  # the cluster may have ended meanwhile
        its_work = Workspace.open(spec, work.output, work.data_dir, arguments.engine, arguments.device, rivals=())
        if ENGINES[its_work.choice.name].many_lanes:
            its_work = replace(its_work, lanes=work.lanes)
        study = open_study(its_work, storage, rename=rename)
        go_on_from(wide, its_work, study, storage, Console())
        yield its_work, study


def _asked(arguments: argparse.Namespace, url: str) -> tuple[StudySpec, Sequence[StudySpec], Widened | None]:
    """The study that the flags name, its rivals, and where its trials come from if it goes on in wider ranges.

    Raises:
        InputError: it or a rival is missing or broken; what is to be widened has not been searched, or is not to be.
    """
    changes = {"search.trials": arguments.trials, "search.epochs": arguments.epochs, "search.seed": arguments.seed}
    changes["confirm.searches"] = arguments.searches  # kept, as the number of trials is: hpo.confirm then takes them all
    if arguments.widen:
        wide = _widened(arguments, url)
        return wide.spec.override(changes), wide.rivals, wide
    spec = load_spec(arguments.study, arguments.study_name).override(changes)
    return spec, spec.rival_specs(), None  # a mistake there should not wait for the end of the search


def _widened(arguments: argparse.Namespace, url: str) -> Widened:
    """The study that the flags name in wider ranges.

    Raises:
        InputError: it has not been searched; no range is to be widened; it would go on in another way, or not at all.
    """
    if arguments.epochs is not None or arguments.seed is not None:
        raise InputError(
            "--widen goes on from a study's trials, so that their epochs and seed stay; leave --epochs and --seed out"
        )
    storage = open_storage(url, create=False)
    wide = widened(storage, arguments.study_name or stored_name(arguments.study))
    original = wide.originals.get(wide.spec.name)
    if original is None:  # deleted since; the wider study has its trials
        return wide
    finished = tally(find_study(storage, original).get_trials(deepcopy=False)).finished
    if (arguments.trials or wide.spec.search.trials) <= finished:
        raise InputError(
            f"--widen goes on from the {counted(finished, 'finished trial')} of {original}, which count: give --trials above "
            f"{finished}, got {arguments.trials or wide.spec.search.trials}"
        )
    return wide


def _location_flags(arguments: argparse.Namespace) -> str:
    """The flags with which another command finds the same study."""
    output = "" if arguments.output == OUTPUT else f" --output {arguments.output}"
    return output + (f" --storage {shown_storage(arguments)}" if arguments.storage else "")


def _check_writable(folder: Path) -> None:
    """Find out before the search, not after it, and write nothing yet."""
    with writing(folder, CHANGE_OUTPUT_HINT):
        existing = next(path for path in (folder, *folder.parents) if path.exists())
        probe = existing / f".writable-{np.random.SeedSequence().entropy}"
        probe.touch()
        probe.unlink()


def _dry_run(work: Workspace, console: Console) -> int:
    spec = work.spec
    say(console, spec.as_file())
    say(console, _ranges_said(spec))
    study = optuna.create_study(sampler=make_sampler(spec.search), direction="maximize")
    seen, validation = work.split
    for number in range(1, DRY_RUN_CONFIGS + 1):
        params = study.ask(fixed_distributions=spec.space.boxes()).params
        config = spec.space.config(params, spec.fields(1, spec.search.seed))
        say(console, f"# sampled config {number}\n{to_yaml(config.to_dict())}")
        result = train(config, _few(seen, config), validation, engine=work.choice.name, device=work.choice.device).finish()
        say(console, f"# {DRY_RUN_STEPS} steps, which say nothing about quality: loss {result.loss:.4f}\n")
    for rival in work.rivals:
        say(console, f"# rival {rival.name}\n{_ranges_said(rival.with_budget_of(spec))}")
    say(console, "dry run: nothing was written")
    return 0


def _ranges_said(spec: StudySpec) -> str:
    ranges = [f"#   {name}: {range_}" for name, range_ in spec.space.ranges_said().items()]
    return "\n".join([f"# space {spec.space.name} draws from these ranges; `ranges` in `space` changes them", *ranges])


def _few(seen: Interactions, config: TrainConfig) -> Interactions:
    """Pairs for a few steps, and for as many more as the negatives need to be drawn from."""
    n = DRY_RUN_STEPS * config.batch_size
    while True:
        few = seen.where(np.arange(len(seen)) < n)
        try:
            config.negatives.check(few)
            return few
        except InputError:
            if n >= len(seen):
                raise
            n *= 2


if __name__ == "__main__":
    raise SystemExit(main())
