"""What the test split has been read for: a verdict that one of many readings gave means less, and says so."""

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
    """Keep with the study what is about to be read on the test split; caveats when that is more than one thing by now, and when
    it was read on other test data before.

    Who searches on until the verdict pleases chooses on the test split. It is kept before stage 2 begins: what a confirm that
    was interrupted has finished can be looked at, too.

    Args:
        test: checksum of the test split.
        compared: config digest and number of seeds of each method, by label.
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
    """What was read, whatever it was called: labels count trials, which may go on without another winner."""
    compared = reading.get("compared")
    return str(reading.get("test")), sorted(map(str, compared.values())) if isinstance(compared, dict) else []


def readings_of_other_studies(study: optuna.Study, storage: BaseStorage) -> list[Caveat]:
    """A caveat when other studies of the storage have been confirmed on the same data: no verdict allows for that."""
    data, others = stored_definition(study.study_name, study.user_attrs).checksum, []
    for other in optuna.get_all_study_summaries(storage, include_best_trial=False):
        if TEST_LOG not in other.user_attrs or other.study_name == study.study_name:
            continue
        with suppress(InputError):  # a study that is damaged is another command's business
            if stored_definition(other.study_name, other.user_attrs).checksum == data:
                others.append(other.study_name)
    if not others:
        return []
    return [Caveat(kind=CaveatKind.TEST_READ_FOR_OTHERS, subject=study.study_name, facts={"studies": [*sorted(others)]})]
