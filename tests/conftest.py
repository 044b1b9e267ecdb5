"""Shared by several test files: data with a known answer, fixtures, the cache of kernels, and the CUDA marker."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import joblib

from .kernel_cache import ROOT, cache_folder, share_kernels, user_folder

# Numba reads this when it is imported. Two processes run tests (pyproject.toml). Each uses one thread, except for tests of
# threads.
os.environ.setdefault("NUMBA_NUM_THREADS", str(max(2, joblib.cpu_count())))
os.environ["LOKY_MAX_CPU_COUNT"] = "1"  # `take_share` divides this number among the processes
if "NUMBA_CACHE_DIR" not in os.environ:
    os.environ["NUMBA_CACHE_DIR"] = str(cache_folder(ROOT, user_folder()))
    share_kernels(ROOT, user_folder())

import numba
import numpy as np
import pytest
import torch
from hypothesis import settings

from trainers import Interactions
from trainers.engines import ENGINES

from .interpreter import quick_interpreter
from .loss_cases import LOSS_CASES

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read when the module of a kernel is imported

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell ignores it in background jobs
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The suite has the same result every time. `pytest --hypothesis-profile=explore` looks for new examples.
settings.register_profile("steady", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None)
settings.load_profile("steady")


TESTS = ROOT / "tests"
# The files that take more than ten seconds of CPU time, the longest first. The two processes take them in this order, a whole
# file at a time. If a long file came last, one process would be idle.
LONGEST_FIRST = """
    hpo/search/test_processes.py trainers/engines/test_triton_engine.py trainers/engines/test_numba_engine.py
    hpo/search/test_dask.py trainers/test_train.py examples/test_examples.py hpo/test_range_ends.py
    trainers/engines/test_resume.py hpo/test_forged.py hpo/test_browser.py hpo/test_interrupted.py
    hpo/confirmation/test_rivals.py hpo/test_damage.py hpo/test_confirm.py test_wheel.py hpo/storage/test_servers.py
    hpo/test_run.py search_spaces/test_spaces.py hpo/test_objective.py hpo/test_report.py hpo/confirmation/test_statistics.py
    search_spaces/test_own.py hpo/test_lanes.py hpo/test_faults.py hpo/test_studies.py hpo/test_compare.py hpo/test_repair.py
    hpo/confirmation/test_searches.py trainers/engines/test_fingerprint.py trainers/engines/test_torch_engine.py
    hpo/confirmation/test_reading_log.py trainers/engines/test_prefilter.py docs/test_site.py
"""
LONGEST = {file: position for position, file in enumerate(LONGEST_FIRST.split())}


@dataclass(frozen=True)
class KnownAnswer:
    """Data with a known answer: `held_out` has all items that a user likes and has not seen."""

    seen: Interactions
    held_out: Interactions


def known_answer(likes: list[Any], n_items: int, n_seen: int) -> KnownAnswer:
    """Each user likes the items in `likes` (n_users, n_liked), and has seen `n_seen` random ones of them."""
    rng = np.random.default_rng(7)
    liked = np.stack([rng.permutation(items) for items in likes])
    users = np.broadcast_to(np.arange(len(likes))[:, None], liked.shape)
    seen, held_out = (
        Interactions.from_pairs(users[:, part].ravel(), liked[:, part].ravel(), len(likes), n_items)
        for part in (slice(None, n_seen), slice(n_seen, None))
    )
    return KnownAnswer(seen, held_out)


@pytest.fixture(scope="session")
def parity() -> KnownAnswer:
    """Even users like even items, odd users like odd items.

    There are 90 users and 120 items. A user likes 60 items and has seen 50 of them. A perfect ranking starts with the other 10.
    """
    return known_answer([np.arange(user % 2, 120, 2) for user in range(90)], 120, n_seen=50)


@pytest.fixture(scope="session")
def ring() -> KnownAnswer:
    """The items form a ring of 4 groups of 30 items. A user likes two neighbouring groups.

    So the items near a liked one are often liked by other users only. 48 users have seen 57 of their 60 items. A sampler that
    looks for negatives near the positive finds true negatives here. In `parity` it would find the held-out items.
    """
    return known_answer([(np.arange(60) + 30 * (user % 4)) % 120 for user in range(48)], 120, n_seen=57)


@pytest.fixture
def all_threads() -> Iterator[int]:
    """The number of threads, at least two, also on one core. The test starts with all of them, and compares them with one."""
    most, before = int(numba.config.NUMBA_NUM_THREADS), numba.get_num_threads()
    if most < 2:
        pytest.skip("needs two threads, and NUMBA_NUM_THREADS allows one")
    numba.set_num_threads(most)
    yield most
    numba.set_num_threads(before)


@pytest.fixture
def few_programs() -> Iterator[None]:
    """Without a CUDA device: kernels have two programs and run in a faster interpreter (interpreter.py)."""
    with nullcontext() if torch.cuda.is_available() else quick_interpreter():
        yield


@pytest.fixture
def small_device(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[int]]:
    """Call it with the number of lanes that fit into the memory of the CUDA engine.

    The returned list gets the requested numbers.
    """
    from trainers.engines.triton_engine.pool import Pool

    make = Pool.__init__
    asked: list[int] = []

    def holds(most: int) -> list[int]:
        def made(self: Pool, seen: Any, shape: Any, n_lanes: int, device: str) -> None:
            asked.append(n_lanes)
            if n_lanes > most:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate a lot")
            make(self, seen, shape, n_lanes, device)

        monkeypatch.setattr(Pool, "__init__", made)
        return asked

    return holds


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`loss_case` runs a test for every line of LOSS_CASES, `any_engine` for every engine that runs on a CPU."""
    if "loss_case" in metafunc.fixturenames:
        metafunc.parametrize("loss_case", [pytest.param(dict(case), id=name) for name, case in LOSS_CASES.items()])
    if "any_engine" in metafunc.fixturenames:
        metafunc.parametrize("any_engine", [name for name, entry in ENGINES.items() if entry.device != "cuda"])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LONGEST.get(item.path.relative_to(TESTS).as_posix(), len(LONGEST)))
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("cuda"):
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


def pytest_sessionstart() -> None:
    """The tensors are tiny, so threads cost more than they save. On a busy machine they cost a hundred times more."""
    torch.set_num_threads(1)
    numba.set_num_threads(1)
