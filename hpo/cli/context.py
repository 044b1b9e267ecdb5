"""Finds the study that the flags of a command name."""

from __future__ import annotations

import argparse
import logging
import math
import shlex
from pathlib import Path

import optuna
from optuna.storages import BaseStorage

from hpo.cli.flags import OUTPUT
from hpo.search.claims import reap
from hpo.storage.address import storage_url, without_password
from hpo.storage.journal import JOURNAL
from hpo.storage.open import open_storage
from hpo.study.definition import stored_definition
from hpo.study.rivals import RivalStudies, kept_rivals
from hpo.study.spec import StudySpec, is_study_file
from hpo.study.stored import find_study, is_ours, stored_spec
from hpo.study.stored import stored_study as read_stored_study
from hpo.study.workspace import Workspace
from trainers.engines import EngineChoice
from trainers.engines.registry import AUTO
from trainers.errors import DataNotFound, InputError

log = logging.getLogger(__name__)


def stored_name(study: str) -> str:
    """The stored name of a study that is given by its name or file."""
    return Path(study).stem if is_study_file(study) else study


def sound_spec(study: optuna.Study) -> StudySpec | None:
    """The spec of a study; None if another program made it, or, with a warning, if it is damaged."""
    try:
        return stored_spec(study) if is_ours(study) else None
    except InputError as error:
        log.warning("%s", error)
        return None


def stored_study(arguments: argparse.Namespace, to_write: bool = False) -> tuple[StudySpec, optuna.Study, BaseStorage]:
    """A stored study: its spec, the study, and its storage.

    Args:
        to_write: requeue the trials of dead workers. If false, a journal is neither locked nor changed.

    Raises:
        InputError: there is no such storage or study, or it is damaged.
    """
    storage = open_storage(storage_url(arguments.storage, arguments.output), create=False, to_write=to_write)
    study = find_study(storage, stored_name(arguments.study))
    spec = stored_spec(study)
    if to_write:
        reap(study, stale_hours=math.inf)  # this machine's trials only: the patience for other machines is unknown here
    return spec, study, storage


def existing_workspace(arguments: argparse.Namespace, to_train: bool = True) -> tuple[Workspace, optuna.Study, BaseStorage]:
    """The workspace of a stored study, the study, and its storage.

    Args:
        to_train: whether the study's engine and rivals are needed.

    Raises:
        InputError: there is no such storage or study, or its data have changed; with `to_train`, this machine lacks its engine,
            or a rival is missing or broken.
    """
    spec, study, storage = stored_study(arguments, to_write=to_train)
    where, kept = (spec, arguments.output, arguments.data_dir), read_stored_study(study)
    rivals = kept_rivals(kept) if to_train else RivalStudies(kept.rivals, kept.left_out)
    engine = stored_definition(study.study_name, study.user_attrs).engine
    try:
        work = Workspace.open(*where, engine, AUTO, rivals=rivals.specs, left_out=rivals.left_out)
    except InputError:
        if to_train:
            raise
        choice = EngineChoice(engine, "", "the engine of the search, on another machine")
        work = Workspace(*where, choice, tuple(rivals.specs), left_out=rivals.left_out)
    try:
        work.check_data(study)
    except DataNotFound as error:
        raise InputError(
            f"{error}; if the data have moved, give their folder with --data-dir, or run hpo.run once with a study file that "
            "has the new path"
        ) from None
    return work, study, storage


def location_flags(output: Path, url: str) -> str:
    """The flags that let another command find the same studies, each after a space; empty if they lie in the default place.

    Args:
        url: URL or journal path of the storage; a password in it is not shown.
    """
    flags = [] if output == OUTPUT else ["--output", str(output)]
    if url != str(output / JOURNAL):
        flags += ["--storage", without_password(url)]
    return "".join(f" {shlex.quote(flag)}" for flag in flags)


def shown_storage(arguments: argparse.Namespace) -> str:
    """The storage, without its password, for messages."""
    return without_password(storage_url(arguments.storage, arguments.output))
