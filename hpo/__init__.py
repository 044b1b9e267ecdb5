"""What a person runs: studies, search, confirmation, export. Commands are modules: python -m hpo.run, hpo.train, ..."""

import os
import signal
import sys
from importlib.util import find_spec
from pathlib import Path
from types import FrameType

MOST_THREADS = 4096  # more than any machine has; numba starts all of them


def _is_a_command() -> bool:
    """Whether a command is being started, `python -m hpo.NAME`, and this is no import by another program."""
    if sys.argv[0] != "-m":  # what Python puts there while it looks for the module that it is to run
        return False
    words = sys.orig_argv
    return "-m" in words[:-1] and words[words.index("-m") + 1].partition(".")[0] == "hpo"


def _end_at_once(signum: int, frame: FrameType | None) -> None:
    """Ctrl-C while a command loads its libraries: nothing has begun, and where they were interrupted helps nobody."""
    os.write(2, b"interrupted\n")
    os._exit(130)


def _refuse_hidden_packages() -> None:
    """Say so where a file or folder of the user's bears the name of a package of ours, before it is imported in its place.

    `python -m` looks into the current folder first.
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
            f"`python -P -m {command}`, which does not look into the current one"
        )
        if _is_a_command():
            print(f"error: {message}", file=sys.stderr)
            raise SystemExit(2)
        raise ImportError(message)


def _refuse_thread_counts() -> None:
    """Say so where a variable that numba or joblib reads is no number of threads: they end in a traceback, or crash."""
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
