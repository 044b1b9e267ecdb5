"""Storages that cannot be opened, and passwords in their URLs."""

from __future__ import annotations

import pytest

from hpo.storage.address import has_password, without_password
from hpo.storage.open import open_storage
from trainers.errors import InputError


@pytest.mark.parametrize(
    "url", ["postgresql+psycopg://me:hunter2@127.0.0.1:1/db", "nonsense://me:hunter2@x/y", "sqlite:////nowhere/at/all.db"]
)
def test_unreachable_storages_are_explained_without_their_password(url: str):
    with pytest.raises(InputError, match="cannot be opened") as error:
        open_storage(url)
    assert "hunter2" not in str(error.value)


def test_passwords():
    assert has_password("postgresql://me:secret@host/db")
    assert not has_password("postgresql://me@host/db")
    assert not has_password("runs/journal.log")
    assert without_password("postgresql://me:secret@host/db") == "postgresql://me:***@host/db"
    assert without_password("runs/journal.log") == "runs/journal.log"
    assert "secret" not in without_password("postgresql://me:secret@host:notaport/db")
    assert has_password("postgresql://host/db?user=me&password=hunter2")
    assert without_password("postgresql://host/db?user=me&password=hunter2") == "postgresql://host/db?user=me&password=***"
    assert "ter2" not in without_password("postgresql://me:hun@ter2@host/db")
    assert "ter2" not in without_password("postgresql://me:hun%40ter2@host/db")
