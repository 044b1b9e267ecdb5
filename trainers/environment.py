"""Environment variables of this program."""

from __future__ import annotations

import os

from trainers.errors import InputError
from trainers.text import shown


def variable(name: str) -> str | None:
    """The value of a variable; None if it is not set or empty.

    Raises:
        InputError: it is blank.
    """
    value = os.environ.get(name)
    if value and not value.strip():
        raise InputError(f"{name} must hold more than spaces, got {shown(value)}; give it a value, or unset it")
    return value or None
