"""`python -m hpo.dashboard`: optuna-dashboard on the storage, with each study's note, pictures and files."""

from __future__ import annotations

import argparse
import logging
import socket
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import optuna
from optuna.storages import BaseStorage
from optuna_dashboard import wsgi
from rich.console import Console

from hpo.cli.console import say
from hpo.cli.context import sound_spec
from hpo.cli.entry import command_parser, entry
from hpo.cli.flags import add_location_arguments, port
from hpo.confirmation.outcome import CONFIRM
from hpo.reporting.dashboard_sync import artifact_store, publish
from hpo.reporting.export import check_owner
from hpo.reporting.guard import Application, Environment, StartResponse, guarded
from hpo.runtime.process import SearchFailed
from hpo.storage.address import storage_url
from hpo.storage.open import open_storage
from hpo.study.owner import is_claimed, while_it_exists
from hpo.study.spec import StudySpec
from trainers.errors import InputError

log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
NEVER = 1e12  # seconds, more than any time since 1970


def main(argv: list[str] | None = None) -> int:
    """Update all studies' notes and start optuna-dashboard. All users of this machine can use it."""
    parser = command_parser("dashboard", main.__doc__, "--output runs --port 8081")
    parser.add_argument("--host", default=LOOPBACK, help="address to listen on (default: %(default)s, this machine only)")
    parser.add_argument("--port", type=port, default=8080, help="port to listen on, 1 to 65535 (default: %(default)s)")
    parser.add_argument(
        "--known-as", action="append", default=[], metavar="NAME", help="another name of this server, such as that of a proxy"
    )
    add_location_arguments(parser)
    return entry(parser, argv, _dashboard)


def _dashboard(arguments: argparse.Namespace) -> int:
    console = Console()
    _check_free(arguments.host, arguments.port)
    storage = open_storage(storage_url(arguments.storage, arguments.output), create=False)
    notes: list[tuple[float, str, optuna.Study]] = []
    for name in optuna.get_all_study_names(storage):
        # a study without a folder here has its results elsewhere, and its note is made from them
        if (arguments.output / name).is_dir():
            study = optuna.load_study(study_name=name, storage=storage)
            spec = sound_spec(study)
            if spec is not None and is_claimed(arguments.output / name):
                _publish(spec, study, storage, arguments.output)
                notes.append((_confirmed_at(arguments.output / name), name, study))
    store = artifact_store(arguments.output)
    shown = f"[{arguments.host}]" if ":" in arguments.host else arguments.host
    if arguments.host not in (LOOPBACK, "::1", "localhost"):
        say(console, f"warning: everyone who can reach {shown}:{arguments.port} can change and delete studies")
    address, application = f"http://{shown}:{arguments.port}", wsgi(storage, artifact_store=store)
    if notes:
        *_, latest = max(notes, key=lambda note: note[:2])  # of equal times the last name
        note = f"/dashboard/studies/{latest._study_id}/note"
        application = opened_at(note, application)
        say(console, f"{address}   the note of {latest.study_name}, {address}/dashboard   all studies   (Ctrl-C ends it)")
    else:
        say(console, f"{address}/dashboard   (Ctrl-C ends it)")
    serve(guarded(application, arguments.host, arguments.known_as), arguments.host, arguments.port)
    return 0


def _confirmed_at(folder: Path) -> float:
    """The time at which a study was confirmed, in seconds since 1970.

    For a study that is not confirmed: the time of the last change of its folder, minus NEVER. That is below 0, so such a study
    comes before every confirmed one.
    """
    path = folder / CONFIRM
    return path.stat().st_mtime if path.exists() else folder.stat().st_mtime - NEVER


def opened_at(path: str, application: Application) -> Application:
    """The application, with a redirection: a request for the address without a path is sent to `path`."""

    def redirecting(environment: Environment, start: StartResponse) -> Iterable[bytes]:
        if environment.get("PATH_INFO") not in ("", "/"):
            return application(environment, start)
        start("302 Found", [("Location", path), ("Content-Length", "0")])
        return []

    return redirecting


def serve(application: Application, host: str, port: int) -> None:
    """Answer requests until Ctrl-C."""

    class Server(WSGIServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

    with make_server(host, port, application, Server, _Quiet) as server, suppress(KeyboardInterrupt):
        server.serve_forever()


class _Quiet(WSGIRequestHandler):
    def log_request(self, code: object = "-", size: object = "-") -> None:
        """Log nothing: the dashboard sends a request every few seconds."""


def _publish(spec: StudySpec, study: optuna.Study, storage: BaseStorage, output: Path) -> None:
    """Update a study's note. Errors become warnings, so that other studies can be shown."""
    folder = output / study.study_name
    try:
        with while_it_exists(study, "published", folder):
            check_owner(folder, study, to_overwrite=False)
            publish(spec, study, storage, output)
    except (InputError, SearchFailed) as error:
        log.warning("%s", error)


def _check_free(host: str, port: int) -> None:
    """Check that the address is free, before notes are written."""
    try:
        socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError as error:
        raise InputError(
            f"cannot listen on {host}:{port}: {error.strerror}; give a free --port, or a --host of this machine"
        ) from None


if __name__ == "__main__":
    raise SystemExit(main())
