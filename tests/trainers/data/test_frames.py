"""Interactions from pandas tables. Ids and times have the same meaning as in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from trainers import Dataset, InputError, load_dataset, load_test
from trainers.data.readers import read_interactions

N = 12


def frame(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame({"user": np.arange(N) % 3 + 1, "item": np.arange(N) % 4, **columns})


def times_of(values: Any) -> list[float]:
    made = Dataset.from_frame(frame(time=values), "user", "item", time="time", test={"name": "random", "fraction": 0.01})
    assert made.train.times is not None
    return sorted(made.train.times.tolist())


def test_whole_floats_are_read_as_whole_numbers() -> None:
    """pandas converts whole numbers to floats if a row lacks one."""
    made = Dataset.from_frame(frame().assign(user=lambda table: table.user.astype(float)), "user", "item")
    assert made.user_ids.tolist() == [1, 2, 3]
    assert Dataset.from_frame(frame(user=np.arange(N) % 3 + 0.5), "user", "item").user_ids.tolist() == ["0.5", "1.5", "2.5"]


def test_lists_in_a_column_of_ids_are_refused() -> None:
    table = frame().assign(item=lambda table: [[item, 1] for item in table.item])
    with pytest.raises(InputError, match=r"column 'item' must hold one value in a row, got \[0, 1\]; .* DataFrame.explode"):
        Dataset.from_frame(table, "user", "item")
    with pytest.raises(InputError, match=r"column 'item' must hold one value in a row, got \(0, 1\)"):
        Dataset.from_frame(table.assign(item=table.item.map(tuple)), "user", "item")


def test_ids_too_large_for_a_number_are_text() -> None:
    high = (np.arange(N) % 3).astype(np.uint64) + np.uint64(2**63)
    assert Dataset.from_frame(frame(user=high), "user", "item").user_ids.tolist() == [str(2**63 + more) for more in range(3)]


def test_dates_far_away_keep_their_order() -> None:
    """Many tables have the year 9999 for `never`. In nanoseconds it would overflow to 1816."""
    found = times_of(["2020-01-01"] * (N - 1) + ["9999-12-31"])
    assert found[0] == pd.Timestamp("2020-01-01").timestamp()
    assert found[-1] == 253402214400.0


@pytest.mark.parametrize(
    "values",
    [
        pd.date_range("2024-01-01", periods=N, freq="D"),
        pd.date_range("2024-01-01", periods=N, freq="D", tz="UTC"),
        [f"2024-01-{day:02}" for day in range(1, N + 1)],
        [f"{1704067200 + 86400 * day}" for day in range(N)],
        1704067200 + 86400 * np.arange(N),
    ],
)
def test_times_may_have_any_type(values: Any) -> None:
    found = times_of(values)
    assert set(found) <= {1704067200.0 + 86400 * day for day in range(N)}
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("value", ["03/04/2020", None, "soon", float("nan")])
def test_ambiguous_times_are_refused(value: object) -> None:
    """Either the day or the month may come first. pandas would guess. Such a file is refused, too."""
    with pytest.raises(InputError, match=r"the table, row 0: times must be numbers or dates such as .*, column 'time'"):
        times_of([value] * N)


def test_missing_numbers_in_pandas_own_types_are_refused() -> None:
    ratings = pd.array([None] + [3] * (N - 1), dtype="Int64")
    with pytest.raises(InputError, match=r"the table, row 0: ratings must be numbers, column 'rating' is empty, got"):
        Dataset.from_frame(frame(rating=ratings), "user", "item", "rating")


def test_two_columns_with_one_name_are_refused() -> None:
    table = pd.concat([frame(), frame()[["user"]]], axis=1)
    with pytest.raises(InputError, match="several columns 'user'"):
        Dataset.from_frame(table, "user", "item")


@pytest.mark.parametrize(
    "columns",
    [{}, {"user": [f"00{n % 3}" for n in range(N)]}, {"rating": np.arange(N) % 5 + 1.0}, {"time": np.arange(N)[::-1] / 3.0}],
)
def test_a_saved_table_is_read_unchanged(tmp_path: Path, columns: dict[str, Any]) -> None:
    """The types of ids are stored. So `007` in a column of text stays text."""
    roles = {name: name for name in columns if name in ("rating", "time")}
    made = Dataset.from_frame(frame(**columns), "user", "item", **roles, min_rating=2 if "rating" in columns else None)
    made.save(tmp_path / "a.npz")
    assert made.is_of(tmp_path / "a.npz")
    read = load_dataset(str(tmp_path / "a.npz"), **made.options.given())
    assert read.checksum == made.checksum
    assert read.user_ids.tolist() == made.user_ids.tolist()
    assert read.facts == made.facts
    assert load_test(read).checksum == load_test(made).checksum
    assert not Dataset.from_frame(frame(item=np.arange(N) % 5), "user", "item").is_of(tmp_path / "a.npz")


def test_data_from_a_file_are_not_saved(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"only a dataset made by Dataset\.from_frame can be saved, got 'demo'"):
        load_dataset("demo").save(tmp_path / "a.npz")


def test_a_damaged_table_is_refused(tmp_path: Path) -> None:
    users, items = {"user_ids": np.array([5, 9]), "user_codes": np.array([1, 0])}, {"item_ids": np.array(["a", "b"])}
    for codes, good in (([0, 1], True), ([0, 2], False), ([0], False), ([-1, 0], False), (None, False)):
        arrays = users | items | ({} if codes is None else {"item_codes": np.array(codes)})
        np.savez(tmp_path / "a.npz", said=np.array("x"), warnings=np.array(["y"]), **arrays)  # type: ignore[arg-type]
        if good:
            raw = read_interactions(tmp_path / "a.npz")
            assert (raw.users.values.tolist(), raw.items.values.tolist(), raw.warnings) == ([9, 5], ["a", "b"], ("y",))
            continue
        with pytest.raises(InputError, match="is damaged or of another version: its arrays are no interactions"):
            load_dataset(str(tmp_path / "a.npz"))


@pytest.mark.parametrize("options", [{"separator": "|"}, {"header": False}, {"columns": {"user": 0}}, {"encoding": "utf-8"}])
def test_the_layout_of_a_file_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=f"a table in memory has no layout of a file, got {next(iter(options))}; leave it out"):
        Dataset.from_frame(frame(), "user", "item", **options)


def test_blanks_around_ids_are_dropped_as_in_a_file(tmp_path: Path) -> None:
    table = frame(user=["a", " a", "b "] * 4)
    table.to_csv(tmp_path / "a.csv", index=False)
    made = Dataset.from_frame(table, "user", "item")
    assert made.user_ids.tolist() == ["a", "b"]
    assert made.checksum == load_dataset(str(tmp_path / "a.csv")).checksum
    with pytest.raises(InputError, match=r"the table, row 1: column 'user' is empty here and in 3 more places"):
        Dataset.from_frame(frame(user=["a", "  ", "b"] * 4), "user", "item")


def test_texts_have_the_rules_of_a_file(tmp_path: Path) -> None:
    """A column of objects may hold both 12 and 12.0, and a column of text both '12' and '12.0'."""
    for ids in ([12, "12.0", 7], ["12", "12.00", "7"]):
        made = Dataset.from_frame(frame(user=ids * 4), "user", "item")
        assert made.user_ids.tolist() == [7, 12]
        assert "4 user ids written like 12.0 were read as 12" in made.facts.read[0]
    table = frame(user=["NA", "b", "nan"] * 4)
    made = Dataset.from_frame(table, "user", "item")
    warnings = tuple(f"4 lines have the user id {text}, which counts as an id like any other" for text in ("NA", "nan"))
    assert made.facts.warnings == warnings
    made.save(tmp_path / "a.npz")
    assert load_dataset(tmp_path / "a.npz").facts.warnings == warnings
    with pytest.raises(InputError, match=r"the table, row 2: column 'user' must hold ids of at most 255 characters, got"):
        Dataset.from_frame(frame(user=["a", "b", "x" * 256] * 4), "user", "item")


@pytest.mark.parametrize("ids", [["a", "b", None], ["a", "b", float("nan")], ["a", "b", " "], [1, 2, pd.NA], [1.0, 2.0, None]])
def test_missing_ids_are_counted(ids: list[object]) -> None:
    with pytest.raises(InputError, match=r"row 2: column 'user' is empty here and in 3 more places, .* give them a user"):
        Dataset.from_frame(frame(user=ids * 4), "user", "item")


def test_thousands_are_refused_as_in_a_file() -> None:
    with pytest.raises(InputError, match=r"row 0: ratings must be numbers.* its comma may separate thousands or decimals"):
        Dataset.from_frame(frame(rating=["1,234"] * N), "user", "item", "rating")


def test_whole_numbers_are_kept() -> None:
    """Ids below 0 and ids of 19 digits sort as numbers."""
    made = Dataset.from_frame(frame(user=[10**18, -5, 9] * 4), "user", "item")
    assert made.user_ids.tolist() == [-5, 9, 10**18]


def test_ratings_and_times_are_found_by_name_as_in_a_file() -> None:
    table = frame(rating=np.arange(N) % 5 + 1.0, timestamp=np.arange(N))
    made = Dataset.from_frame(table, "user", "item")
    assert (made.facts.timed, made.facts.ratings, made.facts.test_split) == (True, (1, 5), "last")
    without = Dataset.from_frame(table, "user", "item", rating=False, time=False)
    assert (without.facts.timed, without.facts.ratings, without.facts.test_split) == (False, None, "random")


def test_an_unused_column_of_times_gives_a_warning() -> None:
    table = frame(seen=pd.date_range("2024-01-01", periods=N))
    (warning,) = Dataset.from_frame(table, "user", "item").facts.warnings
    assert "column 'seen' seems to hold times and is not used" in warning
    assert warning.endswith("give time='seen', else give time=False")
    assert Dataset.from_frame(table, "user", "item", time=False).facts.warnings == ()
    with pytest.raises(InputError, match=r"leave the column out: time=False"):
        Dataset.from_frame(frame(when=["soon"] * N), "user", "item", time="when")
