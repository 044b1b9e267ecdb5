"""What is deleted with a study: its results, as far as they are its own."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.storages import BaseStorage

from hpo.reporting.dashboard_sync import ARTIFACTS, ATTACHED, study_attributes
from hpo.reporting.export import BEST, owners
from hpo.runtime.text import counted
from hpo.storage.journal import JOURNAL
from hpo.storage.open import open_storage
from hpo.study.definition import STUDY_ID
from trainers.errors import InputError


@dataclass(frozen=True)
class Removal:
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


def what_goes_with(study: optuna.Study, storage: BaseStorage, url: str, output: Path) -> Removal:
    """Decide what goes with a study: a folder of its name may hold the results of another storage's study of that name.

    Args:
        url: of the storage.
        output: where the folders of all studies lie.

    Raises:
        InputError: the journal beside the folder is damaged.
    """
    folder, journal = output / study.study_name, output / JOURNAL
    artifacts = _artifacts(study, storage, output / ARTIFACTS)
    if not folder.is_dir():
        return Removal([], artifacts)
    at_home = Path(url).resolve() == journal.resolve()
    elsewhere = open_storage(str(journal), create=False, to_write=False) if journal.exists() and not at_home else None
    if elsewhere and study.study_name in optuna.get_all_study_names(elsewhere):
        return Removal([], artifacts, f"{folder} stays: {journal} has a study of that name too")
    found = {path: owner == study.user_attrs.get(STUDY_ID) for path, owner in owners(folder).items() if owner is not None}
    ours, others = ([path for path in found if found[path] is whose] for whose in (True, False))
    if others:
        return Removal(ours, artifacts, f"kept {folder}: {others[0].name} there belongs to another study")
    if not ours and not at_home:
        return Removal([], artifacts, f"{folder} stays: no {BEST} there says that it is this study's")
    return Removal([folder], artifacts)


def _artifacts(study: optuna.Study, storage: BaseStorage, folder: Path) -> list[Path]:
    attributes = [study_attributes(study, storage), *(trial.system_attrs for trial in study.get_trials(deepcopy=False))]
    ids = {key.rpartition(":")[2] for each in attributes for key in each if ATTACHED in key}
    return sorted(path for artifact in ids if (path := folder / Path(artifact).name).is_file())
