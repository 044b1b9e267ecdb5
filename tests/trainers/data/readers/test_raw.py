"""Raw ids of rows: each text is stored once."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np

from tests.trainers.data.readers.reading import write
from trainers import load_dataset, load_test
from trainers.data.readers import read_interactions
from trainers.data.readers.raw import IdColumn


def texts(*values: str) -> IdColumn:
    return IdColumn.of(np.array(values, dtype=object))


def content(column: IdColumn) -> tuple[list[object], list[int]]:
    return column.ids.tolist(), column.codes.tolist()


def test_ids_are_distinct_and_ascending() -> None:
    assert content(texts("b", "a", "b")) == (["a", "b"], [1, 0, 1])
    assert content(IdColumn.of(np.array([10, 9, 10]))) == ([9, 10], [1, 0, 1])
    assert texts("b", "a", "b").values.tolist() == ["b", "a", "b"]


def test_chosen_rows_have_only_their_ids() -> None:
    assert content(texts("c", "a", "b", "c").where(np.array([True, False, True, True]))) == (["b", "c"], [1, 0, 1])


def test_files_are_joined_as_text_if_one_has_text() -> None:
    numbers = IdColumn.of(np.array([10, 9]))
    assert content(IdColumn.joined([numbers, IdColumn.of(np.array([8]))])) == ([8, 9, 10], [2, 1, 0])
    assert content(IdColumn.joined([numbers, texts("a", "9")])) == (["10", "9", "a"], [0, 1, 2, 1])


def test_blanks_around_an_id_do_not_count(tmp_path: Path) -> None:
    raw = read_interactions(write(tmp_path, "a.csv", "user,item\nb,1\n b,1\na ,2\n"))
    assert content(raw.users) == (["a", "b"], [1, 1, 0])


def test_one_long_id_needs_little_memory(tmp_path: Path) -> None:
    """A NumPy array of 30,000 texts with room for 255 characters of four bytes has 30.6 MB."""
    lines = [f"u{row % 1000},i{row % 700}\n" for row in range(30_000)]
    path = write(tmp_path, "a.csv", "user,item\n" + "".join(lines) + f"{'x' * 255},i0\nu0,{'y' * 255}\n")
    tracemalloc.start()
    try:
        dataset = load_dataset(path)
        assert len(load_test(dataset)) > 0
        assert tracemalloc.get_traced_memory()[1] < 15e6
    finally:
        tracemalloc.stop()
    assert len(dataset.user_ids) == 1001
