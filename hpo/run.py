"""`python -m hpo.run --study NAME --trials N`: search, export and confirm. The same command again continues."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
from rich.console import Console

from hpo.calls import Search
from hpo.cli.console import say
from hpo.cli.context import location_flags, stored_name
from hpo.cli.entry import command_parser, entry
from hpo.cli.flags import (
    above_zero,
    add_checkpoint_argument,
    add_confirm_arguments,
    add_engine_arguments,
    add_location_arguments,
    add_memory_argument,
    check_rival_seeds,
    confirm_changes,
    positive,
    seed,
)
from hpo.cli.study_file import check_unchanged
from hpo.pipeline import check_test_split, confirm_study
from hpo.reporting.pages import HTML
from hpo.runtime.process import FAILED
from hpo.runtime.signals import Stopper
from hpo.runtime.text import counted
from hpo.search.claims import STALE_HOURS
from hpo.storage.address import is_url, storage_url
from hpo.storage.open import open_storage
from hpo.study.owner import while_it_exists
from hpo.study.plan import MAX_MEMORY
from hpo.study.rivals import RivalStudies, rivals_of
from hpo.study.sampling import make_sampler
from hpo.study.spec import StudySpec, is_study_file, load_spec, shipped_studies
from hpo.study.stored import find_study, stored_spec, stored_study
from hpo.study.trials import tally
from hpo.study.widen import Widened, wide_name, widened
from hpo.study.workspace import Workspace
from trainers import Interactions, TrainConfig
from trainers.engines import make_engine
from trainers.errors import InputError, first_line
from trainers.train import Run
from trainers.validation import checked
from trainers.yaml_files import to_yaml

DRY_RUN_STEPS, DRY_RUN_CONFIGS = 4, 3
DASK = "dask"
BACKENDS = ("processes", DASK)


def main(argv: list[str] | None = None) -> int:
    """Search a study, export the best config, and confirm it against its rivals. The same command again continues."""
    parser = command_parser("run", main.__doc__, "--study demo_mml --trials 40")
    parser.add_argument("--study", required=True, metavar="NAME|FILE", help="a shipped study, a YAML file or a stored study")
    parser.add_argument("--study-name", metavar="NAME", help="store the study under this name (default: the study's)")
    parser.add_argument(
        "--trials",
        type=positive,
        metavar="N",
        help="TOTAL of finished trials, those of earlier runs included, 1 or more (default: the study's)",
    )
    parser.add_argument(
        "--epochs", type=positive, metavar="N", help="epochs of a search trial, 1 or more (default: the study's)"
    )
    parser.add_argument(
        "--seed", type=seed, metavar="N", help="seed of the sampler and of all trials, 0 or more (default: the study's)"
    )
    parser.add_argument(
        "--timeout", type=above_zero, metavar="SECONDS", help="stop searching a study after this time (default: no limit)"
    )
    parser.add_argument(
        "--stale-after",
        type=above_zero,
        default=STALE_HOURS,
        metavar="HOURS",
        help=f"hours without a sign of life until a trial of another machine counts as dead (default: {STALE_HOURS:g})",
    )
    parser.add_argument(
        "--widen",
        action="store_true",
        help="continue as study NAME-wide: with the trials of NAME, and wider ranges where the best trials are at an end",
    )
    parser.add_argument("--search-only", action="store_true", help="do not confirm")
    parser.add_argument(
        "--tune-rivals", action="store_true", help="search each rival's study too, with the same budget, before confirming"
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="show the study, sampled configs and the amount of training; train a few steps, write nothing",
    )
    _add_worker_arguments(parser)
    add_location_arguments(parser)
    add_engine_arguments(parser)
    add_checkpoint_argument(parser)
    add_confirm_arguments(parser)
    add_memory_argument(parser)
    return entry(parser, argv, _run, trains=True)


def _add_worker_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--workers",
        type=positive,
        metavar="N",
        help="processes that share the search, 1 or more (default: 1; on a Dask cluster all its workers)",
    )
    parser.add_argument(
        "--backend",
        choices=BACKENDS,
        default=BACKENDS[0],
        help="where workers run: as processes of this machine, or on a Dask cluster (default: %(default)s)",
    )
    parser.add_argument("--scheduler", metavar="ADDRESS", help="address of the Dask cluster, such as tcp://host:8786")
    parser.add_argument(
        "--lanes",
        type=positive,
        metavar="N",
        help="trials that a worker trains at once on a GPU, 1 or more (default: --trials / 10 / workers of a study, at most 8)",
    )


def _run(arguments: argparse.Namespace) -> int:
    asked = _asked(arguments)
    spec = asked.spec
    plan = spec.override(confirm_changes(arguments))
    if arguments.search_only and (plan != spec or arguments.max_memory != MAX_MEMORY):
        raise InputError("--search-only excludes the flags of confirm, which are not stored; give them to hpo.confirm later")
    check_rival_seeds(spec, plan, asked.rivals, arguments.rival_seeds)
    console = Console()
    work = asked.open(console)
    to_confirm = replace(work, spec=plan)  # the flags of confirm are not stored
    if arguments.dry_run:
        return _dry_run(to_confirm, console)
    if not arguments.search_only:
        check_test_split(work, console)
    study, storage = asked.begin(work, console)
    with Stopper().catching() as stopper:
        failed = asked.run(work, study, storage, console, stopper)
        if not arguments.search_only:
            with while_it_exists(study, "confirmed", work.folder), work.alone("confirm") as alone:
                if not alone:
                    say(console, f"{spec.name}: another process is confirming it; run this command again to see the verdict")
                    return _ended(failed, console)
                every, memory = arguments.checkpoint_every, arguments.max_memory
                confirm_study(to_confirm, study, storage, console, stopper, every, memory)
    say(
        console,
        f"see the report {work.folder / HTML}, or run python -m hpo.dashboard{location_flags(arguments.output, asked.url)}",
    )
    return _ended(failed, console)


def _ended(failed: Mapping[str, str], console: Console) -> int:
    """The exit code, after a line that names the studies whose search has failed."""
    if not failed:
        return 0
    say(console, f"the search of {', '.join(failed)} has failed, see above: too many trials failed")
    return FAILED


def _asked(arguments: argparse.Namespace) -> Search:
    """The search that the flags request.

    Raises:
        InputError: the study or a rival is missing or broken, the study cannot be widened, or flags contradict each other.
    """
    url = storage_url(arguments.storage, arguments.output)
    if (arguments.backend == DASK) != bool(arguments.scheduler):
        raise InputError("--backend dask and --scheduler ADDRESS need each other; give both or neither")
    changes = {"search.trials": arguments.trials, "search.epochs": arguments.epochs, "search.seed": arguments.seed}
    changes["confirm.searches"] = arguments.searches  # stored, like the number of trials: hpo.confirm then uses all searches
    wide = _widened(arguments, url) if arguments.widen else None
    spec, rivals = (
        (wide.spec, RivalStudies(wide.rivals, wide.left_out)) if wide else _named(arguments.study, arguments.study_name, url)
    )
    spec = spec.override(changes)
    names = ["output", "data_dir", "engine", "device", "lanes", "workers", "scheduler", "timeout", "stale_after"]
    names += ["checkpoint_every", "tune_rivals"]
    # read now, so that a mistake in a rival shows before the search
    found = rivals_of(spec, arguments.engine, arguments.device) if rivals is None else rivals
    return Search(
        spec,
        found.specs,
        url=url,
        left_out=found.left_out,
        wide=wide,
        **{name: getattr(arguments, name) for name in names},
    )


def _named(study: str, new_name: str | None, url: str) -> tuple[StudySpec, RivalStudies | None]:
    """The study of a file, a shipped one, or else one of the storage, which has its rivals: Python may have begun it.

    Raises:
        InputError: there is no such study, it is broken, or the storage cannot be read.
    """
    if not is_study_file(study) and study not in shipped_studies() and (is_url(url) or Path(url).exists()):
        storage = open_storage(url, create=False, to_write=False)
        if study in optuna.get_all_study_names(storage):
            kept = stored_study(find_study(storage, study))
            if new_name is None:  # a study that was last searched as a rival has none of its own rivals in the storage
                return kept.spec, RivalStudies(kept.rivals, kept.left_out) if kept.rivals else None
            return checked(StudySpec, kept.spec.model_dump() | {"name": new_name}, f"study {study}"), None
    return load_spec(study, new_name), None


def _widened(arguments: argparse.Namespace, url: str) -> Widened:
    """The study that the flags name, with wider ranges.

    Raises:
        InputError: it was not searched, no range needs widening, flags change its epochs or seed, or --trials is too low.
    """
    if arguments.epochs is not None or arguments.seed is not None:
        raise InputError(
            "--widen continues a study's trials, so their epochs and seed cannot change; leave --epochs and --seed out"
        )
    storage = open_storage(url, create=False)
    name = stored_name(arguments.study) if arguments.study_name is None else arguments.study_name
    names = optuna.get_all_study_names(storage)
    if is_study_file(file := arguments.study) and name in names:
        store = f"run hpo.run --study {file} --search-only first, which stores the change, or give the study by its name"
        check_unchanged(file, stored_spec(find_study(storage, name)), store)
    if is_study_file(file) and wide_name(name) in names:
        again = f"restore the file, or widen again after `python -m hpo.studies delete {wide_name(name)}`"
        check_unchanged(file, stored_spec(find_study(storage, wide_name(name))), again)
    wide = widened(storage, name)
    original = wide.originals.get(wide.spec.name)
    if original is None:  # deleted since; the wider study has its trials
        return wide
    finished = tally(find_study(storage, original).get_trials(deepcopy=False)).finished
    if (arguments.trials or wide.spec.search.trials) <= finished:
        raise InputError(
            f"--trials must be above the {counted(finished, 'finished trial')} of {original}, which --widen continues, got "
            f"{arguments.trials or wide.spec.search.trials}; give --trials above {finished}"
        )
    return wide


def _dry_run(work: Workspace, console: Console) -> int:
    spec = work.spec
    say(console, spec.as_file())
    say(console, _ranges_said(spec))
    study = optuna.create_study(sampler=make_sampler(spec.search), direction="maximize")
    seen, validation = work.split
    for number in range(1, DRY_RUN_CONFIGS + 1):
        params = study.ask(fixed_distributions=spec.space.boxes()).params
        try:
            config = spec.space.config(params, spec.fields(1, spec.search.seed))
        except ValueError as error:
            say(console, f"# sampled config {number} is refused: {first_line(error)}; such a trial fails\n")
            continue
        say(console, f"# sampled config {number}\n{to_yaml(config.to_dict())}")
        engine = make_engine(work.choice, _few(seen, config), validation)
        result = Run(engine, config).finish()
        say(console, f"# {DRY_RUN_STEPS} steps, too few to judge quality: loss {result.loss:.4f}\n")
    for rival in work.rivals:
        say(console, f"# rival {rival.name}\n{_ranges_said(rival.with_budget_of(spec))}")
    say(console, _work_said(spec))
    say(console, "dry run: nothing was written")
    return 0


def _work_said(spec: StudySpec) -> str:
    """How many epochs a study will train. Fewer if trials are pruned; a few more if trials fail or workers end together."""
    search, plan = spec.search, spec.confirm
    searches = f" for each of {plan.searches} searches" if plan.searches > 1 else ""
    each, configs = "tuned method and search" if plan.searches > 1 else "tuned method", plan.top + 1
    return (
        f"# search without pruning: {counted(search.trials, 'trial')} x {search.epochs} = "
        f"{counted(search.trials * search.epochs, 'epoch')}{searches}, and as many for each rival with --tune-rivals\n"
        f"# confirm: {counted(plan.epochs, 'epoch')} a run; for each {each} at most {configs} configs x "
        f"{counted(plan.select_seeds, 'seed')} = {configs * plan.select_seeds} runs on validation, then "
        f"{counted(plan.seeds, 'run')} on test; each published config {counted(plan.select_seeds, 'run')} on validation and "
        f"{counted(plan.seeds, 'run')} on test; the baselines are fitted in addition"
    )


def _ranges_said(spec: StudySpec) -> str:
    ranges = [f"#   {name}: {range_}" for name, range_ in spec.space.ranges_said().items()]
    return "\n".join([f"# search ranges of space {spec.space.name}; change them with `ranges` in `space`", *ranges])


def _few(seen: Interactions, config: TrainConfig) -> Interactions:
    """Pairs for a few steps, or more if the negatives need them."""
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
