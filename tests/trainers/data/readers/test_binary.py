"""Parquet files and sparse matrices of scipy."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from tests.trainers.data.readers.reading import layout, numbers, pairs, refused, write
from trainers.data.readers import read_interactions
from trainers.errors import InputError


class TestParquet:
    def parquet(self, folder: Path, **columns: object) -> Path:
        path = folder / "train.parquet"
        pd.DataFrame(columns).to_parquet(path)
        return path

    def test_reads(self, tmp_path: Path) -> None:
        when = pd.to_datetime(["2020-01-01T00:00:00.0", "2020-01-02T00:00:00.5", "2020-01-01T00:00:00.0"])
        path = self.parquet(tmp_path, user_id=[7, 7, 2], item=["a", "b", "a"], rating=[1, 2.5, 3], timestamp=when, x=[1, 2, 3])
        raw = read_interactions(path)
        assert pairs(raw) == [(7, "a"), (7, "b"), (2, "a")]
        assert numbers(raw.ratings) == [1, 2.5, 3]
        assert numbers(raw.times) == [1577836800, 1577923200.5, 1577836800]
        assert "user=user_id, item=item, rating=rating, time=timestamp; Parquet; not used: x" in raw.said

    def test_times_may_have_a_zone_or_be_numbers(self, tmp_path: Path) -> None:
        zoned = pd.to_datetime(["2020-01-01T01:00:00+01:00"])
        assert numbers(read_interactions(self.parquet(tmp_path, user=[1], item=[2], time=zoned)).times) == [1577836800]
        assert numbers(read_interactions(self.parquet(tmp_path, user=[1], item=[2], time=[99])).times) == [99]

    def test_lists_in_a_column_are_refused(self, tmp_path: Path) -> None:
        path = self.parquet(tmp_path, user=[1, 2], items=[[3, 4], [5]])
        refused(path, "column 'items'", "one value in a row", "write a row for each")

    def test_ids_keep_their_type(self, tmp_path: Path) -> None:
        path = self.parquet(tmp_path, user=[7.0, 3.0], item=pd.Categorical(["007", "7"]))
        assert pairs(read_interactions(path)) == [(7, "007"), (3, "7")]

    def test_bytes_are_text_in_utf_8(self, tmp_path: Path) -> None:
        path = self.parquet(tmp_path, user=["zoë".encode(), b"7"], item=[b"10", b"9"], time=[b"2020-01-01", b"2020-01-02"])
        raw = read_interactions(path)
        assert (pairs(raw), numbers(raw.times)) == ([("zoë", 10), ("7", 9)], [1577836800, 1577923200])
        path = self.parquet(tmp_path, user=[b"a", b"\xff\xfe"], item=[1, 2])
        refused(path, "column 'user' must hold text, or bytes that are UTF-8, got b'\\xff\\xfe'", "write it as text")

    @pytest.mark.parametrize(
        ("columns", "words"),
        [
            ({"user": [1, None], "item": [1, 2]}, ["row 2", "'user' is empty"]),
            ({"user": [1, 2], "item": [1, 2], "time": pd.to_datetime(["2020-01-01", None])}, ["row 2", "numbers or dates"]),
            ({"user": [1, 2], "item": [1, 2], "rating": [1.0, None]}, ["row 2", "ratings must be numbers", "is empty"]),
            ({"user": [1, 2], "item": [1, 2], "rating": [1.0, np.inf]}, ["row 2", "has another value"]),
            ({"a": [1, 2], "item": [1, 2]}, ["got columns a, item"]),
        ],
    )
    def test_bad_columns_are_refused(self, columns: dict[str, object], words: list[str], tmp_path: Path) -> None:
        refused(self.parquet(tmp_path, **columns), *words)

    def test_damaged(self, tmp_path: Path) -> None:
        refused(write(tmp_path, "train.parquet", "PAR1"), "must be a Parquet file")

    def test_a_missing_pyarrow_is_refused_with_the_remedy(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "pyarrow", None)
        refused(write(tmp_path, "train.parquet", "PAR1"), "pip install pyarrow", "CSV")


class TestMatrix:
    def matrix(self, folder: Path, values: object, kind: str = "csr") -> Path:
        path = folder / "train.npz"
        scipy.sparse.save_npz(path, scipy.sparse.coo_array(np.array(values)).asformat(kind))  # type: ignore[call-overload]
        return path

    @pytest.mark.parametrize("kind", ["csr", "csc", "coo"])
    def test_reads(self, kind: str, tmp_path: Path) -> None:
        raw = read_interactions(self.matrix(tmp_path, [[0, 5.0, 2.5], [0, 0, 0], [1, 0, 0]], kind))
        assert sorted(zip(pairs(raw), numbers(raw.ratings) or [], strict=True)) == [((0, 1), 5), ((0, 2), 2.5), ((2, 0), 1)]
        assert "read 3 ratings: a sparse matrix of 3 users (rows) x 3 items (columns), rating=value" in raw.said
        assert raw.users.values.dtype == np.int64

    @pytest.mark.parametrize("kind", [np.float32, np.int8, np.bool_])
    def test_a_matrix_of_ones_has_no_ratings(self, kind: type, tmp_path: Path) -> None:
        raw = read_interactions(self.matrix(tmp_path, np.eye(3, dtype=kind)))
        assert (pairs(raw), raw.ratings) == ([(0, 0), (1, 1), (2, 2)], None)

    def test_stored_zeros(self, tmp_path: Path) -> None:
        path = tmp_path / "train.npz"
        scipy.sparse.save_npz(path, scipy.sparse.csr_array(([0.0, 3.0], ([0, 1], [0, 1])), shape=(2, 2)))
        raw = read_interactions(path)
        assert (pairs(raw), raw.warnings) == ([(1, 1)], ("stored zeros count as no interactions: 1",))

    @pytest.mark.parametrize("values", [[[1.0, np.nan]], [[1.0, np.inf]], [[1j]]])
    def test_values_other_than_numbers_are_refused(self, values: object, tmp_path: Path) -> None:
        refused(self.matrix(tmp_path, values), "must be finite numbers")

    def test_it_has_two_dimensions(self, tmp_path: Path) -> None:
        path = tmp_path / "a.npz"
        scipy.sparse.save_npz(path, scipy.sparse.coo_array(np.array([1.0, 0.0, 2.0])))
        refused(path, "must be a matrix saved by scipy", "its shape must be users x items, and it is (3,)")

    def test_other_files_are_refused(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "a.npz", x=np.arange(3))
        refused(tmp_path / "a.npz", "scipy.sparse.save_npz")
        refused(write(tmp_path, "b.npz", "user,item\n"), "scipy.sparse.save_npz")
        whole = self.matrix(tmp_path, np.eye(50)).read_bytes()
        refused(write(tmp_path, "c.npz", whole[: len(whole) // 2]), "scipy.sparse.save_npz")
        refused(write(tmp_path, "e.npz", ""), "scipy.sparse.save_npz")

    def test_damaged(self, tmp_path: Path) -> None:
        """The file is read unchanged or refused."""
        path = self.matrix(tmp_path, np.eye(9) * 4)
        whole, good, explained = path.read_bytes(), pairs(read_interactions(path)), 0
        for place in range(0, len(whole), 3):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
            try:
                assert pairs(read_interactions(path)) == good
            except InputError:
                explained += 1
        assert explained > 100

    def test_options_of_text_files_are_refused(self, tmp_path: Path) -> None:
        path = self.matrix(tmp_path, np.eye(3))
        refused(path, "is no text file", separator=",")
        refused(path, "neither columns", columns={"user": 0, "item": 1})
        assert len(read_interactions(path, layout())) == 3
