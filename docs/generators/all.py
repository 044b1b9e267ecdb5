"""Every generated file."""

from __future__ import annotations

from pathlib import Path

from docs.generators import commands, diagrams, gradients, studies

DOCS = Path(__file__).resolve().parents[1]


def files() -> dict[str, str]:
    """The text of each generated file, by its path in docs/."""
    return {
        "commands.md": commands.page(),
        "studies.md": studies.page(),
        **{f"images/{name}.svg": picture for name, picture in (gradients.pictures() | diagrams.pictures()).items()},
    }
