"""Counter-based randomness: every draw is a function of (seed, purpose, epoch, position), independent of earlier draws.

So the draws of a run do not depend on lane, worker or thread count, and are equal in all engines. The generator is
SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): `bits(key, counter) = mix64(key + (counter + 1) * GOLDEN)`. The functions in the
inner loops of engines (`mix64`, `bits`, `below`, `feistel`) accept NumPy arrays and numba scalars: one definition for all
engines. All values are uint64; with Python ints, numba would convert them to float.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

U64 = NDArray[np.uint64]

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MUL_1 = np.uint64(0xBF58476D1CE4E5B9)
_MUL_2 = np.uint64(0x94D049BB133111EB)
_S27, _S30, _S31, _S32 = (np.uint64(s) for s in (27, 30, 31, 32))
_ONE = np.uint64(1)
_LOW_32 = np.uint64(0xFFFFFFFF)


class Purpose(IntEnum):
    """The purpose of a random stream. The values affect all draws: never renumber them."""

    INIT_USERS = 1
    INIT_ITEMS = 2
    SHUFFLE = 3
    NEGATIVES = 4
    DROPOUT = 5
    HOLD_OUT = 6
    TIES = 7
    DEMO = 8
    CANDIDATES = 9
    INIT_HISTORY = 10
    INIT_WEIGHTS = 11
    SAMPLED_USERS = 12


def mix64(z: Any) -> Any:
    """SplitMix64's finaliser, a bijection on 64-bit words."""
    z = (z ^ (z >> _S30)) * _MUL_1
    z = (z ^ (z >> _S27)) * _MUL_2
    return z ^ (z >> _S31)


def bits(key: Any, counter: Any) -> Any:
    """64 random bits for each counter (uint64)."""
    return mix64(key + (counter + _ONE) * GOLDEN)


def below(word: Any, n: Any) -> Any:
    """Map 64 random bits to an integer in [0, n), n < 2^32 (uint64). Bias at most n / 2^32, 1e-5 for 40,000 items."""
    return ((word >> _S32) * n) >> _S32


def weighted(word: Any, prob: Any, alias: Any) -> Any:
    """Map 64 random bits to an integer by weight, with a result of `alias_table` (Walker, 1977), in two reads."""
    index = below(word, np.uint64(prob.size))
    moves = np.uint64((word & _LOW_32) >= prob[index])
    return index + moves * (alias[index] - index)  # modulo 2^64


def feistel(key: Any, x: Any, half_bits: Any) -> Any:
    """One pass of a four-round Feistel network: a bijection on [0, 4^half_bits)."""
    mask = (_ONE << half_bits) - _ONE
    left, right = x >> half_bits, x & mask
    for turn in range(4):
        left, right = right, left ^ (mix64(key + right * GOLDEN + np.uint64(turn)) & mask)
    return (left << half_bits) | right


def half_bits_for(n: int) -> int:
    """The smallest half width whose Feistel domain contains [0, n)."""
    return max(1, ((max(n, 2) - 1).bit_length() + 1) // 2)


def key(seed: int, purpose: Purpose, *counters: int) -> np.uint64:
    """The key of a stream, e.g. `key(config.seed, Purpose.NEGATIVES, epoch)`."""
    state = np.array([seed], dtype=np.uint64)
    for counter in (int(purpose), *counters):
        state = mix64(mix64(state + GOLDEN) ^ np.uint64(counter))
    return np.uint64(state[0])


def permuted(stream: np.uint64, index: NDArray[np.integer[Any]], n: int) -> NDArray[np.int64]:
    """The image of each index under a seeded permutation of [0, n): Feistel with cycle walking, without an array of size n."""
    half = np.uint64(half_bits_for(n))
    out: U64 = np.asarray(feistel(stream, index.astype(np.uint64), half))
    while (outside := out >= n).any():
        out[outside] = feistel(stream, out[outside], half)
    return out.astype(np.int64)


def integers(stream: np.uint64, counters: U64, n: int) -> NDArray[np.int64]:
    """Uniform integers in [0, n), one per counter."""
    return np.asarray(below(bits(stream, counters), np.uint64(n))).astype(np.int64)


def alias_table(weights: NDArray[np.float64]) -> tuple[U64, U64]:
    """The alias table of weights (Vose, 1991): `prob` and `alias`, both uint64 (n,).

    A uniformly drawn index i stays with probability prob[i] / 2^32, that is if the lower half of its random bits is below
    prob[i]. Otherwise alias[i] replaces it. Weights of 0 are never drawn.
    """
    n = len(weights)
    share = weights * (n / weights.sum())
    prob, alias = np.full(n, 2**32, np.uint64), np.full(n, int(weights.argmax()), np.uint64)
    light, heavy = list(np.flatnonzero(share < 1.0)), list(np.flatnonzero(share >= 1.0))
    while light and heavy:
        below, above = light.pop(), heavy[-1]
        prob[below], alias[below] = round(share[below] * 2.0**32), above
        share[above] -= 1.0 - share[below]
        if share[above] < 1.0:
            light.append(heavy.pop())
    prob[weights == 0.0] = 0
    return prob, alias


def uniform(stream: np.uint64, counters: U64) -> NDArray[np.float64]:
    """Uniform floats in (0, 1), one per counter."""
    word: U64 = np.asarray(bits(stream, counters))
    return (np.asarray(word >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


def normal(stream: np.uint64, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Standard normal values (Box-Muller), the i-th from counters 2i and 2i + 1."""
    counters = np.arange(int(np.prod(shape)), dtype=np.uint64) * np.uint64(2)
    radius = np.sqrt(-2.0 * np.log(uniform(stream, counters)))
    return (radius * np.cos(2.0 * np.pi * uniform(stream, counters + _ONE))).reshape(shape)


def keep_threshold(dropout: float) -> np.uint64:
    """The threshold of dropout: a unit is kept if the upper half of its 64 bits is at least this value."""
    return np.uint64(round(dropout * 2.0**32))


def keep_mask(stream: np.uint64, counters: U64, dropout: float) -> NDArray[np.bool_]:
    """A mask of the units that dropout keeps."""
    return np.asarray((bits(stream, counters) >> _S32) >= keep_threshold(dropout))
