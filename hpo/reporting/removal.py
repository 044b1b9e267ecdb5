"""Deletes the results of a study. Results of other studies are never deleted."""

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
    """The files that are deleted with a study.

    Attributes:
        paths: the study's folder, or the link in its place. If the folder also holds results of other studies: the study's own
            files in it.
        artifacts: the study's files in the dashboard.
        stays: a sentence about a folder that is not deleted: one of another study, or the target of a link. Empty if there is
            none.
    """

    paths: Sequence[Path]
    artifacts: Sequence[Path]
    stays: str = ""

    @property
    def shown(self) -> list[str]:
        """The files in words, for the question before they are deleted."""
        files = [f"{counted(len(self.artifacts), 'file')} of it in {self.artifacts[0].parent}"] if self.artifacts else []
        return [*map(str, self.paths), *files]

    def remove(self) -> None:
        """Delete the files.

        Raises:
            InputError: a file cannot be deleted.
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
    """Find the files that are deleted with a study.

    A folder with the study's name may belong to a study of the same name in another storage. Then it stays.

    Args:
        output: the folder with the folders of all studies.

    Raises:
        InputError: the file with the owner of the folder is damaged.
    """
    folder = output / study.study_name
    owner = Owner.read(folder)
    if folder.is_dir() and owner is None:
        return Removal([], [], f"{folder} stays: no {OWNER} there says that it is this study's")
    own = Owner.of(study, folder)
    # another storage in the record may only be unreachable
    if owner is not None and (not owner.is_same(own, folder) or owner.storage not in ("", own.storage)):
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
    """The files that are attached to this study and to no other. A copy of a study shares the files of the original."""
    if study.user_attrs.get(NAMED, study.study_name) != study.study_name:  # a copy that has only the files of the original
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
