"""A call from Python, in a program or a notebook: what it prints, how it is interrupted, what it leaves as it was."""

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

KEPT = "what is finished is kept, and so is a checkpoint of what was being trained; the same call continues"
# Flags that messages name, and what the arguments are called; the others are called alike.
ARGUMENTS = {"study-name": "name=...", "confirm-seeds": "seeds", "confirm-epochs": "epochs"}
SAME = "batch-size data-dir device engine lanes output rival-seeds searches stale-after storage study timeout trials workers"
FLAG = re.compile(rf"--({'|'.join([*ARGUMENTS, *SAME.split()])})\b")


@contextmanager
def call(progress: bool) -> Iterator[tuple[Console, Stopper]]:
    """Within the block: a console that prints what a command prints, or nothing, and a stopper that hears Ctrl-C. After it
    handlers of signals, loggers and threads are as they were before.

    Raises:
        InputError, SearchFailed: those of the block; they name arguments where a command's would name flags.
        KeyboardInterrupt: Ctrl-C, once what is finished is kept.
    """
    with in_words_of_python(), logging_within(progress):
        from trainers.engines.resources import sharing  # engines take seconds to load

        note_revision()
        with sharing(), catching_for_a_program(KEPT) as stopper:
            yield console(progress), stopper


def console(progress: bool = True) -> Console:
    """A terminal is drawn on. A notebook, which may say that it is a terminal, gets plain lines: one below the other in one
    output, not a box for each, and nothing that is drawn over again."""
    return Console(quiet=not progress, force_jupyter=False, force_terminal=False if Console().is_jupyter else None)


def printed(show: Callable[[Console], None]) -> str:
    """What is printed on a console, as text of the width that the terminal has."""
    text = io.StringIO()
    show(Console(file=text, width=console().width, force_jupyter=False, force_terminal=False))
    return text.getvalue().rstrip("\n")


@contextmanager
def in_words_of_python() -> Iterator[None]:
    """Within the block, messages that name flags are raised with the names of arguments."""
    try:
        yield
    except (InputError, SearchFailed) as error:
        said = as_arguments(str(error))
        if said == str(error):
            raise
        raise type(error)(said) from None


def as_arguments(message: str) -> str:
    """A message in which arguments stand for the flags that are called so."""
    named = FLAG.sub(lambda found: ARGUMENTS.get(found[1], found[1].replace("-", "_")), message)
    return named.replace("this command", "this call").replace("same command", "same call")
