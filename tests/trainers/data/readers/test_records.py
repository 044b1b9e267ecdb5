"""JSON lines and JSON lists."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.trainers.data.readers.reading import layout, numbers, pairs, refused, write
from trainers.data.readers import read_interactions

GOOD = '{"user_id": "a", "item_id": 1, "rating": 4}\n'


def test_ids_may_be_numbers_or_text(tmp_path: Path) -> None:
    raw = read_interactions(write(tmp_path, "a.jsonl", '\n{"user": 12.0, "item": "1"}\n\n{"item": 1, "user": "12", "x": null}'))
    assert pairs(raw) == [(12, 1), (12, 1)]


def test_a_json_list_is_read(tmp_path: Path) -> None:
    raw = read_interactions(write(tmp_path, "a.json", f"[\n{GOOD},\n{GOOD}]"))
    assert (pairs(raw), numbers(raw.ratings)) == ([("a", 1)] * 2, [4, 4])
    refused(write(tmp_path, "b.json", f"[{GOOD}, 3]"), "entry 2", "JSON object", "'3'")
    refused(write(tmp_path, "d.json", f"[{GOOD}, " + GOOD.replace("4", '"x"') + "]"), "entry 2", "ratings must be numbers")
    refused(write(tmp_path, "c.json", f"[{GOOD}, "), "JSON list")


def test_columns_may_be_given(tmp_path: Path) -> None:
    path = write(tmp_path, "a.json", '{"who": "a", "what": 1, "when": "2020-01-01"}\n')
    refused(path, "got columns who, what, when")
    raw = read_interactions(path, layout(columns={"user": "who", "item": "what", "time": "when"}))
    assert (pairs(raw), numbers(raw.times)) == ([("a", 1)], [1577836800])


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"user_id": "a", "item_id": ', ["must be a JSON object", "cut off?"]),
        ("{'user_id': 'a', 'item_id': 1}", ["must be a JSON object"]),
        ("3", ["must be a JSON object", "'3'"]),
        ('{"user_id": "a", "rating": 4}', ["must have the field 'item_id'", "user_id, rating"]),
        ('{"user_id": ["a"], "item_id": 1, "rating": 4}', ["'user_id' must be text or a number", "['a']"]),
        ('{"user_id": true, "item_id": 1, "rating": 4}', ["'user_id' must be text or a number"]),
        ('{"user_id": null, "item_id": 1, "rating": 4}', ["'user_id' is empty", "item_id: 1"]),
        ('{"user_id": "a", "item_id": 1, "rating": "x"}', ["ratings must be numbers", "rating: x"]),
        ('{"user_id": "a", "item_id": 1, "rating": NaN}', ["ratings must be numbers"]),
        ('{"user_id": NaN, "item_id": 1, "rating": 4}', ["'user_id' is empty", "delete this line or give it a user"]),
        ('{"user_id": "\\ud800", "item_id": 1, "rating": 4}', ["complete characters", "ud800"]),
        ("[" * 100_000, ["must be a JSON object"]),
    ],
)
def test_malformed(line: str, words: list[str], tmp_path: Path) -> None:
    refused(write(tmp_path, "a.jsonl", f"{GOOD}\n{line}\n"), "line 3", *words)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_byte_order_marks(encoding: str, tmp_path: Path) -> None:
    path = write(tmp_path, "a.json.gz", GOOD.encode(encoding))
    assert pairs(read_interactions(path)) == [("a", 1)]
    if encoding == "utf-8-sig":
        assert pairs(read_interactions(path, layout(encoding="utf-8"))) == [("a", 1)]


def test_options_of_tables_are_refused(tmp_path: Path) -> None:
    refused(write(tmp_path, "a.json", GOOD), "JSON has no separator", separator=",")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_a_missing_byte_order_mark_is_explained(encoding: str, tmp_path: Path) -> None:
    path = write(tmp_path, "a.json", GOOD.encode(f"{encoding}-le"))
    refused(path, f"line 1: is not {encoding.upper()} text", f"data: {{encoding: {encoding}-le}}", encoding=encoding)
    assert pairs(read_interactions(path, layout(encoding=f"{encoding}-le"))) == [("a", 1)]
