"""The shared cache of compiled kernels: a second clone finds the kernels of the first one, and other code does not."""

from __future__ import annotations

import importlib
import os
import sys
import time
from pathlib import Path

import numba
import pytest

from trainers.engines.numba_engine.kernels import kernel_for
from trainers.metrics import ranking

from .hpo.processes import in_a_fork
from .kernel_cache import FOLDER, KEPT_DAYS, _forget_unused, cache_folder, share_kernels

KERNEL = "from numba import njit\n\n\n@njit(cache=True)\ndef kernel(x):\n    return x + 1\n"


def clone(root: Path, kernel: str = KERNEL) -> Path:
    (root / "trainers" / "metrics").mkdir(parents=True)
    (root / "trainers" / "metrics" / "small.py").write_text(kernel)
    (root / "trainers" / "other.py").write_text("no = 'kernels here'\n")
    return root


def called(root: Path, cache: Path) -> list[int]:
    """The result of a clone's kernel for 1, the number of its cache hits, and the number of its compilations."""
    return in_a_fork(call_kernel, root, cache)


def call_kernel(root: Path, cache: Path) -> list[int]:
    """As `called`, in a process that has no kernel of a clone."""
    numba.config.CACHE_DIR = str(cache_folder(root, cache))  # as NUMBA_CACHE_DIR, which has been read
    share_kernels(root, cache)
    sys.path.insert(0, str(root / "trainers" / "metrics"))
    kernel = importlib.import_module("small").kernel
    return [kernel(1), sum(kernel.stats.cache_hits.values()), sum(kernel.stats.cache_misses.values())]


def test_a_second_clone_compiles_nothing(tmp_path: Path) -> None:
    one, two = clone(tmp_path / "one"), clone(tmp_path / "two")
    assert called(one, tmp_path / "cache") == [2, 0, 1]
    os.utime(two / "trainers" / "metrics" / "small.py", (1.0, 1.0))
    assert called(two, tmp_path / "cache") == [2, 1, 0]
    assert not list(one.rglob("*.nbi")), "nothing is written into the source folders"


def test_other_code_is_compiled_and_leaves_the_first_kernel_in_the_cache(tmp_path: Path) -> None:
    one, two = clone(tmp_path / "one"), clone(tmp_path / "two", KERNEL.replace("x + 1", "x + 2"))
    assert called(one, tmp_path / "cache") == [2, 0, 1]
    assert called(two, tmp_path / "cache") == [3, 0, 1]
    assert called(one, tmp_path / "cache") == [2, 1, 0]
    (one / "trainers" / "metrics" / "small.py").write_text(KERNEL.replace("x + 1", "x + 2"))
    assert called(one, tmp_path / "cache") == [3, 1, 0], "the code of the other clone"


def test_unused_folders_are_deleted(tmp_path: Path) -> None:
    one = clone(tmp_path / "one")
    called(one, tmp_path / "cache")
    (kept,) = (tmp_path / "cache").glob("numba-*/trainers.metrics-*")
    (links,) = (tmp_path / "cache" / "clones").iterdir()
    olds = [kept.with_name("trainers.metrics-0123456789abcdef"), links.with_name("0123456789abcdef")]
    for old in olds:
        old.mkdir()
        (old / "link").symlink_to(kept, target_is_directory=True)
    long_ago = time.time() - 86400.0 * (KEPT_DAYS + 1)
    for folder in (kept, links, *olds):
        os.utime(folder, (long_ago, long_ago))
    assert called(one, tmp_path / "cache") == [2, 1, 0]
    assert not any(old.exists() for old in olds)


def test_another_process_may_delete_a_folder_at_the_same_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "iterdir", lambda folder: iter([folder / "gone"]))
    _forget_unused(tmp_path)


def test_the_kernels_of_this_suite_are_in_the_shared_folder() -> None:
    """Kernels that are compiled with numba's own settings are not shared."""
    if FOLDER not in os.environ["NUMBA_CACHE_DIR"]:
        pytest.skip("NUMBA_CACHE_DIR was given")
    for kernel in (kernel_for(8, dense=False), kernel_for(8, dense=True), ranking._keep_best):
        folder = Path(kernel.stats.cache_path)
        assert folder.is_symlink()
        assert folder.resolve().parent.name.startswith("numba-")
