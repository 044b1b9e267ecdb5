"""`python -m hpo.studies list | show NAME | delete NAME`: what ships, what has run, and taking it away."""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.storages import BaseStorage
from optuna.trial import TrialState
from rich.console import Console

from hpo.cli.console import say, table
from hpo.cli.context import shown_storage, sound_spec, stored_name
from hpo.cli.entry import entry
from hpo.cli.flags import add_place_arguments
from hpo.confirmation.outcome import CONFIRM
from hpo.reporting.dashboard_sync import ARTIFACTS, ATTACHED, study_attributes
from hpo.reporting.export import BEST, BEST_TRIAL
from hpo.runtime.text import counted
from hpo.search.claims import is_dead, signature
from hpo.storage.journal import JOURNAL
from hpo.storage.open import open_storage, storage_url
from hpo.study.spec import OBJECTIVE, StudySpec, check_name, load_spec, shipped_studies
from hpo.study.stored import find_study, is_ours, stored_spec
from hpo.study.trials import best_trials, tally, trial_config
from hpo.study.workspace import alone
from trainers.config import TrainConfig
from trainers.errors import InputError
from trainers.yaml_files import read_yaml


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
    delete.add_argument("--force", action="store_true", help="even while it is searched or confirmed")
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
        spec = sound_spec(study) if study else load_spec(name)
        rows.append([name, *_facts(spec), *_progress(study)])
    Console().print(table("studies", ["study", "dataset", "space", "finished", f"best {OBJECTIVE}"], rows))
    return 0


def _facts(spec: StudySpec | None) -> list[str]:
    return ["?", "?"] if spec is None else [spec.data_name, str(spec.space.name)]


def _progress(study: optuna.Study | None) -> list[str]:
    if study is None:
        return ["-", ""]
    trials = study.get_trials(deepcopy=False)
    if not is_ours(study):  # of another program that shares the storage
        return [str(len(trials)), "?"]
    counts = tally(trials)
    return [str(counts.finished), "" if counts.best is None else f"{counts.best:.4f}"]


def _show(arguments: argparse.Namespace) -> int:
    console, storage, name = Console(), _storage(arguments), stored_name(arguments.study)
    if storage and name in optuna.get_all_study_names(storage):
        study = find_study(storage, name)
        spec = stored_spec(study) if is_ours(study) else None
        finished, best = _progress(study)
        say(console, f"# {name}: {finished} finished trials, best {OBJECTIVE} {best or 'none yet'}")
    else:
        spec = load_spec(arguments.study)
        say(console, f"# {name}: has not run on this storage")
    if spec is not None:
        say(console, spec.as_file())
    return 0


def _delete(arguments: argparse.Namespace) -> int:
    name = check_name(arguments.study)
    storage = _storage(arguments)
    if storage is None:
        raise InputError(f"there is no study {name!r}: nothing has run in {arguments.output}")
    study = find_study(storage, name)
    if not arguments.force:
        _check_at_rest(study, arguments.output / name)
    results = _results(study, storage, arguments)
    trials = counted(len(study.get_trials(deepcopy=False)), "trial")
    what = " and ".join([f"study {name} ({trials}) on {shown_storage(arguments)}", *results.shown])
    stays = f"; {results.stays}" if results.stays else ""
    if not arguments.yes and not _agreed(f"delete {what}{stays}? [y/N] "):
        raise InputError("not deleted; answer y, or give --yes")
    results.remove()  # first, so that after a failure the same command can be given again
    optuna.delete_study(study_name=name, storage=storage)
    print(f"deleted {what}{stays}")
    return 0


def _check_at_rest(study: optuna.Study, folder: Path) -> None:
    name, running = study.study_name, study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    holders = [(trial.number, signature(trial)) for trial in running if not is_dead(trial, time.time())]
    at_work = [f"trial {number} of process {by['pid']} on {by['host']}" for number, by in holders if by is not None]
    if at_work:
        raise InputError(f"study {name!r} is being searched: {', '.join(at_work)}; stop that first, or delete it with --force")
    if folder.is_dir():
        with alone(folder, "confirm") as at_rest:
            if not at_rest:
                raise InputError(f"study {name!r} is being confirmed; stop that first, or delete it with --force")


@dataclass(frozen=True)
class Results:
    """What is deleted with a study, and what is not.

    Attributes:
        paths: its folder, or single files where the folder holds other studies' results too.
        artifacts: what the dashboard offers of it.
        stays: why a folder of its name is not deleted; empty if it is, or if there is none.
    """

    paths: Sequence[Path]
    artifacts: Sequence[Path]
    stays: str = ""

    @property
    def shown(self) -> list[str]:
        """For the question."""
        files = [f"{counted(len(self.artifacts), 'file')} of it in {self.artifacts[0].parent}"] if self.artifacts else []
        return [*map(str, self.paths), *files]

    def remove(self) -> None:
        """Delete them.

        Raises:
            InputError: the file system refuses.
        """
        try:
            for path in (*self.paths, *self.artifacts):
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)
        except OSError as error:
            raise InputError(f"{error.filename}: cannot be deleted: {error.strerror}; make it writable") from None


def _results(study: optuna.Study, storage: BaseStorage, arguments: argparse.Namespace) -> Results:
    """Decide what goes with a study: a folder of its name may hold the results of another storage's study of that name.

    Raises:
        InputError: the journal beside the folder is damaged.
    """
    folder, journal = arguments.output / study.study_name, arguments.output / JOURNAL
    artifacts = _artifacts(study, storage, arguments.output / ARTIFACTS)
    if not folder.is_dir():
        return Results([], artifacts)
    at_home = Path(storage_url(arguments.storage, arguments.output)).resolve() == journal.resolve()
    elsewhere = open_storage(str(journal), create=False) if journal.exists() and not at_home else None
    if elsewhere and study.study_name in optuna.get_all_study_names(elsewhere):
        return Results([], artifacts, f"{folder} stays: {journal} has a study of that name too")
    found = {folder / name: _is_of(study, folder / name) for name in (BEST, BEST_TRIAL, CONFIRM) if (folder / name).exists()}
    ours, others = ([path for path in found if found[path] is whose] for whose in (True, False))
    if others:
        return Results(ours, artifacts, f"the rest of {folder} stays: {others[0].name} there is of another study")
    if not ours and not at_home:
        return Results([], artifacts, f"{folder} stays: no {BEST} there says that it is this study's")
    return Results([folder], artifacts)


def _artifacts(study: optuna.Study, storage: BaseStorage, folder: Path) -> list[Path]:
    attributes = [study_attributes(study, storage), *(trial.system_attrs for trial in study.get_trials(deepcopy=False))]
    ids = {key.rpartition(":")[2] for each in attributes for key in each if ATTACHED in key}
    return sorted(path for artifact in ids if (path := folder / Path(artifact).name).is_file())


def _is_of(study: optuna.Study, path: Path) -> bool | None:
    """Whether a config file or confirm.yaml names a trial of this study with its config; None for one that cannot be read."""
    try:
        content = read_yaml(path)
        winner = content.get("winner", content)  # confirm.yaml has one, the other files hold a single config
        config = TrainConfig.from_dict(winner["config"])
        digest = content.get("config_digest", config.digest())  # an edited file is still its study's
        spec = stored_spec(study)
        trial = next((trial for trial in best_trials(study) if trial.number == winner["trial"]), None)
        if trial is None:
            return False
        searched = trial_config(trial, spec).replace(epochs=config.epochs, seed=config.seed)
    except (InputError, KeyError, TypeError, AttributeError):
        return None
    return searched == config or searched.digest() == digest


def _agreed(question: str) -> bool:
    try:
        return input(question).strip().lower() in ("y", "yes")
    except EOFError:  # no terminal to ask
        return False


if __name__ == "__main__":
    raise SystemExit(main())
