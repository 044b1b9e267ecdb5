"""Names of studies and of the repeats of a search, and of the files that hold their configs."""

from __future__ import annotations

import re

from trainers.errors import InputError
from trainers.text import shown

NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
MAX_SEARCHES = 20
TRAIN_FOLDER = "train"
WINNER, BEST, BEST_TRIAL = "winner.yaml", "best.yaml", "best_trial.yaml"  # configs in a study's folder
# other files and folders in the output folder
RESERVED_NAMES = ("journal.log", "replicate", "artifacts", "compare", TRAIN_FOLDER)


def repeat_name(name: str, number: int) -> str:
    """The name of a study's repeat, from number 2 on."""
    return f"{name}-search{number}"


def names_of_searches(name: str) -> list[str]:
    """The names of a study and of all its possible repeats."""
    return [name, *(repeat_name(name, number) for number in range(2, MAX_SEARCHES + 1))]


def is_yaml(name: str) -> bool:
    """Whether a name is that of a YAML file."""
    return name.endswith((".yaml", ".yml"))


def check_name(name: str) -> str:
    """Return the name, if it can be the name of a folder.

    Raises:
        InputError: it is no text, has characters other than letters, digits, dots, underscores and hyphens, is empty or too
            long, is that of a YAML file, which `--study` would read, or is reserved.
    """
    if not isinstance(name, str) or not NAME_PATTERN.fullmatch(name) or is_yaml(name) or name in RESERVED_NAMES:
        raise InputError(
            "a study's name must have 1 to 100 letters, digits, '.', '_' and '-', start with a letter or digit, not end in "
            f".yaml or .yml, and not be {' or '.join(RESERVED_NAMES)}, got {shown(name)}; give another name"
        )
    return name
