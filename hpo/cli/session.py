"""Runs a call from Python, in a program or a notebook: its output, Ctrl-C, and restored handlers and loggers."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

from hpo.runs.provenance import note_revision
from hpo.runtime.process import SearchFailed, logging_within
from hpo.runtime.signals import Stopper, catching_for_a_program
from trainers.errors import InputError

KEPT = "finished work and checkpoints are kept; the same call continues"
# The arguments for flags in messages. Arguments that are not here are named like their flags.
ARGUMENTS = {"study-name": "name=...", "confirm-seeds": "seeds", "confirm-epochs": "epochs"}
SAME = (
    "baseline-trials batch-size checkpoint-every data-dir device engine lanes max-memory output rival-seeds searches "
    "stale-after storage study timeout trials workers"
)
FLAG = re.compile(rf"--({'|'.join([*ARGUMENTS, *SAME.split()])})\b")


@contextmanager
def call(progress: bool) -> Iterator[tuple[Console, Stopper]]:
    """Yields a console, which prints nothing if `progress` is false, and a stopper that notices Ctrl-C.

    After the block, signal handlers, loggers and thread counts are as before.

    Raises:
        InputError, SearchFailed: those of the block, with the names of arguments in place of flags.
        KeyboardInterrupt: Ctrl-C, after finished work was saved.
    """
    with in_words_of_python(), logging_within(progress):
        from trainers.engines.resources import sharing  # engines take seconds to load

        note_revision()
        with sharing(), catching_for_a_program(KEPT) as stopper:
            yield console(progress), stopper


def console(progress: bool = True) -> Console:
    """A console for Python calls. A notebook gets plain lines in one output, without live displays."""
    return Console(quiet=not progress, force_jupyter=False, force_terminal=False if Console().is_jupyter else None)


def printed(show: Callable[[Console], None]) -> str:
    """The output of `show` as text, in the width of the terminal."""
    text = io.StringIO()
    show(Console(file=text, width=console().width, force_jupyter=False, force_terminal=False))
    return text.getvalue().rstrip("\n")


@contextmanager
def in_words_of_python() -> Iterator[None]:
    """Within the block, replace flags in error messages by the names of arguments."""
    try:
        yield
    except (InputError, SearchFailed) as error:
        said = as_arguments(str(error))
        if said == str(error):
            raise
        raise type(error)(said) from None


def as_arguments(message: str) -> str:
    """A message with flags replaced by the names of arguments. Commands, in backquotes, keep their flags."""
    parts = message.split("`")
    parts[::2] = [FLAG.sub(lambda found: ARGUMENTS.get(found[1], found[1].replace("-", "_")), part) for part in parts[::2]]
    return "`".join(parts).replace("this command", "this call").replace("same command", "same call")
