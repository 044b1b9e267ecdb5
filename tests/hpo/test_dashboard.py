"""`hpo.dashboard`, also for results in another folder."""

from __future__ import annotations

import os

import pytest
from optuna_dashboard import get_note

from hpo import dashboard
from hpo.confirmation.outcome import CONFIRM
from hpo.reporting.guard import Application

from .conftest import Place
from .outcomes import opened


@pytest.mark.confirmed
def test_a_dashboard_with_another_output_folder_does_not_change_notes(place: Place, monkeypatch: pytest.MonkeyPatch):
    """Another machine may lack the results. The note with the verdict must not become `no verdict yet`."""
    note = get_note(opened(place).study)
    monkeypatch.setattr(dashboard, "serve", lambda application, host, port: None)
    elsewhere = ["--storage", str(place.output / "journal.log"), "--output", str(place.root / "elsewhere")]
    assert dashboard.main(elsewhere) == 0
    assert get_note(opened(place).study) == note


@pytest.mark.confirmed
def test_the_dashboard_opens_on_the_note_of_the_last_confirmed_study(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    served: list[Application] = []
    monkeypatch.setattr(dashboard, "serve", lambda application, host, port: served.append(application))
    assert dashboard.main(["--output", str(place.output)]) == 0
    assert (
        "http://127.0.0.1:8080   the note of tiny_mml, http://127.0.0.1:8080/dashboard   all studies" in capsys.readouterr().out
    )
    answers: list[tuple[str, dict[str, str]]] = []
    request = {"PATH_INFO": "/", "HTTP_HOST": "127.0.0.1:8080", "REQUEST_METHOD": "GET"}
    list(served[0](request, lambda status, headers: answers.append((status, dict(headers)))))
    ((status, headers),) = answers
    number = opened(place).study._study_id
    assert (status, headers["Location"]) == ("302 Found", f"/dashboard/studies/{number}/note")


def test_of_studies_confirmed_at_the_same_time_the_last_name_is_opened(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """Only the time of confirm.yaml counts here, so it may be empty."""
    for name in ("tiny_mml", "tiny_ccl"):
        assert place.run("--search-only", "--trials", "1", study=f"{name}.yaml") == 0
        (place.output / name / CONFIRM).touch()
        os.utime(place.output / name / CONFIRM, (1e9, 1e9))
    capsys.readouterr()
    monkeypatch.setattr(dashboard, "serve", lambda application, host, port: None)
    assert dashboard.main(["--output", str(place.output)]) == 0
    assert "the note of tiny_mml," in capsys.readouterr().out
