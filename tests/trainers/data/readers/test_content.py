"""Tables with unknown column names: the header, and the roles of columns if they are certain."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.trainers.data.readers.reading import layout, numbers, pairs, refused, write
from trainers.data.readers import read_interactions


class TestHeader:
    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ("user,item\nalice,matrix\n", True),
            ("alice,user\nbob,item\nuser,item\n", True),  # `user` counts as a column name
            ("7,3\n2,4\n", False),
            ("7,3\n", False),
            ("a,3\nb,4\n", False),  # a header would have no number in the second field
            ("a,x,4.5,881250949\nb,y,3.0,881250950\n", False),
            ("alice,matrix\nbob,heat\nalice,heat\n", False),  # alice occurs again below
        ],
    )
    def test_a_header_is_found(self, text: str, found: bool, tmp_path: Path) -> None:
        path = write(tmp_path, "a.csv", text)
        if text.startswith("alice,user"):
            refused(path, "item")
            return
        raw = read_interactions(path)
        assert ("; header;" in raw.said, len(raw)) == (found, text.count("\n") - found)

    def test_unknown_names_above_numbers_are_a_header(self, tmp_path: Path) -> None:
        refused(write(tmp_path, "a.csv", "a,b,c\n1,2,3\n"), "got columns a, b, c")

    @pytest.mark.parametrize(
        "text", ["alice,matrix\nbob,heat\n", "alice,matrix\n", "x,3\n1,4\n5,6\n".replace("3", "2020-01-01")]
    )
    def test_an_undecidable_first_line_is_refused(self, text: str, tmp_path: Path) -> None:
        path = write(tmp_path, "a.csv", text)
        refused(path, "whether the first line names the columns", "alice" if "alice" in text else "x", "data: {header: true}")

    def test_the_option_header_decides(self, tmp_path: Path) -> None:
        path = write(tmp_path, "a.csv", "alice,matrix\nbob,heat\n")
        assert pairs(read_interactions(path, layout(header=False))) == [("alice", "matrix"), ("bob", "heat")]
        raw = read_interactions(path, layout(header=True, columns={"user": 0, "item": 1}))
        assert (pairs(raw), "user=alice, item=matrix; header" in raw.said) == ([("bob", "heat")], True)

    def test_a_header_without_rows_is_refused(self, tmp_path: Path) -> None:
        raw = read_interactions(write(tmp_path, "a.csv", "user,item,rating\n"))
        assert (pairs(raw), numbers(raw.ratings)) == ([], [])


class TestRoles:
    @pytest.mark.parametrize(
        ("text", "roles"),
        [
            ("7,3\n2,4\n", "user=0, item=1;"),
            ("76561197970982479,10\n76561197970982480,30\n", "user=0, item=1;"),
            ("7,3,4.5\n2,4,5\n", "user=0, item=1, rating=2;"),
            ("7,3,881250949\n2,4,881250950\n", "user=0, item=1, time=2;"),
            ("7,3,2020-01-31\n2,4,2020-02-01\n", "user=0, item=1, time=2;"),
            ("7,3,5,2020-01-31 10:00:00\n2,4,1,2020-02-01 11:00:00\n", "user=0, item=1, rating=2, time=3;"),
        ],
    )
    def test_certain_roles_are_found(self, text: str, roles: str, tmp_path: Path) -> None:
        raw = read_interactions(write(tmp_path, "a.csv", text))
        assert len(raw) == 2
        assert raw.users.values.tolist() == [int(line.split(",")[0]) for line in text.splitlines()]
        assert raw.items.values.tolist() == [int(line.split(",")[1]) for line in text.splitlines()]
        assert roles in raw.said
        assert "column 0 was read as the user and 1 as the item; the file does not name its columns" in raw.said

    @pytest.mark.parametrize(
        "text",
        [
            "7,3,13883\n2,4,11690\n",  # a number of plays, or a third id
            "7,3,4.25\n2,4,5\n",
            "7,3,881250949,5\n2,4,881250950,1\n",
            "881250949,7,3\n881250950,2,4\n",
            "7,3,5,881250949,x\n2,4,1,881250950,y\n",
            "2020-01-31,7,5,881250949\n2020-01-31,2,4,881250949\n",
            "user_1\t2009-05-04T23:08:57Z\tart\tname\ttrack\ttitle\nuser_2\t2009-05-04T13:54:10Z\tart\tname\ttrack\ttitle\n",
        ],
    )
    def test_uncertain_roles_are_refused(self, text: str, tmp_path: Path) -> None:
        refused(write(tmp_path, "a.csv", text), "must be certain", "data: {columns: {user: 0, item: 1}}", header=False)

    def test_given_columns_decide(self, tmp_path: Path) -> None:
        path = write(tmp_path, "a.csv", "7,3,13883,x\n2,4,11690,y\n")
        raw = read_interactions(path, layout(columns={"user": 3, "item": 1, "rating": 2}))
        assert (pairs(raw), numbers(raw.ratings)) == ([("x", 3), ("y", 4)], [13883, 11690])
        assert "user=3, item=1, rating=2; no header; comma; not used: 0" in raw.said
        refused(path, "must be certain", columns={"user": 3})

    def test_a_later_line_may_show_that_a_column_has_no_ratings(self, tmp_path: Path) -> None:
        """Only the first 2,000 lines decide on the roles."""
        text = "7,3,5\n" * 2500 + "7,3,120\n" + "7,3,4\n" * 10
        refused(write(tmp_path, "a.csv", text), "line 2501", "read as ratings", "'7,3,120'", "data: {columns:")
