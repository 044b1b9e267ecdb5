"""NGCF text, and .txt files that could have another format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.trainers.data.readers.reading import layout, pairs, refused, write
from trainers.data.readers import read_interactions


@pytest.mark.parametrize(
    "text",
    [
        "7 3 10 9\n2 3\n",
        "7 3 10 9\r\n2 3\r\n",
        "7 3 10 9\r2 3\r",
        "7\t3  10 9 \n\n2 3",
        "\ufeff7 3 10 9\n2 3\n",
        "7 3 10 9\n5\n2 3\n",
        " 7 3 10 9\n\t2 3\n",
        "+7 3 10 9\n2 +3\n",
    ],
)
def test_reads(text: str, tmp_path: Path) -> None:
    raw = read_interactions(write(tmp_path, "a.txt", text))
    assert pairs(raw) == [(7, 3), (7, 10), (7, 9), (2, 3)]
    assert (raw.users.values.dtype, raw.items.values.dtype, raw.in_lines) == (np.int64, np.int64, True)
    assert (raw.ratings, raw.times) == (None, None)


def test_duplicates_are_kept(tmp_path: Path) -> None:
    assert pairs(read_interactions(write(tmp_path, "a.txt", "1 5 5\n1 5\n"))) == [(1, 5)] * 3


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
def test_malformed_line(line: str, words: list[str], tmp_path: Path) -> None:
    refused(write(tmp_path, "train.txt", f"0 1 2\n1 2\n{line}\n2 3\n"), "line 3", *words)


@pytest.mark.parametrize("text", ["broken", "x 1\n0 5 6\n0 7\n", "3 x 4\n1 2\n2 9 9 9\n"])
def test_malformed_first_line(text: str, tmp_path: Path) -> None:
    refused(write(tmp_path, "train.txt", text), "line 1", "whole numbers", "data: {format: table}")


def test_the_largest_id_is_valid(tmp_path: Path) -> None:
    assert pairs(read_interactions(write(tmp_path, "train.txt", f"0 {2**31 - 1}\n"))) == [(0, 2**31 - 1)]


def test_users_without_items_are_no_pairs(tmp_path: Path) -> None:
    assert pairs(read_interactions(write(tmp_path, "train.txt", "3\n4\n"))) == []


class TestTwoNumbersInEveryLine:
    def test_both_readings_give_the_same_pairs(self, tmp_path: Path) -> None:
        path = write(tmp_path, "test.txt", "0 5\n2 7\n1 9\n")
        raw = read_interactions(path)
        assert pairs(raw) == pairs(read_interactions(path, layout(format="table"))) == [(0, 5), (2, 7), (1, 9)]
        assert raw.in_lines
        assert "two numbers in every line, the same pairs as a table" in raw.said

    def test_a_user_with_several_lines_means_a_table(self, tmp_path: Path) -> None:
        assert not read_interactions(write(tmp_path, "test.txt", "0 5\n0 7\n1 9\n")).in_lines


class TestCouldBeBoth:
    TABLES = (
        "1\t2\t3\t881250949\n1\t4\t5\t881250950\n9\t2\t3\t881250951\n",
        "1 2 3\n4 5 6\n",
        "1 2 3 4\n" * 30 + "1 2 3\n",  # a table with a torn end
    )

    @pytest.mark.parametrize("text", TABLES)
    def test_is_refused(self, text: str, tmp_path: Path) -> None:
        words = ["NGCF text", "table", "data: {format: table}", "data: {format: lines}"]
        refused(write(tmp_path, "u.txt", text), *words)

    def test_the_option_format_decides(self, tmp_path: Path) -> None:
        path = write(tmp_path, "u.txt", self.TABLES[1])
        assert pairs(read_interactions(path, layout(format="lines"))) == [(1, 2), (1, 3), (4, 5), (4, 6)]
        assert pairs(read_interactions(path, layout(columns={"user": 0, "item": 1}))) == [(1, 2), (4, 5)]

    def test_a_damaged_table_is_refused(self, tmp_path: Path) -> None:
        path = write(tmp_path, "u.txt", self.TABLES[2])
        refused(path, "line 31", "4 fields", "'1 2 3'", columns={"user": 0, "item": 1})

    def test_five_numbers_with_repeated_users_are_refused(self, tmp_path: Path) -> None:
        """NGCF text has one line for each user; this may be user, item, rating, time, weight."""
        text = "".join(f"{user} {10 + item} 5 97830000{item} 1\n" for user in (1, 2) for item in range(2))
        refused(write(tmp_path, "u.txt", text), "NGCF text", "5 numbers", "data: {format: table}", "data: {format: lines}")

    def test_five_numbers_are_a_users_items(self, tmp_path: Path) -> None:
        assert len(read_interactions(write(tmp_path, "test.txt", "1 2 3 4 5\n2 3 4 5 6\n"))) == 8

    def test_one_line_is_a_users_items(self, tmp_path: Path) -> None:
        assert pairs(read_interactions(write(tmp_path, "a.txt", "1 2 3\n"))) == [(1, 2), (1, 3)]


class TestTablesInTxt:
    @pytest.mark.parametrize(
        "text",
        [
            "user item\n7 3\n2 4\n",
            "user\titem\trating\n7\t3\t5\n2\t4\t5\n",
            "7\t3\t3.5\t881250949\n2\t4\t4\t881250950\n",  # 3.5 is no id
            "7::3::5::881250949\n2::4::5::881250950\n",
            "7,3\n2,4\n",
        ],
    )
    def test_read_as_tables(self, text: str, tmp_path: Path) -> None:
        raw = read_interactions(write(tmp_path, "a.txt", text))
        assert (pairs(raw), raw.in_lines) == ([(7, 3), (2, 4)], False)

    def test_a_text_id_below_numbers_is_explained(self, tmp_path: Path) -> None:
        refused(write(tmp_path, "a.txt", "0 1\n0 x\n"), "line 2", "whole numbers", "'0 x'", "data: {format: table}")
        raw = read_interactions(tmp_path / "a.txt", layout(format="table"))
        assert pairs(raw) == [(0, "1"), (0, "x")]

    def test_lines_in_a_file_of_another_name(self, tmp_path: Path) -> None:
        raw = read_interactions(write(tmp_path, "train.dat", "0 1 2\n1 5\n"), layout(format="lines"))
        assert (pairs(raw), raw.in_lines) == ([(0, 1), (0, 2), (1, 5)], True)
