"""Where an output comes from: versions, revision, data, command line, machine. Never a password."""

from __future__ import annotations

import platform
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from hpo.storage.address import without_password
from trainers.engines.cache_versions import ROUNDING_LIBRARIES
from trainers.text import visible
from trainers.validation import SETTINGS

PACKAGE = "mml-hpo"
DEPENDENCIES = ("torch", "numpy", "numba", "llvmlite", "triton", "optuna", "pandas", "scipy")


class Provenance(BaseModel):
    """Origin of what a process writes.

    Attributes:
        version: of this program, as installed.
        revision, dirty: of its git checkout, where it runs from one.
        dependencies: versions of the libraries by name, `not installed` for those that are missing.
        command: the command line, without passwords.
        device: the machine that something was trained on, see `trainers.engines.resources.device_name`.
        written: UTC, ISO 8601.
    """

    model_config = SETTINGS | {"frozen": True}
    version: str
    revision: str | None = None
    dirty: bool | None = None
    python: str
    dependencies: dict[str, str]
    command: str
    device: str | None = None
    written: str

    def to_dict(self) -> dict[str, Any]:
        """Plain data; what is not known is left out."""
        return self.model_dump(mode="json", exclude_none=True)

    @property
    def program(self) -> str:
        """The revision of the program, its version where it was installed."""
        return (self.revision or self.version) + (" dirty" if self.dirty else "")

    def rounding(self, engine: str) -> str:
        """The libraries that decide how an engine rounds, with their versions: `numba 0.61, llvmlite 0.44`."""
        return ", ".join(f"{name} {self.dependencies.get(name, 'unknown')}" for name in ROUNDING_LIBRARIES[engine])


def provenance(device: str | None = None) -> Provenance:
    """The origin of a file that this process writes. `device` is `cpu` or `cuda` for trained models, else None."""
    return Provenance(
        version=_version(PACKAGE),
        **_git(),
        python=platform.python_version(),
        dependencies={name: _version(name) for name in DEPENDENCIES},
        command=visible(shlex.join(["python", *map(without_password, sys.orig_argv[1:])])),
        device=_device_name(device) if device else None,
        written=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    )


def _device_name(device: str) -> str:
    from trainers.engines.resources import device_name  # torch takes a second, and who reads a run needs none of it

    return device_name(device)


def note_revision() -> None:
    """Look at the checkout now, when the code has just been read: what files become later is not what runs."""
    _git()


@cache
def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # run from a checkout that was never installed
        return "not installed"


@cache  # what was loaded, not what the files have become since
def _git() -> dict[str, Any]:
    """Revision and dirty flag, where the code runs from a git checkout of its own."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return {}
    try:
        revision = _output(root, "rev-parse", "HEAD")
        return {"revision": revision, "dirty": bool(_output(root, "status", "--porcelain"))}
    except (OSError, subprocess.CalledProcessError):  # no git here, or a repository of someone else
        return {}


def _output(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True).stdout.strip()
