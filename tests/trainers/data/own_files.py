"""Files of a dataset, and the check of a message, for tests of datasets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from trainers import InputError


def folder(at: Path, **files: str) -> Path:
    """Write a folder with files. `train_txt="..."` gives train.txt."""
    at.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (at / name.replace("_", ".")).write_text(text, encoding="utf-8")
    return at


def refused(call: Callable[[], object], *words: str) -> None:
    with pytest.raises(InputError) as caught:
        call()
    missing = [word for word in words if word not in str(caught.value)]
    assert not missing, f"the message lacks {missing}: {caught.value}"
