"""The sentences on how a comparison was made."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hpo.confirmation.outcome import Confirmation
from hpo.reporting.protocol import protocol

from ..conftest import Place
from ..outcomes import confirmed, opened


def said(place: Place, found: Confirmation | None) -> str:
    report = opened(place)
    spec = report.spec.model_copy(update={"search": report.spec.search.model_copy(update={"epochs": 1})})
    return "\n".join(protocol(spec, confirmed(place).data.validation_split, found))


@pytest.mark.confirmed
def test_how_baselines_were_tuned_and_which_split_chose(place: Place):
    found = confirmed(place)
    tuned = "Baselines: 4 points of rp3beta, 4 of ials and 4 of ease were measured on validation; the best one of each was "
    assert f"{tuned}measured on test once." in said(place, found)
    ease = found.baselines[3]
    far = ease.model_copy(update={"validation": 1.0})
    ahead = said(place, found.model_copy(update={"baselines": [far]}))
    assert "Baselines: 4 points of ease were measured on validation; the best one was measured on test once." in ahead
    assert (
        "Validation chose among the methods; test chose nothing. There is no winner, since a baseline is ahead on validation."
        in ahead
    )
    none = said(place, found.model_copy(update={"baselines": []}))
    assert "Validation chose among the methods; test chose nothing." in none
    assert "There is no winner" not in none
    assert "Baselines:" not in none
    assert ", 1 epoch a trial, " in none
    rivals = "those of tuned rivals"
    assert not any(method.is_tuned for method in found.methods[1:])
    assert rivals not in none
    first, second, *others = found.methods
    tuned = replace(second, search=first.search)
    assert rivals in said(place, found.model_copy(update={"methods": [first, tuned, *others]}))


@pytest.mark.confirmed
def test_what_the_times_of_a_test_split_mean_is_said(place: Place):
    found = confirmed(place)
    assert "same time" not in said(place, found)
    assert "forecast" not in said(place, found)
    about = found.data.about_test.model_copy(update={"tied": 7, "users": 48, "later": 0.49})
    data = found.data.model_copy(update={"about_test": about, "validation_tied": 1_200, "validation_users": 3_000})
    lines = said(place, found.model_copy(update={"data": data}))
    assert "Test: for 7 of 48 test users, the first test interaction and the last one before it have the same time" in lines
    assert (
        "Test: 49 % of the training interactions are later than a test interaction, on average, so the figures are not" in lines
    )
    assert "Validation: for 1,200 of 3,000 validation users, the first validation interaction and" in lines
