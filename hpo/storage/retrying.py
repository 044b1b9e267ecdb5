"""Storages on a server, such as PostgreSQL or Optuna's gRPC proxy. Operations are retried while the server does not answer."""

from __future__ import annotations

import logging
import sqlite3
import warnings
import weakref
from collections.abc import Callable, Sequence
from typing import Any, NoReturn
from urllib.parse import urlsplit

from optuna.exceptions import ExperimentalWarning, StorageInternalError, UpdateFinishedTrialError
from optuna.storages import BaseStorage, GrpcStorageProxy, RDBStorage, get_storage
from optuna.trial import TrialState
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    retry_if_exception_type,
    stop_after_attempt,
    stop_after_delay,
    wait_chain,
    wait_fixed,
)

from hpo.runtime.signals import asked_to_stop
from hpo.storage.address import without_password
from trainers.errors import InputError

log = logging.getLogger(__name__)

GRPC, GRPC_PORT = "grpc", 13000
CONNECT_SECONDS = 10.0
PATIENCE_SECONDS = 180.0  # longer than a database takes to be upgraded, moved or restarted
PAUSES = (0.1, 0.5, 1.0, 2.0, 5.0)


def open_remote(url: str) -> BaseStorage:
    """The storage behind an Optuna URL, or behind `grpc://host:port`.

    Raises:
        InputError: a gRPC address without a host.
        Exception: any error of the driver, if the server cannot be reached.
    """
    if not url.startswith(f"{GRPC}://"):
        database = _making_tables()(RDBStorage, url)
        storage = patient(get_storage(database))
        weakref.finalize(storage, database.engine.dispose)  # Optuna leaves the pool's connections open
        return storage
    address = urlsplit(url)
    if not address.hostname:
        raise InputError(f"a gRPC storage must name its host, got {without_password(url)!r}; give grpc://HOST:PORT")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        proxy = GrpcStorageProxy(host=address.hostname, port=address.port or GRPC_PORT)
    proxy.wait_server_ready(CONNECT_SECONDS)
    return patient(proxy)


def _making_tables() -> Retrying:
    """The retry policy for opening a database.

    If several processes open a new database at once, only one of them can create a table, and the others get an error.
    """
    from sqlalchemy.exc import IntegrityError, ProgrammingError  # see hpo.storage.open

    return Retrying(
        retry=retry_if_exception_type((IntegrityError, ProgrammingError)),
        wait=wait_chain(*map(wait_fixed, PAUSES)),
        stop=stop_after_attempt(len(PAUSES)),
        reraise=True,
    )


def patient(storage: BaseStorage, seconds: float = PATIENCE_SECONDS) -> BaseStorage:
    """Wrap a storage: every operation is retried for up to `seconds` while the server does not answer.

    An operation whose answer was lost is done twice. If a trial was created twice, its worker reaps the extra one; if it was
    queued twice, hpo.search.scheduler drops the duplicate. A state that is already set counts as set. All other values are set
    again.
    """
    patient_one: BaseStorage = _Patient(storage, seconds)
    return patient_one


class _Waiting:
    """Forwards every operation of BaseStorage with retries, see `patient`."""

    def __init__(self, storage: BaseStorage, seconds: float) -> None:
        self._storage = storage
        self._seconds = seconds

    def _try(self, name: str, *arguments: Any, **named: Any) -> Any:
        attempt_number = 0

        def operation() -> Any:
            nonlocal attempt_number
            attempt_number += 1
            try:
                return getattr(self._storage, name)(*arguments, **named)
            except UpdateFinishedTrialError:
                if attempt_number > 1 and name == "set_trial_state_values" and self._is_set(*arguments, **named):
                    return True
                raise

        try:
            return self._attempts()(operation)
        except Exception as error:
            _raise_as_storage_error(error)

    def _attempts(self) -> Retrying:
        """The retry policy."""
        out_of_patience = stop_after_delay(self._seconds)
        return Retrying(
            retry=retry_if_exception(is_outage),
            wait=wait_chain(*map(wait_fixed, PAUSES)),
            stop=lambda state: asked_to_stop() or out_of_patience(state),
            before_sleep=self._tell,
            reraise=True,
        )

    def _tell(self, state: RetryCallState) -> None:
        if state.attempt_number == 2:  # an idle connection may have broken: the second attempt makes a new one
            log.warning("the storage does not answer; retrying for up to %g s", self._seconds)

    def _is_set(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """Whether an earlier attempt, whose answer was lost, has set this state."""
        return self._storage.get_trial(trial_id).state == state


def _raise_as_storage_error(error: Exception) -> NoReturn:
    """Raise errors of gRPC and SQLAlchemy as StorageInternalError; raise others, such as KeyError, unchanged."""
    if type(error).__module__.startswith(("grpc", "sqlalchemy")):
        raise StorageInternalError(str(error)) from error
    raise error


def _operation(name: str) -> Callable[..., Any]:
    def operation(self: _Waiting, *arguments: Any, **named: Any) -> Any:
        return self._try(name, *arguments, **named)

    return operation


OPERATIONS = [name for name in vars(BaseStorage) if not name.startswith("_")]
_Patient: Any = type("_Patient", (_Waiting, BaseStorage), {name: _operation(name) for name in OPERATIONS})


def is_outage(error: BaseException | None) -> bool:
    """Whether an error, or its cause, means that the server cannot be reached at the moment."""
    from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, PendingRollbackError  # see hpo.storage.open

    while error is not None:
        # Optuna gets a PendingRollbackError after one of the others
        if isinstance(error, OperationalError | InterfaceError | PendingRollbackError):
            return not _is_lasting(getattr(error, "orig", None))
        if isinstance(error, DBAPIError) and error.connection_invalidated:
            return True
        code = getattr(error, "code", None)  # of grpc.RpcError; grpc may not be installed
        if callable(code) and getattr(code(), "name", "") == "UNAVAILABLE":
            return True
        error = error.__cause__
    return False


def _is_lasting(driver_error: BaseException | None) -> bool:
    """Whether waiting does not help against an operational error of a driver."""
    if isinstance(driver_error, sqlite3.Error):
        return "locked" not in str(driver_error)
    return type(driver_error).__name__ == "DiskFull"
