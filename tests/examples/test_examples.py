"""The examples run unchanged, with smaller searches."""

from __future__ import annotations

import ast
import re
import runpy
import sys
import textwrap
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any

import pytest

from hpo import api
from hpo.reporting import dashboard_sync
from search_spaces import SPACES
from search_spaces.fields import FIELDS
from trainers.losses import LOSSES
from trainers.losses.own import OWN

from ..hpo.conftest import Postgres, postgres  # noqa: F401
from ..test_architecture import ROOT

EXAMPLES = ROOT / "examples"
SEARCH = api.search
SMALL = {"encoder": {"name": "mf", "dim": 8}, "batch_size": 4096}  # the cache of the tests has kernels of width 8


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder, with calls of the examples that train as little as possible."""

    def smaller(call: Callable[..., Any], **changes: Any) -> Callable[..., Any]:
        return wraps(call)(lambda *given, **more: call(*given, **more | changes))

    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(dashboard_sync, "pictures", lambda overview: {})  # drawing takes longer than this training
    monkeypatch.setattr(api, "search", smaller(api.search, trials=1, epochs=1, config=SMALL))
    monkeypatch.setattr(api, "confirm", smaller(api.confirm, top=1, select_seeds=1, seeds=2, epochs=1))
    yield tmp_path
    sys.modules.pop("my_loss", None)
    for table in (LOSSES, OWN, FIELDS, SPACES):
        table.pop("soft_hinge", None)  # type: ignore[attr-defined]


def test_every_example_is_run():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {
        *("quickstart", "own_csv", "own_loss", "my_loss"),
        *("compare_libraries", "resume_on_postgresql", "journal_to_pandas"),
    }


def test_quickstart(small: Path, capsys: pytest.CaptureFixture[str]):
    left = runpy.run_path(str(EXAMPLES / "quickstart.py"), run_name="__main__")
    assert len(left["table"]) > 0
    assert {"CCL tuned", "BSL tuned"} <= {label.partition(" (")[0] for label in left["verdict"].table.index}
    assert (small / "verdict.html").exists()
    assert "Study demo_mml: 1 of 1 trials finished" in capsys.readouterr().out


def test_own_loss(small: Path, capsys: pytest.CaptureFixture[str]):
    left = runpy.run_path(str(EXAMPLES / "own_loss.py"), run_name="__main__")
    labels = left["verdict"].table.index
    assert labels[0] == "SoftHinge tuned"
    assert {"MML tuned", "BSL tuned"} <= {label.partition(" (")[0] for label in labels}
    assert "two_tastes.npz" in capsys.readouterr().out


def test_own_csv(small: Path):
    left = runpy.run_path(str(EXAMPLES / "own_csv.py"), run_name="__main__")
    assert {"MML tuned", "CCL tuned", "BSL tuned"} <= {label.partition(" (")[0] for label in left["verdict"].table.index}
    assert left["verdict"].confirmed.data.facts.min_rating == 4


def test_compare_libraries(small: Path, capsys: pytest.CaptureFixture[str]):
    left = runpy.run_path(str(EXAMPLES / "compare_libraries.py"), run_name="__main__")
    assert left["code"] == 0
    assert "neighbours is better than popular: ndcg@20" in capsys.readouterr().out
    assert (small / "compared" / "compare.html").exists()


def test_resume_on_postgresql(small: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch):  # noqa: F811
    monkeypatch.setenv("HPO_STORAGE", postgres.new_database())
    monkeypatch.setattr(api, "search", lambda *given, **more: SEARCH(*given, **more, config=SMALL))
    left = runpy.run_path(str(EXAMPLES / "resume_on_postgresql.py"), run_name="__main__")
    assert len(left["study"].trials) == 8


def test_journal_to_pandas(small: Path):
    left = runpy.run_path(str(EXAMPLES / "journal_to_pandas.py"), run_name="__main__")
    assert [*left["curves"].columns] == [*left["trials"]["number"]]


def test_the_code_of_the_page_on_python_is_valid_and_the_page_has_every_argument():
    text = (ROOT / "docs" / "python.md").read_text()
    tree = ast.parse("\n".join(textwrap.dedent(block) for block in code_of(text)))
    assert sum(isinstance(node, ast.Call) for node in ast.walk(tree)) > 12
    asked = {*api._SearchArguments.model_fields, *api._ConfirmArguments.model_fields, *api.KEYS}
    assert not {name for name in asked if name not in text}
    assert (EXAMPLES / "my_loss.py").read_text().split("gaps = ")[1].strip() in re.sub(r"\n +", "\n        ", text)


def code_of(text: str) -> list[str]:
    """The indented blocks of a page. An empty line does not end a block."""
    found, block = [], list[str]()
    for line in [*text.splitlines(), "end"]:
        if line.startswith("    ") or (not line and block):
            block.append(line)
        elif block:
            found.append("\n".join(block))
            block = []
    return found
