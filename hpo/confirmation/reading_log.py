"""A log of how often the test split was read. A verdict that is one of several readings gets a caveat."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import optuna
from optuna.storages import BaseStorage
from pydantic import JsonValue

from hpo.confirmation.caveats import Caveat, CaveatKind
from hpo.study.definition import stored_definition
from trainers.errors import InputError

TEST_LOG = "test readings"  # attribute of the study: what each confirm compared on the test split


def log_reading(study: optuna.Study, test: str, compared: Mapping[str, Any]) -> list[Caveat]:
    """Note in the study what is about to be measured on the test split. Returns caveats if it was read for other comparisons,
    or on other test data, before.

    To search on until the verdict pleases is selection on the test split. The note is written before stage 2, since the
    finished runs of an interrupted confirm can be looked at, too.

    Args:
        test: checksum of the test split.
        compared: config digests and number of seeds of each method, and the settings of each baseline, by label.
    """
    readings: list[Mapping[str, Any]] = [each for each in study.user_attrs.get(TEST_LOG, []) if isinstance(each, dict)]
    reading = {"test": test, "compared": dict(compared)}
    if _what(reading) not in map(_what, readings):
        readings = [*readings, reading]
        study.set_user_attr(TEST_LOG, readings)
    by_test = Counter(str(each.get("test")) for each in readings)
    caveats = []
    if len(readings) > 1:
        times: dict[str, JsonValue] = {"times": len(readings)}
        caveats.append(Caveat(kind=CaveatKind.TEST_READ_AGAIN, subject=study.study_name, facts=times))
    if len(by_test) > 1:
        facts: dict[str, JsonValue] = {"now": test, "times": by_test.pop(test), "before": {**by_test}}
        caveats.append(Caveat(kind=CaveatKind.TEST_CHANGED, subject=study.study_name, facts=facts))
    return caveats


def _what(reading: Mapping[str, Any]) -> tuple[str, list[str]]:
    """A reading without its labels: labels count trials, and more trials need not change the winner."""
    compared = reading.get("compared")
    return str(reading.get("test")), sorted(map(str, compared.values())) if isinstance(compared, dict) else []


def readings_of_other_studies(study: optuna.Study, storage: BaseStorage) -> list[Caveat]:
    """A caveat if other studies of the storage were confirmed on the same data. No verdict is corrected for that."""
    data, others = stored_definition(study.study_name, study.user_attrs).checksum, []
    for other in optuna.get_all_study_summaries(storage, include_best_trial=False):
        if TEST_LOG not in other.user_attrs or other.study_name == study.study_name:
            continue
        with suppress(InputError):  # a damaged study: commands on that study report it
            if stored_definition(other.study_name, other.user_attrs).checksum == data:
                others.append(other.study_name)
    if not others:
        return []
    return [Caveat(kind=CaveatKind.TEST_READ_FOR_OTHERS, subject=study.study_name, facts={"studies": [*sorted(others)]})]
