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

from hpo.storage.open import without_password
from trainers.engines.resources import device_name

PACKAGE = "mml-hpo"
DEPENDENCIES = ("torch", "numpy", "numba", "optuna", "pandas", "scipy")


def provenance(device: str | None = None) -> dict[str, Any]:
    """Origin of what this process writes, as plain data; the device of what was trained on one."""
    return {
        "version": _version(PACKAGE),
        **_git(),
        "python": platform.python_version(),
        "dependencies": {name: _version(name) for name in DEPENDENCIES},
        "command": shlex.join(["python", *map(without_password, sys.orig_argv[1:])]),
        **({"device": device_name(device)} if device else {}),
        "written": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


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
