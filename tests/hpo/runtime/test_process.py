"""The log of a process on a terminal."""

from __future__ import annotations

import logging

import optuna
import pytest

from hpo.runtime.process import set_up_logging


def test_control_characters_of_log_messages_are_escaped(capsys: pytest.CaptureFixture[str]):
    set_up_logging()
    logging.getLogger("hpo.search").info("study %s", "a\x1b[2J")
    logging.getLogger("else").info("not printed")
    logging.getLogger("else").warning("b\x9b")
    optuna.logging.get_logger("optuna.study").warning("c\x1b")
    assert capsys.readouterr().err == "study a\\x1b[2J\nb\\x9b\nc\\x1b\n"
