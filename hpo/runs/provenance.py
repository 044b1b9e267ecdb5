"""Provenance of outputs: versions, revision, command line and machine, without passwords."""

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
    """Provenance of an output.

    Attributes:
        version: the installed version of this program.
        revision, dirty: the state of its git checkout, if it runs from one.
        dependencies: versions of the libraries by name, or `not installed`.
        command: the command line, without passwords.
        device: the machine of the training, see `trainers.engines.resources.device_name`.
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
        """Plain data, without unknown values."""
        return self.model_dump(mode="json", exclude_none=True)

    @property
    def program(self) -> str:
        """The git revision of the program, or its installed version."""
        return (self.revision or self.version) + (" dirty" if self.dirty else "")

    def rounding(self, engine: str) -> str:
        """The versions of the libraries that affect the rounding of an engine, such as `numba 0.61, llvmlite 0.44`."""
        return ", ".join(f"{name} {self.dependencies.get(name, 'unknown')}" for name in ROUNDING_LIBRARIES[engine])


def provenance(device: str | None = None) -> Provenance:
    """The provenance of a file that this process writes. `device` is `cpu` or `cuda` for trained models, else None."""
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
    from trainers.engines.resources import device_name  # loads torch, which takes a second and is not needed to read runs

    return device_name(device)


def note_revision() -> None:
    """Read the revision now, just after the code was loaded: later changes of the files do not affect this process."""
    _git()


@cache
def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # run from a checkout that was never installed
        return "not installed"


@cache  # the state when the code was loaded
def _git() -> dict[str, Any]:
    """Revision and dirty flag, if the code runs from its own git checkout."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return {}
    try:
        revision = _output(root, "rev-parse", "HEAD")
        return {"revision": revision, "dirty": bool(_output(root, "status", "--porcelain"))}
    except (OSError, subprocess.CalledProcessError):  # git is not installed, or refuses another user's repository
        return {}


def _output(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True).stdout.strip()
