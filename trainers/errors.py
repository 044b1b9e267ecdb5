"""The failures that a caller is expected to handle."""

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
    """The device has no memory left for what runs on it.

    Attributes:
        reason: where it ran out.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"{reason}; fewer lanes or workers, a smaller batch_size or fewer negatives need less")
        self.reason = reason


def first_line(error: BaseException, text: str | None = None) -> str:
    """The first line of what an error says, or of `text` in its place, shortened; the type's name where that is empty."""
    lines = (str(error) if text is None else text).strip().splitlines()
    return clipped(lines[0]) if lines else type(error).__name__


def unknown(kind: str, name: object, known: Iterable[str], instead: str = "") -> str:
    """`unknown loss 'mmll'; did you mean 'mml'? known: bsl, ccl, mml`; `instead` of the names where they are too many."""
    names = sorted(known)
    lower = {known_name.lower(): known_name for known_name in names}  # EASE is near to ease
    near = difflib.get_close_matches(str(name)[:SHOWN].lower(), lower, n=1)
    hint = f" did you mean {lower[near[0]]!r}?" if near else ""
    return f"unknown {kind} {shown(name)};{hint} known: {instead or ', '.join(names)}"
