"""Whose a study's folder is: one study of one storage. A copy of a study has its attributes, but not its name or storage."""

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
        study_id: which of all studies of this name it is.
        storage: where that is, see `hpo.storage.open.location`; relative to the output folder where it lies in there, so that
            both can be moved. Empty where nobody can say.
    """

    FORMAT: ClassVar[int] = 1
    study: str
    study_id: str
    storage: str

    @classmethod
    def of(cls, study: optuna.Study, folder: Path) -> Owner:
        """A study, as the owner of a folder."""
        where, output = location(study._storage), folder.parent.resolve()
        if where and "://" not in where and Path(where).is_relative_to(output):
            where = str(Path(where).relative_to(output))
        return cls(study=study.study_name, study_id=str(study.user_attrs.get(STUDY_ID)), storage=where)

    @classmethod
    def read(cls, folder: Path) -> Owner | None:
        """The owner of a folder, None where none is noted.

        Raises:
            InputError: the note is damaged, or has another format.
        """
        path = folder / OWNER
        if not path.exists():
            return None
        return cls.from_dict(read_yaml(path), str(path), "restore it, or move that folder away")

    def write(self, folder: Path) -> None:
        """Note it in the folder, which is made.

        Raises:
            InputError: the folder cannot be written.
        """
        write_text(folder / OWNER, to_yaml(self.to_dict()), CHANGE_OUTPUT_HINT)

    def is_same(self, other: Owner, folder: Path) -> bool:
        """Whether this, noted in a folder, is the study that is at hand: a storage whose file is gone was moved."""
        if (self.study, self.study_id) != (other.study, other.study_id):
            return False
        if self.storage in ("", other.storage) or not other.storage:
            return True
        here, there = (folder.parent / one.storage for one in (self, other))
        try:
            if "://" in self.storage or "://" in other.storage:
                return "://" not in self.storage and not here.exists()
            return not here.exists() or (there.exists() and here.samefile(there))
        except OSError:  # it cannot be looked at, so it is not gone
            return False

    def __str__(self) -> str:
        return f"study {self.study!r} on {self.storage or 'a storage behind a proxy'}"


def refuse_others(folder: Path, study: optuna.Study | None) -> None:
    """Look whose a study's folder is, before anything is written there; None: a study that is yet to be made.

    Raises:
        InputError: another study's, or nobody can say whose.
    """
    found = Owner.read(folder)
    ours = None if study is None else Owner.of(study, folder)
    if found is None or (ours is not None and found.is_same(ours, folder)):
        return
    now, address = "which is in another storage, or was deleted", ""
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
    """Note that a folder, which is no other's, is a study's, before anything else is written there.

    Args:
        holds_its_results: whether files in it say that they are the study's.

    Raises:
        InputError: the folder cannot be written, or holds files that nobody has noted: to delete the study would delete them.
    """
    ours, found = Owner.of(study, folder), Owner.read(folder)
    foreign = sorted(path.name for path in _files_in(folder) if not path.name.startswith("."))
    if found is None and foreign and not holds_its_results:
        raise InputError(
            f"{folder} holds files that are not this study's ({', '.join(foreign[:3])}), since it has no {OWNER}; move them "
            "away, or give another --output or --study-name"
        )
    if found is None or (ours.storage and found != ours):
        ours.write(folder)


def _files_in(folder: Path) -> list[Path]:
    try:
        return [*folder.iterdir()]
    except OSError:  # there is none, or it says so itself when it is written
        return []


def is_claimed(folder: Path) -> bool:
    """Whether a folder is a study's; not any more after it was moved or deleted."""
    return (folder / OWNER).exists()


@contextmanager
def while_it_exists(study: optuna.Study, doing: str, folder: Path | None = None) -> Iterator[None]:
    """Within the block, a study that is deleted, or whose folder is moved or deleted, ends the work with one message.

    Args:
        doing: what is done with it, such as `searched`.
        folder: the study's own, where the work needs one.

    Raises:
        StudyDeleted, FolderGone: that has happened.
    """
    try:
        yield
    except (StudyDeleted, FolderGone):  # of a rival's study, or of an inner block
        raise
    except (KeyError, OSError, InputError, SearchFailed, StorageInternalError):  # KeyError: also of any mistake of ours
        name = study.study_name
        if not _exists(study):
            raise StudyDeleted(f"study {name!r} was deleted while it was {doing}; search it anew with hpo.run") from None
        if folder is not None and not is_claimed(folder):
            raise FolderGone(
                f"{folder} was moved or deleted while study {name!r} was {doing}; what is finished and was not deleted is kept "
                "where it is now: move it back, or give its new place with --output, and the same command continues"
            ) from None
        raise


def _exists(study: optuna.Study) -> bool:
    """Whether a study is still there, as far as its storage says; one that does not answer has not deleted it."""
    try:
        return isinstance(study.user_attrs, dict)  # the storage is asked for them
    except KeyError:
        return False
    except (OSError, StorageInternalError):
        return True
