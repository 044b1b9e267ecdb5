"""The answer to every case of tests/bad_inputs.py keeps the contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..bad_inputs import Answer, Case, answered, cases

CASES = {case.label: case for case in cases()}


@pytest.mark.parametrize("label", CASES)
def test_bad_input_ends_in_one_message_and_writes_nothing(tmp_path: Path, label: str):
    assert list(answered(CASES[label], tmp_path).faults(CASES[label])) == []


def test_all_kinds_of_input_have_cases_with_different_names():
    assert len(CASES) == len(cases()) >= 200
    assert {case.entrance for case in CASES.values()} == {"study file", "config file", "data", "storage", "flags", "paths"}
    commands = {case.command for case in CASES.values()}
    assert commands >= {
        "run",
        "confirm",
        "export",
        "train",
        "recommend",
        "report",
        "replicate",
        "studies",
        "dashboard",
        "proxy",
    }


def test_breaches_of_the_contract_are_found():
    case = Case("flags", "x", "run", ())
    assert list(Answer(2, "error: no\n", []).faults(case)) == []
    for answer, fault in (
        (Answer(1, "error: no\n", []), "exit code 1"),
        (Answer(2, "", []), "0 messages"),
        (Answer(2, "error: a\nerror: b\n", []), "2 messages"),
        (Answer(2, "error: a\nTraceback (most recent call last)\n", []), "a traceback"),
        (Answer(2, "error: " + "a" * 4000, []), "a message of 4,007 characters"),
        (Answer(2, "error: \x1b[2J", []), "control characters"),
        (Answer(2, "error: no\n", ["out"]), "wrote out"),
        (Answer(2, "error: hunter2\n", []), "shows hunter2"),
    ):
        assert list(answer.faults(case)) == [fault]
    assert "raised ValueError: x" in list(Answer(None, "", [], "ValueError: x").faults(case))
