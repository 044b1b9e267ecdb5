"""Runs a command: errors that a user can act on become one message and an exit code, not a traceback."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from optuna.exceptions import StorageInternalError

from hpo.runs.provenance import note_revision
from hpo.runtime.process import BAD_INPUT, FAILED, SearchFailed, reason_of, say_error, set_up_logging, set_up_output
from hpo.runtime.signals import StoppedBySignal, hear_ctrl_c
from hpo.storage.address import has_password, storage_url
from trainers.errors import InputError, OutOfMemory, TrainingDiverged, unknown


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, like those of the program. argparse would print the usage before them."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see {self.prog} --help")


def command_parser(name: str, description: str | None, example: str) -> Parser:
    """The parser of `python -m hpo.NAME`, with an example of its arguments below its help."""
    program = f"python -m hpo.{name}"
    return Parser(prog=program, description=description, epilog=f"example: {program} {example}")


def entry(
    parser: argparse.ArgumentParser,
    argv: list[str] | None,
    command: Callable[[argparse.Namespace], int],
    stopped: str = "finished work and checkpoints are kept; the same command continues",
    trains: bool = False,
) -> int:
    """Parse the arguments and run the command; returns its exit code.

    Args:
        stopped: the end of the message after a signal.
        trains: whether the command uses an engine, whose libraries take seconds to load.
    """
    hear_ctrl_c()
    set_up_output()
    try:
        return command(_parsed(parser, argv, trains))
    except SystemExit as error:  # after --help
        return error.code if isinstance(error.code, int) else FAILED
    except InputError as error:
        say_error(error)
        return BAD_INPUT
    except (SearchFailed, TrainingDiverged, OutOfMemory) as error:
        say_error(error)
        return FAILED
    except StoppedBySignal as stop:
        print(f"{stop}; {stopped}", file=sys.stderr)
        return stop.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except StorageInternalError as error:
        say_error(f"the storage failed: {reason_of(error)}; finished work is kept, and the same command continues")
        return FAILED
    except BrokenPipeError:  # the reader of the output, such as `head`, has ended
        sys.stderr.close()
        return FAILED


def _check_storage(arguments: argparse.Namespace) -> None:
    """Refuse a misspelt URL before anything is read, and warn of a visible password."""
    if not hasattr(arguments, "storage"):
        return
    storage_url(arguments.storage, getattr(arguments, "output", None))
    if arguments.storage and has_password(arguments.storage):
        print(
            "warning: other users can see the password in --storage with `ps`; set HPO_STORAGE or use ~/.pgpass instead",
            file=sys.stderr,
        )


def _check_flags(parser: argparse.ArgumentParser, argv: Sequence[str]) -> None:
    """Refuse a misspelt flag by its name. argparse would only say that another flag is missing."""
    parsers, known = [parser], set[str]()
    while parsers:
        for action in parsers.pop()._actions:
            known.update(action.option_strings)
            if isinstance(action, argparse._SubParsersAction):
                parsers += action.choices.values()
    for argument in argv[: argv.index("--")] if "--" in argv else argv:
        flag = argument.partition("=")[0]
        if flag.startswith("--") and not any(name.startswith(flag) for name in known):
            raise InputError(unknown("flag", flag, known, "those in --help"))


def _parsed(parser: argparse.ArgumentParser, argv: list[str] | None, trains: bool) -> argparse.Namespace:
    """The parsed arguments; sets up logging and threads."""
    _check_flags(parser, sys.argv[1:] if argv is None else argv)
    arguments = parser.parse_args(argv)
    set_up_logging()
    _check_storage(arguments)
    if trains:
        from trainers.engines.resources import take_share

        take_share(0, 1)
    note_revision()
    return arguments
