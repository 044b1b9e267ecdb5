"""Exit codes, errors that end a search, logging, and terminal output."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import optuna
from optuna.exceptions import StorageInternalError

from trainers.errors import first_line
from trainers.text import visible

FAILED, BAD_INPUT = 1, 2  # exit codes


def reason_of(error: StorageInternalError) -> str:
    """The first line of the driver's or operating system's message; Optuna's own text is a guess."""
    return first_line(error.__cause__ or error)


def set_up_output() -> None:
    """Escape characters that a terminal cannot show, e.g. as `\\xb1`, so that output never raises an encoding error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


DATA = "trainers.data.datasets"  # it warns of dropped interactions; commands print these facts themselves


def say_error(text: object) -> None:
    """Print an error to stderr, with control characters escaped."""
    print(f"error: {visible(str(text))}", file=sys.stderr)


class _Visible(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record))


def set_up_logging(level: int = logging.INFO) -> None:
    """Log to stderr: this program's messages from `level` on, others from WARNING on, with control characters escaped."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    optuna.logging.disable_default_handler()
    optuna.logging.enable_propagation()
    # Optuna warns of "falling back to a slower alternative" if the server is away; hpo.storage.retrying reports and retries
    logging.getLogger("optuna.storages._rdb.storage").setLevel(logging.ERROR)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Visible("%(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for ours in ("hpo", "trainers"):
        logging.getLogger(ours).setLevel(level)
    logging.getLogger(DATA).setLevel(logging.ERROR)


@contextmanager
def logging_within(shown: bool) -> Iterator[None]:
    """Within the block, send this program's messages and Optuna's warnings to the user's logging, or to stderr if the user has
    set up none; to nowhere in that case if `shown` is false. Loggers are restored afterwards.
    """
    optuna.logging.get_verbosity()  # creates Optuna's handler if necessary
    handler: logging.Handler = logging.StreamHandler(sys.stderr) if shown else logging.NullHandler()
    handler.setFormatter(_Visible("%(message)s"))
    levels = {"optuna": logging.WARNING, "optuna.storages._rdb.storage": logging.ERROR}
    levels |= dict.fromkeys(("hpo", "trainers"), logging.INFO if shown else logging.WARNING)
    levels |= {DATA: logging.ERROR if shown else logging.WARNING}
    loggers = {name: logging.getLogger(name) for name in levels}
    before = {name: (logger.level, logger.handlers[:], logger.propagate) for name, logger in loggers.items()}
    try:
        for name, level in levels.items():
            loggers[name].setLevel(level)
        for name in ("hpo", "trainers", "optuna"):
            loggers[name].handlers[:] = [] if logging.root.handlers else [handler]
            loggers[name].propagate = bool(logging.root.handlers)
        yield
    finally:
        for name, (level, handlers, propagate) in before.items():
            loggers[name].handlers[:] = handlers
            loggers[name].propagate = propagate
            loggers[name].setLevel(level)


class SearchFailed(RuntimeError):
    """Too many trials or workers failed; the message lists the reasons."""


class TooManyFailedTrials(SearchFailed):
    """Too many trials of a study failed because of their configs."""


class StudyDeleted(SearchFailed):
    """The study was deleted while it was used."""


class FolderGone(SearchFailed):
    """The study's folder was moved or deleted while the study was used."""
