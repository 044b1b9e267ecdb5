"""`python -m hpo.dashboard`: optuna-dashboard on the right storage, with each study's note, pictures and files."""

from __future__ import annotations

import argparse
import json
import socket
from pathlib import Path
from typing import Any

import optuna
from optuna.artifacts import FileSystemArtifactStore, upload_artifact
from optuna.storages import BaseStorage
from optuna_dashboard import run_server, save_note, save_plotly_graph_object
from rich.console import Console

from hpo.cli import add_place_arguments, entry, port, sound_spec
from hpo.console import say
from hpo.export import BEST
from hpo.figures import CURVES, SHAPE, pictures
from hpo.overview import Overview
from hpo.report import HTML, write_report
from hpo.spec import StudySpec
from hpo.storage import open_storage, storage_url
from trainers.errors import InputError
from trainers.files import writing

ARTIFACTS = "artifacts"  # in the output folder
ATTACHED = "artifacts:"  # in the key of a system attribute that says that a file is attached, before the file's id
LOOPBACK = "127.0.0.1"


def publish(spec: StudySpec, study: optuna.Study, storage: BaseStorage, output: Path) -> list[Path]:
    """Bring a study's report up to date, on disk and in the dashboard: note, graphs, best.yaml and report.html.

    Returns:
        The report's files.
    """
    folder = output / spec.name
    overview = Overview.of(spec, study, folder)
    drawn = pictures(overview)
    paths = write_report(overview, drawn, folder)
    save_note(study, overview.note())
    for key in (SHAPE, CURVES):
        if key in drawn:
            titled = drawn[key].figure.update_layout(title=drawn[key].title, margin={"t": 110})
            save_plotly_graph_object(study, titled, graph_object_id=key)
    with writing(output / ARTIFACTS, "make it writable"):
        for name in (BEST, HTML):
            if (folder / name).exists():
                _attach(study, storage, folder / name, artifact_store(output))
    return paths


def artifact_store(output: Path) -> FileSystemArtifactStore:
    """Where the files lie that the dashboard offers."""
    folder = output / ARTIFACTS
    folder.mkdir(parents=True, exist_ok=True)
    return FileSystemArtifactStore(folder)


def study_attributes(study: optuna.Study, storage: BaseStorage) -> dict[str, Any]:
    """What Optuna itself keeps with a study."""
    return next(each.system_attrs for each in storage.get_all_studies() if each.study_name == study.study_name)


def _attach(study: optuna.Study, storage: BaseStorage, path: Path, store: FileSystemArtifactStore) -> None:
    """Attach a file to the study, in place of an earlier one of that name."""
    attributes = study_attributes(study, storage)
    metas = [json.loads(value) for key, value in attributes.items() if key.startswith(ATTACHED)]
    known = [meta["artifact_id"] for meta in metas if meta and meta["filename"] == path.name]  # null: deleted in the dashboard
    if known:
        with path.open("rb") as file:
            store.write(known[0], file)
    else:
        upload_artifact(artifact_store=store, file_path=str(path), study_or_trial=study)


def main(argv: list[str] | None = None) -> int:
    """Bring all studies' notes up to date and start optuna-dashboard."""
    parser = argparse.ArgumentParser(prog="python -m hpo.dashboard", description=main.__doc__)
    parser.add_argument("--host", default=LOOPBACK, help="address to listen on (%(default)s: this machine only)")
    parser.add_argument("--port", type=port, default=8080, help="%(default)s")
    add_place_arguments(parser)
    return entry(parser, argv, _dashboard)


def _dashboard(arguments: argparse.Namespace) -> int:
    console = Console()
    _check_free(arguments.host, arguments.port)
    storage = open_storage(storage_url(arguments.storage, arguments.output), create=False)
    for name in optuna.get_all_study_names(storage):
        # results that lie in another output folder are not ours to describe: their notes know more than we do
        if (arguments.output / name).is_dir():
            study = optuna.load_study(study_name=name, storage=storage)
            spec = sound_spec(study)
            if spec is not None:
                publish(spec, study, storage, arguments.output)
    if arguments.host != LOOPBACK:
        say(console, f"warning: whoever reaches {arguments.host}:{arguments.port} can change and delete studies")
    say(console, f"http://{arguments.host}:{arguments.port}/dashboard   (Ctrl-C ends it)")
    run_server(storage, host=arguments.host, port=arguments.port, artifact_store=artifact_store(arguments.output))
    return 0


def _check_free(host: str, port: int) -> None:
    """Find out before the notes are written."""
    try:
        socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError as error:
        raise InputError(f"cannot listen on {host}:{port}: {error.strerror}; give a free --port, or a --host of here") from None


if __name__ == "__main__":
    raise SystemExit(main())
