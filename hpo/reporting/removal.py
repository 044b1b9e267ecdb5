"""What is deleted with a study: its results, as far as they are its own."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.storages import BaseStorage

from hpo.reporting.dashboard_sync import ARTIFACTS, ATTACHED, study_attributes
from hpo.reporting.export import name_and_id, owners
from hpo.runtime.text import counted
from hpo.study.definition import NAMED
from hpo.study.owner import OWNER, Owner
from trainers.errors import InputError


@dataclass(frozen=True)
class Removal:
    """What is deleted with a study, and what is not.

    Attributes:
        paths: its folder, or the link in its place, or single files where the folder holds other studies' results too.
        artifacts: what the dashboard offers of it.
        stays: why a folder of its name is not deleted, or what a link leads to; empty if all is deleted, or there is none.
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
        for path in (*self.paths, *self.artifacts):
            try:
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)
            except OSError as error:
                where, why = error.filename or path, error.strerror or error
                raise InputError(f"{where}: cannot be deleted: {why}; mend that, and give the same command again") from None


def what_goes_with(study: optuna.Study, storage: BaseStorage, output: Path) -> Removal:
    """Decide what goes with a study: a folder of its name may hold the results of another storage's study of that name.

    Args:
        output: where the folders of all studies lie.

    Raises:
        InputError: a file that says whose the folder is is damaged.
    """
    folder = output / study.study_name
    owner = Owner.read(folder)
    if folder.is_dir() and owner is None:
        return Removal([], [], f"{folder} stays: no {OWNER} there says that it is this study's")
    own = Owner.of(study, folder)
    if owner is not None and (not owner.is_same(own, folder) or owner.storage not in ("", own.storage)):  # it may be away
        return Removal([], [], f"{folder} stays: {OWNER} there says that it is another study's, {owner}")
    artifacts = _artifacts(study, storage, output / ARTIFACTS)
    if not folder.is_dir():
        return Removal([], artifacts)
    found = {path: owner == name_and_id(study) for path, owner in owners(folder).items() if owner is not None}
    ours, others = ([path for path in found if found[path] is whose] for whose in (True, False))
    if others:
        return Removal(ours, artifacts, f"{folder} stays: {others[0].name} there belongs to another study")
    linked = f"{folder.resolve()} stays: {folder} is only a link to it" if folder.is_symlink() else ""
    return Removal([folder], artifacts, linked)


def _artifacts(study: optuna.Study, storage: BaseStorage, folder: Path) -> list[Path]:
    """What is attached to a study, but for what is attached to another one, too: one is a copy of the other."""
    if study.user_attrs.get(NAMED, study.study_name) != study.study_name:  # a copy, which nothing has been attached to
        return []
    ids = _attached(study.study_name, storage)
    for name in optuna.get_all_study_names(storage) if ids else ():
        if name != study.study_name:
            ids -= _attached(name, storage)
    return sorted(path for artifact in ids if (path := folder / Path(artifact).name).is_file())


def _attached(name: str, storage: BaseStorage) -> set[str]:
    study = optuna.load_study(study_name=name, storage=storage)
    attributes = [study_attributes(study, storage), *(trial.system_attrs for trial in study.get_trials(deepcopy=False))]
    return {key.rpartition(":")[2] for each in attributes for key, value in each.items() if ATTACHED in key and value != "null"}
