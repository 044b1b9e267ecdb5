"""The environment variables of this program."""

from __future__ import annotations

import pytest

from trainers.environment import variable
from trainers.errors import InputError


def test_an_empty_variable_counts_as_unset_and_a_blank_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HPO_X", raising=False)
    assert variable("HPO_X") is None
    monkeypatch.setenv("HPO_X", "")
    assert variable("HPO_X") is None
    monkeypatch.setenv("HPO_X", " a b")
    assert variable("HPO_X") == " a b"
    monkeypatch.setenv("HPO_X", " \n")
    with pytest.raises(InputError) as caught:
        variable("HPO_X")
    assert str(caught.value) == r"HPO_X must hold more than spaces, got ' \n'; give it a value, or unset it"
