"""The commands: search, confirmation, export and others. Each is a module, such as python -m hpo.run."""

import os
import signal
import sys
from importlib.util import find_spec
from pathlib import Path
from types import FrameType

MOST_THREADS = 4096  # more than any machine has; numba starts all of them


def _is_a_command() -> bool:
    """Whether Python is starting a command, `python -m hpo.NAME`; False if another program imports this package."""
    if sys.argv[0] != "-m":  # Python's value while it looks for the module to run
        return False
    words = sys.orig_argv
    return "-m" in words[:-1] and words[words.index("-m") + 1].partition(".")[0] == "hpo"


def _end_at_once(signum: int, frame: FrameType | None) -> None:
    """Handle Ctrl-C while a command loads its libraries: end without a traceback."""
    os.write(2, b"interrupted\n")
    os._exit(130)


def _refuse_hidden_packages() -> None:
    """Refuse to run if a user's file or folder has the name of a package of this program and would be imported instead.

    `python -m` searches the current folder first.
    """
    home = Path(__file__).resolve().parent.parent
    for name in ("search_spaces", "studies", "trainers"):
        found = find_spec(name)
        if found is None or found.origin is None or Path(found.origin).resolve().parent == home / name:
            continue
        words = sys.orig_argv
        command = words[words.index("-m") + 1] if "-m" in words[:-1] else "hpo.run"
        message = (
            f"{found.origin} hides the package {name} of this program; run it in another folder, or as "
            f"`python -P -m {command}`, which does not search the current folder"
        )
        if _is_a_command():
            print(f"error: {message}", file=sys.stderr)
            raise SystemExit(2)
        raise ImportError(message)


def _refuse_thread_counts() -> None:
    """Refuse bad thread counts in the variables of numba and joblib, which would end with a traceback or crash."""
    for name in ("NUMBA_NUM_THREADS", "LOKY_MAX_CPU_COUNT"):
        given = os.environ.get(name, "1")
        try:
            is_right = 1 <= int(given) <= MOST_THREADS
        except ValueError:
            is_right = False
        if not is_right:
            print(
                f"error: {name} must be a whole number from 1 to {MOST_THREADS:,}, got {given[:80]!r}; set it to one, such as "
                f"{os.cpu_count()}, or unset it",
                file=sys.stderr,
            )
            raise SystemExit(2)


if _is_a_command() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # until `hpo.cli.entry` takes over
    signal.signal(signal.SIGINT, _end_at_once)
if _is_a_command():
    _refuse_thread_counts()
_refuse_hidden_packages()
