"""The owner of a results folder: one study of one storage. A copy of a study has another name or storage."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import optuna
from optuna.exceptions import StorageInternalError

from hpo.runtime.process import FolderGone, SearchFailed, StudyDeleted
from hpo.runtime.text import CHANGE_OUTPUT_HINT
from hpo.runtime.typed_files import Stored
from hpo.storage.open import location
from hpo.study.definition import STUDY_ID
from trainers.errors import InputError
from trainers.files import write_text
from trainers.yaml_files import read_yaml, to_yaml

OWNER = "owner.yaml"


class Owner(Stored):
    """The study that a folder belongs to.

    Attributes:
        study: its name in its storage.
        study_id: tells studies of the same name apart.
        storage: the location of the storage, see `hpo.storage.open.location`. It is relative to the output folder if it is in
            there, so that both can be moved; empty if unknown.
    """

    FORMAT: ClassVar[int] = 1
    study: str
    study_id: str
    storage: str

    @classmethod
    def of(cls, study: optuna.Study, folder: Path) -> Owner:
        """The record of a study as the owner of a folder."""
        where, output = location(study._storage), folder.parent.resolve()
        if where and "://" not in where and Path(where).is_relative_to(output):
            where = str(Path(where).relative_to(output))
        return cls(study=study.study_name, study_id=str(study.user_attrs.get(STUDY_ID)), storage=where)

    @classmethod
    def read(cls, folder: Path) -> Owner | None:
        """The owner of a folder; None if the folder names none.

        Raises:
            InputError: the file is damaged or has another format.
        """
        path = folder / OWNER
        if not path.exists():
            return None
        return cls.from_dict(read_yaml(path), str(path), "restore it, or move that folder away")

    def write(self, folder: Path) -> None:
        """Write the owner into the folder, which is created if necessary.

        Raises:
            InputError: the folder cannot be written.
        """
        write_text(folder / OWNER, to_yaml(self.to_dict()), CHANGE_OUTPUT_HINT)

    def is_same(self, other: Owner, folder: Path) -> bool:
        """Whether this owner of a folder and `other` are the same study. A storage whose file is gone counts as moved."""
        if (self.study, self.study_id) != (other.study, other.study_id):
            return False
        if self.storage in ("", other.storage) or not other.storage:
            return True
        here, there = (folder.parent / one.storage for one in (self, other))
        try:
            if "://" in self.storage or "://" in other.storage:
                return "://" not in self.storage and not here.exists()
            return not here.exists() or (there.exists() and here.samefile(there))
        except OSError:  # the file cannot be accessed, so it is not gone
            return False

    def __str__(self) -> str:
        return f"study {self.study!r} on {self.storage or 'a storage behind a proxy'}"


def refuse_others(folder: Path, study: optuna.Study | None) -> None:
    """Check before writing that a folder does not belong to another study.

    Args:
        study: None for a study that does not exist yet.

    Raises:
        InputError: the folder belongs to another study, or its owner cannot be read.
    """
    found = Owner.read(folder)
    ours = None if study is None else Owner.of(study, folder)
    if found is None or (ours is not None and found.is_same(ours, folder)):
        return
    now, address = "which is in another storage or was deleted", ""
    if ours is not None:
        now = f"and this is {ours}"
        if (ours.study, ours.study_id) == (found.study, found.study_id):
            what = "two addresses of one storage" if "://" in found.storage else "the same study"
            address = f"; if these are {what}, give the storage that is in {OWNER}, or delete {folder / OWNER}"
    raise InputError(
        f"{folder} holds the results of another study: {OWNER} there names {found}, {now}; give another --output or "
        f"--study-name, or move that folder away{address}"
    )


def note_owner(folder: Path, study: optuna.Study, holds_its_results: bool = False) -> None:
    """Write the study as the owner of a folder, before anything else is written there.

    Args:
        holds_its_results: whether files in the folder name this study.

    Raises:
        InputError: the folder cannot be written, or holds files of unknown origin, which deleting the study would delete.
    """
    ours, found = Owner.of(study, folder), Owner.read(folder)
    foreign = sorted(path.name for path in _files_in(folder) if not path.name.startswith("."))
    if found is None and foreign and not holds_its_results:
        raise InputError(
            f"{folder} has no {OWNER} and holds files of unknown origin ({', '.join(foreign[:3])}); move them away, or give "
            "another --output or --study-name"
        )
    if found is None or (ours.storage and found != ours):
        ours.write(folder)


def _files_in(folder: Path) -> list[Path]:
    try:
        return [*folder.iterdir()]
    except OSError:  # the folder does not exist, or writing to it will raise an error
        return []


def is_claimed(folder: Path) -> bool:
    """Whether a folder belongs to a study; False after it was moved or deleted."""
    return (folder / OWNER).exists()


@contextmanager
def while_it_exists(study: optuna.Study, doing: str, folder: Path | None = None) -> Iterator[None]:
    """Within the block, replace errors by one message if the study was deleted, or its folder was moved or deleted.

    Args:
        doing: what is done with the study, such as `searched`.
        folder: the study's folder, if the work needs it.

    Raises:
        StudyDeleted: the study was deleted.
        FolderGone: the folder was moved or deleted.
    """
    try:
        yield
    except (StudyDeleted, FolderGone):  # of a rival's study, or of an inner block
        raise
    except (KeyError, OSError, InputError, SearchFailed, StorageInternalError):  # Optuna raises KeyError for deleted studies
        name = study.study_name
        if not _exists(study):
            raise StudyDeleted(f"study {name!r} was deleted while it was {doing}; search it again with hpo.run") from None
        if folder is not None and not is_claimed(folder):
            raise FolderGone(
                f"{folder} was moved or deleted while study {name!r} was {doing}; if it was moved, finished work is in its new "
                "place: move it back, or give the new place with --output, and the same command continues"
            ) from None
        raise


def _exists(study: optuna.Study) -> bool:
    """Whether a study still exists; True if its storage does not answer."""
    try:
        return isinstance(study.user_attrs, dict)  # reads from the storage
    except KeyError:
        return False
    except (OSError, StorageInternalError):
        return True
