"""`python -m hpo.studies list | show NAME | delete NAME`: what ships, what has run, and taking it away."""

from __future__ import annotations

import argparse
import logging
import shutil
from pathlib import Path

import optuna
from optuna.storages import BaseStorage
from optuna.trial import TrialState
from rich.console import Console

from hpo.cli import add_place_arguments, entry
from hpo.console import say, table
from hpo.spec import OBJECTIVE, StudySpec, check_name, load_spec, shipped_studies
from hpo.storage import open_storage, storage_url
from hpo.stored import find_study, is_ours, stored_spec
from hpo.trials import FINISHED
from trainers.errors import InputError
from trainers.yaml_files import to_yaml

log = logging.getLogger(__name__)


def main(argv: list[str] | None = None) -> int:
    """List, show or delete studies."""
    parser = argparse.ArgumentParser(prog="python -m hpo.studies", description=main.__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    listing = verbs.add_parser("list", help="shipped studies, and those on the storage")
    show = verbs.add_parser("show", help="a study's definition and its best trial")
    show.add_argument("study", metavar="NAME|FILE")
    delete = verbs.add_parser("delete", help="remove a study and its results")
    delete.add_argument("study", metavar="NAME")
    delete.add_argument("--yes", action="store_true", help="do not ask")
    for verb in (listing, show, delete):
        add_place_arguments(verb)
    actions = {"list": _list, "show": _show, "delete": _delete}
    return entry(parser, argv, lambda arguments: actions[arguments.verb](arguments))


def _storage(arguments: argparse.Namespace) -> BaseStorage | None:
    """The storage, None when the default journal does not exist yet."""
    url = storage_url(arguments.storage, arguments.output)
    if arguments.storage is None and "://" not in url and not Path(url).exists():
        return None
    return open_storage(url, create=False)


def _list(arguments: argparse.Namespace) -> int:
    storage = _storage(arguments)
    run = optuna.get_all_study_names(storage) if storage else []
    rows = []
    for name in sorted({*shipped_studies(), *run}):
        study = find_study(storage, name) if storage and name in run else None
        spec = _sound_spec(study) if study else load_spec(name)
        rows.append([name, *_facts(spec), *_progress(study)])
    Console().print(table("studies", ["study", "dataset", "space", "finished", f"best {OBJECTIVE}"], rows))
    return 0


def _sound_spec(study: optuna.Study) -> StudySpec | None:
    """None for studies of other programs, and for damaged ones, which a warning names."""
    try:
        return stored_spec(study) if is_ours(study) else None
    except InputError as error:
        log.warning("%s", error)
        return None


def _facts(spec: StudySpec | None) -> list[str]:
    return ["?", "?"] if spec is None else [spec.dataset, str(spec.space.name)]


def _progress(study: optuna.Study | None) -> list[str]:
    if study is None:
        return ["-", ""]
    trials = study.get_trials(deepcopy=False)
    if len(study.directions) > 1:  # of another program that shares the storage
        return [str(len(trials)), "?"]
    values = [trial.value for trial in trials if trial.state == TrialState.COMPLETE and trial.value is not None]
    return [str(sum(trial.state in FINISHED for trial in trials)), f"{max(values):.4f}" if values else ""]


def _show(arguments: argparse.Namespace) -> int:
    console, storage = Console(), _storage(arguments)
    if storage and arguments.study in optuna.get_all_study_names(storage):
        study = find_study(storage, arguments.study)
        spec = stored_spec(study) if is_ours(study) else None
        finished, best = _progress(study)
        say(console, f"# {arguments.study}: {finished} finished trials, best {OBJECTIVE} {best or 'none yet'}")
    else:
        spec = load_spec(arguments.study)
        say(console, f"# {arguments.study}: has not run on this storage")
    if spec is not None:
        say(console, to_yaml(spec.model_dump(mode="json")))
    return 0


def _delete(arguments: argparse.Namespace) -> int:
    name = check_name(arguments.study)
    storage = _storage(arguments)
    if storage is None:
        raise InputError(f"there is no study {name!r}: nothing has run in {arguments.output}")
    find_study(storage, name)
    folder = arguments.output / name
    if not arguments.yes and not _agreed(f"delete study {name} and {folder}? [y/N] "):
        raise InputError("not deleted; answer y, or give --yes")
    optuna.delete_study(study_name=name, storage=storage)
    if folder.is_dir() and arguments.storage is None:  # with another storage the folder may belong to another study
        shutil.rmtree(folder)
    print(f"deleted {name}")
    return 0


def _agreed(question: str) -> bool:
    try:
        return input(question).strip().lower() in ("y", "yes")
    except EOFError:  # no terminal to ask
        return False


if __name__ == "__main__":
    raise SystemExit(main())
