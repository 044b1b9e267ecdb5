"""Valid and invalid ids, ratings and times."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.trainers.data.readers.reading import numbers, pairs, refused, write
from trainers.data.readers import read_interactions

NEW_YEAR = 1577836800.0  # 2020-01-01T00:00:00Z


class TestIds:
    def test_text(self, tmp_path: Path) -> None:
        raw = read_interactions(write(tmp_path, "a.csv", "user,item\nzoë,B-1\nadam,10\nadam,9\n"))
        assert pairs(raw) == [("zoë", "B-1"), ("adam", "10"), ("adam", "9")]

    def test_whole_numbers(self, tmp_path: Path) -> None:
        raw = read_interactions(write(tmp_path, "a.csv", f"user,item\n{10**18 - 1},1\n3,2\n"))
        assert (raw.users.values.dtype, raw.items.values.dtype) == (np.int64, np.int64), "numbers: 9 comes before 10"
        assert raw.users.values.tolist() == [10**18 - 1, 3]

    @pytest.mark.parametrize("text", ["-5", "1.5", "1e3", "१२", "0x1F", "True", "1_000", "9" * 25, "NULLA"])
    def test_text_is_kept_unchanged(self, text: str, tmp_path: Path) -> None:
        raw = read_interactions(write(tmp_path, "a.csv", f"user,item\n{text},1\n3,2\n"))
        assert (pairs(raw), raw.warnings) == ([(text, 1), ("3", 2)], ())

    def test_leading_zeros_make_another_id(self, tmp_path: Path) -> None:
        raw = read_interactions(write(tmp_path, "a.csv", "user,item\n007,1\n7,1\n"))
        assert pairs(raw) == [("007", 1), ("7", 1)]

    def test_point_zero_is_the_same_id(self, tmp_path: Path) -> None:
        raw = read_interactions(write(tmp_path, "a.csv", "user,item\n12.0,1\n12,1\n12.00,2\n3,3\n"))
        assert pairs(raw) == [(12, 1), (12, 1), (12, 2), (3, 3)]
        assert "2 user ids written like 12.0 were read as 12" in raw.said

    @pytest.mark.parametrize("text", ["NA", "nan", "NaN", "NULL", "None", "null"])
    def test_words_for_missing_values_give_a_warning(self, text: str, tmp_path: Path) -> None:
        raw = read_interactions(write(tmp_path, "a.csv", f"user,item\n{text},1\n{text},{text}\n3,2\n"))
        assert raw.users.values.tolist() == [text, text, "3"]
        assert raw.warnings == (
            f"2 lines have the user id {text}, which counts as an id like any other",
            f"1 line has the item id {text}, which counts as an id like any other",
        )

    def test_missing_ids_are_counted(self, tmp_path: Path) -> None:
        path = write(tmp_path, "a.csv", "user,item\n3,2\n3,\n4, \n")
        refused(path, "line 3", "'item' is empty here and in 1 more place", "delete these lines or give them an item")

    def test_too_long_ids_are_refused(self, tmp_path: Path) -> None:
        refused(write(tmp_path, "a.csv", f"user,item\n3,2\n{'x' * 256},1\n"), "line 3", "at most 255", "'xxx")
        assert len(read_interactions(write(tmp_path, "b.csv", f"user,item\n{'x' * 255},1\n"))) == 1


class TestRatings:
    @pytest.mark.parametrize("text", ["good", "", "NA", "nan", "inf", "1e999", "3,5,1", "0x1", "1_000"])
    def test_a_rating_that_is_no_number_is_refused(self, text: str, tmp_path: Path) -> None:
        path = write(tmp_path, "a.tsv", f"user\titem\trating\n1\t2\t5\n\n1\t3\t{text}\n")
        words = "ratings must be numbers", "'rating'", "data: {columns: {rating: none}}", f"'1\\t3\\t{text}".removesuffix("\\t")
        refused(path, "line 4", *words)

    def test_missing_ratings_are_counted(self, tmp_path: Path) -> None:
        head = "user,item,rating,time\n1,2,5,9\n"
        path = write(tmp_path, "a.csv", head + "1,3,,9\n1,4, ,9\n1,5,NA,9\n")
        refused(path, "line 3", "'rating' is empty here and in 1 more place,", "9'; delete these lines", "give them a rating")
        refused(write(tmp_path, "b.csv", head + "1,5,NA,9\n"), "'rating' is 'NA', got", "delete this line or give it a rating")
        refused(write(tmp_path, "c.csv", head + "1,5,good,9\n1,6,,9\n"), "'rating' has another value", "good")

    def test_ratings_may_have_any_size(self, tmp_path: Path) -> None:
        raw = read_interactions(write(tmp_path, "a.csv", "user,item,rating\n1,2,-7.25\n1,3,1e2\n1,4, 99\n"))
        assert numbers(raw.ratings) == [-7.25, 100, 99]

    def test_a_comma_that_may_separate_thousands_is_refused(self, tmp_path: Path) -> None:
        path = write(tmp_path, "a.csv", 'user,item,rating\n1,2,12\n1,3,"1,234"\n2,3,"2,500"\n')
        refused(path, "line 3", "ratings must be numbers", "may separate thousands or decimals", "write 1234 or 1.234", "1,234")
        decimals = write(tmp_path, "b.csv", 'user,item,rating\n1,2,"0,5"\n1,3,"1,234"\n')
        assert numbers(read_interactions(decimals).ratings) == [0.5, 1.234], "0,5 shows that commas are decimal"

    def test_decimal_commas_are_read(self, tmp_path: Path) -> None:
        raw = read_interactions(write(tmp_path, "a.csv", "user;item;rating\n1;2;3,5\n1;3;4\n"))
        assert numbers(raw.ratings) == [3.5, 4]


class TestTimes:
    def test_a_comma_that_may_separate_thousands_is_refused(self, tmp_path: Path) -> None:
        path = write(tmp_path, "a.csv", 'user,item,time\n1,2,12\n1,3,"1,234"\n')
        refused(path, "line 3", "times must be numbers", "may separate thousands or decimals", "write 1234 or 1.234")
        decimals = write(tmp_path, "b.csv", 'user,item,time\n1,2,"0,5"\n1,3,"1,234"\n')
        assert numbers(read_interactions(decimals).times) == [0.5, 1.234]

    def test_several_units_give_a_warning(self, tmp_path: Path) -> None:
        text = "user,item,time\n1,2,881250949\n1,3,1588615855\n2,3,{}\n"
        (warning,) = read_interactions(write(tmp_path, "a.csv", text.format(1588615855070))).warnings
        assert "column 'time' seems to hold times in several units" in warning
        assert "with 881250949 and 1588615855070; write all in one unit" in warning
        for other in ("1700000000", "1700000000.25", "0", "253402214400"):  # the last one is the year 9999
            assert read_interactions(write(tmp_path, "b.csv", text.format(other))).warnings == ()

    def test_missing_times_are_counted(self, tmp_path: Path) -> None:
        path = write(tmp_path, "a.csv", "user,item,rating,time\n1,2,5,9\n1,3,4,\n1,4,4,\n1,5,4,\n")
        refused(path, "line 3", "'time' is empty here and in 2 more places", "give them a time; if no times")

    @pytest.mark.parametrize(
        ("text", "seconds"),
        [
            ("881250949", 881250949),
            ("1588615855070", 1588615855070),  # milliseconds are not converted
            ("-5.5", -5.5),
            ("2020-01-01", NEW_YEAR),
            ("2020-01-01 00:00:01", NEW_YEAR + 1),
            ("2020-01-01T01:00:00Z", NEW_YEAR + 3600),
            ("2020-01-01T01:00:00+01:00", NEW_YEAR),
            ("2020-01-01T00:00:00.250", NEW_YEAR + 0.25),
            ("01.01.2020", NEW_YEAR),
            ("01.01.2020 01:00", NEW_YEAR + 3600),
            ("Wed Jan 01 00:00:00 +0000 2020", NEW_YEAR),
        ],
    )
    def test_numbers_and_dates_are_read(self, text: str, seconds: float, tmp_path: Path) -> None:
        raw = read_interactions(write(tmp_path, "a.csv", f"user,item,time\n1,2,{text}\n1,3,{text}\n"))
        assert numbers(raw.times) == [seconds] * 2

    def test_dates_may_have_several_precisions(self, tmp_path: Path) -> None:
        raw = read_interactions(write(tmp_path, "a.csv", "user,item,time\n1,2,2020-01-01\n1,3,2020-01-01T00:00:09Z\n"))
        assert numbers(raw.times) == [NEW_YEAR, NEW_YEAR + 9]

    @pytest.mark.parametrize("text", ["soon", "", "03/04/2020", "2020-13-01", "NaT", "nan", "2020-01-01"])
    def test_other_text_is_refused(self, text: str, tmp_path: Path) -> None:
        path = write(tmp_path, "a.csv", f"user,item,time\n1,2,881250949\n1,3,{text}\n")
        refused(path, "line 3", "numbers or dates", "'time'", f"'1,3,{text}'", "data: {columns: {time: none}}")

    def test_an_invalid_date_among_dates_is_refused(self, tmp_path: Path) -> None:
        refused(write(tmp_path, "a.csv", "user,item,time\n1,2,2020-01-01\n1,3,2020-01-32\n"), "line 3", "2020-01-32")
