"""The shared cache of compiled kernels: a second clone finds the kernels of the first one, and other code does not."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trainers.engines.numba_engine.kernels import kernel_for
from trainers.metrics import ranking

from .kernel_cache import FOLDER, KEPT_DAYS, ROOT, _forget_unused, cache_folder

KERNEL = "from numba import njit\n\n\n@njit(cache=True)\ndef kernel(x):\n    return x + 1\n"
CALL = """
import sys
from pathlib import Path
from tests.kernel_cache import share_kernels
share_kernels(Path.cwd(), Path(sys.argv[1]))
sys.path.insert(0, str(Path.cwd() / "trainers" / "metrics"))
from small import kernel
print(kernel(1), sum(kernel.stats.cache_hits.values()), sum(kernel.stats.cache_misses.values()))
"""


def clone(root: Path, kernel: str = KERNEL) -> Path:
    (root / "trainers" / "metrics").mkdir(parents=True)
    (root / "trainers" / "metrics" / "small.py").write_text(kernel)
    (root / "trainers" / "other.py").write_text("no = 'kernels here'\n")
    return root


def called(root: Path, cache: Path) -> list[int]:
    """The result of a clone's kernel for 1, the number of its cache hits, and the number of its compilations."""
    shown = subprocess.run(
        [sys.executable, "-c", CALL, str(cache)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_CACHE_DIR": str(cache_folder(root, cache))},
        capture_output=True,
        text=True,
        check=True,
    )
    return [int(word) for word in shown.stdout.split()]


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
