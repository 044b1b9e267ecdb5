"""Messages about foreign mappings are short for any content."""

from __future__ import annotations

from typing import Any

import pytest

from trainers.config import TrainConfig
from trainers.errors import InputError

LOSS = {"name": "mml", "margins": [0.6, 0.9], "weights": [0.3, 0.7], "negative_weight": 400.0}
LONG = "x" * 100_000

HUGE: dict[str, dict[str, Any]] = {
    "an unknown key": {LONG: 1},
    "a number": {"epochs": LONG},
    "a list in place of a number": {"epochs": [1] * 100_000},
    "a number that cannot be written": {"seed": 16**5000},
    "a mapping in place of a number": {"learning_rate": {LONG: LONG}},
    "a name": {"encoder": {"name": LONG}},
    "a list in place of a name": {"encoder": {"name": [LONG]}},
    "text in place of a mapping": {"encoder": LONG},
    "a choice": {"schedule": LONG},
    "a key deep down": {"negatives": {"name": "uniform", LONG: 1}},
    "margins": {"loss": LOSS | {"margins": [0.5] * 100_000}},
    "margins without order": {"loss": LOSS | {"margins": [0.9, 0.6] * 50_000, "weights": [0.0] * 100_000}},
}


@pytest.mark.parametrize("case", HUGE)
def test_a_message_repeats_little_of_a_value(case: str) -> None:
    with pytest.raises(InputError) as caught:
        TrainConfig.from_dict({"loss": LOSS} | HUGE[case], "mine.yaml")
    assert str(caught.value).startswith("mine.yaml: ")
    assert len(str(caught.value)) < 400


def test_a_message_lists_few_of_many_errors() -> None:
    with pytest.raises(InputError) as caught:
        TrainConfig.from_dict({"loss": LOSS} | {f"key{n}": 1 for n in range(1000)}, "mine.yaml")
    lines = str(caught.value).splitlines()
    assert len(lines) == 11
    assert lines[-1] == "mine.yaml: 990 more errors"
