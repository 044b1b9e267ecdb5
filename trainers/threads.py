"""Matrix products whose bits do not depend on the number of threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Use one torch thread within the block: the order of summation in a matrix product depends on the number of threads.

    Compiled kernels are not affected, and their sums do not depend on threads.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Products(torch.autograd.Function):
    """Matrix products of PyTorch on one thread."""

    @staticmethod
    @one_torch_thread()
    def forward(context: Any, a: Tensor, b: Tensor) -> Tensor:
        context.save_for_backward(a, b)
        return a @ b.T

    @staticmethod
    @one_torch_thread()
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        a, b = context.saved_tensors
        return gradient @ b, gradient.T @ a


def inner_products(a: Tensor, b: Tensor) -> Tensor:
    """All inner products (A, B) of the rows (A, d) with the rows (B, d), with the same gradients on any number of threads."""
    if a.device.type != "cpu":
        return a @ b.T
    products: Tensor = _Products.apply(a, b)  # type: ignore[no-untyped-call]
    return products
