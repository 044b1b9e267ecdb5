"""Recording numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .golden import VERSION, Golden


def test_a_new_record_leaves_the_lines_of_the_others_alone(tmp_path: Path):
    """Keys may be measured in another order than they were."""
    numbers: dict[str, dict[str, Any]] = {"old": {VERSION: 1, "metrics": {"ndcg@20": 0.2, "recall@20": 0.5}}}
    golden = Golden(tmp_path / "golden.json", (), ["old"], numbers.__getitem__, lambda *_: True, "a version")
    golden.update(write=True)
    before = golden.file.read_text()
    numbers["old"] = {"metrics": {"recall@20": 0.5, "ndcg@20": 0.2}, VERSION: 1}
    golden.update(write=True)
    assert golden.file.read_text() == before
    numbers["new"] = {VERSION: 1, "metrics": {}}
    more = Golden(golden.file, (), ["old", "new"], numbers.__getitem__, golden.is_close, golden.which)
    more.update(write=True)
    assert json.loads(golden.file.read_text())["numbers"].keys() == {"old", "new"}
    assert set(before.splitlines()) - set(golden.file.read_text().splitlines()) <= {"  }"}
