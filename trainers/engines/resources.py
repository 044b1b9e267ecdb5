"""A worker's share of the machine (threads and a GPU), and the name of the machine."""

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
    """Limit the engines in this thread to a worker's share of the CPU's threads, and select its GPU.

    The CPU's threads are those of `cpus`. GPUs are assigned in turn.

    Args:
        worker: number of the worker on this machine, from 0.
        workers: number of workers on this machine.
    """
    threads = max(1, cpus() // workers)
    numba.set_num_threads(threads)
    torch.set_num_threads(min(torch.get_num_threads(), threads))  # torch counts cores, numba and joblib hyperthreads
    if torch.cuda.is_available():
        torch.cuda.set_device(worker % torch.cuda.device_count())


@contextmanager
def sharing() -> Iterator[None]:
    """Within the block, give this thread the share of a single worker. Afterwards it has as many threads as before."""
    threads, torch_threads = numba.get_num_threads(), torch.get_num_threads()
    take_share(0, 1)
    try:
        yield
    finally:
        numba.set_num_threads(threads)
        torch.set_num_threads(torch_threads)


def device_name(device: str) -> str:
    """The name of a device: the GPU's product name, or `x86_64 CPU (znver5)`.

    The CPU's kind is part of the name, since code for another kind sums in another order.
    """
    if device == "cuda":
        return torch.cuda.get_device_name()
    return f"{platform.machine()} CPU ({llvmlite.binding.get_host_cpu_name()})"
