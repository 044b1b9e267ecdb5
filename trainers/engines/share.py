"""A worker's share of the machine: threads, and one of the GPUs."""

from __future__ import annotations

import numba
import torch


def take_share(worker: int, workers: int) -> None:
    """Limit this thread's engines to 1/`workers` of the CPU's threads, and give worker number `worker` a GPU, in turn."""
    threads = max(1, numba.get_num_threads() // workers)
    numba.set_num_threads(threads)
    torch.set_num_threads(threads)
    if torch.cuda.is_available():
        torch.cuda.set_device(worker % torch.cuda.device_count())
