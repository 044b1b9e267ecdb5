"""Products have the same bits on any number of threads, like those of PyTorch on one thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from trainers.threads import inner_products, one_torch_thread


@pytest.fixture(autouse=True)
def threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def value_and_gradients(product: Callable[[Tensor, Tensor], Tensor], threads: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(3)
    a, b, gradient = (torch.randn(shape, generator=generator) for shape in ((1500, 32), (1700, 32), (1500, 1700)))
    torch.set_num_threads(threads)
    value = product(a.requires_grad_(), b.requires_grad_())
    value.backward(gradient)  # type: ignore[no-untyped-call]
    assert torch.get_num_threads() == threads
    assert a.grad is not None
    assert b.grad is not None
    return [value, a.grad, b.grad]


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_inner_products_have_the_same_bits_on_any_number_of_threads(threads: int) -> None:
    expected = value_and_gradients(lambda a, b: a @ b.T, 1)
    for ours, theirs in zip(value_and_gradients(inner_products, threads), expected, strict=True):
        assert torch.equal(ours, theirs)


def test_the_number_of_threads_is_restored_after_an_error() -> None:
    @one_torch_thread()
    def fail() -> None:
        raise ValueError(f"on {torch.get_num_threads()}")

    torch.set_num_threads(2)
    with pytest.raises(ValueError, match="on 1"):
        fail()
    assert torch.get_num_threads() == 2
