"""`python -m hpo.dashboard`: optuna-dashboard on the right storage, with each study's note, pictures and files."""

from __future__ import annotations

import argparse
from pathlib import Path

import optuna
from optuna.artifacts import FileSystemArtifactStore, get_all_artifact_meta, upload_artifact
from optuna.storages import BaseStorage
from optuna_dashboard import run_server, save_note, save_plotly_graph_object
from rich.console import Console

from hpo.cli import add_place_arguments, entry, positive
from hpo.console import say
from hpo.export import BEST
from hpo.figures import CURVES, SHAPE, pictures
from hpo.overview import Overview
from hpo.report import HTML, write_report
from hpo.spec import StudySpec
from hpo.storage import open_storage, storage_url
from hpo.stored import is_ours, stored_spec
from trainers.errors import InputError

ARTIFACTS = "artifacts"  # in the output folder
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
    try:
        for name in (BEST, HTML):
            if (folder / name).exists():
                _attach(study, storage, folder / name, artifact_store(output))
    except OSError as error:
        raise InputError(f"{output / ARTIFACTS}: cannot be written: {error.strerror or error}; make it writable") from None
    return paths


def artifact_store(output: Path) -> FileSystemArtifactStore:
    """Where the files lie that the dashboard offers."""
    folder = output / ARTIFACTS
    folder.mkdir(parents=True, exist_ok=True)
    return FileSystemArtifactStore(folder)


def _attach(study: optuna.Study, storage: BaseStorage, path: Path, store: FileSystemArtifactStore) -> None:
    """Attach a file to the study, in place of an earlier one of that name."""
    known = [meta.artifact_id for meta in get_all_artifact_meta(study, storage=storage) if meta.filename == path.name]
    if known:
        with path.open("rb") as file:
            store.write(known[0], file)
    else:
        upload_artifact(artifact_store=store, file_path=str(path), study_or_trial=study)


def main(argv: list[str] | None = None) -> int:
    """Bring all studies' notes up to date and start optuna-dashboard."""
    parser = argparse.ArgumentParser(prog="python -m hpo.dashboard", description=main.__doc__)
    parser.add_argument("--host", default=LOOPBACK, help="address to listen on (%(default)s: this machine only)")
    parser.add_argument("--port", type=positive, default=8080, help="%(default)s")
    add_place_arguments(parser)
    return entry(parser, argv, _dashboard)


def _dashboard(arguments: argparse.Namespace) -> int:
    console = Console()
    storage = open_storage(storage_url(arguments.storage, arguments.output), create=False)
    for name in optuna.get_all_study_names(storage):
        study = optuna.load_study(study_name=name, storage=storage)
        # others are not ours, or their results lie in another output folder: their notes know more than we do
        if is_ours(study) and (arguments.output / name).is_dir():
            publish(stored_spec(study), study, storage, arguments.output)
    if arguments.host != LOOPBACK:
        say(console, f"warning: whoever reaches {arguments.host}:{arguments.port} can change and delete studies")
    say(console, f"http://{arguments.host}:{arguments.port}/dashboard   (Ctrl-C ends it)")
    run_server(storage, host=arguments.host, port=arguments.port, artifact_store=artifact_store(arguments.output))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
