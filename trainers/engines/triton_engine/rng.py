"""`trainers.rng` for Triton: the same bits, so that all engines draw the same numbers."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import triton
import triton.language as tl

GOLDEN = tl.constexpr(0x9E3779B97F4A7C15)
MUL_1 = tl.constexpr(0xBF58476D1CE4E5B9)
MUL_2 = tl.constexpr(0x94D049BB133111EB)


@triton.jit
def word(signed):
    """A uint64 that is stored as int64."""
    return signed.to(tl.uint64, bitcast=True)


@triton.jit
def mix64(z):
    """See `trainers.rng.mix64`."""
    z = (z ^ (z >> 30)) * MUL_1
    z = (z ^ (z >> 27)) * MUL_2
    return z ^ (z >> 31)


@triton.jit
def bits(key, counter):
    """64 random bits per counter."""
    return mix64(key + (counter.to(tl.uint64) + 1) * GOLDEN)


@triton.jit
def below(drawn, n):
    """Map 64 random bits to an integer in [0, n)."""
    return ((drawn >> 32) * tl.cast(n, tl.uint64)) >> 32


@triton.jit
def weighted(drawn, alias_prob, alias, n, mask):
    """Map 64 random bits to an integer by weight; `alias_prob` and `alias` point to an alias table of n entries."""
    index = below(drawn, n)
    stays = (drawn & 0xFFFFFFFF) < word(tl.load(alias_prob + index, mask=mask, other=0))
    return tl.where(stays, index, word(tl.load(alias + index, mask=mask, other=0)))


@triton.jit
def feistel(key, x, half_bits):
    """See `trainers.rng.feistel`."""
    low = ((key * 0 + 1) << half_bits) - 1
    left = x >> half_bits
    right = x & low
    for turn in tl.static_range(4):
        mixed = mix64(key + right * GOLDEN + turn) & low
        left, right = right, left ^ mixed
    return (left << half_bits) | right


@triton.jit
def permuted(key, positions, n, half_bits):
    """The images of positions, all below n, under the permutation of [0, n)."""
    half = tl.cast(half_bits, tl.uint64)  # not `n.to`: Triton passes 1 as a constant, which has no methods
    size = tl.cast(n, tl.uint64)
    targets = feistel(key, positions.to(tl.uint64), half)
    while tl.max((targets >= size).to(tl.int32), 0) > 0:
        targets = tl.where(targets >= size, feistel(key, targets, half), targets)
    return targets.to(tl.int64)
