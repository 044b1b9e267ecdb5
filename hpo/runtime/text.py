"""Texts that several packages print."""

from __future__ import annotations

from collections.abc import Iterable

from trainers.text import counted as counted  # trainers counts in its messages, too

CHANGE_OUTPUT_HINT = "give another folder with --output"  # the remedy for a folder that cannot be written


def listed(parts: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last


def finished_of(finished: int, budget: int, what: str = "") -> str:
    """`3 of 8 finished`, or `11 finished (8 asked for)` if several workers ended together or the budget was lowered."""
    words = f"{what} finished".strip()
    return f"{finished} of {budget} {words}" if finished <= budget else f"{finished} {words} ({budget} asked for)"


def duration(seconds: float) -> str:
    """`45 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
