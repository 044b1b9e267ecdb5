"""What all kernels share: compiler flags, compiled random draws, cache prefetch, aligned arrays and int8 products."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils, errors
from numba.extending import intrinsic as numba_intrinsic
from numba.extending import register_jitable
from numpy.typing import DTypeLike, NDArray

from trainers import rng

# The compiler may reorder sums (to vectorise them), but must respect NaN and infinity, which show divergence.
MATH = {"contract", "reassoc", "nsz", "arcp"}

# Only prange. Numba does not see that passes depend on one another through fields of tuples, and would fuse and reorder them.
_PARALLEL: Any = {
    "prange": True,
    "fusion": False,
    "numpy": False,
    "reduction": False,
    "setitem": False,
    "inplace_binop": False,
    "comprehension": False,
    "stencil": False,
}
KERNEL: Any = {"parallel": _PARALLEL, "nogil": True, "fastmath": MATH, "error_model": "numpy", "no_cfunc_wrapper": True}

# Inlined into the kernel, where the width of a row is a compile-time constant.
# - No reference counts (_nrt): they would be atomic additions to memory that all threads share, several per row of a table, and
#   take longer than the arithmetic.
# - No wrappers for calls from Python and C: unpacking tuples of arrays would compile as long as the functions themselves.
_NOT_CALLED: Any = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
_OPTIONS: Any = {"fastmath": MATH, "forceinline": True, "nogil": True, "error_model": "numpy", "_nrt": False} | _NOT_CALLED
inlined = njit(**_OPTIONS)

intrinsic: Any = numba_intrinsic  # numba's annotations give the result the signature of the generator function

CACHE_LINE = 64  # bytes
VECTOR_LENGTH = 64  # entries of the vectors below; LLVM splits them into the processor's vectors

mix64 = register_jitable(rng.mix64)
bits = register_jitable(rng.bits)
below = register_jitable(rng.below)
feistel = register_jitable(rng.feistel)
weighted = register_jitable(rng.weighted)


def aligned(shape: tuple[int, ...], dtype: DTypeLike = np.float32) -> NDArray[Any]:
    """A zeroed array that starts at a cache line, so that a row of 64 floats lies in 4 lines and not in 5."""
    n_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.zeros(n_bytes + CACHE_LINE, np.uint8)
    start = -raw.ctypes.data % CACHE_LINE
    return raw[start : start + n_bytes].view(dtype).reshape(shape)


def prefetch_address(builder: Any, address: Any) -> None:
    """Prefetch the cache line of an address."""
    pointer, word = ir.IntType(8).as_pointer(), ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [pointer, word, word, word])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")  # type: ignore[no-untyped-call]
    builder.call(function, [builder.bitcast(address, pointer), word(0), word(3), word(1)])


@intrinsic
def _prefetch(typing_context: Any, table: Any, row: Any, offset: Any) -> Any:
    """Prefetch the cache line at byte `offset` of `table[row]`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(table)(context, builder, arguments[0])
        index = context.cast(builder, arguments[1], row, types.intp)
        byte = context.cast(builder, arguments[2], offset, types.intp)
        distance = builder.add(builder.mul(index, builder.extract_value(array.strides, 0)), byte)
        prefetch_address(builder, builder.gep(builder.bitcast(array.data, ir.IntType(8).as_pointer()), [distance]))
        return context.get_dummy_value()

    return types.void(table, row, offset), generate


@inlined
def prefetch(table, row, first, width):
    """Prefetch entries [first, first + width) of a row: the hardware cannot predict the random addresses of rows."""
    for offset in range(first * table.itemsize, (first + width) * table.itemsize, CACHE_LINE):
        _prefetch(table, row, offset)


@inlined
def dot(left, i, right, j, width):
    """left[i] . right[j] over `width` entries."""
    total = np.float32(0.0)
    for d in range(width):
        total += left[i, d] * right[j, d]
    return total


def row_pointer(context: Any, builder: Any, table_type: Any, table: Any, index: Any, index_type: Any) -> Any:
    """The start of row `index` of a table, as a pointer to bytes."""
    array = context.make_array(table_type)(context, builder, table)
    distance = builder.mul(context.cast(builder, index, index_type, types.intp), builder.extract_value(array.strides, 0))
    return builder.gep(builder.bitcast(array.data, ir.IntType(8).as_pointer()), [distance])


def load(builder: Any, pointer: Any, start: int, vector: Any) -> Any:
    """Load a vector from byte `start` of a pointer."""
    address = builder.gep(pointer, [ir.IntType(32)(start)])
    return builder.load(builder.bitcast(address, vector.as_pointer()), align=1)


def store(builder: Any, value: Any, pointer: Any, start: int) -> None:
    """Store a vector at byte `start` of a pointer."""
    address = builder.gep(pointer, [ir.IntType(32)(start)])
    builder.store(value, builder.bitcast(address, value.type.as_pointer()), align=1)


def splat(builder: Any, value: Any, vector: Any) -> Any:
    """A vector whose entries are all `value`."""
    one = builder.insert_element(vector(ir.Undefined), value, ir.IntType(32)(0))
    return builder.shuffle_vector(one, vector(ir.Undefined), ir.VectorType(ir.IntType(32), vector.count)([0] * vector.count))


def _reduce(builder: Any, how: str, vector: Any) -> Any:
    """The sum (`add`) or unsigned maximum (`umax`) of a vector of int32."""
    name = f"llvm.vector.reduce.{how}.v{vector.type.count}i32"
    kind = ir.FunctionType(ir.IntType(32), [vector.type])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [vector])  # type: ignore[no-untyped-call]


def _vectors(width: Any) -> list[tuple[int, int]]:
    """(first entry, number of entries) of the vectors that cover a row; `width` must be a literal."""
    if not isinstance(width, types.IntegerLiteral):
        raise errors.RequireLiteralValue("the width of a row")
    return [(start, min(VECTOR_LENGTH, width.literal_value - start)) for start in range(0, width.literal_value, VECTOR_LENGTH)]


def float_vectors(width: Any) -> list[tuple[int, Any]]:
    """(first byte, type) of the vectors of float32 that cover a row."""
    return [(4 * start, ir.VectorType(ir.FloatType(), n)) for start, n in _vectors(width)]


@intrinsic
def code_dot(typing_context: Any, left: Any, i: Any, right: Any, j: Any, width: Any) -> Any:
    """left[i] . right[j] of int8 by uint8, int32. It uses vectors explicitly: LLVM does not turn a loop into the dot-product
    instruction of current processors.
    """
    parts = _vectors(width)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        one = row_pointer(context, builder, left, arguments[0], arguments[1], i)
        other = row_pointer(context, builder, right, arguments[2], arguments[3], j)
        total = ir.IntType(32)(0)
        for start, n in parts:
            codes, words = ir.VectorType(ir.IntType(8), n), ir.VectorType(ir.IntType(32), n)
            signed = builder.sext(load(builder, one, start, codes), words)
            unsigned = builder.zext(load(builder, other, start, codes), words)
            total = builder.add(total, _reduce(builder, "add", builder.mul(signed, unsigned)))
        return total

    return types.int32(left, i, right, j, width), generate


@intrinsic
def largest(typing_context: Any, table: Any, i: Any, width: Any) -> Any:
    """The largest |table[i, d]| of float32; NaN if there is one. It compares bits: LLVM does not reorder float maxima."""
    parts = _vectors(width)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        row = row_pointer(context, builder, table, arguments[0], arguments[1], i)
        most = ir.IntType(32)(0)
        for start, n in parts:
            words = ir.VectorType(ir.IntType(32), n)
            magnitudes = builder.and_(load(builder, row, 4 * start, words), words([0x7FFFFFFF] * n))
            part = _reduce(builder, "umax", magnitudes)
            most = builder.select(builder.icmp_unsigned(">", part, most), part, most)
        return builder.bitcast(most, ir.FloatType())

    return types.float32(table, i, width), generate


@inlined
def permuted(stream, index, n, half_bits):
    """`rng.permuted` of one index; all uint64."""
    out = feistel(stream, index, half_bits)
    while out >= n:
        out = feistel(stream, out, half_bits)
    return out
