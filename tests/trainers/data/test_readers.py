"""Reading files: every format, ids of any kind, and messages with file, line number and content."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from trainers.data.readers import read_pairs
from trainers.errors import InputError


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def pairs(path: Path) -> list[tuple[object, object]]:
    users, items = read_pairs(path)
    return list(zip(users.tolist(), items.tolist(), strict=True))


def refused(path: Path, *words: str) -> None:
    with pytest.raises(InputError) as caught:
        read_pairs(path)
    missing = [word for word in (str(path), *words) if word not in str(caught.value)]
    assert not missing, f"the message lacks {missing}: {caught.value}"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.txt", "7 3 10 9\n2 3\n"),
        ("crlf.txt", "7 3 10 9\r\n2 3\r\n"),
        ("tabs.txt", "7\t3  10 9 \n\n2 3"),
        ("bom.txt", "\ufeff7 3 10 9\n2 3\n"),
        ("no items.txt", "7 3 10 9\n5\n2 3\n"),
        ("a.csv", "user,item\n7,3\n7,10\n7,9\n2,3\n"),
        ("bom.csv", "\ufeffuser,item\n7,3\n7,10\n7,9\n2,3\n"),
        ("crlf.csv", "user,item\r\n7,3\r\n7,10\r\n7,9\r\n2,3\r\n"),
        ("more columns.csv", "time,item_id,rating,User_ID\n1,3,,7\n2,10,x,7\n3,9,,7\n4,3,,2\n"),
        ("spaces.csv", "user, item\n7, 3\n7, 10\n7 ,9\n2,3\n"),
        ("blank lines.csv", "user,item\n7,3\n\n7,10\n7,9\n2,3\n\n"),
        ("a.tsv", "uid\tiid\n7\t3\n7\t10\n7\t9\n2\t3\n"),
        ("a.inter", "user_id:token\titem_id:token\trating:float\n7\t3\t1.0\n7\t10\t1\n7\t9\t0\n2\t3\t5\n"),
    ],
)
def test_formats(name: str, text: str, tmp_path: Path) -> None:
    path = write(tmp_path, name, text)
    assert pairs(path) == [(7, 3), (7, 10), (7, 9), (2, 3)]
    users, items = read_pairs(path)
    assert (users.dtype, items.dtype) == (np.int64, np.int64), "whole numbers are numbers, so that 9 sorts before 10"


def test_string_ids(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "user,item\nzoë,B-1\nadam,10\nadam,9\n")
    assert pairs(path) == [("zoë", "B-1"), ("adam", "10"), ("adam", "9")]


@pytest.mark.parametrize("text", ["NA", "null", "nan", "None", "-5", "1.5", "1e3", "१२"])
def test_text_that_pandas_or_int_would_bend(text: str, tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", f"user,item\n{text},1\n3,2\n")
    assert pairs(path) == [(text, 1), ("3", 2)]


def test_leading_zeros_make_another_id(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "user,item\n007,1\n7,1\n")
    assert pairs(path) == [("007", 1), ("7", 1)]


def test_ids_beyond_64_bits_are_text(tmp_path: Path) -> None:
    huge = "9" * 25
    assert pairs(write(tmp_path, "a.csv", f"user,item\n{huge},1\n3,2\n")) == [(huge, 1), ("3", 2)]


def test_duplicates_stay(tmp_path: Path) -> None:
    assert pairs(write(tmp_path, "a.txt", "1 5 5\n1 5\n")) == [(1, 5)] * 3


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("3 x 4", ["whole numbers", "'3 x 4'"]),
        ("3 1.5", ["whole numbers", "'3 1.5'"]),
        ("3,4", ["whole numbers", "'3,4'"]),
        ("3 1_000", ["whole numbers", "'3 1_000'"]),
        ("-3 4", ["between 0 and", "'-3 4'"]),
        ("3 -4", ["between 0 and", "'3 -4'"]),
        (f"3 {2**31}", ["between 0 and 2147483647", str(2**31)]),
        (f"3 {2**70}", ["whole numbers", str(2**70)]),
        ("3 " + "8 " * 100 + "bad", ["whole numbers", "'3 8 8", "..."]),
    ],
)
def test_malformed_ngcf_line(line: str, words: list[str], tmp_path: Path) -> None:
    refused(write(tmp_path, "train.txt", f"0 1 2\n1 2\n{line}\n2 3\n"), "line 3", *words)


def test_the_largest_id_is_valid(tmp_path: Path) -> None:
    assert pairs(write(tmp_path, "train.txt", f"0 {2**31 - 1}\n")) == [(0, 2**31 - 1)]


@pytest.mark.parametrize("text", ["", "\n\n", "3\n4\n"], ids=["empty", "blank lines", "users without items"])
def test_ngcf_without_pairs(text: str, tmp_path: Path) -> None:
    assert pairs(write(tmp_path, "train.txt", text)) == []


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("empty.csv", "", ["not a table with a header line"]),
        ("no header.csv", "0,5\n1,7\n", ["user or user_id", "0, 5"]),
        ("no item.csv", "user,rating\n0,5\n", ["item or item_id", "user, rating"]),
        ("two users.csv", "user,user_id,item\n0,5,1\n", ["one column named user", "user, user_id, item"]),
        ("empty field.csv", "user,item\n0,5\n,7\n", ["line 3", "'user' is empty"]),
        ("blank field.csv", "user,item\n0,5\n1,  \n", ["line 3", "'item' is empty"]),
        ("short line.csv", "user,item\n0,5\n1\n", ["line 3", "'item' is empty", "'1'"]),
        ("after a blank line.csv", "user,item\n\n0,5\n\n1,\n", ["line 5", "'item' is empty"]),
        ("long line.csv", "user,item\n0,5\n1,7,8\n", ["line 3"]),
        ("long lines.csv", "user,item\n9,0,5\n9,1,7\n", ["line 2", "more fields than the header"]),
        ("commas.tsv", "user,item\n0,5\n", ["user or user_id", "user,item"]),
        ("open quote.csv", 'user,item\n0,5\n1,"7\n', ["not a table"]),
    ],
)
def test_malformed_table(name: str, text: str, words: list[str], tmp_path: Path) -> None:
    refused(write(tmp_path, name, text), *words)


def test_header_only(tmp_path: Path) -> None:
    assert pairs(write(tmp_path, "a.csv", "user,item\n")) == []


@pytest.mark.parametrize("name", ["train.txt", "train.csv", "train.tsv", "train.inter"])
def test_not_utf8(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(b"user,item\nzo\xeb,5\n")
    refused(path, "UTF-8")


@pytest.mark.parametrize("suffix", [".txt", ".csv", ".tsv", ".inter"])
def test_directory_and_missing_file(suffix: str, tmp_path: Path) -> None:
    folder = tmp_path / f"train{suffix}"
    folder.mkdir()
    refused(folder, "cannot be read", "directory")
    refused(tmp_path / f"other{suffix}", "cannot be read", "No such file")


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file that even root cannot read")
@pytest.mark.parametrize("suffix", [".txt", ".csv"])
def test_unreadable_file(suffix: str, tmp_path: Path) -> None:
    """Reading address 0 of a process is an I/O error, for root too."""
    path = tmp_path / f"train{suffix}"
    path.symlink_to("/proc/self/mem")
    refused(path, "cannot be read")


def test_unknown_suffix(tmp_path: Path) -> None:
    refused(write(tmp_path, "train.json", "[]"), "unknown kind of file '.json'", ".txt", ".inter")


@pytest.mark.skipif(importlib.util.find_spec("pyarrow") is not None, reason="pyarrow is installed")
def test_parquet_without_pyarrow(tmp_path: Path) -> None:
    refused(write(tmp_path, "train.parquet", "PAR1"), "pip install pyarrow", "CSV")


class TestParquet:
    def test_reads(self, tmp_path: Path) -> None:
        pandas, _ = pytest.importorskip("pandas"), pytest.importorskip("pyarrow")
        path = tmp_path / "train.parquet"
        pandas.DataFrame({"user_id": [7, 7, 2], "item": ["a", "b", "a"]}).to_parquet(path)
        assert pairs(path) == [(7, "a"), (7, "b"), (2, "a")]

    def test_damaged(self, tmp_path: Path) -> None:
        pytest.importorskip("pyarrow")
        refused(write(tmp_path, "train.parquet", "PAR1"), "not a table")
