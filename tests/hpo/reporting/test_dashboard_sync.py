"""The dashboard shows notes, graphs and files of a study."""

from __future__ import annotations

import pytest
from optuna.artifacts import get_all_artifact_meta

from hpo import dashboard
from hpo.reporting.dashboard_sync import artifact_store
from hpo.reporting.figures import CURVES, SHAPE
from hpo.storage.open import open_storage

from ..conftest import Place
from ..outcomes import opened


@pytest.mark.pictures
def test_the_dashboard_has_note_graphs_and_current_files(place: Place):
    place.run()
    overview = opened(place)
    storage, folder = open_storage(str(place.output / "journal.log")), place.output / "tiny_mml"
    attached = {meta.filename: meta.artifact_id for meta in get_all_artifact_meta(overview.study, storage=storage)}
    assert set(attached) == {"best.yaml", "report.html"}
    (folder / "best.yaml").write_text("changed: true\n")
    dashboard.publish(overview.spec, overview.study, storage, place.output)
    metas = get_all_artifact_meta(overview.study, storage=storage)
    assert sorted(meta.filename for meta in metas) == ["best.yaml", "report.html"], "files are replaced"
    with artifact_store(place.output).open_reader(attached["best.yaml"]) as file:
        assert file.read() == b"changed: true\n"
    stored = storage.get_study_system_attrs(overview.study._study_id)
    for key in (SHAPE, CURVES):
        assert any(key in name for name in stored), f"graph {key}"
