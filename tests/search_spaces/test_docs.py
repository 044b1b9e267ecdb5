"""docs/search.md has the searched ranges."""

from __future__ import annotations

import re
from pathlib import Path

from search_spaces import SPACES
from search_spaces.base import ALSO
from search_spaces.baselines import BASELINE_RANGES
from search_spaces.parameters import said

DOCS = Path(__file__).parents[2] / "docs" / "search.md"
ROW = re.compile(r"\| ([^|]+) \| `(\w+)` \| ([^|]+) \|")


def test_every_range_is_in_the_docs():
    written = {
        (space, parameter, said_range)
        for spaces, parameter, said_range in ROW.findall(DOCS.read_text())
        for space in spaces.replace(", by `also`", "").split(", ")
    }
    made = {
        (name, parameter, said(searched.box()))
        for name, space in SPACES.items()
        for parameter, searched in space.loss_parameters(name).items()
    }
    assert written == made | {("any", name, said(searched.box())) for name, searched in ALSO.items()}


def test_every_range_of_a_baseline_is_in_the_docs():
    rows = re.findall(r"\| `(\w+)` \| [^|]+ \| ([^|]+) \|", DOCS.with_name("protocol.md").read_text())
    made = {
        name: ", ".join(f"`{setting}` {said(searched.box())}" for setting, searched in ranges.items()) or "nothing"
        for name, ranges in BASELINE_RANGES.items()
    }
    assert dict(rows) == made
