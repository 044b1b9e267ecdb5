"""Compile the kernels of the CUDA engine for an H100 or H200, down to machine code. It needs no GPU.

python -m benchmarks.cuda_kernels
"""

from __future__ import annotations

import re
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from trainers.engines.triton_engine import ranks, step
from trainers.engines.triton_engine.arrays import Data, EmbeddingTable, Lanes, Scratch

TARGET = GPUTarget("cuda", 90, 32)
ALIGNED = [["tt.divisibility", 16]]  # as the arrays of PyTorch are
DIM, N_KINDS, DEFAULT_WARPS = 64, 8, 4
UNROUNDED = re.compile(r"\b(?:mul|add|sub)(?:\.ftz)?\.f(?:32|64)\b")  # ptxas may fuse operations without .rn

DATA = Data._make(["*i32", "*i32", "i32", "i32", "i32", "i32"])
LANES = Lanes._make(
    ["*i64", "*fp32", "*fp32", "*fp64", "i32", "*i64", "*i64", "*fp64", "*i32", "*i32", "*i32", "*i32", "*fp64"]
)
TABLE = EmbeddingTable._make(["*fp32", "*fp32", "*fp32", "*fp32", "*i32", "*fp64", "*i64", "*i32", "*i32", "i32", "i32"])
SCRATCH = Scratch._make(["*i32", "*fp32", "*fp32"])
RANKS = {
    "scores": "*fp32",
    "users": "*i64",
    "items": "*i64",
    "tie_ranks": "*i32",
    "ranks": "*i32",
    "n_items": "i32",
    "k": "i32",
}


def compile_kernel(kernel: Any, arguments: dict[str, Any], constants: dict[str, Any], warps: int) -> str:
    """The bytes of machine code of a kernel for arguments of these types, and the number of operations that may be fused."""
    types = arguments | dict.fromkeys(constants, "constexpr")
    names = kernel.arg_names
    aligned = {
        (names.index(name), *([i] if isinstance(one, tuple) else [])): ALIGNED
        for name, one in arguments.items()
        for i, part in enumerate(one if isinstance(one, tuple) else [one])
        if part.startswith("*")
    }
    source = ASTSource(
        fn=kernel,
        signature={name: types[name] for name in names},
        constexprs={(names.index(name),): value for name, value in constants.items()},
        attrs=aligned,
    )
    found = triton.compile(source, target=TARGET, options={**step.ROUNDING, "num_warps": warps}).asm
    free = len(UNROUNDED.findall(found["ptx"]))
    return f"{len(found['cubin']):,} bytes of machine code, {free} operations that may be fused"


def main() -> None:
    """Print a line for each kernel: all kinds of row functions, half of them with weighted negatives, and the other kernels."""
    print(f"triton {triton.__version__}, compute capability {TARGET.arch / 10}")
    rows = {"data": DATA, "lanes": LANES, "users": TABLE, "items": TABLE, "scratch": SCRATCH}
    sizes = {"DIM": DIM, "TRUE_DIM": DIM, "PROGRAMS": step.PROGRAMS}
    few = {**sizes, "BLOCK": 128, "CHUNK": step.CHUNK}
    many = {**sizes, "BLOCK": 4 * step.WIDE, "CHUNK": step.WIDE_CHUNK}
    for kind in range(N_KINDS):
        drawn = {"KIND": kind, "WEIGHTED": kind % 2 == 0}
        print(f"train_rows, kind {kind}:", compile_kernel(step.train_rows, rows, drawn | few, step.ROW_WARPS))
        print(f"with many negatives, kind {kind}:", compile_kernel(step.train_rows, rows, drawn | many, step.WIDE_WARPS))
    tables = {"lanes": LANES, "users": TABLE, "items": TABLE}
    print("update_rows:", compile_kernel(step.update_rows, tables, {"DIM": DIM, "TILE": step.TILE}, step.UPDATE_WARPS))
    data = {"data": DATA, "lanes": LANES}
    print("shuffle_pairs:", compile_kernel(step.shuffle_pairs, data, {"SHUFFLED": step.SHUFFLED}, DEFAULT_WARPS))
    print("count_better:", compile_kernel(ranks.count_better, RANKS, {"STRIP": ranks.STRIP}, DEFAULT_WARPS))


if __name__ == "__main__":
    main()
