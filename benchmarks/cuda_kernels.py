"""Compile the CUDA engine's kernels for an H100 or H200, down to machine code, on a machine that needs no GPU.

python -m benchmarks.cuda_kernels
"""

from __future__ import annotations

from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from trainers.engines.cuda import ranks, step
from trainers.engines.cuda.step import Data, Lanes, Scratch, Table

TARGET = GPUTarget("cuda", 90, 32)
ALIGNED = [["tt.divisibility", 16]]  # as PyTorch's arrays are
DIM, N_KINDS = 64, 8

DATA = Data._make(["*i32", "*i32", "i32", "i32", "i32", "i32"])
LANES = Lanes._make(["*i64", "*fp32", "*fp32", "*fp64", "i32", "*i64", "*i64", "*fp64", "*i32", "*i32", "*fp64"])
TABLE = Table._make(["*fp32", "*fp32", "*fp32", "*fp32", "*i32", "*fp64", "*i64", "*i32", "*i32", "i32"])
SCRATCH = Scratch._make(["*i32", "*fp32"])
RANKS = {"scores": "*fp32", "users": "*i64", "items": "*i64", "place": "*i32", "ranks": "*i32", "n_items": "i32", "k": "i32"}


def compile_kernel(kernel: Any, arguments: dict[str, Any], constants: dict[str, Any]) -> int:
    """Bytes of machine code of a kernel for arguments of these types."""
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
    return len(triton.compile(source, target=TARGET, options=dict(step.FUSED)).asm["cubin"])


def main() -> None:
    """A line per kernel: every kind of row function, half of them with weighted negatives, and the other two kernels."""
    print(f"triton {triton.__version__}, compute capability {TARGET.arch / 10}")
    rows = {"data": DATA, "lanes": LANES, "users": TABLE, "items": TABLE, "scratch": SCRATCH}
    for kind in range(N_KINDS):
        constants = {"KIND": kind, "DIM": DIM, "BLOCK": 128, "CHUNK": step.CHUNK, "WEIGHTED": kind % 2 == 0, "TRUE_DIM": DIM}
        print(f"train_rows, kind {kind}: {compile_kernel(step.train_rows, rows, constants):,} bytes of machine code")
    tables = {"lanes": LANES, "users": TABLE, "items": TABLE}
    size = compile_kernel(step.update_rows, tables, {"DIM": DIM, "TILE": step.TILE})
    print(f"update_rows: {size:,} bytes of machine code")
    print(f"count_better: {compile_kernel(ranks.count_better, RANKS, {'STRIP': ranks.STRIP}):,} bytes of machine code")


if __name__ == "__main__":
    main()
