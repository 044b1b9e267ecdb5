"""The machine: what it is called, and a worker's share of it, threads and one of the GPUs."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import contextmanager

import joblib
import llvmlite.binding
import numba
import torch


def cpus() -> int:
    """The threads that this process may use: what NUMBA_NUM_THREADS, its affinity and its container allow."""
    return max(1, min(int(numba.config.NUMBA_NUM_THREADS), int(joblib.cpu_count())))


def take_share(worker: int, workers: int) -> None:
    """Limit the engines of this thread to 1/`workers` of the CPU's threads, and give worker number `worker` a GPU, in turn.

    `workers` are those of this machine, numbered from 0. Threads are those of `cpus`.
    """
    threads = max(1, cpus() // workers)
    numba.set_num_threads(threads)
    torch.set_num_threads(min(torch.get_num_threads(), threads))  # torch counts cores, the others hyperthreads
    if torch.cuda.is_available():
        torch.cuda.set_device(worker % torch.cuda.device_count())


@contextmanager
def sharing() -> Iterator[None]:
    """Within the block this thread has the share of a single worker; after it as many threads as before."""
    threads, torch_threads = numba.get_num_threads(), torch.get_num_threads()
    take_share(0, 1)
    try:
        yield
    finally:
        numba.set_num_threads(threads)
        torch.set_num_threads(torch_threads)


def device_name(device: str) -> str:
    """The machine that a device is: the GPU's product name, or `x86_64 CPU (znver5)`, the kind that code is compiled for: on
    another kind sums are rounded in another order.
    """
    if device == "cuda":
        return torch.cuda.get_device_name()
    return f"{platform.machine()} CPU ({llvmlite.binding.get_host_cpu_name()})"
