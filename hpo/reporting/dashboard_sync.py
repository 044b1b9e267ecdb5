"""Brings a study's report up to date: report.md and report.html, and in the dashboard its note, graphs and files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import optuna
from optuna.artifacts import FileSystemArtifactStore, upload_artifact
from optuna.artifacts.exceptions import ArtifactNotFound
from optuna.storages import BaseStorage

from hpo.reporting.export import check_owner
from hpo.reporting.figures import CURVES, SHAPE, pictures
from hpo.reporting.overview import Overview
from hpo.reporting.pages import HTML, write_report
from hpo.runtime.text import CHANGE_OUTPUT_HINT
from hpo.study.definition import NAMED
from hpo.study.names import BEST, WINNER
from hpo.study.spec import StudySpec
from trainers.files import writing

ARTIFACTS = "artifacts"  # a folder in the output folder
ARTIFACT_ID = re.compile(r"[0-9a-f-]{36}")  # the id of an attached file, which is also its file name
OFFERED = (WINNER, BEST, HTML)
# Changes of a figure for the dashboard: a title above it, the legend below it, and a white background for its dark text.
ON_ITS_OWN: dict[str, Any] = {
    "margin": {"t": 60, "b": 170},
    "legend": {"y": -0.25, "yanchor": "top"},
    "height": 480,
    "paper_bgcolor": "white",
    "plot_bgcolor": "white",
}
ATTACHED = "artifacts:"  # the key of an attached file in the system attributes is this text and the file's id


def publish(spec: StudySpec, study: optuna.Study, storage: BaseStorage, output: Path) -> list[Path]:
    """Bring a study's report up to date, on disk and in the dashboard: note, graphs, winner.yaml, best.yaml and report.html.

    Returns:
        The report's files.

    Raises:
        InputError: the folder cannot be written, or holds another study's results.
    """
    from optuna_dashboard import save_note, save_plotly_graph_object  # takes half a second to load; workers never need it

    folder = output / spec.name
    check_owner(folder, study, to_overwrite=False)
    if study.user_attrs.get(NAMED) != study.study_name:
        _forget_attached(study, storage)
        study.set_user_attr(NAMED, study.study_name)
    overview = Overview.of(spec, study, folder)
    drawn = pictures(overview)
    paths = write_report(overview, drawn, folder)
    save_note(study, overview.note())
    for key in (SHAPE, CURVES):
        if key in drawn:
            titled = drawn[key].figure.update_layout(title=drawn[key].title, **ON_ITS_OWN)
            save_plotly_graph_object(study, titled, graph_object_id=key)
    with writing(output / ARTIFACTS, "make it writable"):
        store = artifact_store(output)
        for name in OFFERED:
            if (folder / name).exists():
                _attach(study, storage, folder / name, store)
            else:
                _detach(study, storage, name, store)
    return paths


def artifact_store(output: Path) -> FileSystemArtifactStore:
    """The store of the files that the dashboard offers. Its folder is created if it does not exist.

    Raises:
        InputError: the folder cannot be created.
    """
    folder = output / ARTIFACTS
    with writing(folder, CHANGE_OUTPUT_HINT):
        folder.mkdir(parents=True, exist_ok=True)
    return FileSystemArtifactStore(folder)


def _meta(text: Any) -> dict[str, Any]:
    """Optuna's record of an attached file. Empty if the file was deleted in the dashboard, or if the record is damaged."""
    try:
        meta = json.loads(text)
    except (TypeError, ValueError):
        return {}
    return meta if isinstance(meta, dict) else {}


def study_attributes(study: optuna.Study, storage: BaseStorage) -> dict[str, Any]:
    """The system attributes of a study, which Optuna and its dashboard write."""
    return next(each.system_attrs for each in storage.get_all_studies() if each.study_name == study.study_name)


def _attached(study: optuna.Study, storage: BaseStorage) -> Iterator[tuple[str, str, str]]:
    """Yield (key, name, id) of each attached file. The id is empty if it cannot be the name of a file."""
    for key, value in study_attributes(study, storage).items():
        if key.startswith(ATTACHED):
            meta = _meta(value)
            found = str(meta.get("artifact_id"))
            yield key, str(meta.get("filename")), found if ARTIFACT_ID.fullmatch(found) else ""


def _forget_attached(study: optuna.Study, storage: BaseStorage) -> None:
    """Detach all files from a copied study.

    Its attributes still name the files of the original, which must not be overwritten. The value of a detached file is null, as
    in the dashboard.
    """
    for key, name, _ in _attached(study, storage):
        if name in OFFERED:
            storage.set_study_system_attr(study._study_id, key, json.dumps(None))


def _detach(study: optuna.Study, storage: BaseStorage, name: str, store: FileSystemArtifactStore) -> None:
    """Detach a file that is no longer in the study's folder, and delete it from the store."""
    for key, attached, known in _attached(study, storage):
        if attached == name:
            storage.set_study_system_attr(study._study_id, key, json.dumps(None))
            if known:
                with suppress(ArtifactNotFound):
                    store.remove(known)


def _attach(study: optuna.Study, storage: BaseStorage, path: Path, store: FileSystemArtifactStore) -> None:
    """Attach a file to the study. It replaces an attached file of the same name."""
    known = [found for _, name, found in _attached(study, storage) if found and name == path.name]
    if known:
        with path.open("rb") as file:
            store.write(known[0], file)
    else:
        upload_artifact(artifact_store=store, file_path=str(path), study_or_trial=study)
