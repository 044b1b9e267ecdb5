"""`python -m hpo.proxy`: Optuna's gRPC proxy in front of a database, for more workers than it has connections."""

from __future__ import annotations

import argparse
import warnings

from optuna.exceptions import ExperimentalWarning
from optuna.storages import run_grpc_proxy_server

from hpo.cli.entry import command_parser, entry
from hpo.cli.flags import place, port
from hpo.storage.address import STORAGE_VARIABLE, is_url, storage_url, without_password
from hpo.storage.open import open_storage
from hpo.storage.retrying import GRPC_PORT
from trainers.errors import InputError
from trainers.text import visible


def main(argv: list[str] | None = None) -> int:
    """Serve a database to many workers, which use --storage grpc://HOST:PORT. There is no login: use a trusted network."""
    parser = command_parser("proxy", main.__doc__, "--storage postgresql+psycopg://user@host/db --host 0.0.0.0")
    parser.add_argument("--storage", type=place, metavar="URL", help=f"the database (default: ${STORAGE_VARIABLE})")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s, this machine only)")
    parser.add_argument("--port", type=port, default=GRPC_PORT, help="port to listen on, 1 to 65535 (default: %(default)s)")
    return entry(parser, argv, _serve)


def _serve(arguments: argparse.Namespace) -> int:
    url = storage_url(arguments.storage, None)
    if not is_url(url) or url.startswith(("sqlite", "grpc:")):
        raise InputError(
            f"the proxy needs a database server, such as postgresql+psycopg://user@host/db, got "
            f"{without_password(url) or 'none'}; give one with --storage or ${STORAGE_VARIABLE}"
        )
    storage = open_storage(url)
    print(visible(f"serving {without_password(url)} on grpc://{arguments.host}:{arguments.port}; Ctrl-C ends it"), flush=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        try:
            run_grpc_proxy_server(storage, host=arguments.host, port=arguments.port)
        except (RuntimeError, ImportError) as error:
            where = f"{arguments.host}:{arguments.port}"
            raise InputError(f"cannot serve on {where}: {error}; give a free --port, or install .[postgres]") from None
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
