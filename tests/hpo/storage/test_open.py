"""Storages that cannot be opened."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpo.storage.open import open_storage
from hpo.study.stored import find_study
from trainers.errors import InputError


@pytest.mark.parametrize(
    "url", ["postgresql+psycopg://me:hunter2@127.0.0.1:1/db", "nonsense://me:hunter2@x/y", "sqlite:////nowhere/at/all.db"]
)
def test_the_message_about_an_unreachable_storage_has_no_password(url: str):
    with pytest.raises(InputError, match="cannot be opened") as error:
        open_storage(url)
    assert "hunter2" not in str(error.value)


def test_an_empty_journal_holds_no_study(tmp_path: Path):
    (tmp_path / "journal.log").touch()
    with pytest.raises(InputError, match=r"unknown study 'a': this storage holds no study at all; run it first"):
        find_study(open_storage(str(tmp_path / "journal.log"), create=False), "a")
