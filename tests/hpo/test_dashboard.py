"""`hpo.dashboard` and results that lie elsewhere."""

from __future__ import annotations

import pytest
from optuna_dashboard import get_note

from hpo import dashboard

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
