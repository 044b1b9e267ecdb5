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


@pytest.mark.parametrize("name", ["rating", "stars", "overall", "score", "Book-Rating", "rating:float"])
def test_known_names_of_ratings(name: str, tmp_path: Path) -> None:
    assert numbers(read_interactions(write(tmp_path, "a.csv", f"user,item,{name}\n7,3,2.5\n")).ratings) == [2.5]


@pytest.mark.parametrize("name", ["time", "timestamp", "unixReviewTime", "date", "timestamp:float", "created_at"])
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
