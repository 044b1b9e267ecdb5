"""`hpo.dashboard` and results that lie elsewhere."""

from __future__ import annotations

import pytest
from optuna_dashboard import get_note

from hpo import dashboard
from hpo.reporting.guard import Application

from .conftest import Place
from .outcomes import opened


@pytest.mark.confirmed
def test_a_dashboard_elsewhere_leaves_notes_alone(place: Place, monkeypatch: pytest.MonkeyPatch):
    """On another machine the results do not lie in the output folder: the note there must not become `no verdict yet`."""
    note = get_note(opened(place).study)
    monkeypatch.setattr(dashboard, "serve", lambda application, host, port: None)
    elsewhere = ["--storage", str(place.output / "journal.log"), "--output", str(place.root / "elsewhere")]
    assert dashboard.main(elsewhere) == 0
    assert get_note(opened(place).study) == note


@pytest.mark.confirmed
def test_it_opens_on_the_note_of_the_study_that_was_confirmed_last(
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
