"""Columns by known names, and columns given as options."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from tests.trainers.data.readers.reading import layout, numbers, pairs, refused, write
from trainers.data.readers import Layout, read_interactions
from trainers.errors import InputError
from trainers.validation import checked

TABLE = "kunde,artikel,note,wann\n7,3,5,10\n2,4,1,20\n"


@pytest.mark.parametrize(
    ("user", "item"),
    [
        *[("user", "item"), ("User_ID", "Item-Id"), ("uid", "iid"), ("user id", "ITEM ID"), ("user_procid", "item_procid")],
        *[("reviewerID", "asin"), ("userId", "movieId"), ("user_id", "business_id"), ("user_mbid", "artist_mbid")],
        *[("user_id:token", "item_id:token"), ("customer_id", "product_id"), ("User-ID", "ISBN"), ("visitorid", "itemid")],
    ],
)
def test_known_names_of_users_and_items(user: str, item: str, tmp_path: Path) -> None:
    raw = read_interactions(write(tmp_path, "a.csv", f"{item},x,{user}\n3,1,7\n4,1,2\n"))
    assert pairs(raw) == [(7, 3), (2, 4)]
    assert f"user={user}, item={item}; header; comma; not used: x" in raw.said


@pytest.mark.parametrize("count", ["plays", "play_count", "weight", "Count", "listening"])
def test_counts_are_no_ratings(count: str, tmp_path: Path) -> None:
    raw = read_interactions(write(tmp_path, "a.csv", f"user,item,{count}\n7,3,100\n"))
    assert raw.ratings is None
    assert f"{count} not used: every line counts as one interaction" in raw.said


@pytest.mark.parametrize(
    "name", ["rating", "stars", "overall", "score", "Book-Rating", "rating:float", "user_rating", "review/overall", "my_score"]
)
def test_known_names_of_ratings(name: str, tmp_path: Path) -> None:
    assert numbers(read_interactions(write(tmp_path, "a.csv", f"user,item,{name}\n7,3,2.5\n")).ratings) == [2.5]


@pytest.mark.parametrize(
    "name",
    [
        *("time", "timestamp", "unixReviewTime", "date", "timestamp:float", "created_at", "utcTimestamp", "review_date"),
        *("listened_at", "played_at", "updated_at", "event_timestamp", "unix_timestamp", "rating_timestamp", "review/time"),
        *("timestamp_created", "check-in_time", "time_ms", "t_dat", "InvoiceDate", "date_updated"),
    ],
)
def test_known_names_of_times(name: str, tmp_path: Path) -> None:
    assert numbers(read_interactions(write(tmp_path, "a.csv", f"user,item,{name}\n7,3,12\n")).times) == [12]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("user,rating\n0,5\n", ["one column named item", "user, rating", "data: {columns: {user: NAME, item: NAME}}"]),
        ("item,rating\n0,5\n", ["one column named user", "item, rating"]),
        ("user,user_id,item\n0,5,1\n", ["several that could be it, user, user_id", "data: {columns: {user: user}}"]),
        ("user,item,item\n0,5,1\n", ["item, item", "data: {columns: {item: 1}}"]),
        ("user,artist_id,track_id\n0,5,1\n", ["artist_id, track_id", "data: {columns: {item: artist_id}}"]),
        (TABLE, ["one column named user", "kunde, artikel, note, wann"]),
    ],
)
def test_ambiguous_or_missing_names_are_refused(text: str, words: list[str], tmp_path: Path) -> None:
    refused(write(tmp_path, "a.csv", text), *words)


class TestGiven:
    @pytest.mark.parametrize(
        "keys", [{"user": "kunde", "item": "artikel"}, {"user": 0, "item": 1}, {"user": "KUNDE", "item": 1}]
    )
    def test_given_columns_decide(self, keys: dict[str, object], tmp_path: Path) -> None:
        raw = read_interactions(write(tmp_path, "a.csv", TABLE), layout(columns=keys))
        assert (pairs(raw), raw.ratings, raw.times) == ([(7, 3), (2, 4)], None, None)
        assert "not used: note, wann" in raw.said

    def test_rating_and_time_may_be_given(self, tmp_path: Path) -> None:
        keys = {"user": "kunde", "item": "artikel", "rating": "note", "time": "wann"}
        raw = read_interactions(write(tmp_path, "a.csv", TABLE), layout(columns=keys))
        assert (numbers(raw.ratings), numbers(raw.times)) == ([5, 1], [10, 20])

    def test_ratings_and_times_are_found_by_name_beside_given_columns(self, tmp_path: Path) -> None:
        """Without the time the test split would be random, and without the rating a 1 would count as a positive."""
        path = write(tmp_path, "a.csv", "kunde,artikel,rating,timestamp\n7,3,5,10\n2,4,1,20\n")
        for keys in ({"user": "kunde", "item": "artikel"}, {"user": 0, "item": 1}, {"user": 0, "item": 1, "rating": 2}):
            raw = read_interactions(path, layout(columns=keys))
            assert (pairs(raw), numbers(raw.ratings), numbers(raw.times)) == ([(7, 3), (2, 4)], [5, 1], [10, 20])

    def test_a_column_may_be_left_out(self, tmp_path: Path) -> None:
        text = "user,item,rating,time\n7,3,good,soon\n2,4,,\n"
        refused(write(tmp_path, "a.csv", text), "columns: {rating: none}")
        raw = read_interactions(tmp_path / "a.csv", layout(columns={"rating": "none", "time": "none"}))
        assert (pairs(raw), raw.ratings, raw.times) == ([(7, 3), (2, 4)], None, None)
        assert "not used: rating, time" in raw.said
        bare = write(tmp_path, "b.csv", "7,3,881250949\n2,4,881250950\n")
        assert read_interactions(bare, layout(columns={"time": "none"})).times is None

    def test_given_columns_override_known_names(self, tmp_path: Path) -> None:
        path = write(tmp_path, "a.csv", "user,item,rating\n7,3,5\n")
        assert pairs(read_interactions(path, layout(columns={"user": "item", "item": "user"}))) == [(3, 7)]

    def test_columns_that_are_not_given_are_found_by_name(self, tmp_path: Path) -> None:
        path = write(tmp_path, "a.csv", "user,artist_id,track_id,time\n7,3,5,9\n")
        raw = read_interactions(path, layout(columns={"item": "track_id"}))
        assert (pairs(raw), numbers(raw.times)) == ([(7, 5)], [9])

    @pytest.mark.parametrize(
        ("keys", "words"),
        [
            ({"user": "customer", "item": "artikel"}, ["data.columns.user", "'customer'", "kunde, artikel, note, wann"]),
            ({"user": 4, "item": 1}, ["data.columns.user", "from 0 to 3, got 4", "kunde, artikel, note, wann"]),
            ({"user": "kunde", "item": 0}, ["user and item must be different columns", "'kunde'"]),
            ({"user": "kunde"}, ["one column named item"]),
        ],
    )
    def test_wrong_columns_are_refused(self, keys: dict[str, object], words: list[str], tmp_path: Path) -> None:
        refused(write(tmp_path, "a.csv", TABLE), *words, columns=keys)

    def test_a_name_without_a_header_is_refused(self, tmp_path: Path) -> None:
        path = write(tmp_path, "a.csv", "7,3\n2,4\n")
        refused(path, "numbers from 0 to 1", "'kunde'", header=False, columns={"user": "kunde", "item": 1})
        refused(path, "data.columns.user", "'kunde'", "columns: 7, 3", columns={"user": "kunde", "item": 1})

    def test_similar_names_must_be_given_exactly(self, tmp_path: Path) -> None:
        path = write(tmp_path, "a.csv", "USER,us_er,it\n7,8,3\n")
        assert pairs(read_interactions(path, layout(columns={"user": "us_er", "item": "it"}))) == [(8, 3)]
        refused(path, "which matches two columns", columns={"user": "user", "item": "it"})


class TestTimes:
    @pytest.mark.parametrize("hours", [("235959", "0"), ("23", "0"), ("86399", "1"), ("18:30:01", "9:00:00")])
    def test_a_date_is_preferred_to_times_of_the_day(self, hours: tuple[str, str], tmp_path: Path) -> None:
        text = "user,item,time,date\n7,3,{},2020-01-01\n2,4,{},2020-01-02\n"
        raw = read_interactions(write(tmp_path, "a.csv", text.format(*hours)))
        assert numbers(raw.times) == [1577836800, 1577923200]
        assert "time=date" in raw.said
        assert "not used: time" in raw.said

    def test_larger_numbers_are_no_times_of_the_day(self, tmp_path: Path) -> None:
        for name, time in (("time", 240000), ("timestamp", 5)):
            text = f"user,item,date,{name}\n7,3,2020-01-01,{time}\n2,4,2020-01-02,1\n"
            assert numbers(read_interactions(write(tmp_path, "a.csv", text)).times) == [time, 1]

    def test_days_as_numbers_are_preferred_to_hours(self, tmp_path: Path) -> None:
        """A part of KuaiRand: time_ms is exact, date is a day."""
        text = "user_id,video_id,date,hourmin,time_ms\n0,7,20220421,1200,1650514800123\n"
        assert numbers(read_interactions(write(tmp_path, "a.csv", text)).times) == [1650514800123]
        assert numbers(read_interactions(write(tmp_path, "b.csv", text.replace("time_ms", "x"))).times) == [20220421]

    @pytest.mark.parametrize(
        "cells",
        [
            *(("2020-01-01", "2020-01-02"), ("1577836800", "1577923200"), ("1577836800.5", "1577836801.5")),
            *(("1577836800000", "1577923200000"), ("01/02/2020", "03/04/2020"), ("01.01.2020", "02.01.2020")),
            *(("Tue Apr 03 18:00:09 +0000 2012", "Tue Apr 03 18:00:25 +0000 2012"), ("09 13, 2009", "09 14, 2009")),
        ],
    )
    def test_an_unused_column_of_times_gives_a_warning(self, cells: tuple[str, str], tmp_path: Path) -> None:
        path = write(tmp_path, "a.tsv", "user\titem\tseen\n7\t3\t{}\n2\t4\t{}\n".format(*cells))
        (warning,) = read_interactions(path).warnings
        assert "column 'seen' seems to hold times and is not used" in warning
        assert "data: {columns: {time: seen}}, else give data: {columns: {time: none}}" in warning
        assert read_interactions(path, layout(columns={"time": "none"})).warnings == ()
        if "/" not in cells[0]:
            assert read_interactions(path, layout(columns={"time": "seen"})).times is not None

    def test_without_a_header_it_is_named_by_its_number(self, tmp_path: Path) -> None:
        """A part of Foursquare's check-ins in New York."""
        line = "470\t49bbd6c0\t4bf58dd8\tBar\t40.71\t-74.00\t-240\tTue Apr 03 18:00:09 +0000 2012\n"
        path = write(tmp_path, "a.txt", line)
        (warning,) = read_interactions(path, layout(columns={"user": 0, "item": 1}, header=False)).warnings
        assert "column '7' seems to hold times" in warning
        assert "{columns: {time: 7}}" in warning
        given = layout(columns={"user": 0, "item": 1, "time": 7}, header=False)
        assert numbers(read_interactions(path, given).times) == [1333476009]

    @pytest.mark.parametrize(
        ("name", "cells"),
        [
            *(("review_id", ("1577836800", "1577923200")), ("isbn13", ("9780439023480", "9780439554930"))),
            *(
                ("plays", ("13883", "99999999")),
                ("note", ("2020-01-01 was good", "x")),
                ("phone", ("5551234567", "15551234567")),
            ),
        ],
    )
    def test_ids_and_counts_are_no_times(self, name: str, cells: tuple[str, str], tmp_path: Path) -> None:
        path = write(tmp_path, "a.csv", f"user,item,{name}\n7,3,{cells[0]}\n2,4,{cells[1]}\n")
        assert read_interactions(path).warnings == ()

    def test_a_warning_names_a_date_beside_hours(self, tmp_path: Path) -> None:
        path = write(tmp_path, "a.csv", 'user,item,time,"the day"\n7,3,1830,2020-01-01\n2,4,900,2020-01-02\n')
        (warning,) = read_interactions(path).warnings
        assert "column 'the day' seems to hold times" in warning
        assert "{columns: {time: 3}}" in warning, "a number needs no quotes"


class TestLayout:
    @pytest.mark.parametrize(
        ("mapping", "words"),
        [
            ({"sep": ","}, "unknown key 'sep'"),
            ({"columns": {"users": 0}}, "unknown key 'users'; did you mean 'user'?"),
            ({"columns": {"user": -1}}, "greater than or equal to 0"),
            ({"columns": {"user": True}}, "columns.user"),
            ({"header": "yes"}, "header"),
            ({"encoding": "utf-7-and-a-half"}, "must be an encoding of text"),
            ({"encoding": "base64"}, "must be an encoding of text"),
            ({"separator": ""}, "separator"),
            ({"separator": "\n"}, "neither line ends nor quotes"),
            ({"format": "csv"}, "format"),
            ({"format": "lines", "columns": {"user": 0, "item": 1}}, "has no columns"),
        ],
    )
    def test_a_layout_is_checked(self, mapping: object, words: str) -> None:
        with pytest.raises(InputError) as caught:
            checked(Layout, mapping, "data")
        assert words in str(caught.value)

    def test_a_layout_is_frozen_and_round_trips(self) -> None:
        given = layout(columns={"user": 0, "item": "b"}, separator="::", header=False, encoding="cp1252")
        assert Layout.model_validate(given.model_dump()) == given
        with pytest.raises(ValidationError):
            given.header = True  # type: ignore[misc]
