"""Damaged, binary, empty and missing files, and files in another encoding."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from tests.trainers.data.readers.reading import layout, pairs, refused, write
from trainers.data.readers import SUFFIXES, read_interactions

TEXT = [suffix for suffix in SUFFIXES if suffix not in (".parquet", ".npz")]
PLAIN = [suffix for suffix in TEXT if not suffix.endswith(".gz")]


@pytest.mark.parametrize("suffix", TEXT)
@pytest.mark.parametrize("text", ["", "\n \n\r\n", "\ufeff"], ids=["empty", "blank", "mark alone"])
def test_an_empty_file_is_refused(text: str, suffix: str, tmp_path: Path) -> None:
    refused(write(tmp_path, f"train{suffix}", text), "holds no interactions: the file is empty")


@pytest.mark.parametrize("suffix", PLAIN)
def test_a_file_that_is_not_utf8_is_refused(suffix: str, tmp_path: Path) -> None:
    path = write(tmp_path, f"train{suffix}", b'{"user": "a",\n"item": "zo\xeb"}\n')
    refused(path, "line 2" if "json" not in suffix else "line ", "is not UTF-8 text", "data: {encoding: cp1252}")


def test_a_wrong_encoding_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", b"user,item\nzo\xeb,5\n")
    refused(path, "line 2", "is not ASCII text", encoding="ascii")
    assert pairs(read_interactions(path, layout(encoding="latin-1"))) == [("zoë", 5)]


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "user,item\nzoë,5\n".encode("utf-8-sig"))
    for keys in ({}, {"encoding": "utf-8"}, {"encoding": "utf-8-sig"}):
        assert pairs(read_interactions(path, layout(**keys))) == [("zoë", 5)]


@pytest.mark.parametrize("suffix", PLAIN)
@pytest.mark.parametrize("packed", [False, True])
def test_a_binary_file_is_refused(suffix: str, packed: bool, tmp_path: Path) -> None:
    junk = np.random.default_rng(0).integers(0, 256, 5000, np.uint8).tobytes()
    refused(write(tmp_path, f"train{suffix}{'.gz' if packed else ''}", junk), "text" if "json" not in suffix else "")


def test_control_characters_are_refused(tmp_path: Path) -> None:
    refused(write(tmp_path, "a.csv", b"user,item\n1,2\n3,\x004\n"), "line 3", "must be text", "'\\x00'")
    refused(write(tmp_path, "b.csv", "user,item\n1,2\n".encode("utf-16-le")), "must be text", "data: {encoding: utf-16}")
    assert len(read_interactions(tmp_path / "b.csv", layout(encoding="utf-16-le"))) == 1


@pytest.mark.parametrize("suffix", [suffix for suffix in TEXT if suffix.endswith(".gz")])
def test_damaged_gzip_is_refused(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"train{suffix}"
    packed = gzip.compress(b'{"user": 1, "item": 2}\n' * 5000)
    middle = len(packed) // 2
    cases = [packed[:-4], packed[:middle], b"user,item\n1,2\n"]
    if "json" not in suffix:  # lines of JSON are checked while they are unpacked
        cases.append(packed[:middle] + b"\x00" * 9 + packed[middle + 9 :])
    for data in cases:
        path.write_bytes(data)
        refused(path, "must be a whole gzip file", "fetch it again")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_folder_and_a_missing_file_are_refused(suffix: str, tmp_path: Path) -> None:
    folder = tmp_path / f"train{suffix}"
    folder.mkdir()
    refused(folder, "cannot be read", "directory")
    refused(tmp_path / f"other{suffix}", "cannot be read", "No such file")


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file that even root cannot read")
@pytest.mark.parametrize("suffix", [".txt", ".csv", ".json", ".npz"])
def test_an_unreadable_file_is_refused(suffix: str, tmp_path: Path) -> None:
    """To read address 0 of a process is an I/O error, also for root."""
    path = tmp_path / f"train{suffix}"
    path.symlink_to("/proc/self/mem")
    refused(path, "cannot be read")


def test_an_unknown_suffix_is_refused(tmp_path: Path) -> None:
    refused(write(tmp_path, "train.xlsx", "x"), "unknown kind of file '.xlsx'", ".txt", ".inter", ".csv.gz")
