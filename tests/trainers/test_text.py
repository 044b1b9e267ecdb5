"""Foreign text is shortened and escaped."""

from __future__ import annotations

import pytest

from trainers.text import clipped, has_controls, shown, visible

VALUES: dict[str, tuple[object, str]] = {
    "a line end": ("a\nb", "'a\\nb'"),
    "long text": ("x" * 81, f"'{'x' * 80}'..."),
    "a list": ([1, "a"], "[1, 'a']"),
    "a long list": ([1] * 1000, f"[{'1, ' * 26}1..."),
    "a number of 6,000 digits": (16**5000, "a huge int"),
    "such a number within": ({"a": [16**5000]}, "a huge dict"),
}


@pytest.mark.parametrize("case", VALUES)
def test_a_value_in_a_message_is_short_and_escaped(case: str) -> None:
    value, text = VALUES[case]
    assert shown(value) == text


def test_long_text_is_clipped() -> None:
    assert clipped("abc", 3) == "abc"
    assert clipped("abcd", 3) == "abc..."


def test_control_characters_are_escaped() -> None:
    assert visible("a\tb\n\x1b[31m\x00\x7f\x9b\r") == "a\tb\n\\x1b[31m\\x00\\x7f\\x9b\\r"
    assert visible("\u202eabc\u2066\ud800") == "\\u202eabc\\u2066\\ud800"
    sound = "Müller \u200d 日本\u3000 ± [/x]"
    assert visible(sound) is sound


def test_control_characters_are_found() -> None:
    assert not has_controls("日本\u3000a b")
    assert all(map(has_controls, ("a\nb", "a\0", "\ud800", "\u2028")))
