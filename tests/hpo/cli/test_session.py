"""Messages of the Python interface."""

from __future__ import annotations

import pytest

from hpo.cli.session import as_arguments, in_words_of_python
from hpo.runtime.process import SearchFailed
from trainers import InputError


def test_messages_have_arguments_in_place_of_flags():
    text = "give another --output or --study-name, or fewer --confirm-seeds; the same command continues; --nthreads is Dask's"
    assert as_arguments(text) == (
        "give another output or name=..., or fewer seeds; the same call continues; --nthreads is Dask's"
    )
    command = "`python -m hpo.studies delete mine --output out`"
    assert as_arguments(f"give --output, or run {command}") == f"give output, or run {command}"


@pytest.mark.parametrize("error", [InputError, SearchFailed])
def test_errors_keep_their_type(error: type[Exception]):
    with pytest.raises(error, match=r"give more timeout$"), in_words_of_python():
        raise error("give more --timeout")
    with pytest.raises(KeyError), in_words_of_python():
        raise KeyError("--timeout")
