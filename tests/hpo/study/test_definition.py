"""What differs between two definitions."""

from __future__ import annotations

from hpo.study.definition import differences


def test_differences_name_the_inner_key():
    old = {"a": 1, "config": {"x": 1, "y": {"z": 2}}, "gone": 0}
    new = {"a": 1, "config": {"x": 1, "y": {"z": 3}}, "come": 5}
    assert differences(old, new) == "come: was None, now 5; config.y.z: was 2, now 3; gone: was 0, now None"
