"""Commands run as forks of a process that has loaded the libraries. They are real processes and get real signals.

To load the libraries takes most of the time of a small study. Tests of the start of a command, and tests of signals to groups
of processes, use `start_anew` in processes.py.
"""

from __future__ import annotations

import io
import multiprocessing
import os
import runpy
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import connection, forkserver
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

CONTEXT = multiprocessing.get_context("forkserver")
LOADED = ["tests.hpo.loaded", __name__]


@dataclass(frozen=True)
class Command:
    """The command that a forked process runs.

    Attributes:
        module: as in `python -m MODULE`.
        session: whether the process gets its own process group, as under a shell.
        before: a line of Python that runs first.
    """

    module: str
    arguments: Sequence[str]
    folder: Path
    environment: dict[str, str]
    session: bool = False
    before: str = ""

    def run(self, output: Connection, errors: Connection) -> None:
        """Run the command in the new process."""
        # A search with workers in this test process may have started the server, which then blocks signals.
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        if self.session:
            os.setsid()
        os.chdir(self.folder)
        os.environ.clear()
        os.environ.update(self.environment)
        for number, pipe in ((1, output), (2, errors)):
            os.dup2(pipe.fileno(), number)
            pipe.close()
        sys.stdout, sys.stderr = (io.TextIOWrapper(io.FileIO(number, "w", closefd=False)) for number in (1, 2))
        if {"--workers", "--nworkers"} & {*self.arguments}:
            serve_forks()
        draw_nothing()
        exec(self.before, {})
        sys.argv = [self.module, *self.arguments]
        sys.modules.pop(self.module, None)  # else Python warns of it
        runpy.run_module(self.module, run_name="__main__", alter_sys=True)


def draw_nothing() -> None:
    """Write reports without pictures, as in conftest.py. Only commands of `start_anew` draw them."""
    from hpo.reporting import dashboard_sync

    dashboard_sync.pictures = lambda overview: {}  # type: ignore[assignment]


def serve_forks() -> None:
    """Replace `multiprocessing.forkserver.ensure_running`, so that the server of the workers is a fork, too."""
    listener, (alive, ours) = socket.socket(socket.AF_UNIX), os.pipe()
    address = connection.arbitrary_address("AF_UNIX")  # type: ignore[attr-defined]
    listener.bind(address)
    listener.listen()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT, signal.SIGTERM])
    server = os.fork()
    if server == 0:
        os.close(ours)
        with suppress(SystemExit):
            forkserver.main(listener.detach(), alive, [])
        os._exit(0)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    os.close(alive)
    listener.close()
    known = forkserver._forkserver  # type: ignore[attr-defined]
    known._forkserver_address, known._forkserver_alive_fd, known._forkserver_pid = address, ours, server


def start_server(environment: dict[str, str], folder: Path) -> None:
    """Start the process that loads the libraries, unless it runs."""
    CONTEXT.set_forkserver_preload(LOADED)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**environment, "PYTHONPATH": str(folder)}.items():
            patch.setenv(name, value)
        forkserver.ensure_running()


class Forked:
    """A running command, with the methods of `subprocess.Popen` that tests use."""

    def __init__(self, command: Command) -> None:
        start_server(command.environment, command.folder)
        pipes = [CONTEXT.Pipe(duplex=False) for _ in range(2)]
        self.process = CONTEXT.Process(target=command.run, args=[sender for _, sender in pipes])
        self.process.start()
        for _, sender in pipes:
            sender.close()
        self.stdout, self.stderr = (os.fdopen(os.dup(receiver.fileno()), encoding="utf-8") for receiver, _ in pipes)
        for receiver, _ in pipes:
            receiver.close()

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    @property
    def returncode(self) -> int | None:
        return self.process.exitcode

    def poll(self) -> int | None:
        return self.process.exitcode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """The output and the errors, once the command and all its child processes have ended.

        Raises:
            subprocess.TimeoutExpired: the command has not ended.
        """
        with self.stdout, self.stderr, ThreadPoolExecutor(2) as pool:
            read: Callable[[object], str] = lambda stream: stream.read()  # type: ignore[attr-defined]  # noqa: E731
            both = [pool.submit(read, stream) for stream in (self.stdout, self.stderr)]
            try:
                shown, errors = (one.result(timeout) for one in both)
            except TimeoutError:
                self.kill()
                raise subprocess.TimeoutExpired(str(self.process), timeout or 0.0) from None
        self.process.join()
        return shown, errors
