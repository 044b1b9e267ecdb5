"""What every kernel file needs: compiler flags, the counter-based draws, compiled; cache prefetch; aligned arrays."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic, register_jitable
from numpy.typing import DTypeLike, NDArray

from trainers import draws

# Sums may be reordered (vectorised), but NaN and infinity keep their meaning: they are how divergence is noticed.
MATH = {"contract", "reassoc", "nsz", "arcp"}

# Inlined into the kernel, where the width of a row is a compile-time constant.
inlined = njit(fastmath=MATH, forceinline=True, nogil=True, error_model="numpy")

CACHE_LINE = 64

mix64 = register_jitable(draws.mix64)
bits = register_jitable(draws.bits)
below = register_jitable(draws.below)
feistel = register_jitable(draws.feistel)


def aligned(shape: tuple[int, ...], dtype: DTypeLike = np.float32) -> NDArray[Any]:
    """A zeroed array that starts at a cache line, so that a row of 64 floats lies in 4 lines and not in 5."""
    n_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.zeros(n_bytes + CACHE_LINE, np.uint8)
    start = -raw.ctypes.data % CACHE_LINE
    return raw[start : start + n_bytes].view(dtype).reshape(shape)


@intrinsic
def _prefetch(typing_context: Any, table: Any, row: Any, offset: Any) -> Any:
    """Ask for the cache line at byte `offset` of `table[row]`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(table)(context, builder, arguments[0])
        at = context.cast(builder, arguments[1], row, types.intp)
        byte = context.cast(builder, arguments[2], offset, types.intp)
        pointer = ir.IntType(8).as_pointer()
        word = ir.IntType(32)
        place = builder.add(builder.mul(at, builder.extract_value(array.strides, 0)), byte)
        function = cgutils.get_or_insert_function(  # type: ignore[no-untyped-call]
            builder.module, ir.FunctionType(ir.VoidType(), [pointer, word, word, word]), "llvm.prefetch.p0i8"
        )
        builder.call(function, [builder.gep(builder.bitcast(array.data, pointer), [place]), word(0), word(3), word(1)])
        return context.get_dummy_value()

    return types.void(table, row, offset), generate


@inlined
def prefetch(table, row, first, width):
    """Ask for floats of a row ahead of their use: tables are read at random places, which the hardware cannot foresee."""
    for offset in range(first * table.itemsize, (first + width) * table.itemsize, CACHE_LINE):
        _prefetch(table, row, offset)  # type: ignore[call-arg]


@inlined
def dot(left, i, right, j, width):
    """left[i] . right[j] over `width` entries."""
    total = np.float32(0.0)
    for d in range(width):
        total += left[i, d] * right[j, d]
    return total


@inlined
def whole_dot(left, i, right, j, width):
    """The same of whole numbers, in 32 bits."""
    total = np.int32(0)
    for d in range(width):
        total = np.int32(total + np.int32(left[i, d]) * np.int32(right[j, d]))
    return total


@inlined
def permuted(stream, index, n, half_bits):
    """`draws.permuted` of one index; all uint64."""
    out = feistel(stream, index, half_bits)
    while out >= n:
        out = feistel(stream, out, half_bits)
    return out
