"""Files that one class writes and reads."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

import pytest

from hpo.runtime.typed_files import Stored
from trainers.errors import InputError


class Colour(Enum):
    RED = "red"


@dataclass(frozen=True)
class Inner:
    cut: float | None = 0.1
    more: float | None = None


class Note(Stored):
    FORMAT: ClassVar[int] = 3
    colour: Colour
    by_seed: dict[int, tuple[float, ...]]
    inner: Inner = Inner(cut=None)  # not the default: a missing key would give the default
    later: str | None = None


NOTE = Note(colour=Colour.RED, by_seed={201: (0.1, 0.2)})
PLAIN = {"format": 3, "colour": "red", "by_seed": {201: [0.1, 0.2]}, "inner": {"cut": None}}


def test_plain_data_give_an_equal_object():
    assert NOTE.to_dict() == PLAIN
    assert Note.from_dict(PLAIN, "here", "do this") == NOTE
    assert Note.from_dict({**PLAIN, "later": "x"}, "here", "do this").later == "x", "a new optional field needs no new format"


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        ({**PLAIN, "format": 2}, "here: this version reads format 3, got 2"),
        ({**PLAIN, "format": True}, "here: this version reads format 3, got True"),
        ({key: PLAIN[key] for key in ("colour", "by_seed")}, "here: this version reads format 3, got none"),
        ("text", "here: this version reads format 3, got none"),
        ({**PLAIN, "colur": 1}, "here: unknown key 'colur'; did you mean 'colour'?"),
        ({"format": 3, "colour": "red"}, "here: by_seed is required and was not given"),
    ],
)
def test_another_format_or_a_broken_rule_is_refused_with_the_remedy(content: object, rule: str):
    with pytest.raises(InputError) as caught:
        Note.from_dict(content, "here", "do this")
    assert str(caught.value).startswith(rule)
    assert str(caught.value).endswith("; do this")
