"""The inner loop of a dense loss: what the slots of an item add to its gradient and to the users' gradients.

It is written with vectors of LLVM: in a loop over floats the compiler keeps no sum in registers, because it does not know that
the arrays are disjoint, and tests that for each slot.
"""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from trainers.engines.numba_engine.intrinsics import float_vectors, intrinsic, load, prefetch_address, row_pointer, splat, store

SLOT_PREFETCH = 8  # slots between a prefetch and its use


@intrinsic
def add_slots(
    typing_context: Any,
    item_gradients: Any,
    bucket: Any,
    parts: Any,
    base: Any,
    vectors: Any,
    rows: Any,
    item: Any,
    inverse: Any,
    score_gradients: Any,
    slots: Any,
    first: Any,
    last: Any,
    shift: Any,
    width: Any,
) -> Any:
    """For each slot e from `first` to `last` with a score gradient g, with its batch row b:
    item_gradients[bucket] += g vectors[b], from 0, and parts[base + b] += g inverse rows[item].

    `score_gradients` (B, 2^shift) is contiguous, so that a slot's number is an index.

    Returns:
        (sum of g float32, whether any g is not 0).
    """
    pieces = float_vectors(width)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _generate(context, builder, signature, arguments, pieces)

    out = types.Tuple((types.float32, types.boolean))
    arrays = (
        item_gradients,
        bucket,
        parts,
        base,
        vectors,
        rows,
        item,
        inverse,
        score_gradients,
        slots,
        first,
        last,
        shift,
        width,
    )
    return out(*arrays), generate


def _generate(context: Any, builder: Any, signature: Any, arguments: Any, pieces: list[tuple[int, Any]]) -> Any:
    """The code of `add_slots`; `pieces` are the vectors that cover a row."""
    kinds, word = signature.args, ir.IntType(64)
    totals_of, bucket_at, parts_of, base_at, vectors_of, rows_of, item_at, factor, gradients_of, slots_of = arguments[:10]
    whole = [context.cast(builder, value, kind, types.intp) for value, kind in zip(arguments[10:13], kinds[10:13], strict=True)]
    begin, end, bits = whole
    origin = context.cast(builder, base_at, kinds[3], types.intp)
    gradient_data = context.make_array(kinds[8])(context, builder, gradients_of).data
    all_slots = context.make_array(kinds[9])(context, builder, slots_of)
    slot_data, newest = all_slots.data, builder.sub(all_slots.nitems, word(1))
    row = row_pointer(context, builder, kinds[5], rows_of, item_at, kinds[6])
    own = [load(builder, row, start, vector) for start, vector in pieces]
    sums = [cgutils.alloca_once_value(builder, vector(None)) for _, vector in pieces]
    total = cgutils.alloca_once_value(builder, ir.FloatType()(0.0))
    found = cgutils.alloca_once_value(builder, ir.IntType(1)(0))
    fma = [cgutils.get_or_insert_function(builder.module, *_fma(vector)) for _, vector in pieces]

    def slot_at(index: Any) -> Any:
        return builder.sext(builder.load(builder.gep(slot_data, [index])), word)

    with cgutils.for_range_slice(builder, begin, end, word(1), intp=word) as (e, _):
        ahead = builder.add(e, word(SLOT_PREFETCH))
        ahead = builder.select(builder.icmp_signed("<", ahead, newest), ahead, newest)
        prefetch_address(builder, builder.gep(gradient_data, [slot_at(ahead)]))
        slot = slot_at(e)
        gradient = builder.load(builder.gep(gradient_data, [slot]))
        with builder.if_then(builder.fcmp_unordered("!=", gradient, ir.FloatType()(0.0)), likely=True):
            b = builder.ashr(slot, bits)
            vector_row = row_pointer(context, builder, kinds[4], vectors_of, b, types.intp)
            part_row = row_pointer(context, builder, kinds[2], parts_of, builder.add(origin, b), types.intp)
            scaled = builder.fmul(gradient, factor)
            builder.store(builder.fadd(builder.load(total), gradient), total)
            builder.store(ir.IntType(1)(1), found)
            for k, (start, vector) in enumerate(pieces):
                one, other = splat(builder, gradient, vector), splat(builder, scaled, vector)
                new = builder.call(fma[k], [one, load(builder, vector_row, start, vector), builder.load(sums[k])])
                builder.store(new, sums[k])
                store(builder, builder.call(fma[k], [other, own[k], load(builder, part_row, start, vector)]), part_row, start)
    target = row_pointer(context, builder, kinds[0], totals_of, bucket_at, kinds[1])
    for k, (start, _) in enumerate(pieces):
        store(builder, builder.load(sums[k]), target, start)
    return context.make_tuple(builder, signature.return_type, [builder.load(total), builder.load(found)])


def _fma(vector: Any) -> tuple[Any, str]:
    return ir.FunctionType(vector, [vector] * 3), f"llvm.fma.v{vector.count}f32"
