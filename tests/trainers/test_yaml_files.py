"""A YAML file may have plain data of limited size and depth. Everything else is refused with its line."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from trainers import yaml_files
from trainers.errors import InputError
from trainers.yaml_files import DEEPEST, LARGEST, parse_yaml, read_yaml, sealed, to_yaml

NO_ALIAS, NO_TAG = "line 2: anchors and aliases are not allowed", "line 2: tags are not allowed"
TOO_DEEP, UNREADABLE = f"may be nested {DEEPEST} deep", "line 2: cannot be read: "
BOMB = "bomb:\n- &a [x, x, x]\n" + "".join(f"- &{b} [*{a}, *{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))

REFUSED = {
    "a bomb of aliases": (BOMB, NO_ALIAS),
    "an anchor alone": ("a: 1\nb: &x 2", NO_ALIAS),
    "an alias of nothing": ("a: 1\nb: *x", NO_ALIAS),
    "a list that holds itself": ("a: 1\nb: &x [*x]", NO_ALIAS),
    "an anchor at a key": ("a: 1\n&x b: 2", NO_ALIAS),
    "no whole number": ('a: 1\nb: !!int ""', NO_TAG),
    "no truth": ("a: 1\nb: !!bool abc", NO_TAG),
    "no number": ("a: 1\nb: !!float x", NO_TAG),
    "no time": ("a: 1\nb: !!timestamp x", NO_TAG),
    "no bytes": ('a: 1\nb: !!binary "\xe4"', NO_TAG),
    "a set": ("a: 1\nb: !!set {x, y}", NO_TAG),
    "a sound value with a tag": ("a: 1\nb: !!str x", NO_TAG),
    "a tag that nobody knows": ("a: 1\nb: !mine x", NO_TAG),
    "a tag at a list": ("a: 1\nb: ! [x]", NO_TAG),
    "lists in lists": (f"a: {'[' * 2000}{']' * 2000}", TOO_DEEP),
    "mappings in mappings": ("\n".join(" " * n + "k:" for n in range(2000)), TOO_DEEP),
    "lists that are never closed": ("- " * 2000, TOO_DEEP),
    "a huge number": (f"a: 1\nb: {'9' * 5000}", UNREADABLE),
    "a large number": (f"a: 1\nb: -{'9' * 41}", "line 2: a whole number may have at most 40 digits"),
    "a huge hexadecimal number": (f"a: 1\nb: 0x{'f' * 5000}", "line 2: a whole number may have at most 40 digits"),
    "a hexadecimal number without digits": ("a: 1\nb: 0x_", UNREADABLE),
    "a sign that does not exist": ('a: "\\UFFFFFFFF"', "is not valid YAML"),
    "a mapping as a key": ("a: 1\n? {b: 1}\n: 2", "line 2: found unhashable key"),
    "a long key twice": (f"{'k' * 900}: 1\n{'k' * 900}: 2", f"line 2: found duplicate key '{'k' * 80}'..."),
    "two documents": ("a: 1\n---\nb: 2", "line 2: but found another document"),
    "a number as a key": ("1: 2", "must hold a mapping with text keys, got dict {1: 2}"),
    "a long list": (f"[{'1, ' * 999}]", "must hold a mapping with text keys, got list [1, 1"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_content_other_than_plain_data_is_refused_at_once_with_a_short_message(case: str) -> None:
    text, message = REFUSED[case]
    before = time.process_time()
    with pytest.raises(InputError) as caught:
        parse_yaml(text, "mine.yaml")
    assert time.process_time() - before < 5.0
    assert message in str(caught.value)
    assert str(caught.value).startswith("mine.yaml")
    assert len(str(caught.value)) < 250


def test_a_date_is_text() -> None:
    """This is the rule of YAML 1.2. The name of a folder may be a date. An impossible date is no error."""
    content = parse_yaml("day: 2024-05-31\ntime: 2024-05-31T25:00:00Z\nnone: 2024-13-45", "x")
    assert content == {"day": "2024-05-31", "time": "2024-05-31T25:00:00Z", "none": "2024-13-45"}
    assert parse_yaml(to_yaml(content), "x") == content


def test_written_content_can_be_read() -> None:
    content = {
        "text": ["*a", "&b", "!c", "true", "1", "", "a: b", "\x1b[2J\n", "\u202e"],
        "numbers": [1e-9, 10**39, -0.5, float("inf")],
        "deep": {"a": [[{201: {"ndcg@20": 0.1}}]]},
        "same": [same := [1], same],
    }
    assert parse_yaml(to_yaml(content), "x") == content


def test_a_too_large_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "big.yaml"
    path.write_text("a: " + "x" * LARGEST)
    with pytest.raises(InputError, match=r"big.yaml: may have at most 1,000,000 characters"):
        read_yaml(path)
    ours = tmp_path / "s.yaml"
    ours.write_text(sealed(path.read_text() + "\n"))
    assert len(read_yaml(ours, is_sealed=True)["a"]) == LARGEST, "sealed files may be larger"
    monkeypatch.setattr(yaml_files, "LARGEST_SEALED", 1000)
    with pytest.raises(InputError, match=r"s.yaml: may have at most 1,000 characters"):
        read_yaml(ours, is_sealed=True)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("x" * 5000, "cannot be read: File name too long"),
        ("a\0b", "'a\\x00b': cannot be read: embedded null"),
        (".", ".: is a folder; give a regular file"),
    ],
)
def test_an_impossible_path_is_refused(path: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        read_yaml(path)
    assert message in str(caught.value)
    assert str(caught.value).count("cannot be read") == (message[0] != ".")
    assert len(str(caught.value)) < 500
