"""The cache of compiled kernels for the tests: a folder in the user's cache. All clones with the same kernels share it.

Numba names a cache folder after the absolute path of the source folder. So a second clone would compile everything again. Here
that name is a link. Its target is named after the relative path of the source folder and the content of its kernels:

    ~/.cache/mml-hpo-tests/clones/CLONE/NUMBA'S NAME -> ~/.cache/mml-hpo-tests/numba-VERSION/trainers.metrics-DIGEST

$XDG_CACHE_HOME replaces ~/.cache if it is set. Delete the folder to start with an empty cache.
"""

from __future__ import annotations

import os
import shutil
import time
from contextlib import suppress
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = "mml-hpo-tests"
KEPT_DAYS = 30.0  # since the last use
MARKS = ("@compiled(", "@njit(")


def user_folder() -> Path:
    """The folder of the compiled kernels of all clones."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / FOLDER


def cache_folder(root: Path, base: Path) -> Path:
    """The value of NUMBA_CACHE_DIR for a clone, or for packages that are installed in `root`."""
    return base / "clones" / sha256(bytes(root)).hexdigest()[:16]


def share_kernels(root: Path, base: Path) -> None:
    """Fill the folder of `cache_folder` with links. This imports numba, which reads NUMBA_CACHE_DIR at that moment."""
    from numba.core.caching import UserProvidedCacheLocator

    links, shared = cache_folder(root, base), base / f"numba-{version('numba')}"
    links.mkdir(parents=True, exist_ok=True)
    for folder, kernels in kernel_files(root).items():
        digest = sha256(b"".join(file.read_bytes() for file in kernels)).hexdigest()[:16]
        kept = shared / f"{folder.relative_to(root).as_posix().replace('/', '.')}-{digest}"
        kept.mkdir(parents=True, exist_ok=True)
        os.utime(kept)
        _link(links / UserProvidedCacheLocator.get_suitable_cache_subpath(str(kernels[0])), kept)
    os.utime(links)
    _forget_unused(shared)
    _forget_unused(links.parent)


def kernel_files(root: Path) -> dict[Path, list[Path]]:
    """The files with cached kernels, by folder."""
    found: dict[Path, list[Path]] = {}
    for file in sorted((root / "trainers").rglob("*.py")):
        if any(mark in file.read_text(encoding="utf-8") for mark in MARKS):
            found.setdefault(file.parent, []).append(file)
    return found


def _link(link: Path, kept: Path) -> None:
    """Make or change a link in one step, because several processes may do so at once."""
    new = link.with_name(f"{link.name}.{os.getpid()}")
    new.symlink_to(kept, target_is_directory=True)
    new.replace(link)


def _forget_unused(parent: Path) -> None:
    """Delete the subfolders that were not used for KEPT_DAYS. Other processes may do the same at the same time."""
    for folder in parent.iterdir():
        with suppress(FileNotFoundError):
            if folder.stat().st_mtime < time.time() - 86400.0 * KEPT_DAYS:
                shutil.rmtree(folder, ignore_errors=True)
