"""How a process ends: exit codes, and the errors that end a search; and how it logs."""

from __future__ import annotations

import logging
import sys

import optuna
from optuna.exceptions import StorageInternalError

from trainers.errors import first_line

FAILED, BAD_INPUT = 1, 2  # exit codes


def reason_of(error: StorageInternalError) -> str:
    """The first line of what a driver or the operating system said; Optuna's own text is a guess."""
    return first_line(error.__cause__ or error)


def set_up_logging(level: int = logging.INFO) -> None:
    """Our messages from this level on, others' from WARNING on, to stderr."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # "falling back to a slower alternative", when in truth the server is away: hpo.storage.retrying says so and tries again
    logging.getLogger("optuna.storages._rdb.storage").setLevel(logging.ERROR)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr, force=True)
    for ours in ("hpo", "trainers"):
        logging.getLogger(ours).setLevel(level)


class SearchFailed(RuntimeError):
    """Too many trials failed, or the workers themselves; the message lists the reasons."""


class StudyDeleted(SearchFailed):
    """The study was deleted while it was worked on."""


class FolderGone(SearchFailed):
    """The study's folder was moved or deleted while the study was worked on."""
