"""Held-out pairs for tests."""

from __future__ import annotations

from trainers import Interactions


def apart(seen: Interactions, drawn: Interactions) -> tuple[Interactions, Interactions]:
    """Both, the second one without pairs of the first."""
    return seen, drawn.where(~seen.contains(drawn.users, drawn.items))
