"""What a person runs: studies, search, confirmation, export. Commands are modules: python -m hpo.run, hpo.train, ..."""

import sys
from importlib.util import find_spec
from pathlib import Path


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
        if sys.argv[0] == "-m":  # what Python puts there while it looks for the module that it is to run
            print(f"error: {message}", file=sys.stderr)
            raise SystemExit(2)
        raise ImportError(message)


_refuse_hidden_packages()
