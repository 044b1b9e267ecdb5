"""`python -m hpo.studies list | show NAME | new DATA | split NAME FOLDER | delete NAME | repair`: manage studies."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import optuna
from optuna.storages import BaseStorage
from optuna.trial import TrialState
from rich.console import Console

from hpo.cli.console import say, table
from hpo.cli.context import existing_workspace, location_flags, shown_storage, sound_spec, stored_name
from hpo.cli.entry import Parser, entry
from hpo.cli.flags import add_data_argument, add_location_arguments, path
from hpo.reporting.removal import what_goes_with
from hpo.runtime.text import counted
from hpo.search.claims import is_dead, signature
from hpo.storage.address import is_url, storage_url, without_password
from hpo.storage.open import open_storage
from hpo.storage.repair import repair
from hpo.study.draft import draft
from hpo.study.names import check_name, names_of_searches
from hpo.study.spec import StudySpec, load_spec, shipped_studies
from hpo.study.split_files import write_split
from hpo.study.stored import find_study, is_ours, stored_spec, unsound_trials
from hpo.study.trials import tally
from hpo.study.workspace import Workspace, alone
from trainers.data.options import DataOptions
from trainers.engines.registry import AUTO
from trainers.errors import InputError
from trainers.text import visible
from trainers.validation import checked
from trainers.yaml_files import parse_yaml

STUDY_COLUMNS = ["study", "dataset", "space", "objective"]


def main(argv: list[str] | None = None) -> int:
    """List, show, draft or delete studies, write the split of their data, or repair the journal that holds them."""
    example = "example: python -m hpo.studies"
    parser = Parser(prog="python -m hpo.studies", description=main.__doc__, epilog=f"{example} list")
    commands = parser.add_subparsers(dest="command", required=True)
    listing = commands.add_parser(
        "list", help="list your studies, and the shipped ones that have not run", epilog=f"{example} list --output runs"
    )
    show = commands.add_parser("show", help="print a study's definition and its best trial", epilog=f"{example} show demo_mml")
    show.add_argument("study", metavar="NAME|FILE", help="a stored study, a shipped study or a study file")
    new = commands.add_parser(
        "new", help="print a commented study file for your own data", epilog=f"{example} new ratings.csv > mine.yaml"
    )
    new.add_argument("path", metavar="DATA", help="a file of interactions, or a folder with train and test")
    new.add_argument(
        "--data",
        metavar="YAML",
        help="how to read the data, if the files do not show it: '{columns: {user: 0, item: 1}}'",
    )
    add_data_argument(new)
    split = commands.add_parser(
        "split",
        help="write the training and the test pairs of a study as CSV, for other programs",
        epilog=f"{example} split mine.yaml split",
    )
    split.add_argument("study", metavar="NAME|FILE", help="a stored study, a shipped study or a study file")
    split.add_argument(
        "folder",
        type=path,
        metavar="FOLDER",
        help="a new folder for train.csv (all training pairs, those of validation included) and test.csv",
    )
    delete = commands.add_parser("delete", help="delete studies and their results", epilog=f"{example} delete mine --yes")
    delete.add_argument("studies", metavar="NAME", nargs="+", help="names of stored studies")
    delete.add_argument("--yes", action="store_true", help="do not ask for confirmation")
    delete.add_argument("--force", action="store_true", help="delete a study even while it is searched or confirmed")
    repairing = commands.add_parser(
        "repair",
        help="drop the broken lines of a journal, after saving a copy",
        epilog=f"{example} repair --storage runs/journal.log",
    )
    for command in (listing, show, split, delete, repairing):
        add_location_arguments(command)
    actions = {"list": _list, "show": _show, "new": _new, "split": _split, "delete": _delete, "repair": _repair}
    return entry(parser, argv, lambda arguments: actions[arguments.command](arguments))


def _storage(arguments: argparse.Namespace, to_write: bool = False) -> BaseStorage | None:
    """The storage; None if the default journal does not exist."""
    url = storage_url(arguments.storage, arguments.output)
    if arguments.storage is None and not is_url(url) and not os.path.exists(url):
        return None
    return open_storage(url, create=False, to_write=to_write)


def _list(arguments: argparse.Namespace) -> int:
    storage, console = _storage(arguments), Console()
    run = optuna.get_all_study_names(storage) if storage else []
    studies = {name: find_study(storage, name) for name in sorted(run)} if storage else {}
    rows = [[name, *_facts(sound_spec(study)), *_progress(study)] for name, study in studies.items()]
    if rows:
        console.print(table("your studies", [*STUDY_COLUMNS, "finished", "best"], rows))
    shipped = [[name, *_facts(load_spec(name))] for name in sorted({*shipped_studies()} - {*run})]
    console.print(table("shipped studies that have not run", STUDY_COLUMNS, shipped))
    return 0


def _facts(spec: StudySpec | None) -> list[str]:
    return ["?", "?", "?"] if spec is None else [spec.data_name, str(spec.space.name), spec.objective]


def _progress(study: optuna.Study) -> list[str]:
    trials = study.get_trials(deepcopy=False)
    if not is_ours(study):  # a study of another program
        return [str(len(trials)), "?"]
    counts = tally(trials)
    return [str(counts.finished), "" if counts.best is None else f"{counts.best:.4f}"]


def _show(arguments: argparse.Namespace) -> int:
    console, storage, name = Console(), _storage(arguments), stored_name(arguments.study)
    if storage and name in optuna.get_all_study_names(storage):
        study = find_study(storage, name)
        spec = stored_spec(study) if is_ours(study) else None
        finished, best = _progress(study)
        objective = "value" if spec is None else spec.objective
        say(console, f"# {name}: {finished} finished trials, best {objective} {best or 'none yet'}")
    else:
        spec = load_spec(arguments.study)
        say(console, f"# {name}: has not run on this storage")
    if spec is not None:
        say(console, spec.as_file())
    return 0


def _new(arguments: argparse.Namespace) -> int:
    given = {} if arguments.data is None else parse_yaml(arguments.data, "--data")
    options = checked(DataOptions, given, "--data")
    try:
        say(Console(), draft(arguments.path, arguments.data_dir, options).rstrip("\n"))
    except InputError as error:
        here = "; for this command, give the keys of `data` as --data '{...}'" if "data: {" in str(error) else ""
        raise InputError(f"{error}{here}") from None
    return 0


def _split(arguments: argparse.Namespace) -> int:
    storage = _storage(arguments)
    if storage and stored_name(arguments.study) in optuna.get_all_study_names(storage):
        work, _, _ = existing_workspace(arguments, to_train=False)
    else:
        work = Workspace.open(load_spec(arguments.study), arguments.output, arguments.data_dir, AUTO, AUTO, rivals=())
    for sentence in write_split(work.dataset, arguments.folder).said(work.validation):
        say(Console(), sentence)
    return 0


def _delete(arguments: argparse.Namespace) -> int:
    names = [*dict.fromkeys(map(check_name, arguments.studies))]
    storage = _storage(arguments, to_write=True)
    if storage is None:
        raise InputError(f"there is no study {names[0]!r}: nothing has run in {arguments.output}")
    found = [find_study(storage, name) for name in names]  # refuses a misspelt name before anything is deleted
    if not arguments.force:
        for study in found:
            _check_at_rest(study, what_goes_with(study, storage, arguments.output).paths)
    for study in found:
        _delete_one(study, storage, arguments)
    there = {*optuna.get_all_study_names(storage)}
    if left := [repeat for name in names for repeat in names_of_searches(name) if repeat in there]:
        where = location_flags(arguments.output, storage_url(arguments.storage, arguments.output))
        command = f"python -m hpo.studies delete {' '.join(left)}{where}"
        say(Console(), f"repeated searches of deleted studies are kept; delete them with `{command}`")
    return 0


def _delete_one(study: optuna.Study, storage: BaseStorage, arguments: argparse.Namespace) -> None:
    removal, name = what_goes_with(study, storage, arguments.output), study.study_name
    trials = counted(tally(study.get_trials(deepcopy=False)).finished, "finished trial")
    what = " and ".join([f"study {name} ({trials}) on {shown_storage(arguments)}", *removal.shown])
    stays = f"; {removal.stays}" if removal.stays else ""
    if not arguments.yes and not _agreed(f"delete {what}{stays}? [y/N] "):
        raise InputError("nothing was deleted; answer y, or give --yes")
    removal.remove()  # files first: if it fails, the study still exists and the same command can be run again
    optuna.delete_study(study_name=name, storage=storage)
    say(Console(), f"deleted {what}{stays}")


def _repair(arguments: argparse.Namespace) -> int:
    url = storage_url(arguments.storage, arguments.output)
    if is_url(url):
        raise InputError(
            f"only a journal file can be repaired, got {without_password(url)}; repair a database with its own tools"
        )
    done = repair(Path(url), _unsound)
    if done.copy is None:
        print(f"{url}: no line is broken, nothing was changed")
        return 0
    for sentence in done.said:
        print(sentence)
    print(f"{url} is repaired; {done.copy} is a copy of the damaged file")
    storage = open_storage(url, create=False, to_write=False)
    for name in optuna.get_all_study_names(storage):
        sound_spec(find_study(storage, name))  # warns of a study that lost more than trials
    return 0


def _unsound(storage: BaseStorage) -> Iterator[int]:
    """The ids of damaged finished trials."""
    for name in optuna.get_all_study_names(storage):
        with suppress(InputError):  # a study of another program, or one that is damaged as a whole
            for trial in unsound_trials(find_study(storage, name)):
                yield trial._trial_id


def _check_at_rest(study: optuna.Study, to_delete: Sequence[Path]) -> None:
    name, running = study.study_name, study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    holders = [(trial.number, signature(trial)) for trial in running if not is_dead(trial, time.time())]
    at_work = [f"trial {number} of process {by['pid']} on {by['host']}" for number, by in holders if by is not None]
    if at_work:
        raise InputError(f"study {name!r} is being searched: {', '.join(at_work)}; stop that first, or delete it with --force")
    for folder in filter(Path.is_dir, to_delete):
        with alone(folder, "confirm") as at_rest:
            if not at_rest:
                raise InputError(f"study {name!r} is being confirmed; stop that first, or delete it with --force")


def _agreed(question: str) -> bool:
    try:
        return input(visible(question)).strip().lower() in ("y", "yes")
    except EOFError:  # no terminal to ask
        return False


if __name__ == "__main__":
    raise SystemExit(main())
