"""The arguments of a comparison: names, paths, folders, patterns and seeds."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpo.comparison.arguments import Asked, read_methods
from trainers.errors import InputError

TABLE = "user,ndcg@20\n1,0.5\n2,0.25\n"
FILES = ["a.csv", "b_1.csv", "b_2.csv", "run/a.csv", "run/c.tsv.gz", "x=y.csv", "p,q.csv", "k-1.csv", "m-2.csv"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    for name in FILES:
        (tmp_path / name).write_text(TABLE)
    return tmp_path


@pytest.mark.parametrize(
    ("argument", "name", "paths"),
    [
        ("a.csv", "a", ["a.csv"]),
        ("Mine=a.csv", "Mine", ["a.csv"]),
        ("b_1.csv,b_2.csv", "b", ["b_1.csv", "b_2.csv"]),
        ("b_*.csv", "b", ["b_1.csv", "b_2.csv"]),
        ("x=b_?.csv,a.csv", "x", ["b_1.csv", "b_2.csv", "a.csv"]),
        ("x=b_1.csv, a.csv", "x", ["b_1.csv", "a.csv"]),
        ("run", "run", ["run/a.csv", "run/c.tsv.gz"]),
        ("run/c.tsv.gz", "c", ["run/c.tsv.gz"]),
        ("x=y.csv", "x=y", ["x=y.csv"]),
        ("p,q.csv", "p,q", ["p,q.csv"]),
        ("k-1.csv,m-2.csv", "k-1", ["k-1.csv", "m-2.csv"]),
    ],
)
def test_an_argument_gives_a_name_and_paths(argument: str, name: str, paths: list[str], here: Path):
    asked = Asked.parse(argument)
    assert (asked.name or asked.default_name, [path.as_posix() for path in asked.paths]) == (name, paths)


def test_methods_with_equal_names_are_labelled_with_their_folders(here: Path):
    sides, _, files = read_methods(["run/a.csv", "a.csv", "B=a.csv"], None, ())
    assert [side.label for side in sides] == ["run/a", f"{here.name}/a", "B"]
    assert [*files] == ["run/a.csv", "a.csv"]
    with pytest.raises(InputError, match="its own name"):
        read_methods(["a.csv", "./a.csv"], None, ())
