"""Errors that callers are expected to handle."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from trainers.text import SHOWN, clipped, shown


class InputError(ValueError):
    """The user's input breaks a rule. The message gives the rule, the offending value and the remedy."""


class DataNotFound(InputError):
    """There is no dataset of that name or path."""


class TrainingDiverged(RuntimeError):
    """Training produced a value that is not finite.

    Attributes:
        epoch: the epoch (from 1) in which it happened.
        reason: what was not finite.
    """

    def __init__(self, epoch: int, reason: str) -> None:
        super().__init__(f"training diverged in epoch {epoch}: {reason}; a smaller learning_rate usually helps")
        self.epoch = epoch
        self.reason = reason


class OutOfMemory(RuntimeError):
    """The device ran out of memory.

    Attributes:
        reason: where it ran out of memory.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"{reason}; fewer lanes or workers, a smaller batch_size or fewer negatives need less memory")
        self.reason = reason


def first_line(error: BaseException, text: str | None = None) -> str:
    """The first line of an error's message, or of `text`, shortened; the name of the error's type if it is empty."""
    lines = (str(error) if text is None else text).strip().splitlines()
    return clipped(lines[0]) if lines else type(error).__name__


def unknown(kind: str, name: object, known: Iterable[str], instead: str = "") -> str:
    """`unknown loss 'mmll'; did you mean 'mml'? known: bsl, ccl, mml`; `instead` replaces the list of names."""
    names = sorted(known)
    lower = {known_name.lower(): known_name for known_name in names}  # EASE is near to ease
    near = difflib.get_close_matches(str(name)[:SHOWN].lower(), lower, n=1)
    hint = f" did you mean {lower[near[0]]!r}?" if near else ""
    return f"unknown {kind} {shown(name)};{hint} known: {instead or ', '.join(names)}"
